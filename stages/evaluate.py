"""Rankings of one model -> flat hit@k, hierarchical precision@k and more, a JSON file a label set.

ConSE section 4, DeViSE section 4. Reads data/rankings/<model>.safetensors, the taxonomy and the label sets; writes
metrics/<model>/<set>.json, flat, fractions, the same figures as rows of data/scores/<model>.csv, the few that DVC
compares as metrics/headline/<model>.json, and hits class by class with intervals, data/scores/classes/<model>.csv. A
class is `apart` if no seen class is a kind of it nor it of one, so that no training image shows it. A set without test
images or candidates gets no file; where there is none at all, or no model, metrics/<model>/not_measured.json and the
scores' first line say why. For all of ImageNet under a minute and 2 GB, mostly distances in WordNet.
"""

import csv
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydantic

from stages import run_stage
from zeroshot.base.artifacts import why_not_made
from zeroshot.base.files import atomic_write, write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.evaluation import metrics
from zeroshot.evaluation.classes import COLUMNS as CLASS_COLUMNS
from zeroshot.evaluation.classes import apart_figures, class_rows, wilson_interval
from zeroshot.evaluation.hierarchy import FAR, hops_and_radii
from zeroshot.evaluation.metrics import KS
from zeroshot.evaluation.model_names import NOT_MEASURED, display_name
from zeroshot.labels.label_sets import PLUS_SEEN, memberships, read_label_sets
from zeroshot.ranking.harmonic import harmonic_mean
from zeroshot.ranking.rankings import Rankings
from zeroshot.taxonomy import Taxonomy, read_taxonomy

HEADLINE = {  # DVC's metrics: its name there -> (label set, figure); few, for `dvc exp show` has a column for each
    "seen_hit@1": ("seen", "hit@1"),
    "unseen_hit@1": ("unseen", "hit@1"),
    "unseen_hit@5": ("unseen", "hit@5"),
    "unseen_hp@5": ("unseen", "hp@5"),
    "harmonic": ("unseen+seen", "gzsl_harmonic"),
    "21k_hit@5": ("21k", "hit@5"),
}


class Params(StageParams):
    resamples: int = pydantic.Field(ge=100)
    seed: Seed


def main(params: Params, *, model: str, rankings: Path, taxonomy: Path, label_sets: Path, out: Path,
         headline: Path, scores: Path, classes: Path) -> None:
    sets, table, rows = read_label_sets(label_sets), {}, []
    if why := why_not_made(rankings) or nothing_to_score(ranked := read_rankings(rankings, model, sets)):
        print(f"{display_name(model)} is not measured: {why}", flush=True)
        write_json(out / "not_measured.json", {"why": why})
        write_json(headline, {})
        _write_scores(scores, model, {}, why)
        _write_classes(classes, [])
        return
    hierarchy = Hierarchy(read_taxonomy(taxonomy), ranked, sets)
    for name in progress(ranked.names, unit="sets", desc=f"scoring {model}"):
        by_class = counts_by_class(ranked, f"{name}/true", f"{name}/rank")
        table[name] = score_set(ranked, name, hierarchy, by_class, params)
        rows += class_rows(name, ranked.wnids, by_class, hierarchy.apart)
        write_json(out / f"{name}.json", table[name])
    write_json(headline, headline_of(table))
    _write_scores(scores, model, table)
    _write_classes(classes, rows)


def read_rankings(path: Path, model: str, sets: Mapping[str, list[str]]) -> Rankings:
    """Raises InputError if they are another model's."""
    ranked = Rankings(path, sets)
    if ranked.model != model:
        raise InputError(f"{path}: holds rankings of `{ranked.model}`; expected those of `{model}`")
    return ranked


def nothing_to_score(ranked: Rankings) -> str:
    """Why there is none, where there are no test images at all; else "".

    Raises:
        InputError: there are, but of no label set that has candidates.
    """
    if ranked.names:
        return ""
    if not (outside := ranked.counts["images_in_no_label_set"]) and not any(
            about["images"] for about in ranked.about.values()):
        return "no test images"
    raise InputError(f"no label set has both test images and candidates ({outside:,} images are of no set), so there "
                     "is nothing to score; expected `val` images of seen classes or `unseen` images of classes in a "
                     "label set")


class Hierarchy:
    """Distances from the true labels to all labels, and what follows from them for each label set."""

    def __init__(self, taxonomy: Taxonomy, ranked: Rankings, label_sets: Mapping[str, list[str]]):
        members = {name: member for name, member in memberships(label_sets).items() if name in ranked.names}
        true: set[int] = set()
        for name in ranked.names:
            for (labels,) in ranked.chunks(f"{name}/true"):
                true.update(np.unique(labels).tolist())
        nodes = np.array([taxonomy.index.get(wnid, -1) for wnid in ranked.wnids], np.int64)
        sources = np.array(sorted(true), np.int64)
        self.hops, self.radii = hops_and_radii(taxonomy.graph(), nodes, sources, members, KS)
        self.source_of = np.full(len(ranked.wnids), -1)
        self.source_of[sources] = np.arange(len(sources))
        self.outside = {name: int((nodes[member] < 0).sum()) for name, member in members.items()}
        self.members = members
        self.apart = self._apart(taxonomy, ranked.wnids, label_sets["seen"], true)

    @staticmethod
    def _apart(taxonomy: Taxonomy, wnids: list[str], seen: list[str], true: set[int]) -> np.ndarray:
        """bool [labels]: true labels that are neither seen nor a kind of a seen one, nor one of them."""
        of_seen = set(seen)
        related = of_seen.union(*(taxonomy.ancestors(label) for label in seen))
        apart = np.zeros(len(wnids), bool)
        for label in true:
            apart[label] = wnids[label] not in related and of_seen.isdisjoint(taxonomy.ancestors(wnids[label]))
        return apart

    def reachable(self, name: str) -> np.ndarray:
        """int64 [sources]: how many labels of the set each true label can reach, up to the largest k."""
        count = np.zeros(len(self.hops), np.int64)
        for row, hops in enumerate(self.hops):
            count[row] = np.count_nonzero((hops < FAR) & self.members[name])
        return np.maximum(count, 1)


