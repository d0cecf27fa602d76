"""Test images to their nearest labels: points and label vectors in, rankings of every label set out."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from zeroshot.console.errors import InputError
from zeroshot.images.index import ImageIndex
from zeroshot.labels.label_vectors import LabelVectors
from zeroshot.ranking.first_labels import CosineScores, lay_out
from zeroshot.ranking.rank_images import ImageValues, write_rankings
from zeroshot.ranking.rankings import all_labels, memberships


def rank_nearest(out: Path, values: ImageValues, vectors: LabelVectors, index: ImageIndex,
                 label_sets: Mapping[str, list[str]], device: torch.device, *,
                 points: Callable[[Tensor], Tensor] = lambda values: values,
                 places: Float32[np.ndarray, "rows space"] | None = None,
                 bias: Float32[np.ndarray, "labels"] | None = None, counts: Mapping[str, int] | None = None) -> None:
    """Rank the labels of each set by cosine to the images' points and write data/rankings/<model>.safetensors.

    Args:
        points: values [images, width] -> points [images, space], any length.
        places: where the labels' rows lie, unit length, if not at `vectors` themselves.
        bias: added to each label's cosine; order as in `vectors.wnids`.
        counts: see `write_rankings`.

    Raises:
        InputError: vectors of other label sets, or values that belong to other vectors.
    """
    check_vectors(values, vectors, label_sets)
    layout = lay_out(memberships(label_sets), vectors.has_vector, device)
    cosine = CosineScores(vectors.vectors if places is None else places, vectors.row_label, layout, bias)
    write_rankings(out, values, lambda chunk: cosine(points(chunk)), layout, index=index, label_sets=label_sets,
                   counts=counts or {}, made_from={"labels": vectors.sha256})


def check_vectors(values: ImageValues, vectors: LabelVectors, label_sets: Mapping[str, list[str]]) -> None:
    """Raises InputError unless label vectors, label sets and what the images were mapped by belong together."""
    if vectors.wnids != all_labels(label_sets):
        raise InputError("the label vectors were made for other label sets than data/splits holds; `dvc repro`")
    if values.source.meta.get("labels", vectors.sha256) != vectors.sha256:
        raise InputError(f"{values.source.path}: made for other label vectors than the ones given; `dvc repro`")
