"""Taxonomy and class lists -> the papers' label sets: seen, unseen, 2-hops, 3-hops, 21k, and each with the seen ones.

The universe is a list of all classes (ImageNet 2011 fall11: 21,841); `21k` is the universe without the seen classes.
Which of it is near the seen classes, two conventions say:

`published` makes the lists that the field circulates (1,549, 7,860 and 20,842 wnids where ImageNet 1K is the seen
list). Those were counted in ImageNet's own tree, which differs from WordNet: it has no instance edges; a path goes up
to a common ancestor and then down, never down and up again; below its root are eight branches and "Misc", a flat
branch of all that has none of the eight among its ancestors; and a seen class hangs directly under animal. Thus
  2-hops = one edge from a seen class, and animal if a seen class is an animal;
  3-hops = 2-hops, two edges from a seen class, the children of animal if animal is in 2-hops, and all of Misc if a
           seen class is in it (the edges to and from Misc make two).

`tree` counts plain WordNet edges, within `hops` of a seen class. Beside these, `populated.sizes` asks for the sets of
Xian et al. 2017: the classes of 21k with the most and with the fewest images, by a list of counts.

Whatever the convention, the report states the sizes of both and every wnid that had to be left out. Seconds on one
core.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pydantic
from jaxtyping import Bool, Int32

from stages import run_stage
from zeroshot.base.files import atomic_write, write_json
from zeroshot.base.lists import text_lines
from zeroshot.base.params import StageParams
from zeroshot.console.errors import InputError, quoted
from zeroshot.labels.label_sets import LABEL_SETS, populated, read_wnids, write_label_sets
from zeroshot.taxonomy import Taxonomy, read_taxonomy

ANIMAL = "n00015388"
BRANCHES = {"n00017222": "plant", "n09287968": "geological formation", "n00019128": "natural object",
            "n00523513": "sport", "n00021939": "artifact", "n12992868": "fungus", "n00007846": "person",
            ANIMAL: "animal"}
# A wnid, its count, and what is for people, which begins with no digit: 1,300 and 1 300 are no counts.
COUNT = re.compile(r"""["']?([nN][0-9]{8})["']?[\s,;]+["']?([0-9]{1,15})["']?(?:[\s,;]+(?:[^\d\s,;].*)?)?""")
Walk = Literal["any", "up-down", "vertical"]


class Tree(StageParams):
    hops: Annotated[list[int], pydantic.Field(min_length=2, max_length=2)]
    directed: bool
    instances: bool

    @pydantic.field_validator("hops")
    @classmethod
    def _grow(cls, hops: list[int]) -> list[int]:
        if not 1 <= hops[0] <= hops[1]:
            raise ValueError("two numbers from 1 up, the second not smaller: edges for 2-hops and for 3-hops")
        return hops


class Populated(StageParams):
    counts: str
    sizes: list[pydantic.PositiveInt]


class Params(StageParams):
    seen: str
    unseen: str
    universe: str
    convention: Literal["published", "tree"]
    tree: Tree
    populated: Populated


def main(params: Params, *, taxonomy: Path, seen: Path, unseen: Path, universe: Path, counts: Path, out: Path,
         metrics: Path, report: Path, histogram: Path) -> None:
    nouns = read_taxonomy(taxonomy)
    lists = read_lists(nouns, seen, unseen, universe)
    conventions = {"published": published_sets(nouns, lists["seen"], lists["21k"]),
                   "tree": tree_sets(nouns, lists["seen"], lists["21k"], params.tree)}
    sets = lists | conventions[params.convention] | populated_sets(lists["21k"], counts, params.populated.sizes)
    distances = universe_distances(nouns, lists["seen"], lists["universe"], params.tree.instances)
    write_label_sets(out, sets)
    write_json(metrics, measures(sets, lists, distances))
    write_histogram(histogram, distances)
    with atomic_write(report) as file:
        lines = report_lines(params, nouns, lists, conventions, distances) + populated_lines(sets, counts)
        file.write("\n".join(lines) + "\n")
    sizes = ", ".join(f"{name}: {len(sets[name]):,}" for name in (*LABEL_SETS, *populated(sets)))
    print(f"{sizes} ({params.convention} convention)")


