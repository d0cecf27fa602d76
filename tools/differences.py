"""The differences of two runs, model by label set, each with the 95 % interval of the difference: tools/paired.py.

Rankings are read once, side by side, a piece at a time; what is kept of them are sums by class.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from stages.evaluate import Hierarchy
from tools.paired import Estimate, Sums, paired_harmonic, paired_means, unpaired_harmonic, unpaired_means
from tools.runs import Run
from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.evaluation.hierarchy import FAR
from zeroshot.evaluation.metrics import KS
from zeroshot.evaluation.model_names import BESIDE, NAMES
from zeroshot.images.index import INDEX_FILE
from zeroshot.labels.label_sets import PLUS_SEEN, in_order
from zeroshot.ranking.rankings import ROWS, Rankings

METRICS = ("hit@1", "hit@5", "hp@5")  # means over images
HARMONIC = "harmonic_mean"  # of the mean per-class hit@1 of seen and of unseen classes; `+seen` sets only
K = 5  # of hp@5


@dataclass(frozen=True)
class Difference:
    """One figure of one model in one label set, in two runs.

    Attributes:
        before, after: fractions.
        low, high: 95 % interval of after - before; None where the classes are too few for one.
        images, classes: of the later run's test.
        unpaired: why the runs' images could not be paired; "" if they were.
    """

    model: str
    label_set: str
    metric: str
    before: float
    after: float
    low: float | None
    high: float | None
    images: int
    classes: int
    unpaired: str

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def marked(self) -> bool:
        """Does the interval exclude 0?"""
        return self.low is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class ClassChange:
    """How many of a class's test images were right at 1 in two runs on the same images."""

    wnid: str
    name: str
    images: int
    before: int
    after: int


def differences(before: Run, after: Run, models: Sequence[str] | None = None, label_sets: Sequence[str] | None = None,
                seed: int = 0) -> list[Difference]:
    """Every figure that both runs have, models and label sets in the order in which the tables show them.

    Args:
        models: all that both runs have in reach, if None.
        label_sets: all, if None; one that only one run tested a model on is passed over.
        seed: of the resampling.

    Raises:
        InputError: a model or label set that there is not, or rankings that are out of reach.
    """
    models = common_models(before, after) if models is None else sorted(set(models), key=_place)
    names = _known(label_sets, before, after)
    rankings = {model: (before.rankings(model), after.rankings(model)) for model in models}
    found = []
    tests = [Tests(run, [rankings[model][side] for model in models], names) for side, run in enumerate((before, after))]
    if tests[0].same_as(tests[1]):
        tests[1] = tests[0]  # distances in WordNet are most of the work
    for model in progress(models, unit="models", desc="comparing"):
        for name in names:
            pair = rankings[model]
            if all(name in ranked.names for ranked in pair):
                unpaired = why_unpaired(before, after, model, name)
                found += _of_means(model, name, pair, tests, unpaired, seed)
                found += _of_harmonic(before, after, model, name, unpaired, seed)
    return found


def common_models(before: Run, after: Run) -> list[str]:
    """Models whose rankings both runs have in reach.

    Raises:
        InputError: there are none.
    """
    shared = sorted(before.models.keys() & after.models.keys(), key=_place)
    for run in (before, after):
        run.reach(run.models[model][1] for model in shared)  # all at once, if they are to be fetched
    found = [model for model in shared if before.has(model) and after.has(model)]
    if not found:
        raise InputError(_nothing(before, after, shared))
    return found


def why_unpaired(before: Run, after: Run, model: str, name: str) -> str:
    """Why the two runs' answers cannot be paired image by image; "" if they can."""
    if before.label_sets[name] != after.label_sets[name]:
        return "label sets differ"
    pair = before.rankings(model), after.rankings(model)
    if not same_images(before, after, model) or not _same_rows(pair, name):
        return "test images differ"
    return ""


def same_images(before: Run, after: Run, model: str) -> bool:
    """Do equal rows mean equal images? They do where the indices list the same files, however these were packed."""
    if before.images_of(model) == after.images_of(model):
        return True
    indices = [Artifact(run.folder("index") / INDEX_FILE) for run in (before, after)]
    if any(index.sha256 != run.images_of(model) for index, run in zip(indices, (before, after), strict=True)):
        return False
    first, second = indices
    return ("container" in first and first.names() == second.names()
            and all(first.meta[key] == second.meta[key] for key in ("wnids", "containers"))
            and all(_equal(first, second, array) for array in first.names()))


