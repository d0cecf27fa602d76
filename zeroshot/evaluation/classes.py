"""Hits class by class, with intervals that hold for few images."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int64

from zeroshot.evaluation.metrics import KS

Z = 1.959964  # of a standard normal: 95 % lie within
COLUMNS = ("label_set", "wnid", "apart", "images", "hit@1", "hit@1_low", "hit@1_high", "hit@5")


def wilson_interval(hits: int, images: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): of 0 hits it is not empty, and it stays within 0 and 1."""
    share, spread = hits / images, Z * Z / images
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * np.sqrt(share * (1 - share) / images + spread / (4 * images))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def class_rows(name: str, wnids: list[str], counts: Int64[np.ndarray, "labels 6"], apart: Bool[np.ndarray, "labels"]
               ) -> Iterator[tuple[str, str, int, int, float, float, float, float]]:
    """A row of COLUMNS for each class that has test images.

    Args:
        name: the label set.
        counts: images of each class, and how many of them are hit at each of KS.
    """
    for label in np.flatnonzero(counts[:, 0]):
        images, hits, fifth = (int(counts[label, column]) for column in (0, 1, 1 + KS.index(5)))
        low, high = wilson_interval(hits, images)
        yield name, wnids[label], int(apart[label]), images, hits / images, low, high, fifth / images


def apart_figures(counts: Int64[np.ndarray, "labels 6"], apart: Bool[np.ndarray, "labels"]) -> dict[str, float | int]:
    """hit@1 and hit@5 over the images of the classes that are `apart`; empty if there are none."""
    of_apart = counts[apart]
    images = int(of_apart[:, 0].sum())
    if not images:
        return {}
    return {"apart_classes": int((of_apart[:, 0] > 0).sum()), "apart_images": images,
            **{f"apart_hit@{k}": float(of_apart[:, 1 + KS.index(k)].sum() / images) for k in (1, 5)}}
