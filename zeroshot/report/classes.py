"""Accuracy and confusions by class, as the page's script reads them: labels numbered from 0, columns as lists."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from zeroshot.evaluation.hierarchy import FAR
from zeroshot.evaluation.metrics import KS
from zeroshot.report.gallery import name_of
from zeroshot.report.mistakes import Distances, Mistakes
from zeroshot.taxonomy import Taxonomy

BANDS = ((1, 2), (3, 4), (5, 7), (8, FAR))  # WordNet edges, first and last; FAR: or no way at all
Found = Mapping[str, Mapping[str, Mistakes]]  # label set -> model -> its mistakes


def chosen_classes(counts: Int64[np.ndarray, "labels 6"], most: int, seed: int) -> Int64[np.ndarray, "classes"]:
    """Labels that have test images; where they are more than `most`, so many of them, drawn at random."""
    tested = np.flatnonzero(counts[:, 0])
    if len(tested) > most:
        tested = np.sort(np.random.default_rng(seed).choice(tested, most, replace=False))
    return tested


def sheets(found: Found, models: list[str], distances: Distances, most: int, seed: int) -> list[dict[str, Any]]:
    """One sheet per label set: its classes and their test images, and of each model the columns of `column`.

    `left_out` says how many classes it does without.
    """
    made = []
    for name, by_model in found.items():
        counts = next(iter(by_model.values())).counts
        classes = chosen_classes(counts, most, seed)
        made.append({"set": name, "classes": classes.tolist(), "images": counts[classes, 0].tolist(),
                     "left_out": int((counts[:, 0] > 0).sum()) - len(classes),
                     "models": [{"model": models.index(model), **column(mistakes, classes, distances)}
                                for model, mistakes in by_model.items()]})
    return made


def column(mistakes: Mistakes, classes: Int64[np.ndarray, "classes"], distances: Distances) -> dict[str, list[int]]:
    """Of each class: images hit at 1 and at 5; the wrong label that most get (-1: none), how often, how far off."""
    taken, times = mistakes.taken_for[classes].T
    hops = np.where(taken < 0, 0, distances.between(classes, np.maximum(taken, 0)))
    return {"hit1": mistakes.counts[classes, 1 + KS.index(1)].tolist(),
            "hit5": mistakes.counts[classes, 1 + KS.index(5)].tolist(),
            "taken": taken.tolist(), "times": times.tolist(), "hops": hops.tolist()}


def confusions(found: Found, models: list[str], distances: Distances) -> list[dict[str, Any]]:
    """Of each label set and model the most frequent mistakes.

    One row per mistake: true label, first answer, images, edges between the two, test images of the true label.
    """
    made = []
    for name, by_model in found.items():
        for model, mistakes in by_model.items():
            true, answer, _ = mistakes.pairs.T
            rows = np.column_stack([mistakes.pairs, distances.between(true, answer), mistakes.counts[true, 0]])
            made.append({"set": name, "model": models.index(model), "rows": rows.tolist()})
    return made


def by_distance(mistakes: Mistakes) -> dict[str, Any]:
    """Shares of all test images: right at first, taken for an unseen and for a seen label, by BANDS."""
    shares = mistakes.by_hops / mistakes.by_hops.sum()
    return {"right": float(shares[:, 0].sum()),
            **{kind: [float(row[first:last + 1].sum()) for first, last in BANDS]
               for kind, row in zip(("unseen", "seen"), shares, strict=True)}}


def numbered_anew(sheets: list[dict], confusions: list[dict], wnids: list[str], seen: Bool[np.ndarray, "labels"],
                  nouns: Taxonomy) -> list[list]:
    """Number the labels that stand in sheets and confusions from 0, in place; a row [name, wnid, seen] of each."""
    columns = [sheet["classes"] for sheet in sheets] + [row[:2] for one in confusions for row in one["rows"]]
    columns += [model["taken"] for sheet in sheets for model in sheet["models"]]
    used = np.unique(np.concatenate([np.asarray(column, np.int64) for column in columns] or [np.empty(0, np.int64)]))
    used = used[used >= 0]

    def anew(labels: list[int]) -> list[int]:
        labels = np.asarray(labels, np.int64)
        return np.where(labels < 0, -1, np.searchsorted(used, labels)).tolist()

    for sheet in sheets:
        sheet["classes"] = anew(sheet["classes"])
        for model in sheet["models"]:
            model["taken"] = anew(model["taken"])
    for one in confusions:
        one["rows"] = [[*anew(row[:2]), *row[2:]] for row in one["rows"]]
    return [[name_of(wnids[label], nouns), wnids[label], int(seen[label])] for label in used]
