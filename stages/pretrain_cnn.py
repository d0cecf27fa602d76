"""Train a softmax CNN over the seen labels (DeViSE section 3.2), or take weights that are already trained.

In: image index, images, weights if `pretrained` is a file.  Out: data/cnn.safetensors, with all that is needed to
rebuild the network and to prepare its input; metrics (train_loss, val_hit@1, val_hit@5 on the seen classes' validation
images) and their curve.  Cost: the demo some 80 s on 2 CPU cores; a checkpoint after each epoch.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from zeroshot.augment import Augmentation, Preprocessing, mixup
from zeroshot.base.compute import set_up
from zeroshot.base.files import sha256_of, write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.base.scratch import scratch_folder
from zeroshot.base.stage import run_stage
from zeroshot.batches import SquareSource, padded_batches
from zeroshot.images import TRAIN, VAL, ImageIndex
from zeroshot.networks import write_cnn
from zeroshot.pretrained import Outputs, Pretrained, build_pretrained
from zeroshot.training import (
    Optimiser,
    Precision,
    Schedule,
    epoch_batches,
    hits_at,
    make_optimiser,
    rate_factor,
    run_epochs,
    train_pass,
    write_curve,
)
from zeroshot.visual import Stem, VisualModel, check_size

Share = pydantic.Field(ge=0, lt=1)
Positive = Annotated[float, pydantic.Field(gt=0)]


class Params(StageParams):
    arch: str
    stem: Stem
    dropout: float = Share
    pretrained: Pretrained
    weights: str
    sha256: str
    weights_outputs: Outputs
    resize: int = pydantic.Field(ge=8)
    image_size: int = pydantic.Field(ge=8)
    mean: tuple[float, float, float] = pydantic.Field(strict=False)
    deviation: tuple[Positive, Positive, Positive] = pydantic.Field(strict=False)
    crop_padding: int = pydantic.Field(ge=0)
    flip: bool
    randaugment: int = pydantic.Field(ge=0)
    randaugment_magnitude: int = pydantic.Field(ge=0, le=30)
    mixup: float = pydantic.Field(ge=0)
    optimiser: Optimiser
    learning_rate: float = pydantic.Field(gt=0)
    momentum: float = Share
    weight_decay: float = pydantic.Field(ge=0)
    schedule: Schedule
    label_smoothing: float = Share
    epochs: int = pydantic.Field(ge=0)
    batch: int = pydantic.Field(ge=2)
    precision: Precision
    channels_last: bool
    compile: bool
    deterministic: bool
    threads: int = pydantic.Field(ge=1)
    workers: int = pydantic.Field(ge=0)
    seed: Seed

    @pydantic.model_validator(mode="after")
    def _fits_together(self):
        if self.image_size > self.resize + 2 * self.crop_padding or self.image_size > self.resize:
            raise ValueError(f"image_size ({self.image_size}) of at most resize ({self.resize})")
        if self.crop_padding >= self.resize:
            raise ValueError(f"crop_padding ({self.crop_padding}) below resize ({self.resize})")
        if self.epochs == 0 and (self.pretrained == "none" or self.weights_outputs == "fresh"):
            raise ValueError("epochs above 0, since neither network nor classifier is pretrained")
        return self


def main(params: Params, *, index: Path, images: Path, weights: Path, out: Path, metrics: Path, curve: Path) -> None:
    device = set_up(threads=params.threads, seed=params.seed, deterministic=params.deterministic)
    image_index = ImageIndex.read(index)
    preprocessing = Preprocessing(params.resize, params.image_size, params.mean, params.deviation)
    model = build_pretrained(params.arch, image_index.seen, pretrained=params.pretrained, weights=weights,
                             sha256=params.sha256, outputs=params.weights_outputs, stem=params.stem,
                             dropout=params.dropout)
    check_size(model, params.image_size)
    source = SquareSource(index, images, side=params.resize, device=device, workers=params.workers)
    trainer = Trainer(params, model, image_index, preprocessing, source, device)
    weights_seal = sha256_of(weights) if params.pretrained == "file" else ""
    with scratch_folder("pretrain_cnn", params=params, index=image_index.sha256, weights=weights_seal) as scratch:
        trainer.checkpoint = scratch / "last.pt"
        history = run_epochs(params.epochs, trainer.train_epoch,
                             {"model": model, "optimiser": trainer.optimiser}, trainer.checkpoint)
        figures = history[-1] if history else trainer.validate()
        write_cnn(out, model, arch=params.arch, stem=params.stem, dropout=params.dropout, wnids=image_index.seen,
                  preprocessing=preprocessing, made_from={"index": image_index.sha256, "weights": weights_seal})
        write_curve(curve, history)
        write_json(metrics, {**figures, "epochs": params.epochs, "train_images": len(trainer.train_rows),
                             "val_images": len(trainer.val_rows), "seen_labels": len(image_index.seen),
                             "weights": sum(parameter.numel() for parameter in model.parameters())})


class Trainer:
    """One network, its data and its optimiser.

    Attributes:
        train_rows, val_rows: rows of the index.
    """

    def __init__(self, params: Params, model: VisualModel, index: ImageIndex, preprocessing: Preprocessing,
                 source: SquareSource, device: torch.device):
        self.params, self.device, self.source, self.preprocessing = params, device, source, preprocessing
        layout = torch.channels_last if params.channels_last else torch.contiguous_format
        self.model = model.to(device, memory_format=layout)
        self.layout = layout
        self.forward = torch.compile(self.model) if params.compile else self.model
        self.optimiser = make_optimiser(params.optimiser, model, momentum=params.momentum,
                                        weight_decay=params.weight_decay)
        self.augmentation = Augmentation(params.crop_padding, params.flip, params.randaugment,
                                         params.randaugment_magnitude)
        self.train_rows, self.val_rows = index.rows(TRAIN), index.rows(VAL)
        self.outputs = index.outputs(np.arange(len(index)))  # int64 [images]; -1 for an unseen class
        self.classes = len(index.seen)
        self.checkpoint = Path()

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training images; returns train_loss and the validation figures."""
        params = self.params
        self.model.train()
        batches = epoch_batches(self.train_rows, params.batch, params.seed, epoch)
        steps = len(batches)

        def rate(step: int) -> float:
            return params.learning_rate * rate_factor(params.schedule, epoch * steps + step, params.epochs * steps)

        loss = train_pass(batches, self.source.squares(batches), self._loss, self.optimiser, rate=rate,
                          seed=params.seed, epoch=epoch, checkpoint=self.checkpoint)
        return {"train_loss": loss, **self.validate()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Softmax hit@1 and hit@5 on the seen classes' validation images; empty if there are none."""
        if not len(self.val_rows):
            return {}
        self.model.eval()
        batches = padded_batches(self.val_rows, self.params.batch)
        hits = []
        for rows, squares in zip(batches, self.source.squares(batches), strict=True):
            with self._autocast():
                logits = self.forward(self._input(self.preprocessing.central(squares))).float()
            hits.append(hits_at(logits, self._targets(rows), (1, 5)))
        shares = torch.cat(hits)[:len(self.val_rows)].double().mean(0).tolist()
        return {"val_hit@1": shares[0], "val_hit@5": shares[1]}

    def _loss(self, rows: Int[np.ndarray, "images"], squares: UInt8[Tensor, "images side side 3"]) -> Tensor:
        targets = self._targets(rows)
        images = self._input(self.augmentation(squares, self.params.image_size))
        if self.params.mixup:
            images, targets = mixup(images, F.one_hot(targets, self.classes).float(), self.params.mixup)
        with self._autocast():
            logits = self.forward(images)
        return F.cross_entropy(logits.float(), targets, label_smoothing=self.params.label_smoothing)

    def _input(self, crops: UInt8[Tensor, "images size size 3"]) -> Float[Tensor, "images 3 size size"]:
        return self.preprocessing.normalise(crops).contiguous(memory_format=self.layout)

    def _targets(self, rows: Int[np.ndarray, "images"]) -> Int[Tensor, "images"]:
        return torch.from_numpy(self.outputs[rows]).to(self.device, non_blocking=True)

    def _autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.params.precision == "bf16")


if __name__ == "__main__":
    run_stage(main, check_all_params=True)
