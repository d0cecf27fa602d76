"""Closed-form maps from features to label vectors, beside the papers' DeViSE: ridge regression and ESZSL.

One pass over the training features gathers their class sums and Gram matrices; the rest is linear algebra on
those. The regularisation, and the handicap of seen labels that `+seen` sets ask for (calibrated stacking, Chao et
al. 2016), are chosen on seen classes alone: these are split into folds, and each fold plays "unseen" once for a map
that was fitted on the others. Judged are validation images.

Reads the features of training and validation images and the seen label vectors. Costs one read of the features and
(settings x folds) linear systems of their dimension: seconds for 512-D features.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydantic
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroshot.base.artifacts import Artifact
from zeroshot.base.compute import set_up
from zeroshot.base.errors import InputError
from zeroshot.base.files import write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.base.progress import progress
from zeroshot.base.stage import run_stage
from zeroshot.images import TRAIN, VAL, ImageIndex
from zeroshot.label_vectors import read_label_vectors
from zeroshot.linear_maps import eszsl, ridge
from zeroshot.networks import DeviseNetwork, read_cnn, write_devise
from zeroshot.seen_labels import SeenLabels

CHUNK = 8192  # images at a time; fixed, so that sums are always added in the same order
HANDICAPS = torch.arange(0, 1.001, 0.01)  # of seen labels, in cosine


class Params(StageParams):
    strengths: list[pydantic.PositiveFloat] = pydantic.Field(min_length=1)
    label_strengths: list[pydantic.PositiveFloat] = pydantic.Field(min_length=1)
    folds: int = pydantic.Field(ge=2)
    seed: Seed
    threads: int = pydantic.Field(ge=1)


class Sums(NamedTuple):
    """All that the fits need to know of the training images."""

    grams: Float[Tensor, "folds dim dim"]
    sums: Float[Tensor, "classes dim"]
    fold: Int[Tensor, "classes"]

    def without(self, fold: int) -> tuple[Float[Tensor, "dim dim"], Float[Tensor, "others dim"], Tensor]:
        """Gram matrix, class sums and mask of the classes outside `fold` (-1: of all classes)."""
        kept = self.fold != fold
        gram = self.grams.sum(0) - (self.grams[fold] if fold >= 0 else 0)
        return gram, self.sums[kept], kept


def main(params: Params, *, model: str, features: Path, index: Path, cnn: Path, labels: Path, out: Path,
         metrics: Path) -> None:
    set_up(threads=params.threads)
    images, packed, network = ImageIndex.read(index), Artifact(features / "features.safetensors"), read_cnn(cnn)
    seen = SeenLabels.of(images, read_label_vectors(labels), torch.device("cpu"))
    vectors, classes = seen.vectors.double(), seen.targets(images)
    if len(vectors) < 2 * params.folds:
        raise InputError(f"params.yaml: `fit_linear.folds` is {params.folds}, for which {2 * params.folds} seen "
                         f"classes with a vector are needed; found {len(vectors)}; lower it")
    fold = torch.from_numpy(np.random.default_rng(params.seed).permutation(len(vectors)) % params.folds)
    sums = gather(packed, images.rows(TRAIN), classes, fold, params.folds)
    val = Validation.read(packed, images.rows(VAL), classes)

    settings = list(itertools.product(params.strengths, params.label_strengths if model == "eszsl" else [0.0]))
    fits = [fitter(model, sums, vectors, *setting) for setting in settings]
    held_out = [sum(unseen_accuracy(fit(f), vectors, val, fold == f) for f in range(params.folds)) / params.folds
                for fit in progress(fits, unit="settings", desc=f"choosing {model}'s regularisation")]
    best = int(np.argmax(held_out))
    curves = torch.stack([harmonic_curve(fits[best](f), vectors, val, fold == f) for f in range(params.folds)]).mean(0)
    handicap = float(HANDICAPS[curves.argmax()])

    weight = fits[best](-1)
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight.data = weight.float()
    write_devise(out, DeviseNetwork(network.model, linear, packed.meta["tap"]), frozen=True, cnn=network,
                 made_from={"features": packed.sha256, "model": model, "seen_handicap": handicap})
    write_json(metrics, {"strength": settings[best][0], "label_strength": settings[best][1],
                         "held_out_hit@1": held_out[best], "held_out_harmonic": float(curves.max()),
                         "seen_handicap": handicap, **seen.counts(images)})


def gather(packed: Artifact, rows: Int[np.ndarray, "images"], classes: Int[np.ndarray, "all"],
           fold: Int[Tensor, "classes"], folds: int) -> Sums:
    """Read the training features once."""
    dim = packed.shape("features")[1]
    grams = torch.zeros(folds, dim, dim, dtype=torch.float64)
    sums = torch.zeros(len(fold), dim, dtype=torch.float64)
    for x, c in chunks(packed, rows, classes, "summing training features"):
        sums.index_add_(0, c, x.double())
        for f in range(folds):
            part = x[fold[c] == f]
            grams[f] += (part.T @ part).double()
    return Sums(grams, sums, fold)


def chunks(packed: Artifact, rows: Int[np.ndarray, "images"], classes: Int[np.ndarray, "all"], desc: str):
    """Features and class of the rows whose class has a vector, CHUNK rows of the file at a time."""
    first, last = rows.min(), rows.max() + 1  # a role's rows are contiguous
    with progress(total=int(last - first), unit="img", desc=desc, scale=True) as bar:
        for start in range(first, last, CHUNK):
            block = packed.rows("features", start, min(start + CHUNK, last))
            c = classes[start:start + len(block)]
            yield torch.from_numpy(block[c >= 0]).float(), torch.from_numpy(c[c >= 0])
            bar.update(len(block))


class Validation(NamedTuple):
    """Validation images of the seen classes."""

    features: Float[Tensor, "images dim"]
    classes: Int[Tensor, "images"]

    @classmethod
    def read(cls, packed: Artifact, rows: Int[np.ndarray, "images"], classes: Int[np.ndarray, "all"]) -> "Validation":
        parts = list(chunks(packed, rows, classes, "reading validation features"))
        return cls(torch.cat([x for x, _ in parts]), torch.cat([c for _, c in parts]))


def fitter(model: str, sums: Sums, vectors: Float[Tensor, "classes space"], strength: float,
           label_strength: float) -> Callable[[int], Float[Tensor, "space dim"]]:
    """The function from a fold that is left out to the map fitted on the others, for one setting.

    Strengths are in units of the mean diagonal of the matrix that they are added to.
    """
    def fit(fold: int) -> Float[Tensor, "space dim"]:
        gram, class_sums, kept = sums.without(fold)
        t = vectors[kept]
        scaled = strength * gram.diagonal().mean().item()
        if model == "ridge":
            return ridge(gram, class_sums, t, scaled)
        return eszsl(gram, class_sums, t, scaled, label_strength * (t.T @ t).diagonal().mean().item())
    return fit


def cosines(weight: Tensor, vectors: Tensor, x: Tensor) -> Float[Tensor, "images classes"]:
    return nn.functional.normalize(x @ weight.T.float()) @ vectors.T.float()


def unseen_accuracy(weight: Tensor, vectors: Tensor, val: Validation, held: Tensor) -> float:
    """Mean per-class hit@1 on the held-out classes, among those alone."""
    mine = held[val.classes]
    predicted = cosines(weight, vectors, val.features[mine]).masked_fill(~held, -torch.inf).argmax(1)
    return per_class(predicted == val.classes[mine], val.classes[mine])


def harmonic_curve(weight: Tensor, vectors: Tensor, val: Validation, held: Tensor) -> Float[Tensor, "handicaps"]:
    """Harmonic mean of per-class hit@1 on seen and on held-out classes, all being candidates, by handicap."""
    scores = cosines(weight, vectors, val.features)
    best_seen, seen = scores.masked_fill(held, -torch.inf).max(1)
    best_held, unseen = scores.masked_fill(~held, -torch.inf).max(1)
    curve = []
    for handicap in HANDICAPS:
        right = torch.where(best_seen - handicap > best_held, seen, unseen) == val.classes
        a, b = (per_class(right[mask], val.classes[mask]) for mask in (held[val.classes], ~held[val.classes]))
        curve.append(2 * a * b / (a + b) if a + b else 0.0)
    return torch.tensor(curve)


def per_class(right: Tensor, classes: Tensor) -> float:
    """Mean over classes of the share of images that are right."""
    count = torch.bincount(classes)
    hits = torch.bincount(classes, right.double())
    return (hits[count > 0] / count[count > 0]).mean().item()


if __name__ == "__main__":
    run_stage(main)
