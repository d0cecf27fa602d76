"""Test images to their nearest labels: points and label vectors in, rankings of every label set out."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from zeroshot.base.artifacts import Artifact
from zeroshot.base.errors import InputError
from zeroshot.images import ImageIndex
from zeroshot.label_vectors import LabelVectors
from zeroshot.ranking import CosineScores, lay_out
from zeroshot.rankings import all_labels, memberships, write_rankings


def rank_points(out: Path, points: Artifact, vectors: LabelVectors, index: ImageIndex,
                label_sets: Mapping[str, list[str]], device: torch.device, *,
                bias: Float32[np.ndarray, "labels"] | None = None) -> None:
    """Rank the labels of each set by cosine to M v(image) and write data/rankings/<model>.safetensors.

    Args:
        points: `points` float32 [images, dim] and `row`, as embed_images writes them.
        bias: added to each label's cosine; order as in `vectors.wnids`.

    Raises:
        InputError: vectors of other label sets, or points of another space.
    """
    if vectors.wnids != all_labels(label_sets):
        raise InputError("the label vectors were made for other label sets than data/splits holds; `dvc repro`")
    if points.shape("points")[1] != vectors.vectors.shape[1]:
        raise InputError(f"{points.path}: points are {points.shape('points')[1]}-D, the label vectors "
                         f"{vectors.vectors.shape[1]}-D; expected the same space: `dvc repro`")
    layout = lay_out(memberships(label_sets), vectors.has_vector, device)
    score = CosineScores(vectors.vectors, vectors.row_label, layout, bias)
    write_rankings(out, points, "points", score, layout, index=index, label_sets=label_sets, model=out.stem,
                   counts={}, made_from={"points": points.sha256, "labels": vectors.sha256, "index": index.sha256})
