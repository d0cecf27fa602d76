"""The seen labels as DeViSE's training takes them: those with a vector are targets and false labels, no others are."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zeroshot.console.errors import InputError
from zeroshot.images.index import TRAIN, VAL, ImageIndex
from zeroshot.labels.label_vectors import LabelVectors

NO_TRAINING_IMAGES = "no training images of a seen class with a vector"  # why what learns from them is not made


@dataclasses.dataclass
class SeenLabels:
    """Attributes:
        wnids: the seen labels that have a vector, sorted.
        vectors: float32 [labels, dim], unit length, on the device.
        sha256: of the label vectors' file.
    """

    wnids: list[str]
    vectors: Float[Tensor, "labels dim"]
    sha256: str

    @classmethod
    def of(cls, index: ImageIndex, labels: LabelVectors, device: torch.device) -> "SeenLabels":
        """Raises InputError if fewer than two seen labels have a vector: there is nothing to rank then."""
        vectors, has = labels.of(index.seen)
        if has.sum() < 2:
            raise InputError(f"{int(has.sum())} of {len(has)} seen labels have a label vector; expected two or more: "
                             "see metrics/embed_labels.json, and take more text or other vectors")
        wnids = [wnid for wnid, there in zip(index.seen, has, strict=True) if there]
        return cls(wnids, torch.from_numpy(vectors[has]).to(device), labels.sha256)

    def with_images(self, index: ImageIndex) -> "SeenLabels":
        """Those of them that have training images."""
        trained = {index.wnids[label] for label in np.unique(index.labels[index.rows(TRAIN)])}
        has = [wnid in trained for wnid in self.wnids]
        wnids = [wnid for wnid, there in zip(self.wnids, has, strict=True) if there]
        return SeenLabels(wnids, self.vectors[torch.tensor(has, device=self.vectors.device)], self.sha256)

    def targets(self, index: ImageIndex) -> Int[np.ndarray, "images"]:
        """Of every row of the index, its label's place in `wnids`; -1 if the label is unseen or has no vector."""
        return index.numbered(self.wnids)

    def with_vector(self, index: ImageIndex, role: int) -> Int[np.ndarray, "images"]:
        """Rows of that role whose label has a vector."""
        rows = index.rows(role)
        return rows[self.targets(index)[rows] >= 0]

    def counts(self, index: ImageIndex) -> dict[str, int]:
        """What was used and what was left out, for the metrics."""
        used = len(self.with_vector(index, TRAIN))
        return {"train_images": used, "train_images_without_vector": len(index.rows(TRAIN)) - used,
                "val_images": len(index.rows(VAL)),
                "val_images_without_vector": len(index.rows(VAL)) - len(self.with_vector(index, VAL)),
                "seen_labels": len(self.wnids), "seen_labels_without_vector": len(index.seen) - len(self.wnids)}
