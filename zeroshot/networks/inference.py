"""A network over many images, a fixed shape at a time: a row's result depends on that row alone."""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zeroshot.base.processes import gather_to_first, rank_and_size
from zeroshot.console.progress import progress
from zeroshot.networks.batches import SquareSource, padded_batches
from zeroshot.networks.preprocessing import Preprocessing

Precision = Literal["float32", "bf16"]


@torch.no_grad()
def over_images(network: Callable[[Float[Tensor, "batch 3 size size"]], tuple[Tensor, ...]],
                rows: Int[np.ndarray, "images"], source: SquareSource, preprocessing: Preprocessing, *, batch: int,
                precision: Precision, layout: torch.memory_format, device: torch.device, desc: str
                ) -> Iterator[tuple[int, tuple[Float[Tensor, "some ..."], ...]]]:
    """Yield (place of the batch's first image in `rows`, the network's outputs as float32), batch by batch in order.

    Under torchrun the processes share the batches out; rank 0 yields them all, the others none. What comes out is the
    same to the bit for any number of processes. At the end `source.unreadable` is what any of them found.

    Args:
        network: in evaluation mode and on `device`; central crops -> one or more tensors [batch, ...].
        batch: images in each call, the last one filled up.
        layout: of the input's memory.

    Raises:
        InputError: more images are unreadable than may be.
    """
    if not len(rows):
        return
    rank, processes = rank_and_size()
    batches = padded_batches(rows, batch)
    batches += batches[-1:] * (-len(batches) % processes)  # all processes take part in every round
    mine = batches[rank::processes]
    with progress(total=len(rows), unit="img", desc=desc) as bar:
        for turn, squares in enumerate(source.squares(mine)):
            images = preprocessing.normalise(preprocessing.central(squares)).contiguous(memory_format=layout)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                outputs = network(images)
            gathered = [gather_to_first(output.float()) for output in outputs]
            for number, parts in enumerate(zip(*gathered, strict=True), turn * processes):
                kept = min(batch, len(rows) - number * batch)
                if kept > 0:
                    yield number * batch, tuple(part[:kept] for part in parts)
                    bar.update(kept)
    source.merge_unreadable()


def memory_layout(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format
