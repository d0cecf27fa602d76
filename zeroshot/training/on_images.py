"""Training a network on images, from the pixels; by one process, or by several, one a GPU, as torchrun starts them.

Several processes each take a contiguous share of every batch. DistributedDataParallel averages their gradients, so a
step is the one that a single process takes on the whole batch, but for rounding, the draws of augmentation and
dropout, and batch norms, which normalise by the process's own share.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pydantic
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from zeroshot.base.processes import mean_over_processes, process_and_count, refuse_together
from zeroshot.console.errors import InputError
from zeroshot.networks.batches import SquareSource
from zeroshot.networks.inference import Passes, Precision, memory_layout, over_images
from zeroshot.networks.preprocessing import Preprocessing
from zeroshot.training.augmentation import Augmentation
from zeroshot.training.loop import TrainingParams, epoch_batches, make_optimiser, rates, train_pass


class ImageTrainingParams(TrainingParams):
    """Settings of the stages that train on images; `batch` counts all processes' images."""

    crop_padding: int = pydantic.Field(ge=0)
    flip: bool
    epochs: int = pydantic.Field(ge=0)
    batch: int = pydantic.Field(ge=2)
    precision: Precision
    channels_last: bool
    compile: bool
    deterministic: bool
    max_unreadable: float = pydantic.Field(ge=0, le=1)
    workers: int = pydantic.Field(ge=0)


class ImageTrainer:
    """A network, its images and its optimiser; the loss and the figures of validation are each stage's own.

    Attributes:
        network: the bare network; at the end of an epoch every process has the same.
        forward: the network as training and validation call it.
        train_rows, val_rows: rows of the index.
    """

    def __init__(self, params: ImageTrainingParams, network: nn.Module, source: SquareSource,
                 preprocessing: Preprocessing, augmentation: Augmentation, device: torch.device, *,
                 train_rows: Int[np.ndarray, "train"], val_rows: Int[np.ndarray, "val"]):
        """Raises InputError if the processes cannot share a batch equally, or crops leave the reflected border."""
        self.params, self.source, self.device = params, source, device
        self.preprocessing, self.augmentation = preprocessing, augmentation
        self.train_rows, self.val_rows = train_rows, val_rows
        self.process, self.processes = process_and_count()
        if params.epochs and not len(train_rows):
            refuse_together(InputError(f"params.yaml: `epochs` is {params.epochs}, but there are no training images; "
                                       "set it to 0 where weights are pretrained, or index_images.roles.train to a "
                                       "folder of images"))
        if params.batch % self.processes or (params.epochs and len(train_rows) < self.processes):
            refuse_together(InputError(
                f"params.yaml: `batch` is {params.batch} (of {len(train_rows)} training images), which "
                f"{self.processes} processes cannot share equally; make it a multiple of {self.processes}, "
                "or start another number of processes (PET_NPROC_PER_NODE, PET_NNODES)"))
        if params.crop_padding >= preprocessing.resize:
            refuse_together(InputError(f"params.yaml: `crop_padding` is {params.crop_padding}, of images of "
                                       f"{preprocessing.resize} pixels; expected less"))
        self.layout = memory_layout(params.channels_last)
        self.network = network.to(device, memory_format=self.layout)
        parallel = self.network
        if self.processes > 1:
            # find_unused_parameters: some taps leave layers out; and gradients are then summed in the same buckets
            # from the first step on, which a resumed run needs to repeat an unbroken one's bits. torch may warn of it.
            parallel = DistributedDataParallel(self.network, find_unused_parameters=True, forward_sync_buffers=False)
        self.forward = compiled(parallel, params.deterministic) if params.compile else parallel
        self.optimiser = make_optimiser(params.optimiser, network, momentum=params.momentum,
                                        weight_decay=params.weight_decay)

    def train_pass(self, epoch: int, loss_of: Callable[[Int[np.ndarray, "batch"], Tensor], Float[Tensor, ""]],
                   share: float = 1.0) -> float:
        """Train on `share` of the training images, in this epoch's order; returns the mean loss.

        Args:
            loss_of: rows, their squares -> mean loss.
        """
        params = self.params
        batches = epoch_batches(self.train_rows, params.batch, params.seed, epoch)
        batches = [self._own(batch) for batch in batches[:max(1, round(share * len(batches)))]]
        loss = train_pass(batches, self.source.squares(batches), loss_of, self.optimiser,
                          rate=rates(params, epoch, len(batches)), seed=params.seed, epoch=epoch)
        average_running_statistics(self.network)
        self.source.merge_unreadable()
        return loss

    def augmented(self, squares: UInt8[Tensor, "images side side 3"]) -> Float[Tensor, "images 3 size size"]:
        """Network input, drawn anew at each call."""
        crops = self.augmentation(squares, self.preprocessing.image_size)
        return self.preprocessing.normalise(crops).contiguous(memory_format=self.layout)

    def outputs(self, images: Float[Tensor, "images 3 size size"]) -> Float[Tensor, "images dim"]:
        """The network's, for its loss, in single precision."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.params.precision == "bf16"):
            return self.forward(images).float()

    def val_outputs(self) -> Iterator[Float[Tensor, "some dim"]]:
        """The network's outputs in evaluation mode for `val_rows`, in order; all of them on rank 0, none elsewhere."""
        self.network.eval()
        how = Passes(self.params.batch // self.processes, self.params.precision, self.layout)
        passes = over_images(lambda images: (self.forward(images),), self.val_rows, self.source, self.preprocessing,
                             how, "validation")
        return (outputs for _, (outputs,) in passes)

    def _own(self, batch: Int[np.ndarray, "batch"]) -> Int[np.ndarray, "share"]:
        share = len(batch) // self.processes  # if there are fewer images than `batch`, a rest waits for another epoch
        return batch[self.process * share:(self.process + 1) * share]


def compiled(network: nn.Module, deterministic: bool) -> Callable:
    """The network by torch.compile; `deterministic`: with kernels that are not chosen by timing them."""
    import torch._inductor.config as inductor  # the compiler: loaded only where it is used

    inductor.deterministic = deterministic
    return torch.compile(network)


@torch.no_grad()
def average_running_statistics(network: nn.Module) -> None:
    """Give each batch norm in training mode the mean of what the processes saw; without this each keeps its own."""
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats:
            module.running_mean.copy_(mean_over_processes(module.running_mean))
            module.running_var.copy_(mean_over_processes(module.running_var))
