"""Train DeViSE's map M on cached features, the rest of the network frozen (DeViSE section 3.3, phase 1).

In: data/features (rows of training images, and of the seen classes' validation images for the reported figures), the
image index, label vectors (the language model's, or random ones for the random embedding).
Out: map.safetensors (weight, bias), which without training images says why there is none; metrics (train_loss;
val_hit@1, val_hit@5 among the seen labels, by cosine) and their curve.  No unseen class is read; nothing is selected:
the last epoch counts.  Cost: seconds for the demo.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pydantic
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from stages import run_stage
from zeroshot.base.artifacts import Artifact, write_not_made
from zeroshot.base.compute import set_up
from zeroshot.base.files import write_json
from zeroshot.base.tensors import root
from zeroshot.devise.hinge import HingeParams, mean_rank_loss
from zeroshot.devise.map import write_map
from zeroshot.images.index import TRAIN, VAL, ImageIndex
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.labels.seen_labels import NO_TRAINING_IMAGES, SeenLabels
from zeroshot.training.hits import nearest_hits
from zeroshot.training.loop import (
    TrainingParams,
    checkpoint_of,
    epoch_batches,
    make_optimiser,
    rates,
    run_epochs,
    train_pass,
    write_curve,
)

CHUNK = 8192  # rows of features taken at once outside training; fixed, for the same sums in every run
ROUNDING = 1e-12  # variance by mean square that sums in double precision may leave to a dimension that never varies


class Params(TrainingParams, HingeParams):
    label_vectors: Literal["lemmas", "hypernyms"]  # dvc.yaml passes that file, here and to the stages after this one
    bias: bool
    dropout: float = pydantic.Field(ge=0, lt=1)
    scaling: Literal["none", "rms", "standardise"]
    epochs: int = pydantic.Field(ge=1)
    batch: int = pydantic.Field(ge=1)


def main(params: Params, *, features: Path, index: Path, label_vectors: Path, out: Path, metrics: Path,
         curve: Path) -> None:
    device = set_up(threads=params.threads, seed=params.seed, any_processor=params.any_processor)
    image_index, cached = ImageIndex.read(index), Artifact(features / "features.safetensors")
    seen = SeenLabels.of(image_index, read_label_vectors(label_vectors), device)
    if not len(seen.with_vector(image_index, TRAIN)):
        write_not_made(out, NO_TRAINING_IMAGES)
        write_curve(curve, [])
        write_json(metrics, {"epochs": 0, **seen.counts(image_index)})
        return
    trainer = Trainer(params, cached.memmap("features"), image_index, seen, device)
    with checkpoint_of("train_devise", params=params, features=cached.sha256, labels=seen.sha256) as checkpoint:
        history = run_epochs(params.epochs, trainer.train_epoch,
                             {"map": trainer.map, "optimiser": trainer.optimiser}, checkpoint)
        write_map(out, unscaled(trainer.map, trainer.scaling).cpu(),
                  {"tap": cached.meta["tap"], "labels": seen.sha256, "features": cached.sha256})
        write_curve(curve, history)
        write_json(metrics, {**history[-1], "epochs": params.epochs, **seen.counts(image_index)})


class Scaling(NamedTuple):
    """v is taken as (v - mean) / deviation while M is learnt; M then absorbs both."""

    mean: Float[Tensor, "dim"]
    deviation: Float[Tensor, "dim"]


class Trainer:
    """M, the cached features and the optimiser."""

    def __init__(self, params: Params, features: np.ndarray, index: ImageIndex, seen: SeenLabels,
                 device: torch.device):
        self.params, self.features, self.seen, self.device = params, features, seen, device
        self.train_rows, self.val_rows = seen.with_vector(index, TRAIN), index.rows(VAL)
        self.targets = seen.targets(index)
        self.scaling = measure_scaling(params.scaling, features, self.train_rows, device)
        self.map = nn.Linear(features.shape[1], seen.vectors.shape[1], bias=params.bias).to(device)
        self.dropout = nn.Dropout(params.dropout)
        self.optimiser = make_optimiser(params.optimiser, self.map, momentum=params.momentum,
                                        weight_decay=params.weight_decay)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        params = self.params
        batches = epoch_batches(self.train_rows, params.batch, params.seed, epoch)
        loss = train_pass(batches, map(self.read, batches), self._loss, self.optimiser,
                          rate=rates(params, epoch, len(batches)), seed=params.seed, epoch=epoch)
        return {"train_loss": loss, **self.validate()}

    def validate(self) -> dict[str, float]:
        """Share of the seen classes' validation images whose label is the nearest, or among the nearest 5."""
        with torch.no_grad():
            points = (self.map(self.read(rows)) for rows in chunks(self.val_rows))
            return nearest_hits(points, self.val_rows, self.targets, self.seen.vectors)

    def read(self, rows: Int[np.ndarray, "images"]) -> Float[Tensor, "images dim"]:
        """Features of these rows, scaled."""
        v = torch.from_numpy(self.features[rows]).to(self.device, non_blocking=True).float()
        return (v - self.scaling.mean) / self.scaling.deviation

    def _loss(self, rows: Int[np.ndarray, "images"], v: Float[Tensor, "images dim"]) -> Float[Tensor, ""]:
        targets = torch.from_numpy(self.targets[rows]).to(self.device, non_blocking=True)
        return mean_rank_loss(self.map(self.dropout(v)), targets, self.seen.vectors, self.params)


def measure_scaling(kind: str, features: np.ndarray, rows: Int[np.ndarray, "images"], device: torch.device) -> Scaling:
    """Mean and deviation by which features are scaled, measured on `rows`.

    `none`; `rms`: one number, the root mean square length of v; `standardise`: each dimension's own.
    """
    dim = features.shape[1]
    mean, square = torch.zeros(dim, dtype=torch.float64), torch.zeros(dim, dtype=torch.float64)
    if kind != "none":
        for chunk in chunks(rows):
            v = torch.from_numpy(features[chunk]).double()
            mean += v.sum(0) / len(rows)
            square += v.square().sum(0) / len(rows)
    if kind == "none":
        deviation = torch.ones(dim)
    elif kind == "rms":
        mean, deviation = torch.zeros(dim), root(square.sum()).expand(dim)
    else:
        variance = square - mean.square()
        deviation = root(torch.where(variance > ROUNDING * square, variance, 0))
    deviation = torch.where(deviation > 0, deviation, 1)  # a dimension that never varies
    return Scaling(mean.float().to(device), deviation.float().to(device))


def unscaled(linear: nn.Linear, scaling: Scaling) -> nn.Linear:
    """The map on raw v that equals `linear` on scaled v; it has a bias if one is needed."""
    shift = bool(scaling.mean.any())
    result = nn.Linear(linear.in_features, linear.out_features, bias=linear.bias is not None or shift)
    with torch.no_grad():
        weight = linear.weight / scaling.deviation
        result.weight.copy_(weight)
        if result.bias is not None:
            result.bias.copy_((0 if linear.bias is None else linear.bias) - weight @ scaling.mean)
    return result


def chunks(rows: Int[np.ndarray, "images"]) -> list[Int[np.ndarray, "some"]]:
    return [rows[start:start + CHUNK] for start in range(0, len(rows), CHUNK)]


if __name__ == "__main__":
    run_stage(main)
