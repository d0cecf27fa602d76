"""Hubs, labels that are near to all images: CSLS (Conneau et al. 2018) takes half of that off their cosines."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor


def hubness(cosines: Iterable[Float[Tensor, "some labels"]], neighbours: int) -> Float[Tensor, "labels"]:
    """Mean cosine of each label to the `neighbours` images that are nearest to it, of all that come, piece by piece.

    Fewer images than `neighbours` count all; there must be one.
    """
    nearest: Float[Tensor, "nearest labels"] | None = None
    for piece in cosines:
        nearest = piece if nearest is None else torch.cat([nearest, piece])
        nearest = nearest.topk(min(neighbours, len(nearest)), dim=0).values
    return nearest.mean(0)
