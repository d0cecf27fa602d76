"""Poolings of torch's whose gradients CUDA has no deterministic kernel for, made of operations that have one."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class AverageTo(nn.Module):
    """nn.AdaptiveAvgPool2d to more than one place, out of sums of rows and columns.

    Sums one by one, unlike products with a matrix, make an image's bits independent of the rest of its batch.
    """

    def __init__(self, height: int, width: int):
        super().__init__()
        self.height, self.width = height, width

    def forward(self, final_map: Float[Tensor, "images channels h w"]) -> Float[Tensor, "images channels h2 w2"]:
        return _bin_means(_bin_means(final_map, -2, self.height), -1, self.width)


class GlobalMax(nn.Module):
    """nn.AdaptiveMaxPool2d(1) and nn.Flatten, to the bit: of equals the first has the gradient."""

    def forward(self, final_map: Float[Tensor, "images channels h w"]) -> Float[Tensor, "images channels"]:
        return final_map.flatten(2).max(dim=2).values


def _bin_means(v: Tensor, axis: int, bins: int) -> Tensor:
    """Means over `bins` stretches of an axis: as equal as can be, overlapping where they do not divide its length."""
    length = v.shape[axis]
    if length == bins:
        return v
    lines = v.float().unbind(axis)  # sums in single precision, under autocast too
    bounds = [(i * length // bins, -(-(i + 1) * length // bins)) for i in range(bins)]
    return torch.stack([sum(lines[start:end]) / (end - start) for start, end in bounds], axis).to(v.dtype)