def read_lists(nouns: Taxonomy, seen: Path, unseen: Path, universe: Path) -> dict[str, list[str]]:
    """The lists given, checked: seen, unseen, universe, 21k, and "unknown", what WordNet lacks of the universe.

    Where `unseen` and `universe` are one file, the unseen classes are the universe without the seen ones.

    Raises:
        InputError: a malformed list, a seen or unseen wnid that is no noun, a class both seen and unseen.
    """
    lists = {"seen": read_wnids(seen), "universe": read_wnids(universe)}
    lists["unknown"] = [wnid for wnid in lists["universe"] if wnid not in nouns.index]
    lists["universe"] = [wnid for wnid in lists["universe"] if wnid in nouns.index]
    lists["21k"] = sorted(set(lists["universe"]) - set(lists["seen"]))
    lists["unseen"] = lists["21k"] if unseen.resolve() == universe.resolve() else read_wnids(
        unseen, may_be_empty=True)  # where index_images.roles.unseen is null
    for name, path in (("seen", seen), ("unseen", unseen)):
        try:
            nouns.rows(lists[name])
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    both = sorted(set(lists["seen"]) & set(lists["unseen"]))
    if both:
        raise InputError(f"{seen} and {unseen} both hold {', '.join(both[:5])} ({len(both)} in all); an unseen class "
                         "must not be among the seen ones: remove it from one of them")
    return lists


def hop_distances(nouns: Taxonomy, start: Iterable[str], *, instances: bool, walk: Walk) -> Int32[np.ndarray, "nouns"]:
    """Edges from the nearest of `start` to every noun; -1 where no path leads.

    Args:
        walk: "any" path; "up-down": up to an ancestor, then down (a tree's paths); "vertical": only up or only down.
    """
    upward = nouns.graph(instances, directed=True).astype(np.int32)  # [child, parent]
    to_parents, to_children = upward.T.tocsr(), upward
    up = np.zeros(len(nouns.wnids), bool)
    up[nouns.rows(list(start))] = True
    down = up.copy()
    distances = np.where(up, 0, -1).astype(np.int32)
    been_up, been_down, hop = up, down, 0
    while up.any() or down.any():
        hop += 1
        may_rise = up | down if walk == "any" else up
        may_fall = down if walk == "vertical" else up | down
        up = (to_parents @ may_rise > 0) & ~been_up
        down = (to_children @ may_fall > 0) & ~been_down
        been_up, been_down = been_up | up, been_down | down
        distances[(up | down) & (distances < 0)] = hop
    return distances


def below(nouns: Taxonomy, roots: Iterable[str]) -> Bool[np.ndarray, "nouns"]:
    """True for `roots` (those that are nouns of the taxonomy) and all that has one among its hypernyms' hypernyms."""
    upward = nouns.graph(instances=False, directed=True).astype(np.int32)
    reached = np.zeros(len(nouns.wnids), bool)
    reached[[nouns.index[root] for root in roots if root in nouns.index]] = True
    count = 0
    while count != reached.sum():
        count = reached.sum()
        reached |= upward @ reached > 0
    return reached


def published_sets(nouns: Taxonomy, seen: list[str], others: list[str]) -> dict[str, list[str]]:
    """2-hops and 3-hops among `others` by the published convention (see the top of this file)."""
    distances = hop_distances(nouns, seen, instances=False, walk="up-down")
    near = (distances >= 0) & (distances <= 1)
    middle = (distances >= 0) & (distances <= 2)
    seen_rows = nouns.rows(seen)
    if ANIMAL in nouns.index and below(nouns, [ANIMAL])[seen_rows].any():
        near[nouns.index[ANIMAL]] = True
        middle[nouns.kinds[nouns.kinds[:, 1] == nouns.index[ANIMAL], 0]] = True
    misc = ~below(nouns, BRANCHES)
    if misc[seen_rows].any():
        middle |= misc
    return _sets(nouns, others, near, middle | near)


