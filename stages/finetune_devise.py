"""Train DeViSE's whole network, trunk and map, with the same loss (DeViSE section 3.3, phase 2).

In: image index, images, data/cnn.safetensors, the map of phase 1, label vectors.  Out: network.safetensors; the map
alone, with meta trunk "frozen", if `epochs` is 0, and then the cached features go on serving. Metrics and curve as in
train_devise.  No unseen class is read; the last epoch counts.  Cost: a training pass of the CNN an epoch.
"""

from pathlib import Path

import numpy as np
import pydantic
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from zeroshot.augment import Augmentation
from zeroshot.base.compute import set_up
from zeroshot.base.errors import InputError
from zeroshot.base.files import write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.base.scratch import scratch_folder
from zeroshot.base.stage import run_stage
from zeroshot.batches import SquareSource
from zeroshot.devise_map import read_map
from zeroshot.hinge import FalseLabels, Loss, rank_loss
from zeroshot.images import TRAIN, VAL, ImageIndex
from zeroshot.inference import memory_layout, over_images
from zeroshot.label_vectors import read_label_vectors
from zeroshot.networks import Cnn, DeviseNetwork, read_cnn, write_devise
from zeroshot.seen_labels import SeenLabels, nearest_hits
from zeroshot.training import (
    Optimiser,
    Precision,
    Schedule,
    epoch_batches,
    make_optimiser,
    rate_factor,
    run_epochs,
    train_pass,
    write_curve,
)


class Params(StageParams):
    epochs: int = pydantic.Field(ge=0)
    share: float = pydantic.Field(gt=0, le=1)
    loss: Loss
    margin: float = pydantic.Field(gt=0)
    false_labels: FalseLabels
    samples: int = pydantic.Field(ge=1)
    dropout: float = pydantic.Field(ge=0, lt=1)
    frozen_norms: bool
    crop_padding: int = pydantic.Field(ge=0)
    flip: bool
    optimiser: Optimiser
    learning_rate: float = pydantic.Field(gt=0)
    momentum: float = pydantic.Field(ge=0, lt=1)
    weight_decay: float = pydantic.Field(ge=0)
    schedule: Schedule
    batch: int = pydantic.Field(ge=2)
    precision: Precision
    channels_last: bool
    compile: bool
    deterministic: bool
    threads: int = pydantic.Field(ge=1)
    workers: int = pydantic.Field(ge=0)
    seed: Seed


def main(params: Params, *, index: Path, images: Path, cnn: Path, map: Path, labels: Path, out: Path, metrics: Path,
         curve: Path) -> None:
    device = set_up(threads=params.threads, seed=params.seed, deterministic=params.deterministic)
    image_index, trained = ImageIndex.read(index), read_cnn(cnn)
    linear, map_file = read_map(map)
    seen = SeenLabels.of(image_index, read_label_vectors(labels), device)
    if map_file.meta["labels"] != seen.seal:
        raise InputError(f"{map}: was trained with other label vectors than {labels}; `dvc repro train_devise`")
    network = DeviseNetwork(trained.model, linear, map_file.meta["tap"], params.dropout)
    made_from = {"map": map_file.sha256, "labels": seen.seal}
    if params.epochs == 0:
        write_devise(out, network, frozen=True, cnn=trained, made_from=made_from)
        write_curve(curve, [])
        write_json(metrics, {"epochs": 0, **seen.counts(image_index)})
        return
    source = SquareSource(index, images, side=trained.preprocessing.resize, device=device, workers=params.workers)
    trainer = Trainer(params, network, image_index, seen, trained, source, device)
    with scratch_folder("finetune_devise", params=params, cnn=trained.sha256, index=image_index.sha256,
                        **made_from) as scratch:
        trainer.checkpoint = scratch / "last.pt"
        history = run_epochs(params.epochs, trainer.train_epoch,
                             {"network": network, "optimiser": trainer.optimiser}, trainer.checkpoint)
        write_devise(out, network, frozen=False, cnn=trained, made_from=made_from)
        write_curve(curve, history)
        write_json(metrics, {**history[-1], "epochs": params.epochs, **seen.counts(image_index)})


class Trainer:
    """The whole network, its data and its optimiser."""

    def __init__(self, params: Params, network: DeviseNetwork, index: ImageIndex, seen: SeenLabels, cnn: Cnn,
                 source: SquareSource, device: torch.device):
        self.params, self.seen, self.source, self.device = params, seen, source, device
        self.preprocessing, self.layout = cnn.preprocessing, memory_layout(params.channels_last)
        self.network = network.to(device, memory_format=self.layout)
        self.forward = torch.compile(self.network) if params.compile else self.network
        self.augmentation = Augmentation(params.crop_padding, params.flip, 0, 0)
        self.optimiser = make_optimiser(params.optimiser, network, momentum=params.momentum,
                                        weight_decay=params.weight_decay)
        self.train_rows, self.val_rows = seen.with_vector(index, TRAIN), index.rows(VAL)
        self.targets = seen.targets(index)
        self.checkpoint = Path()

    def train_epoch(self, epoch: int) -> dict[str, float]:
        params = self.params
        set_training(self.network, params.frozen_norms)
        batches = epoch_batches(self.train_rows, params.batch, params.seed, epoch)
        batches = batches[:max(1, round(params.share * len(batches)))]
        steps = len(batches)

        def rate(step: int) -> float:
            return params.learning_rate * rate_factor(params.schedule, epoch * steps + step, params.epochs * steps)

        loss = train_pass(batches, self.source.squares(batches), self._loss, self.optimiser, rate=rate,
                          seed=params.seed, epoch=epoch, checkpoint=self.checkpoint)
        return {"train_loss": loss, **self.validate()}

    def validate(self) -> dict[str, float]:
        """Share of the seen classes' validation images whose label is the nearest, or among the nearest 5."""
        self.network.eval()
        passes = over_images(lambda batch: (self.forward(batch),), self.val_rows, self.source, self.preprocessing,
                             batch=self.params.batch, precision=self.params.precision, layout=self.layout,
                             device=self.device, desc="validation")
        return nearest_hits((points for _, (points,) in passes), self.val_rows, self.targets, self.seen.vectors)

    def _loss(self, rows: Int[np.ndarray, "images"], squares: UInt8[Tensor, "images side side 3"]
              ) -> Float[Tensor, ""]:
        params = self.params
        crops = self.augmentation(squares, self.preprocessing.image_size)
        images = self.preprocessing.normalise(crops).contiguous(memory_format=self.layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=params.precision == "bf16"):
            points = self.forward(images)
        return rank_loss(points.float(), torch.from_numpy(self.targets[rows]).to(self.device), self.seen.vectors,
                         loss=params.loss, margin=params.margin, false_labels=params.false_labels,
                         samples=params.samples).mean()


def set_training(network: nn.Module, frozen_norms: bool) -> None:
    """Training mode, in which batch norms may go on using the statistics that they have."""
    network.train()
    for module in network.modules():
        if frozen_norms and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


if __name__ == "__main__":
    run_stage(main)
