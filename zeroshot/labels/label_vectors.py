"""Label vectors: where each class lies in the label space, by one unit vector or, a synonym each, by several."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32

from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.console.errors import InputError


@dataclass(frozen=True)
class LabelVectors:
    """The vectors of all labels of all label sets.

    Attributes:
        wnids: sorted, all labels, those without a vector too.
        vectors: float32 [rows, dim], unit length.
        row_label: int32 [rows], ascending: which label (index into wnids) a row belongs to. A label has no row if it
            has no vector, and several if each synonym is a candidate, the main one first.
        meta: what they were made from.
        sha256: checksum of the file; "" before it is written.
    """

    wnids: list[str]
    vectors: Float32[np.ndarray, "rows dim"]
    row_label: Int32[np.ndarray, "rows"]
    meta: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    @cached_property
    def index(self) -> dict[str, int]:
        """wnid -> label number."""
        return {wnid: label for label, wnid in enumerate(self.wnids)}

    @cached_property
    def has_vector(self) -> Bool[np.ndarray, "labels"]:
        """Which labels have a vector."""
        has = np.zeros(len(self.wnids), bool)
        has[self.row_label] = True
        return has

    def of(self, wnids: list[str]) -> tuple[Float32[np.ndarray, "wnids dim"], Bool[np.ndarray, "wnids"]]:
        """One vector a label, its first row's, for training and ConSE; and which have one (the others are all zero).

        Raises:
            InputError: a wnid that is no label here.
        """
        unknown = [wnid for wnid in wnids if wnid not in self.index]
        if unknown:
            raise InputError(f"{len(unknown)} wnids are not among the labels, {unknown[0]} for one; label vectors, "
                             "label sets and images must come from one run: `dvc repro`")
        labels = np.array([self.index[wnid] for wnid in wnids], np.int64)
        has = self.has_vector[labels]
        vectors = np.zeros((len(wnids), self.vectors.shape[1]), np.float32)
        vectors[has] = self.vectors[np.searchsorted(self.row_label, labels[has])]
        return vectors, has


def write_label_vectors(path: Path, labels: LabelVectors) -> None:
    """Write a sealed artifact: arrays `vectors` and `row_label`, meta `wnids` and what they were made from."""
    arrays = {"vectors": labels.vectors, "row_label": labels.row_label}
    write_artifact(path, {**labels.meta, "wnids": labels.wnids}, arrays)


def read_label_vectors(path: Path) -> LabelVectors:
    """Read what `write_label_vectors` wrote.

    Raises:
        InputError: missing, damaged, or another kind of artifact.
    """
    artifact = Artifact(path)
    if artifact.names() != ["row_label", "vectors"] or "wnids" not in artifact.meta:
        raise InputError(f"{path}: holds {', '.join(artifact.names())}; expected label vectors, as `embed_labels` "
                         "writes them")
    meta = {key: value for key, value in artifact.meta.items() if key != "wnids"}
    return LabelVectors(artifact.meta["wnids"], artifact["vectors"], artifact["row_label"], meta, artifact.sha256)
