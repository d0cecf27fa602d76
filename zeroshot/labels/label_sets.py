"""Label sets: sorted lists of candidate wnids, one file each under data/label_sets.

`seen` are the training classes, `unseen` those that have unseen test images, `2-hops`, `3-hops` and `21k` the
papers' zero-shot sets; `<set>+seen` adds the seen classes as candidates (the papers' "+1K"). The test images of `seen`
are the validation images; those of any other set are the unseen classes' images whose wnid is in its base set. Where
they are asked for, `most-<n>` and `least-<n>` are the n classes of 21k with the most and the fewest images (Xian et al.
2017), each with its `+seen` too.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from zeroshot.base.files import atomic_write
from zeroshot.base.lists import read_wnid_list

LABEL_SETS = ("seen", "unseen", "2-hops", "3-hops", "21k")
ZERO_SHOT = LABEL_SETS[1:]
PLUS_SEEN = "+seen"
ALL_LABEL_SETS = LABEL_SETS + tuple(name + PLUS_SEEN for name in ZERO_SHOT)  # that every run has
POPULATED = re.compile(r"(most|least)-([1-9]\d*)")


def read_wnids(path: Path, *, may_be_empty: bool = False) -> list[str]:
    """The wnids of a list file, sorted; see `zeroshot.base.lists` for its form.

    Raises:
        InputError: no such file, a line without wnid, a wnid twice, or (unless `may_be_empty`) none at all.
    """
    return sorted(read_wnid_list(path, "a list of wnids, one a line", may_be_empty=may_be_empty))


def write_wnids(path: Path, wnids: Iterable[str]) -> None:
    """Write a list file: sorted, one a line."""
    with atomic_write(path) as file:
        file.writelines(wnid + "\n" for wnid in sorted(set(wnids)))


def write_label_sets(folder: Path, sets: dict[str, Iterable[str]]) -> None:
    """Write the five base sets, the populated ones and, for each but `seen`, itself with the seen classes."""
    for name in (*LABEL_SETS, *populated(sets)):
        write_wnids(folder / f"{name}.txt", sets[name])
        if name != "seen":
            write_wnids(folder / f"{name}{PLUS_SEEN}.txt", {*sets[name], *sets["seen"]})


def read_label_sets(folder: Path) -> dict[str, list[str]]:
    """Name -> sorted wnids, of the nine sets and then the populated ones. A zero-shot set may be empty; not `seen`."""
    names = in_order({*ALL_LABEL_SETS, *(path.stem for path in folder.glob("*.txt"))})
    return {name: read_wnids(folder / f"{name}.txt", may_be_empty=name != "seen") for name in names}


def populated(names: Iterable[str]) -> list[str]:
    """Those of `names` that are sets of the most or the least populated classes, the most first, by size."""
    found = [match for name in names if (match := POPULATED.fullmatch(name))]
    return [match[0] for match in sorted(found, key=lambda match: (match[1] == "least", int(match[2])))]


def in_order(names: Collection[str]) -> list[str]:
    """Those of `names` that are label sets, as tables show them: the nine of every run, then the populated ones."""
    more = populated(names)
    return [name for name in (*ALL_LABEL_SETS, *more, *(name + PLUS_SEEN for name in more)) if name in names]


def all_labels(sets: Mapping[str, list[str]]) -> list[str]:
    """Sorted wnids of all sets: what label numbers count."""
    return sorted(set().union(*sets.values()))


def memberships(sets: Mapping[str, list[str]]) -> dict[str, Bool[np.ndarray, "labels"]]:
    """Set name -> which of `all_labels` are in it."""
    row_of = {wnid: row for row, wnid in enumerate(all_labels(sets))}
    members = {name: np.zeros(len(row_of), bool) for name in sets}
    for name, wnids in sets.items():
        members[name][[row_of[wnid] for wnid in wnids]] = True
    return members


def digest_of(wnids: list[str]) -> str:
    """What identifies a label set."""
    return hashlib.sha256("\n".join(wnids).encode()).hexdigest()
