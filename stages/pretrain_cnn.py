"""Train a softmax CNN over the seen labels (DeViSE section 3.2), or take weights that are already trained.

In: image index, images, weights if `pretrained` is a file.  Out: data/cnn.safetensors, with all that is needed to
rebuild the network and to prepare its input; metrics (train_loss, val_hit@1, val_hit@5 on the seen classes' validation
images) and their curve.  Cost: the demo some 80 s on 2 CPU cores; a checkpoint after each epoch. Processes that
torchrun starts share each batch.
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from stages import run_stage
from zeroshot.base.chance import is_near_chance
from zeroshot.base.compute import set_up
from zeroshot.base.files import sha256_of, write_json
from zeroshot.base.processes import is_first
from zeroshot.images.index import TRAIN, VAL, ImageIndex
from zeroshot.networks.batches import SquareSource
from zeroshot.networks.normalisation import Normalised, Pretrained, check_normalisation
from zeroshot.networks.outputs import Outputs
from zeroshot.networks.preprocessing import Preprocessing
from zeroshot.networks.pretrained import build_pretrained
from zeroshot.networks.saved import write_cnn
from zeroshot.networks.visual_model import KNOWN, Stem, VisualModel, check_size, is_arch
from zeroshot.networks.weights_files import weights_file
from zeroshot.running.scratch import scratch_root
from zeroshot.training.augmentation import Augmentation, mixup
from zeroshot.training.hits import hit_shares, hits_at
from zeroshot.training.loop import checkpoint_of, run_epochs, write_curve
from zeroshot.training.on_images import ImageTrainer, ImageTrainingParams

Share = pydantic.Field(ge=0, lt=1)
Brightness = Annotated[float, pydantic.Field(ge=0, le=1)]  # means of 0 to 255, as Caffe has them, are refused
Deviation = Annotated[float, pydantic.Field(gt=0, le=1)]


class Params(ImageTrainingParams):
    arch: str
    stem: Stem
    dropout: float = Share
    pretrained: Pretrained
    weights: str
    sha256: str
    weights_outputs: Outputs
    weights_list: str
    weights_normalisation: Normalised
    resize: int = pydantic.Field(ge=8)
    image_size: int = pydantic.Field(ge=8)
    mean: tuple[Brightness, Brightness, Brightness] = pydantic.Field(strict=False)
    deviation: tuple[Deviation, Deviation, Deviation] = pydantic.Field(strict=False)
    randaugment: int = pydantic.Field(ge=0)
    randaugment_magnitude: int = pydantic.Field(ge=0, le=30)
    mixup: float = pydantic.Field(ge=0)
    label_smoothing: float = Share

    @pydantic.field_validator("arch")
    @classmethod
    def _is_known(cls, arch: str) -> str:
        if not is_arch(arch):
            raise ValueError(KNOWN)
        return arch

    @pydantic.model_validator(mode="after")
    def _fits_together(self):
        if self.image_size > self.resize:
            raise ValueError(f"image_size ({self.image_size}) of at most resize ({self.resize})")
        if self.crop_padding >= self.resize:
            raise ValueError(f"crop_padding ({self.crop_padding}) below resize ({self.resize})")
        if self.epochs == 0 and (self.pretrained == "none" or self.weights_outputs == "fresh"):
            raise ValueError("epochs above 0, since neither network nor classifier is pretrained")
        return self


def main(params: Params, *, index: Path, images: Path, weights: Path, weights_list: Path, out: Path, metrics: Path,
         curve: Path) -> None:
    device = set_up(threads=params.threads, seed=params.seed, deterministic=params.deterministic,
                    any_processor=params.any_processor)
    image_index = ImageIndex.read(index)
    preprocessing = Preprocessing(params.resize, params.image_size, params.mean, params.deviation)
    model = build_network(params, image_index.seen, weights, weights_list)
    source = SquareSource(index, images, side=params.resize, device=device, workers=params.workers,
                          max_unreadable=params.max_unreadable)
    trainer = Trainer(params, model, image_index, preprocessing, source, device)
    weights_seal = sha256_of(weights_file(weights)) if params.pretrained == "file" else ""
    listed = sha256_of(weights_list) if params.weights_outputs == "list" else ""
    with checkpoint_of("pretrain_cnn", params=params, index=image_index.sha256, weights=weights_seal,
                       weights_list=listed) as checkpoint:
        history = run_epochs(params.epochs, trainer.train_epoch,
                             {"model": model, "optimiser": trainer.optimiser}, checkpoint)
        figures = history[-1] if history else trainer.validate()
        if is_first():
            warn_near_chance(figures.get("val_hit@1"), len(trainer.val_rows), len(image_index.seen))
            write_cnn(out, model, arch=params.arch, stem=params.stem, dropout=params.dropout, wnids=image_index.seen,
                      preprocessing=preprocessing, made_from={"index": image_index.sha256, "weights": weights_seal})
            write_curve(curve, history)
            write_json(metrics, {**figures, "epochs": params.epochs, "train_images": len(trainer.train_rows),
                                 "val_images": len(trainer.val_rows), "seen_labels": len(image_index.seen),
                                 "weights": sum(parameter.numel() for parameter in model.parameters())})


def build_network(params: Params, seen: list[str], weights: Path, weights_list: Path) -> VisualModel:
    """The network that training begins with; raises InputError if settings and weights do not belong together."""
    check_normalisation(params.arch, params.pretrained, params.mean, params.deviation, params.weights_normalisation)
    model = build_pretrained(params.arch, seen, pretrained=params.pretrained, weights=weights, sha256=params.sha256,
                             outputs=params.weights_outputs, listed=weights_list, cache=scratch_root() / "packages",
                             stem=params.stem, dropout=params.dropout)
    check_size(model, params.image_size)
    return model


def warn_near_chance(hit: float | None, images: int, labels: int) -> None:
    """Say on standard error where a network names validation images no better than one that guesses."""
    if hit is not None and np.isfinite(hit) and is_near_chance(round(hit * images), images, labels):
        print(f"pretrain_cnn: WARNING: val hit@1 is {100 * hit:.2g} % of {images:,} images, which guessing among "
              f"{labels:,} labels gives too ({100 / labels:.2g} %): are the outputs in the order that "
              "`weights_outputs` says, the images labelled rightly, mean and deviation those of the weights?",
              file=sys.stderr, flush=True)


class Trainer(ImageTrainer):
    """The CNN, with the softmax's loss."""

    def __init__(self, params: Params, model: VisualModel, index: ImageIndex, preprocessing: Preprocessing,
                 source: SquareSource, device: torch.device):
        augmentation = Augmentation(params.crop_padding, params.flip, params.randaugment, params.randaugment_magnitude)
        super().__init__(params, model, source, preprocessing, augmentation, device,
                         train_rows=index.rows(TRAIN), val_rows=index.rows(VAL))
        self.targets = index.numbered(index.seen)  # int64 [images]; -1 for an unseen class
        self.classes = len(index.seen)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training images; returns train_loss and the validation figures."""
        self.network.train()
        return {"train_loss": self.train_pass(epoch, self.loss), **self.validate()}

    def validate(self) -> dict[str, float]:
        """Softmax hit@1 and hit@5 on the seen classes' validation images; empty if there are none."""
        hits, start = [], 0
        for logits in self.val_outputs():
            hits.append(hits_at(logits, self._targets(self.val_rows[start:start + len(logits)]), (1, 5)))
            start += len(logits)
        return hit_shares(hits)

    def loss(self, rows: Int[np.ndarray, "images"], squares: UInt8[Tensor, "images side side 3"]) -> Float[Tensor, ""]:
        """Cross-entropy of these rows' augmented images."""
        targets, images = self._targets(rows), self.augmented(squares)
        if self.params.mixup:
            images, targets = mixup(images, targets, self.classes, self.params.mixup)
        return F.cross_entropy(self.outputs(images), targets, label_smoothing=self.params.label_smoothing)

    def _targets(self, rows: Int[np.ndarray, "images"]) -> Int[Tensor, "images"]:
        return torch.from_numpy(self.targets[rows]).to(self.device, non_blocking=True)


if __name__ == "__main__":
    run_stage(main, check_all_params=True, shared=True)
