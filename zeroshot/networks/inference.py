"""A network over many images, a fixed shape at a time: a row's result depends on that row alone."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zeroshot.base.processes import gather_to_first, process_and_count
from zeroshot.console.progress import progress
from zeroshot.networks.batches import SquareSource, padded_batches
from zeroshot.networks.preprocessing import Preprocessing

Precision = Literal["float32", "bf16"]


class Passes(NamedTuple):
    """How images go through a network.

    Attributes:
        batch: images in each call, the last one filled up; of fewer images the next power of two.
        precision: float32, or bf16 by autocast.
        layout: of the input's memory.
    """

    batch: int
    precision: Precision
    layout: torch.memory_format


@torch.no_grad()
def over_images(network: Callable[[Float[Tensor, "batch 3 size size"]], tuple[Tensor, ...]],
                rows: Int[np.ndarray, "images"], source: SquareSource, preprocessing: Preprocessing, how: Passes,
                desc: str | None) -> Iterator[tuple[int, tuple[Float[Tensor, "some ..."], ...]]]:
    """Yield (place of the batch's first image in `rows`, the network's outputs as float32), batch by batch in order.

    Under torchrun the processes share the batches out; rank 0 yields them all, the others none. What comes out is the
    same to the bit for any number of processes. At the end `source.unreadable` is what any of them found.

    Args:
        network: in evaluation mode and on the source's device; central crops -> one or more tensors [batch, ...].
        desc: what is being done, for the progress bar; None: no bar.

    Raises:
        InputError: more images are unreadable than may be.
    """
    if not len(rows):
        return
    process, processes = process_and_count()
    batch = min(how.batch, 1 << (len(rows) - 1).bit_length())  # few images take no large batch's time and memory
    batches = padded_batches(rows, batch)
    batches += batches[-1:] * (-len(batches) % processes)  # all processes take part in every round
    mine = batches[process::processes]
    with progress(total=len(rows), unit="img", desc=desc) as bar:
        for turn, squares in enumerate(source.squares(mine)):
            images = preprocessing.normalise(preprocessing.central(squares)).contiguous(memory_format=how.layout)
            with torch.autocast(source.device.type, torch.bfloat16, enabled=how.precision == "bf16"):
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