def counts_by_class(ranked: Rankings, true: str, rank: str) -> np.ndarray:
    """int64 [labels, 6], see `metrics.class_counts`, of two arrays of the rankings that belong together."""
    by_class = np.zeros((len(ranked.wnids), 1 + len(KS)), np.int64)
    for labels, ranks in zip(ranked.chunks(true), ranked.chunks(rank), strict=True):
        by_class += metrics.class_counts(ranks[0], labels[0], len(ranked.wnids))
    return by_class


def score_set(ranked: Rankings, name: str, hierarchy: Hierarchy, by_class: np.ndarray, params: Params
              ) -> dict[str, float | int]:
    """All figures of one label set, under the names that they are published by."""
    about = ranked.about[name]
    by_rank = np.zeros(about["candidates"] + 1, np.int64)
    correct = np.zeros((len(hierarchy.hops), len(KS), KS[-1] + 1), np.int64)
    for true, rank, top in ranked.chunks(f"{name}/true", f"{name}/rank", f"{name}/top"):
        by_rank += metrics.rank_counts(rank, about["candidates"])
        correct += metrics.correct_counts(top, hierarchy.source_of[true], hierarchy.hops, hierarchy.radii[name])
    reachable = hierarchy.reachable(name)
    precision = {k: metrics.precision_values(correct, reachable, k) for k in KS}
    low, high = wilson_interval(int(by_rank[1:2].sum()), int(by_rank.sum()))
    hp_low, hp_high = metrics.bootstrap_interval(*precision[5], params.resamples, params.seed)
    return {
        **{f"hit@{k}": metrics.hit_at(by_rank, k) for k in KS},
        **{f"hp@{k}": metrics.weighted_mean(*precision[k]) for k in KS},
        "images": about["images"],
        "candidates": about["candidates"],
        "labels": about["labels"],
        "classes": int((by_class[:, 0] > 0).sum()),
        "labels_left_out": about["labels"] - about["candidates"],
        "images_left_out": int(by_rank[0]),
        "labels_outside_wordnet": hierarchy.outside[name],
        **ranked.counts,
        "hit@1_low": low, "hit@1_high": high, "hp@5_low": hp_low, "hp@5_high": hp_high,
        **{f"macro_hit@{k}": metrics.macro_hit_at(by_class, k) for k in KS},
        "mrr": metrics.mean_reciprocal_rank(by_rank),
        **(apart_figures(by_class, hierarchy.apart) if name != "seen" else {}),
        **_generalised(ranked, name, metrics.macro_hit_at(by_class, 1)),
    }


def headline_of(table: Mapping[str, Mapping[str, float | int]]) -> dict[str, float]:
    """HEADLINE's figures of a model, rounded to 4 digits; without those of label sets that it was not tested on."""
    return {name: round(table[label_set][figure], 4) for name, (label_set, figure) in HEADLINE.items()
            if figure in table.get(label_set, {})}


def _generalised(ranked: Rankings, name: str, unseen: float) -> dict[str, float]:
    """Generalised zero-shot: mean per-class accuracy of seen and of unseen classes among the same candidates."""
    if not name.endswith(PLUS_SEEN) or f"{name}/val_rank" not in ranked:
        return {}
    seen = metrics.macro_hit_at(counts_by_class(ranked, "seen/true", f"{name}/val_rank"), 1)
    return {"gzsl_seen": seen, "gzsl_unseen": unseen, "gzsl_harmonic": harmonic_mean(seen, unseen)}


def _write_scores(path: Path, model: str, table: Mapping[str, Mapping[str, float | int]], why: str = "") -> None:
    """Rows model, label_set, metric, k, value; "hit@1_low" is metric hit_low at k = 1.

    A comment at the beginning says `why` there are none.
    """
    with atomic_write(path) as file:
        file.write(f"{NOT_MEASURED}{why}\n" if why else "")
        file.write("model,label_set,metric,k,value\n")
        for name, figures in table.items():
            for key, value in figures.items():
                stem, k, suffix = re.fullmatch(r"([^@]+)(?:@(\d+))?(.*)", key).groups()
                file.write(f"{model},{name},{stem}{suffix},{k or ''},{value!r}\n")


def _write_classes(path: Path, rows: list[tuple]) -> None:
    with atomic_write(path) as file:
        csv.writer(file, lineterminator="\n").writerows([CLASS_COLUMNS, *rows])


if __name__ == "__main__":
    run_stage(main)