class Tests:
    """The tests of some rankings of one run, and what hp@5 of their images goes by.

    Attributes:
        names, wnids, chunks: as of one model's rankings, but of all of these models' label sets.
    """

    def __init__(self, run: Run, rankings: Sequence[Rankings], names: Sequence[str]):
        self._run, self._holders = run, {name: ranked for ranked in rankings for name in ranked.names if name in names}
        self.names = list(self._holders)
        self.wnids = rankings[0].wnids if rankings else []

    def chunks(self, array: str) -> Iterator[tuple[np.ndarray, ...]]:
        return self._holders[array.split("/")[0]].chunks(array)

    def same_as(self, other: "Tests") -> bool:
        """Would these give the same distances?"""
        return (self._run.md5("taxonomy") == other._run.md5("taxonomy") and self.names == other.names
                and self._run.label_sets == other._run.label_sets
                and all(_same_rows((ranked, other._holders[name]), name) for name, ranked in self._holders.items()))

    @cached_property
    def hierarchy(self) -> Hierarchy:
        return Hierarchy(self._run.taxonomy, self, self._run.label_sets)

    @cached_property
    def divisors(self) -> dict[str, Int[np.ndarray, "sources"]]:
        return {name: np.minimum(K, self.hierarchy.reachable(name)) for name in self.names}

    def outcomes(self, ranked: Rankings, name: str) -> Iterator[tuple[Int[np.ndarray, "images"],
                                                                      Float[np.ndarray, "images metrics"]]]:
        """True labels, and each of METRICS of each image, a piece at a time."""
        hops, radii = self.hierarchy.hops, self.hierarchy.radii[name][:, KS.index(K)]
        for true, rank, top in ranked.chunks(f"{name}/true", f"{name}/rank", f"{name}/top"):
            source, first = self.hierarchy.source_of[true], top[:, :K]
            distance = np.where(first < 0, FAR, hops[source[:, None], first])
            precision = (distance <= radii[source, None]).sum(1) / self.divisors[name][source]
            yield true, np.column_stack([_hit(rank, 1), _hit(rank, 5), precision])


def class_sums(pieces: Iterator[tuple[np.ndarray, np.ndarray]], labels: int) -> tuple[np.ndarray, Sums]:
    """(true labels, values [images, figures]) in pieces -> the labels that have images, and their sums."""
    images, totals, squares = np.zeros(labels, np.int64), None, 0.0
    for true, values in pieces:
        images += np.bincount(true, minlength=labels)
        summed = np.stack([np.bincount(true, column, minlength=labels) for column in values.T], axis=1)
        totals = summed if totals is None else totals + summed
        squares = squares + (values**2).sum(0)
    tested = np.flatnonzero(images)
    return tested, Sums(images[tested], totals[tested], squares)


