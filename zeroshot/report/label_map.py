"""The map of the label space, as points for the page."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from zeroshot.labels.label_vectors import LabelVectors
from zeroshot.report.gallery import name_of
from zeroshot.report.name_places import place_names
from zeroshot.taxonomy import Taxonomy

WIDTH, HEIGHT, MARGIN = 1000.0, 720.0, 24.0  # the drawing's own units
MARK = 6.0  # half a mark's side
LETTER, LINE = (7.2, 15.0)  # a name's width a letter, at most, and its height
NEAREST = 3  # labels named for each


@dataclass(frozen=True)
class Point:
    """A label on the map; `name_at` is where its name is drawn (left, base line), if there is room."""

    wnid: str
    name: str
    kind: str
    seen: bool
    x: float
    y: float
    nearest: list[str]
    name_at: tuple[float, float] | None


def points(places: pd.DataFrame, labels: LabelVectors, seen: set[str], nouns: Taxonomy) -> list[Point]:
    """The labels of label_map.csv (wnid, x, y, kind), with the labels whose vectors are nearest by cosine."""
    wnids = list(places["wnid"])
    names = [name_of(wnid, nouns) for wnid in wnids]
    at = fit(places[["x", "y"]].to_numpy(np.float64))
    sizes = np.array([(LETTER * len(name), LINE) for name in names])
    boxes, free = place_names(at, sizes, (WIDTH, HEIGHT), MARK)
    return [Point(wnid, name, kind, wnid in seen, x, y, [names[other] for other in near],
                  (float(box[0]), float(box[3]) - 4) if is_free else None)
            for wnid, name, kind, (x, y), near, box, is_free in zip(
                wnids, names, places["kind"], at.tolist(), nearest(labels.of(wnids)[0]), boxes, free, strict=True)]


def fit(at: np.ndarray) -> np.ndarray:
    """Coordinates [points, 2] stretched to the drawing, y downwards."""
    low, high = at.min(axis=0), at.max(axis=0)
    share = (at - low) / np.maximum(high - low, 1e-9)
    share[:, 1] = 1 - share[:, 1]
    return MARGIN + share * (np.array([WIDTH, HEIGHT]) - 2 * MARGIN)


def nearest(vectors: np.ndarray) -> np.ndarray:
    """int [labels, NEAREST]: for each unit vector the others with the greatest cosines, the greatest first."""
    cosines = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(cosines, -2)
    return np.argsort(-np.round(cosines, 6), axis=1, kind="stable")[:, :min(NEAREST, len(vectors) - 1)]
