"""Augmentation of whole batches on the device; random draws come from torch's default generator.

Crop and flip are one gather for the batch, each image with its own draw (torchvision draws once a call).
"""

import dataclasses

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from zeroshot.networks.without_compiler import without_compiler

RANDAUGMENT_GROUP = 16  # images that share one draw of operations


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to training images, in this order: crop and flip, RandAugment.

    Attributes:
        padding: pixels that the square is enlarged by on each side, by reflection, before a random crop.
        flip: mirror every second image, on average.
        randaugment: operations per image; 0 for none.
        magnitude: of those operations, 0 to 30.
    """

    padding: int
    flip: bool
    randaugment: int
    magnitude: int

    def __call__(self, squares: UInt8[Tensor, "images side side 3"], size: int) -> UInt8[Tensor, "images size size 3"]:
        crops = random_crop(squares, size, self.padding, self.flip)
        if self.randaugment:
            with without_compiler():
                from torchvision.transforms import v2

            transform = v2.RandAugment(self.randaugment, self.magnitude)
            groups = crops.permute(0, 3, 1, 2).split(RANDAUGMENT_GROUP)
            crops = torch.cat([transform(group) for group in groups]).permute(0, 2, 3, 1)
        return crops


def random_crop(squares: UInt8[Tensor, "images side side 3"], size: int, padding: int,
                flip: bool) -> UInt8[Tensor, "images size size 3"]:
    """A random size x size window of each square enlarged by reflection, mirrored at random."""
    images, side, device = len(squares), squares.shape[1], squares.device
    room = side + 2 * padding - size + 1  # number of places for a window
    corners = torch.randint(room, (2, images, 1), device=device) - padding
    offsets = torch.arange(size, device=device)
    across = offsets.expand(images, size)
    if flip:
        across = torch.where(torch.rand(images, 1, device=device) < 0.5, size - 1 - across, across)
    down, across = reflect(corners[0] + offsets, side), reflect(corners[1] + across, side)
    first = torch.arange(images, device=device)[:, None, None] * side * side  # each square's first pixel
    pixels = (first + down[:, :, None] * side + across[:, None, :]).flatten()
    return squares.reshape(-1, 3).index_select(0, pixels).reshape(images, size, size, 3)


def reflect(places: Int[Tensor, "images size"], side: int) -> Int[Tensor, "images size"]:
    """Fold coordinates into 0..side-1: -1 -> 1, side -> side - 2."""
    return (side - 1) - ((side - 1) - places.abs()).abs()


def mixup(images: Float[Tensor, "images 3 size size"], targets: Int[Tensor, "images"], classes: int, alpha: float
          ) -> tuple[Float[Tensor, "images 3 size size"], Float[Tensor, "images classes"]]:
    """Each image and its one-hot target blended with its neighbour's in the batch.

    The share is drawn from Beta(alpha, alpha), once per batch.
    """
    with without_compiler():
        from torchvision.transforms import v2

    return v2.MixUp(alpha=alpha, num_classes=classes)(images, targets)
