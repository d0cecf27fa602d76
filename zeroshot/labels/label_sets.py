"""Label sets: sorted lists of candidate wnids, one file each under data/label_sets.

`seen` are the training classes, `unseen` those that have unseen test images, `2-hops`, `3-hops` and `21k` the
papers' zero-shot sets; `<set>+seen` adds the seen classes as candidates (the papers' "+1K"). The test images of `seen`
are the validation images; those of any other set are the unseen classes' images whose wnid is in its base set.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from zeroshot.base.files import atomic_write
from zeroshot.base.lists import read_wnid_list

LABEL_SETS = ("seen", "unseen", "2-hops", "3-hops", "21k")
ZERO_SHOT = LABEL_SETS[1:]
PLUS_SEEN = "+seen"
ALL_LABEL_SETS = LABEL_SETS + tuple(name + PLUS_SEEN for name in ZERO_SHOT)


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
    """Write the five base sets and, for each zero-shot one, itself with the seen classes."""
    for name in LABEL_SETS:
        write_wnids(folder / f"{name}.txt", sets[name])
        if name in ZERO_SHOT:
            write_wnids(folder / f"{name}{PLUS_SEEN}.txt", {*sets[name], *sets["seen"]})


def read_label_sets(folder: Path) -> dict[str, list[str]]:
    """Name -> sorted wnids, of all nine sets. A zero-shot set may be empty; `seen` may not."""
    return {name: read_wnids(folder / f"{name}.txt", may_be_empty=name != "seen") for name in ALL_LABEL_SETS}


def all_labels(sets: Mapping[str, list[str]]) -> list[str]:
    """Sorted wnids of all sets: what label numbers count."""
    return sorted(set().union(*sets.values()))


def memberships(sets: Mapping[str, list[str]]) -> dict[str, Bool[np.ndarray, "labels"]]:
    """Set name -> which of `all_labels` are in it."""
    labels = np.array(all_labels(sets))
    return {name: np.isin(labels, wnids) for name, wnids in sets.items()}


def digest_of(wnids: list[str]) -> str:
    """What identifies a label set."""
    return hashlib.sha256("\n".join(wnids).encode()).hexdigest()