def harmonic_rates(ranked: Rankings, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Hit@1 of each seen class and of each unseen one among the candidates of a `+seen` set."""
    pieces = [((true, _hit(rank, 1)[:, None]) for true, rank in ranked.chunks(f"{name}/true", f"{name}/rank")),
              ((true, _hit(rank, 1)[:, None]) for (true,), (rank,) in
               zip(ranked.chunks("seen/true"), ranked.chunks(f"{name}/val_rank"), strict=True))]
    unseen, seen = (class_sums(piece, len(ranked.wnids))[1].rates()[:, 0] for piece in pieces)
    return seen, unseen


def class_changes(before: Run, after: Run, model: str, name: str) -> list[ClassChange]:
    """Each tested class's hits at 1, those that gained the largest share of their images first; [] if unpaired."""
    if name not in after.rankings(model).names or why_unpaired(before, after, model, name):
        return []
    hits = [class_sums(((true, _hit(rank, 1)[:, None]) for true, rank in ranked.chunks(f"{name}/true", f"{name}/rank")),
                       len(ranked.wnids)) for ranked in (before.rankings(model), after.rankings(model))]
    wnids, taxonomy = after.rankings(model).wnids, after.taxonomy
    changes = [ClassChange(wnids[label], taxonomy.name(wnids[label]), int(images), int(old), int(new))
               for label, images, old, new in zip(hits[0][0], hits[0][1].images, hits[0][1].totals[:, 0],
                                                  hits[1][1].totals[:, 0], strict=True)]
    return sorted(changes, key=lambda change: ((change.before - change.after) / change.images, change.wnid))


def _of_means(model: str, name: str, pair: Sequence[Rankings], tests: Sequence[Tests], unpaired: str, seed: int
              ) -> list[Difference]:
    both = [test.outcomes(ranked, name) for test, ranked in zip(tests, pair, strict=True)]
    if unpaired:
        sums = [class_sums(pieces, len(ranked.wnids))[1] for pieces, ranked in zip(both, pair, strict=True)]
        estimate, last = unpaired_means(*sums, seed), sums[1]
    else:
        side_by_side = ((true, np.hstack([old, new, new - old])) for (true, old), (_, new) in zip(*both, strict=True))
        _, last = class_sums(side_by_side, len(pair[0].wnids))
        estimate = paired_means(*(_columns(last, part) for part in range(3)), seed)
    return _rows(model, name, METRICS, estimate, int(last.images.sum()), len(last.images), unpaired)


def _of_harmonic(before: Run, after: Run, model: str, name: str, unpaired: str, seed: int) -> list[Difference]:
    """[] of a set without the seen classes, and where these have no test images."""
    pair = before.rankings(model), after.rankings(model)
    if not name.endswith(PLUS_SEEN) or any(f"{name}/val_rank" not in ranked for ranked in pair):
        return []
    unpaired = unpaired or why_unpaired(before, after, model, "seen")
    seen, unseen = zip(*(harmonic_rates(ranked, name) for ranked in pair), strict=True)
    estimate = (unpaired_harmonic if unpaired else paired_harmonic)(seen, unseen, seed)
    images = sum(ranked.about[of]["images"] for of in ("seen", name) for ranked in pair[1:])
    return _rows(model, name, (HARMONIC,), estimate, images, len(seen[1]) + len(unseen[1]), unpaired)


def _rows(model: str, name: str, metrics: Sequence[str], estimate: Estimate, images: int, classes: int, unpaired: str
          ) -> list[Difference]:
    rows = []
    for metric, before, after, half in zip(metrics, *(column.tolist() for column in estimate), strict=True):
        interval = (None, None) if np.isnan(half) else (after - before - half, after - before + half)
        rows.append(Difference(model, name, metric, before, after, *interval, images, classes, unpaired))
    return rows


def _columns(sums: Sums, part: int) -> Sums:
    """Of the sums of before, after and their difference, one part."""
    figures = slice(part * len(METRICS), (part + 1) * len(METRICS))
    return Sums(sums.images, sums.totals[:, figures], sums.squares[figures])


def _hit(ranks: Int[np.ndarray, "images"], k: int) -> Bool[np.ndarray, "images"]:
    return (ranks > 0) & (ranks <= k)


def _same_rows(pair: Sequence[Rankings], name: str) -> bool:
    """The same rows of the index with the same true labels, in the same order."""
    if pair[0] is pair[1]:
        return True
    if pair[0].wnids != pair[1].wnids or pair[0].about[name]["images"] != pair[1].about[name]["images"]:
        return False
    pieces = zip(*(ranked.chunks(f"{name}/row", f"{name}/true") for ranked in pair), strict=True)
    return all(np.array_equal(one, other) for old, new in pieces for one, other in zip(old, new, strict=True))


def _equal(first: Artifact, second: Artifact, array: str) -> bool:
    shapes = first.shape(array), second.shape(array)
    return shapes[0] == shapes[1] and all(
        np.array_equal(first.rows(array, start, start + ROWS), second.rows(array, start, start + ROWS))
        for start in range(0, shapes[0][0], ROWS))


def _known(label_sets: Sequence[str] | None, before: Run, after: Run) -> list[str]:
    known = in_order(before.label_sets.keys() & after.label_sets.keys())
    if unknown := [name for name in label_sets or () if name not in known]:
        raise InputError(f"no label set `{unknown[0]}` in both runs; expected some of {', '.join(known)}")
    return [name for name in known if label_sets is None or name in label_sets]


def _nothing(before: Run, after: Run, shared: Sequence[str]) -> str:
    for run in (before, after):
        if not run.models:
            return f"{run.rev}: dvc.lock tells of no rankings below data/rankings; expected a whole run: `dvc repro`"
        if gone := [model for model in shared or run.models if not run.has(model)]:
            return run.missing(gone[0])
    ours, theirs = (", ".join(sorted(run.models, key=_place)) for run in (before, after))
    return f"{before.rev} and {after.rev} have no model in common: one has {ours}; the other {theirs}"


def _place(model: str) -> tuple[int, int, str]:
    """Sort key: as in the tables, ConSE by T."""
    stem, _, t = model.partition("-")
    order = [*NAMES, "conse", *BESIDE]
    return order.index(stem) if stem in order else len(order), int(t) if t.isdigit() else 0, model
