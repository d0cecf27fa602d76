"""A network over many images, a fixed shape at a time: a row's result depends on that row alone."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zeroshot.augment import Preprocessing
from zeroshot.batches import SquareSource, padded_batches
from zeroshot.progress import progress
from zeroshot.training import Precision


@torch.no_grad()
def over_images(network: Callable[[Float[Tensor, "batch 3 size size"]], tuple[Tensor, ...]],
                rows: Int[np.ndarray, "images"], source: SquareSource, preprocessing: Preprocessing, *, batch: int,
                precision: Precision, layout: torch.memory_format, device: torch.device, desc: str
                ) -> Iterator[tuple[int, tuple[Float[Tensor, "some ..."], ...]]]:
    """Yield (place of the batch's first image in `rows`, the network's outputs as float32).

    Args:
        network: in evaluation mode and on `device`; central crops -> one or more tensors [batch, ...].
        batch: images in each call, the last one filled up.
        layout: of the input's memory.
    """
    if not len(rows):
        return
    batches = padded_batches(rows, batch)
    with progress(total=len(rows), unit="img", desc=desc) as bar:
        for start, squares in zip(range(0, len(rows), batch), source.squares(batches), strict=True):
            images = preprocessing.normalise(preprocessing.central(squares)).contiguous(memory_format=layout)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                outputs = network(images)
            kept = min(batch, len(rows) - start)
            yield start, tuple(output[:kept].float() for output in outputs)
            bar.update(kept)


def memory_layout(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format