def tree_sets(nouns: Taxonomy, seen: list[str], others: list[str], tree: Tree) -> dict[str, list[str]]:
    """2-hops and 3-hops among `others`: at most hops[0] and hops[1] WordNet edges from a seen class."""
    distances = hop_distances(nouns, seen, instances=tree.instances, walk="vertical" if tree.directed else "any")
    return _sets(nouns, others, *((distances >= 0) & (distances <= hops) for hops in tree.hops))


def populated_sets(others: list[str], path: Path, sizes: list[int]) -> dict[str, list[str]]:
    """`most-<n>` and `least-<n>` among `others`, for each n of `sizes`; of classes with equally many images by wnid.

    Raises:
        InputError: `path`, the list of counts, is malformed, or has fewer of `others` than are asked for.
    """
    if not sizes:
        return {}
    counts = read_counts(path)
    counted = [wnid for wnid in others if counts.get(wnid)]
    if max(sizes) > len(counted):
        raise InputError(f"{path}: has images of {len(counted):,} classes of `21k`; `build_label_sets.populated.sizes` "
                         f"asks for the {max(sizes):,} most and least populated: give smaller ones, or none")
    ranked = {"most": sorted(counted, key=lambda wnid: (-counts[wnid], wnid)),
              "least": sorted(counted, key=lambda wnid: (counts[wnid], wnid))}
    return {f"{kind}-{size}": wnids[:size] for kind, wnids in ranked.items() for size in sizes}


def populated_lines(sets: dict[str, list[str]], counts: Path) -> list[str]:
    """What the report says of the populated sets: which classes were counted, and where the cuts fall."""
    if not (names := populated(sets)):
        return []
    images, others = read_counts(counts), set(sets["21k"])
    counted = [number for wnid, number in images.items() if number and wnid in others]
    passed = sorted(wnid for wnid, number in images.items() if number and wnid not in others)
    lines = ["", "## The most and the least populated classes", "",
             f"Of the classes of `21k`, {len(counted):,} have images by {counts}; {len(passed):,} more there are seen, "
             f"or not in the universe, and passed over{': ' + ', '.join(passed[:20]) if passed else ''}"
             f"{', ...' if len(passed) > 20 else ''}. Of equally many images the first by wnid are taken.", "",
             "| set | most images of a class | fewest | classes with as many as at the cut, in it | and in all |",
             "|---|---:|---:|---:|---:|"]
    for name in names:
        own = [images[wnid] for wnid in sets[name]]
        cut = own[-1]
        lines.append(f"| {name} | {max(own):,} | {min(own):,} | {own.count(cut):,} | {counted.count(cut):,} |")
    return lines


def read_counts(path: Path) -> dict[str, int]:
    """wnid -> number of images, from lines of a wnid and a number, parted as in lists of wnids.

    Raises:
        InputError: no such file, another kind of line, a wnid twice.
    """
    counts: dict[str, int] = {}
    expected = "a wnid and its number of images a line (`build_label_sets.populated.counts`)"
    for number, line in text_lines(path, expected):
        entry = COUNT.fullmatch(line)
        if not entry or (wnid := entry[1].lower()) in counts:
            raise InputError(f"{path}: line {number} is {quoted(line, 40)}; expected a wnid, once in the list, and its "
                             "number of images, such as n02119789 1300")
        counts[wnid] = int(entry[2])
    return counts


def _sets(nouns: Taxonomy, others: list[str], near: np.ndarray, middle: np.ndarray) -> dict[str, list[str]]:
    return {name: [wnid for wnid in others if mask[nouns.index[wnid]]]
            for name, mask in (("2-hops", near), ("3-hops", middle))}


def universe_distances(nouns: Taxonomy, seen: list[str], universe: list[str], instances: bool) -> np.ndarray:
    """Edges (any path) from the seen classes to each class of the universe; -1: disconnected."""
    return hop_distances(nouns, seen, instances=instances, walk="any")[nouns.rows(universe)]


