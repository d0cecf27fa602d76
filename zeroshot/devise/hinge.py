"""The hinge rank loss of DeViSE (equation 1) over points M v(image), and its Euclidean variant.

    loss(image, label) = sum over false labels j of max(0, margin - t_label . Mv + t_j . Mv)

Label vectors t have unit length; Mv is taken as it is, as in the paper.
"""

from typing import Literal, get_args

import pydantic
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zeroshot.base.params import StageParams

Loss = Literal["hinge_rank", "hinge_rank_euclidean"]
FalseLabels = Literal["truncated", "sampled", "all"]


class HingeParams(StageParams):
    """Settings of the loss, of both phases of DeViSE's training."""

    loss: Loss
    margin: float = pydantic.Field(gt=0)
    false_labels: FalseLabels
    samples: int = pydantic.Field(ge=1)


def mean_rank_loss(points: Float[Tensor, "images dim"], targets: Int[Tensor, "images"],
                   vectors: Float[Tensor, "labels dim"], params: HingeParams) -> Float[Tensor, ""]:
    """Mean of `rank_loss` over the images, as the settings say."""
    return rank_loss(points, targets, vectors, loss=params.loss, margin=params.margin,
                     false_labels=params.false_labels, samples=params.samples).mean()


def rank_loss(points: Float[Tensor, "images dim"], targets: Int[Tensor, "images"], vectors: Float[Tensor, "labels dim"],
              *, loss: Loss, margin: float, false_labels: FalseLabels, samples: int) -> Float[Tensor, "images"]:
    """Loss of each image, by the names used in params.yaml. Random draws come from torch's default generator.

    Args:
        points: M v(image), any length.
        targets: the true label, an index into `vectors`.
        vectors: t, unit length, of the seen labels only.
        loss: the paper's, or with the Euclidean distance between t_label and Mv added (no square).
        false_labels: which j are summed over. `truncated` is the paper's: in random order up to and including the
            first that violates the margin; `sampled`: `samples` others, drawn with replacement; `all`.
    """
    assert loss in get_args(Loss) and false_labels in get_args(FalseLabels), (loss, false_labels)
    terms = hinge_terms(points @ vectors.T, targets, margin)
    if false_labels == "truncated":
        result = truncated_sum(terms)
    elif false_labels == "sampled":
        result = sampled_sum(terms, targets, samples)
    else:
        result = terms.sum(1)
    if loss == "hinge_rank_euclidean":
        result = result + torch.linalg.vector_norm(vectors[targets] - points, dim=1)
    return result


def hinge_terms(scores: Float[Tensor, "images labels"], targets: Int[Tensor, "images"],
                margin: float) -> Float[Tensor, "images labels"]:
    """max(0, margin - s_label + s_j) for every j, and 0 at the true label, which is no false one."""
    terms = (margin - scores.gather(1, targets[:, None]) + scores).clamp_min(0)
    return terms.masked_fill(_true_label(terms, targets), 0)


def truncated_sum(terms: Float[Tensor, "images labels"]) -> Float[Tensor, "images"]:
    """Sum over false labels in random order, up to and including the first positive term.

    In that order all terms before the first positive one are 0, so the sum is that one term. A uniformly random
    order puts each of the positive terms first among them with the same probability. Hence the sum is
    one term drawn uniformly from the positive ones, or 0 where there is none: no order need be drawn.
    """
    keys = torch.rand_like(terms).masked_fill(terms <= 0, -1)  # the highest key among equals is a uniform draw
    return terms.gather(1, keys.argmax(1, keepdim=True)).squeeze(1)


def sampled_sum(terms: Float[Tensor, "images labels"], targets: Int[Tensor, "images"],
                samples: int) -> Float[Tensor, "images"]:
    """Sum over `samples` false labels, drawn uniformly with replacement."""
    images, labels = terms.shape
    if labels < 2:
        return terms.sum(1)
    drawn = torch.randint(labels - 1, (images, samples), device=terms.device)
    drawn = drawn + (drawn >= targets[:, None])  # step over the true label
    return terms.gather(1, drawn).sum(1)


def _true_label(terms: Float[Tensor, "images labels"], targets: Int[Tensor, "images"]) -> Bool[Tensor, "images labels"]:
    return torch.arange(terms.shape[1], device=terms.device) == targets[:, None]
