"""Train DeViSE's whole network, trunk and map, with the same loss (DeViSE section 3.3, phase 2).

In: image index, images, data/cnn.safetensors, the map of phase 1, label vectors.  Out: network.safetensors; the map
alone, with meta trunk "frozen", if `epochs` is 0, and then the cached features go on serving; why there is none, if
there is no map. Metrics and curve as in train_devise.  No unseen class is read; the last epoch counts.  Cost: a
training pass of the CNN an epoch. Processes that torchrun starts share each batch.
"""

from pathlib import Path

import numpy as np
import pydantic
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from stages import run_stage
from zeroshot.base.artifacts import why_not_made, write_not_made
from zeroshot.base.compute import set_up
from zeroshot.base.files import write_json
from zeroshot.base.processes import is_first
from zeroshot.console.errors import InputError
from zeroshot.devise.hinge import HingeParams, mean_rank_loss
from zeroshot.devise.map import read_map
from zeroshot.images.index import TRAIN, VAL, ImageIndex
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.labels.seen_labels import SeenLabels
from zeroshot.networks.batches import SquareSource
from zeroshot.networks.saved import Cnn, DeviseNetwork, read_cnn, write_devise
from zeroshot.training.augmentation import Augmentation
from zeroshot.training.hits import nearest_hits
from zeroshot.training.loop import checkpoint_of, run_epochs, write_curve
from zeroshot.training.on_images import ImageTrainer, ImageTrainingParams


class Params(ImageTrainingParams, HingeParams):
    share: float = pydantic.Field(gt=0, le=1)
    dropout: float = pydantic.Field(ge=0, lt=1)
    frozen_norms: bool


def main(params: Params, *, index: Path, images: Path, cnn: Path, map: Path, label_vectors: Path, out: Path,
         metrics: Path, curve: Path) -> None:
    device = set_up(threads=params.threads, seed=params.seed, deterministic=params.deterministic,
                    any_processor=params.any_processor)
    image_index = ImageIndex.read(index)
    seen = SeenLabels.of(image_index, read_label_vectors(label_vectors), device)
    if why := why_not_made(map):
        if is_first():
            write_not_made(out, why)
            write_curve(curve, [])
            write_json(metrics, {"epochs": 0, **seen.counts(image_index)})
        return
    linear, map_file = read_map(map)
    if map_file.meta["labels"] != seen.sha256:
        raise InputError(f"{map}: was trained with other label vectors than {label_vectors}; `dvc repro train_devise`")
    trained = read_cnn(cnn)
    network = DeviseNetwork(trained.model, linear, map_file.meta["tap"], params.dropout)
    made_from = {"map": map_file.sha256, "labels": seen.sha256}
    if params.epochs == 0:
        if is_first():
            write_devise(out, network, frozen=True, cnn=trained, made_from=made_from)
            write_curve(curve, [])
            write_json(metrics, {"epochs": 0, **seen.counts(image_index)})
        return
    source = SquareSource(index, images, side=trained.preprocessing.resize, device=device, workers=params.workers,
                          max_unreadable=params.max_unreadable)
    trainer = Trainer(params, network, image_index, seen, trained, source, device)
    with checkpoint_of("finetune_devise", params=params, cnn=trained.sha256, index=image_index.sha256,
                       **made_from) as checkpoint:
        history = run_epochs(params.epochs, trainer.train_epoch,
                             {"network": network, "optimiser": trainer.optimiser}, checkpoint)
        if is_first():
            write_devise(out, network, frozen=False, cnn=trained, made_from=made_from)
            write_curve(curve, history)
            write_json(metrics, {**history[-1], "epochs": params.epochs, **seen.counts(image_index)})


class Trainer(ImageTrainer):
    """The whole network, with DeViSE's loss."""

    def __init__(self, params: Params, network: DeviseNetwork, index: ImageIndex, seen: SeenLabels, cnn: Cnn,
                 source: SquareSource, device: torch.device):
        super().__init__(params, network, source, cnn.preprocessing,
                         Augmentation(params.crop_padding, params.flip, 0, 0), device,
                         train_rows=seen.with_vector(index, TRAIN), val_rows=index.rows(VAL))
        self.seen, self.targets = seen, seen.targets(index)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over `share` of the training images; returns train_loss and the validation figures."""
        set_training(self.network, self.params.frozen_norms)
        return {"train_loss": self.train_pass(epoch, self.loss, self.params.share), **self.validate()}

    def validate(self) -> dict[str, float]:
        """Share of the seen classes' validation images whose label is the nearest, or among the nearest 5."""
        return nearest_hits(self.val_outputs(), self.val_rows, self.targets, self.seen.vectors)

    def loss(self, rows: Int[np.ndarray, "images"], squares: UInt8[Tensor, "images side side 3"]) -> Float[Tensor, ""]:
        """Mean hinge loss of these rows' augmented images."""
        points = self.outputs(self.augmented(squares))
        targets = torch.from_numpy(self.targets[rows]).to(self.device, non_blocking=True)
        return mean_rank_loss(points, targets, self.seen.vectors, self.params)


def set_training(network: nn.Module, frozen_norms: bool) -> None:
    """Training mode, in which batch norms may go on using the statistics that they have."""
    network.train()
    for module in network.modules():
        if frozen_norms and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


if __name__ == "__main__":
    run_stage(main, shared=True)