def measures(sets: dict[str, list[str]], lists: dict[str, list[str]], distances: np.ndarray) -> dict[str, int]:
    """What `dvc metrics` shows: sizes, and how many wnids each decision concerned."""
    return {name: len(sets[name]) for name in (*LABEL_SETS, *populated(sets))} | {
        "universe": len(lists["universe"]),
        "universe_not_in_wordnet": len(lists["unknown"]),
        "seen_not_in_universe": len(set(lists["seen"]) - set(lists["universe"])),
        "unseen_not_in_universe": len(set(lists["unseen"]) - set(lists["universe"])),
        "disconnected": int((distances < 0).sum())}


def distance_counts(distances: np.ndarray) -> dict[str, int]:
    """Distance (two digits, for plots that sort text; "disconnected" last, if there are any) -> how many classes."""
    counts = {f"{hop:02d}": int(count) for hop, count in enumerate(np.bincount(distances[distances >= 0]))}
    lost = int((distances < 0).sum())
    return counts | ({"disconnected": lost} if lost else {})


def write_histogram(path: Path, distances: np.ndarray) -> None:
    """CSV with the columns distance (edges, or "disconnected") and classes."""
    with atomic_write(path) as file:
        file.write("distance,classes\n")
        file.writelines(f"{distance},{count}\n" for distance, count in distance_counts(distances).items())


def report_lines(params: Params, nouns: Taxonomy, lists: dict[str, list[str]], conventions: dict[str, dict],
                 distances: np.ndarray) -> list[str]:
    """The report, in Markdown."""
    tree = params.tree
    paths = "only up or only down" if tree.directed else "any way"
    edges = f"{'with' if tree.instances else 'without'} instance edges"
    lines = ["# Label sets", "",
             f"Seen classes: {len(lists['seen']):,} ({params.seen}). Unseen classes: {len(lists['unseen']):,} "
             f"({params.unseen}). Universe: {len(lists['universe']):,} ({params.universe}). "
             f"In use: the **{params.convention}** convention.", "",
             "## Both conventions", "",
             "| set | published | tree | in both | only published | only tree |", "|---|---:|---:|---:|---:|---:|"]
    for name in ("2-hops", "3-hops"):
        published, plain = (set(conventions[convention][name]) for convention in ("published", "tree"))
        sizes = (published, plain, published & plain, published - plain, plain - published)
        lines.append(f"| {name} | " + " | ".join(f"{len(wnids):,}" for wnids in sizes) + " |")
    size = len(lists["21k"])
    lines += [f"| 21k | {size:,} | {size:,} | {size:,} | 0 | 0 |", "",
              f"`tree`: at most {tree.hops[0]} and {tree.hops[1]} WordNet edges ({paths}, {edges}). "
              "`published`: one and two edges of ImageNet's own tree; stages/build_label_sets.py tells how it differs "
              "from WordNet.", "",
              "## Decisions", "", *decision_lines(nouns, lists, distances), "",
              "## The universe by distance from the seen classes", "",
              f"WordNet edges, any way, {edges}; 0: the seen classes.", "",
              "| distance | classes |", "|---:|---:|"]
    return lines + [f"| {distance} | {count:,} |" for distance, count in distance_counts(distances).items()]


def decision_lines(nouns: Taxonomy, lists: dict[str, list[str]], distances: np.ndarray) -> list[str]:
    """How many wnids each decision concerned, and the first of them by name."""
    seen, universe, lines = set(lists["seen"]), set(lists["universe"]), []
    strays = sorted(set(lists["unseen"]) - universe)
    disconnected = [wnid for wnid, hop in zip(lists["universe"], distances, strict=True) if hop < 0]
    for what, wnids in [
            ("of the universe, no nouns of WordNet 3.0: in no set", lists["unknown"]),
            ("of the seen classes, not in the universe: still seen", sorted(seen - universe)),
            ("of the unseen classes, not in the universe: in `unseen`, in no other set", strays),
            ("of the universe, no path to a seen class: in `21k`; in `3-hops` only by way of Misc", disconnected)]:
        names = ", ".join(f"{wnid} ({nouns.name(wnid)})" if wnid in nouns.index else wnid
                          for wnid in wnids[:20])
        names += ", ..." if len(wnids) > 20 else ""
        lines.append(f"- {len(wnids):,} {what}" + (f": {names}" if names else ""))
    return lines


if __name__ == "__main__":
    run_stage(main)
