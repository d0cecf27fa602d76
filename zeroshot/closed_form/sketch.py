"""Count sketch (Charikar et al. 2002): long vectors folded into short ones, whose inner products are right on average.

Each dimension gets a random sign and a random place in the short vector; dimensions that share a place are added.
"""

import dataclasses
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from zeroshot.closed_form.models import ClosedForm


class Sketch(NamedTuple):
    """A folding of `dim` dimensions into `width`, no more; made by `draw`.

    Attributes:
        order: the dimensions, shuffled; row by row of `width`, each falls to the place of its column.
        sign: 1 or -1.
        width: at most `dim`.
    """

    order: Int[Tensor, "dim"]
    sign: Float[Tensor, "dim"]
    width: int

    @classmethod
    def draw(cls, dim: int, width: int, seed: int) -> "Sketch":
        random = torch.Generator().manual_seed(seed)
        sign = torch.randint(2, (dim,), generator=random).float() * 2 - 1
        return cls(torch.randperm(dim, generator=random), sign, width)

    def __call__(self, x: Float[Tensor, "images dim"]) -> Float[Tensor, "images width"]:
        shuffled = F.pad((x * self.sign)[:, self.order], (0, -x.shape[1] % self.width))
        return shuffled.view(len(x), shuffled.shape[1] // self.width, self.width).sum(1)

    def unfolded(self, model: ClosedForm) -> ClosedForm:
        """The model of long vectors x that equals `model` of their sketches."""
        place = torch.empty_like(self.order)
        place[self.order] = torch.arange(len(self.order)) % self.width
        share = self.sign / torch.bincount(place, minlength=self.width)[place]  # those at a place add up to it
        return dataclasses.replace(model, map=model.map[:, place] * self.sign, centre=model.centre[place] * share)
