"""From decoded squares to a network's input, whole batches at a time, on the device."""

import dataclasses
import functools

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """From decoded square to network input; it travels with the weights.

    Attributes:
        resize: side of the squares, pixels: shorter side resized to it, centre crop.
        image_size: side of the network's input, pixels: a crop of the square, the central one in evaluation.
        mean, deviation: of each of R, G, B on the scale 0..1; subtracted, divided by.
    """

    resize: int
    image_size: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def to_meta(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_meta(cls, meta: dict) -> "Preprocessing":
        return cls(meta["resize"], meta["image_size"], tuple(meta["mean"]), tuple(meta["deviation"]))

    def central(self, squares: UInt8[Tensor, "images side side 3"]) -> UInt8[Tensor, "images size size 3"]:
        """The central crop, for evaluation."""
        start = (squares.shape[1] - self.image_size) // 2
        return squares[:, start:start + self.image_size, start:start + self.image_size]

    def normalise(self, crops: UInt8[Tensor, "images size size 3"]) -> Float[Tensor, "images 3 size size"]:
        """Network input, float32; channels-last in memory, since that is how the pixels come."""
        images, height, width, _ = crops.shape  # whole rows at a time: five times as fast as three colours at a time
        mean, scale = _of_a_row(self.mean, self.deviation, width, crops.device)
        rows = crops.reshape(images, height, width * 3).float().sub_(mean).mul_(scale)
        return rows.reshape(crops.shape).permute(0, 3, 1, 2)


@functools.cache  # a GPU waits for what is copied to it
def _of_a_row(mean: tuple[float, ...], deviation: tuple[float, ...], width: int,
              device: torch.device) -> tuple[Tensor, Tensor]:
    """What to subtract from a row's 3 * width values of 0..255, and what to multiply by then."""
    return ((255 * torch.tensor(mean, device=device)).repeat(width),
            (1 / (255 * torch.tensor(deviation, device=device))).repeat(width))
