"""Calibrated stacking (Chao et al. 2016): by how much seen labels' cosines are lowered where unseen ones compete.

A model fits its seen labels better than any other, so they win nearly always. The handicap that gives the best harmonic
mean of hit@1 on both kinds is chosen on seen classes alone: these are split into folds, and each fold plays "unseen"
once for a model that did without it.
"""

from typing import Annotated, Literal

import numpy as np
import pydantic
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zeroshot.ranking.harmonic import harmonic_mean

Handicap = Annotated[  # of the settings: "auto", chosen so; or a number, in cosine; true and false mean "auto" and 0
    Literal["auto"] | Annotated[float, pydantic.Field(ge=0, le=2)],
    pydantic.BeforeValidator(lambda given: {True: "auto", False: 0.0}[given] if isinstance(given, bool) else given)]
FEWEST = 4  # classes to choose on: two folds of two, since among fewer a class that plays unseen has no rival
HANDICAPS = torch.arange(101, dtype=torch.float64) / 100  # in cosine


def folds_of(classes: int, folds: int, seed: int) -> Int[Tensor, "classes"]:
    """The fold of each class, drawn at random; equal in size up to one."""
    return torch.from_numpy(np.random.default_rng(seed).permutation(classes) % folds)


def right_by_handicap(scores: Float[Tensor, "images classes"], true: Int[Tensor, "images"],
                      held: Bool[Tensor, "classes"]) -> Bool[Tensor, "handicaps images"]:
    """Whether an image's first label is the true one, all being candidates, those in `held` as unseen ones."""
    best_seen, seen = scores.masked_fill(held, -torch.inf).max(1)
    best_held, unseen = scores.masked_fill(~held, -torch.inf).max(1)
    return torch.where(best_seen - HANDICAPS[:, None].to(scores) > best_held, seen == true, unseen == true)


def harmonic_means(right: Float[Tensor, "handicaps classes"], images: Int[Tensor, "classes"],
                   held: Bool[Tensor, "classes"]) -> Float[Tensor, "handicaps"]:
    """Harmonic mean of per-class hit@1 on classes in `held` and on the others, from the images that were right.

    Classes without images do not count; the mean is 0 where one of the two is.
    """
    shares = right / images.clamp_min(1)
    unseen, seen = (shares[:, which & (images > 0)].mean(1) for which in (held, ~held))
    return torch.nan_to_num(harmonic_mean(unseen, seen))  # the mean of no class is not a number
