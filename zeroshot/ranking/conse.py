"""ConSE: the label vectors of the likeliest seen labels, mixed by their probabilities (Norouzi et al. 2014)."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

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

AT_ONCE = 1024  # rows of a classifier
LEAST = 1e-6  # weight, for a row of zeros to mix something


class Beside(Protocol):
    """A model that goes by the mixed labels' logits, and compares by cosine in a space of its own."""

    def points(self, logits: Float[Tensor, "images mixed"]) -> Float[Tensor, "images space"]:
        """Where images lie, of any length."""

    def places(self, vectors: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows space"]:
        """Where labels with these vectors lie, unit length."""


class Mixer(NamedTuple):
    """The seen labels that have a vector, and how many of them are mixed.

    Attributes:
        labels: all label vectors.
        vectors: the seen labels' s(y), those that there are.
        columns: which of the classifier's `outputs` they belong to.
        t: T.
        temperature: what the logits are divided by before the softmax (the paper's 1); more: less sure of the first.
        beside: a model whose cosine counts too; then points and places are put together of both spaces.
        share: how much it counts, the mixture counting 1.
    """

    labels: LabelVectors
    vectors: Float32[Tensor, "mixed dim"]
    columns: Int[Tensor, "mixed"]
    outputs: int
    t: int
    temperature: float = 1.0
    beside: Beside | None = None
    share: float = 0.0

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
                 ) -> Float32[Tensor, "images space"]:
        """f(x) of images; labels in `without` are kept out of the mixture."""
        logits = logits[:, self.columns]
        # Z divides by the labels taken, so that leaving columns out before the softmax or after it is the same.
        cooled = logits / self.temperature
        if without is not None:
            cooled = cooled.masked_fill(without, -torch.inf)
        return self._with_beside(conse_mixture(cooled.softmax(dim=1), self.vectors, self.t), logits)

    def _with_beside(self, mixtures: Float[Tensor, "images dim"], logits: Float[Tensor, "images mixed"]
                     ) -> Float[Tensor, "images space"]:
        if self.beside is None:
            return mixtures
        return torch.cat([F.normalize(mixtures), F.normalize(self.beside.points(logits)) * self.share ** 0.5], 1)

    def places(self, vectors: Float32[Tensor, "rows dim"]) -> Float32[Tensor, "rows space"]:
        """Where labels with these vectors lie, unit length; their cosine to f(x) is the mean of both spaces'."""
        if self.beside is None:
            return vectors
        return F.normalize(torch.cat([vectors, self.beside.places(vectors) * self.share ** 0.5], 1))

    def stand_ins(self, rows: "Rows", without: Bool[Tensor, "mixed"] | None = None
                  ) -> Iterator[Float[Tensor, "some space"]]:
        """What stands for images where there are none: a point of unit length for each mixed label, some at a time.

        An image is mixed from what the classifier takes for each other, its labels' rows being alike; so is its
        stand-in: from the T labels whose rows have the largest cosine to its label's own, with these as weights.

        Args:
            rows: the classifier's, of the mixed labels.
            without: labels that have no stand-in and are mixed into none.
        """
        units = F.normalize(rows.weights)
        taken = torch.ones(len(units), dtype=torch.bool, device=units.device) if without is None else ~without
        for some in units[taken].split(AT_ONCE):
            mixtures = conse_mixture((some @ units[taken].T).clamp(min=LEAST), self.vectors[taken], self.t)
            yield F.normalize(self._with_beside(mixtures, some @ rows.weights.T + rows.bias))

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
        places = self.places(torch.from_numpy(self.labels.vectors).to(self.vectors.device)).cpu().numpy()
        scorer = nearest_labels(self.labels, questions, self.vectors.device, points=self, places=places, bias=bias)
        return scorer._replace(counts={"seen_labels_not_mixed": self.outputs - len(self.columns)},
                               settings={"t": self.t, "temperature": self.temperature,
                                         **({"classifiers": self.share} if self.beside is not None else {})})


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


class Rows(NamedTuple):
    """A classifier's last layer, a row an output: an image's logits are weights x + bias."""

    weights: Float[Tensor, "outputs width"]
    bias: Float[Tensor, "outputs"]

    @classmethod
    def read(cls, cnn: Path, mixer: Mixer) -> "Rows":
        """Those of the mixed labels. Raises InputError as `Artifact` does."""
        artifact = Artifact(cnn)
        name = next(name for name in artifact.names() if name.startswith("classifier.") and name.endswith("weight"))
        weights, bias = torch.from_numpy(artifact[name]).flatten(1), name.removesuffix("weight") + "bias"
        bias = torch.from_numpy(artifact[bias]) if bias in artifact else torch.zeros(len(weights))
        return cls(*(tensor.to(mixer.vectors.device)[mixer.columns] for tensor in (weights, bias)))
