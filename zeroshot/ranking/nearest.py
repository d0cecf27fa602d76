"""Naming by the nearest label vectors: points in the label space in, scores of every label set's labels out."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import memberships
from zeroshot.labels.label_vectors import LabelVectors
from zeroshot.ranking.first_labels import CosineScores, lay_out
from zeroshot.ranking.questions import Questions
from zeroshot.ranking.rank_images import ImageValues, Scorer


def nearest_labels(labels: LabelVectors, questions: Questions, device: torch.device, *,
                   points: Callable[[Tensor], Tensor] = lambda values: values,
                   places: Float32[np.ndarray, "rows space"] | None = None,
                   bias: Float32[np.ndarray, "labels"] | None = None) -> Scorer:
    """Scores labels by cosine to the images' points.

    Args:
        labels: those without a vector are no candidates.
        points: values [images, width] -> points [images, space], any length.
        places: where the labels' rows lie, unit length, if not at their vectors themselves.
        bias: added to each label's cosine; order as in `labels.wnids`.

    Raises:
        InputError: vectors of other label sets.
    """
    if labels.wnids != questions.wnids:
        raise InputError("the label vectors were made for other label sets than data/label_sets holds; `dvc repro`")
    return nearest_of_sets(labels, memberships(questions.sets), device, points=points, places=places, bias=bias)


def nearest_of_sets(labels: LabelVectors, members: Mapping[str, Bool[np.ndarray, "labels"]], device: torch.device, *,
                    points: Callable[[Tensor], Tensor] = lambda values: values,
                    places: Float32[np.ndarray, "rows space"] | None = None,
                    bias: Float32[np.ndarray, "labels"] | None = None) -> Scorer:
    """The same for any sets: name -> whether each label is in it."""
    layout = lay_out(members, labels.has_vector, device)
    cosine = CosineScores(labels.vectors if places is None else places, labels.row_label, layout, bias)
    return Scorer(lambda values: cosine(points(values)), layout, {"labels": labels.sha256}, {}, bias=bias)


def check_made_for(values: ImageValues, labels: LabelVectors) -> None:
    """Raise InputError if the values, points for example, were made for other label vectors."""
    if values.source.meta.get("labels", labels.sha256) != labels.sha256:
        raise InputError(f"{values.source.path}: made for other label vectors than the ones given; `dvc repro`")
