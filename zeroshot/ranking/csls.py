"""Hubs, labels that are near to all images: CSLS (Conneau et al. 2018) takes half of that off their cosines."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from zeroshot.labels.label_vectors import LabelVectors


def hubness(cosines: Iterable[Float[Tensor, "some labels"]], neighbours: int) -> Float[Tensor, "labels"]:
    """Mean cosine of each label to the `neighbours` images that are nearest to it, of all that come, piece by piece.

    Fewer images than `neighbours` count all; there must be one.
    """
    nearest: Float[Tensor, "nearest labels"] | None = None
    for piece in cosines:
        nearest = piece if nearest is None else torch.cat([nearest, piece])
        nearest = nearest.topk(min(neighbours, len(nearest)), dim=0).values
    return nearest.mean(0)


def hubness_of(labels: LabelVectors, places: Float[Tensor, "rows space"], points: Iterable[Float[Tensor, "some space"]],
               neighbours: int) -> Float32[np.ndarray, "labels"]:
    """How near each label, by its nearest synonym, is to the images nearest to it; 0 for a label without a vector."""
    of_rows = hubness((piece @ places.T for piece in points), neighbours)
    return nearest_synonym(of_rows.cpu().numpy(), labels.row_label, len(labels.wnids))


def nearest_synonym(of_rows: Float32[np.ndarray, "rows"], row_label: Int[np.ndarray, "rows"], labels: int
                    ) -> Float32[np.ndarray, "labels"]:
    """The highest value among each label's rows; 0 where it has none."""
    highest = np.full(labels, -np.inf, np.float32)
    np.maximum.at(highest, row_label, of_rows)
    return np.where(np.isfinite(highest), highest, 0)
