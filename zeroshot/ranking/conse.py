"""ConSE: the label vectors of the likeliest seen labels, mixed by their probabilities (Norouzi et al. 2014)."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors
from zeroshot.ranking.nearest import nearest_labels
from zeroshot.ranking.questions import Questions
from zeroshot.ranking.rank_images import Scorer

ROWS = 1024  # of a classifier at a time
LEAST = 1e-6  # weight, for a row of zeros to mix something


class Mixer(NamedTuple):
    """The seen labels that have a vector, and how many of them are mixed.

    Attributes:
        labels: all label vectors.
        vectors: the seen labels' s(y), those that there are.
        columns: which of the classifier's `outputs` they belong to.
        t: T.
        temperature: what the logits are divided by before the softmax (the paper's 1); more: less sure of the first.
    """

    labels: LabelVectors
    vectors: Float32[Tensor, "mixed dim"]
    columns: Int[Tensor, "mixed"]
    outputs: int
    t: int
    temperature: float = 1.0

    @classmethod
    def of(cls, path: Path, wnids: list[str], t: int, device: torch.device, temperature: float = 1.0) -> "Mixer":
        """Raises InputError if none of the classifier's labels, `wnids`, has a vector."""
        labels = read_label_vectors(path)
        if not labels.of(wnids)[1].any():
            raise InputError(f"{path}: none of the {len(wnids)} seen labels has a vector, so there is nothing to mix; "
                             "expected at least one: does the text hold their names?")
        return cls.among(labels, wnids, t, device, temperature)

    @classmethod
    def among(cls, labels: LabelVectors, wnids: list[str], t: int, device: torch.device, temperature: float = 1.0
              ) -> "Mixer":
        """Of the classifier's labels `wnids`, at least one of which has a vector."""
        seen, has = labels.of(wnids)
        columns = torch.tensor(np.flatnonzero(has), device=device)
        return cls(labels, torch.tensor(seen[has], device=device), columns, len(has), t, temperature)

    def __call__(self, logits: Float32[Tensor, "images outputs"], without: Bool[Tensor, "mixed"] | None = None
                 ) -> Float32[Tensor, "images dim"]:
        """f(x) of images; labels in `without` are kept out."""
        # Z divides by the labels taken, so that leaving columns out before the softmax or after it is the same.
        logits = logits[:, self.columns] / self.temperature
        if without is not None:
            logits = logits.masked_fill(without, -torch.inf)
        return conse_mixture(logits.softmax(dim=1), self.vectors, self.t)

    def stand_ins(self, rows: Float[Tensor, "mixed width"]) -> Iterator[Float[Tensor, "some dim"]]:
        """What stands for images where there are none: a point of unit length for each mixed label, some at a time.

        An image is mixed from what the classifier takes for each other, its labels' rows being alike; so is its
        stand-in: from the T labels whose rows have the largest cosine to its label's own, with these as weights.

        Args:
            rows: the classifier's, of the mixed labels.
        """
        rows = F.normalize(rows)
        for some in rows.split(ROWS):
            yield F.normalize(conse_mixture((some @ rows.T).clamp(min=LEAST), self.vectors, self.t))

    def scorer(self, questions: Questions, handicap: float = 0.0, hubs: Float32[np.ndarray, "labels"] | None = None
               ) -> Scorer:
        """Names images by the labels nearest to f(x).

        Args:
            handicap: what seen labels' cosines are lowered by.
            hubs: each label's hubness, half of which its cosine is lowered by (csls.py).
        """
        bias = None if hubs is None else -hubs / 2
        if handicap:
            seen = np.isin(self.labels.wnids, questions.index.seen)
            bias = (0 if bias is None else bias) - handicap * seen.astype(np.float32)
        scorer = nearest_labels(self.labels, questions, self.vectors.device, points=self, bias=bias)
        return scorer._replace(counts={"seen_labels_not_mixed": self.outputs - len(self.columns)},
                               settings={"t": self.t, "temperature": self.temperature})


def conse_mixture(probabilities: Float32[Tensor, "images seen"], vectors: Float32[Tensor, "seen dim"], t: int
                  ) -> Float32[Tensor, "images dim"]:
    """f(x) = 1/Z sum_{t=1..T} p0(y0(x,t)|x) s(y0(x,t)), Z = sum_{t=1..T} p0(y0(x,t)|x).

    Args:
        probabilities: p0(y|x) of the seen labels.
        vectors: s(y), their label vectors.
        t: T, how many of the likeliest labels y0(x,1), ..., y0(x,T) are mixed; more than there are means all.
    """
    likeliest = probabilities.topk(min(t, probabilities.shape[1]), dim=1)
    weights = torch.zeros_like(probabilities).scatter(1, likeliest.indices, likeliest.values)
    return weights @ vectors / likeliest.values.sum(dim=1, keepdim=True)


def classifier_rows(cnn: Path) -> Float[Tensor, "outputs width"]:
    """The last layer's weights of a CNN, a row an output. Raises InputError as `Artifact` does."""
    artifact = Artifact(cnn)
    name = next(name for name in artifact.names() if name.startswith("classifier.") and name.endswith("weight"))
    return torch.from_numpy(artifact[name]).flatten(1)
