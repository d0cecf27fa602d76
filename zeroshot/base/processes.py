"""Several processes on one job, one a GPU, as torchrun starts them; without torchrun there is one."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from zeroshot.base.compute import pick_device
from zeroshot.base.errors import InputError

T = TypeVar("T")


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started; without torchrun there are none to join."""
    if "RANK" not in os.environ:
        yield
        return
    if torch.cuda.is_available():
        device = pick_device()
        if device.index >= (gpus := torch.cuda.device_count()):
            raise InputError(f"PET_NPROC_PER_NODE: process {device.index + 1} of this machine finds {gpus} GPUs; start "
                             "as many processes as there are")
        torch.cuda.set_device(device)  # NCCL sends what is no tensor from the current one
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    yield
    dist.destroy_process_group()  # not after an error: NCCL would wait for the others, which wait for this one


def rank_and_size() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def is_first() -> bool:
    """Whether this is rank 0, which alone writes and prints."""
    return rank_and_size()[0] == 0


def refuse_together(message: str) -> NoReturn:
    """Raise InputError on rank 0 and end the others quietly: for a fault that every process finds at the same place."""
    if is_first():
        raise InputError(message)
    time.sleep(2)  # torchrun ends all when one ends; rank 0 speaks first
    sys.exit(1)


def from_first(value: T) -> T:
    """Rank 0's `value` (picklable); every process must call it."""
    if rank_and_size()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def mean_over_processes(tensor: Tensor) -> Tensor:
    """Mean of every process's tensor (all of one shape); every process must call it, and gets the same bits."""
    if (size := rank_and_size()[1]) == 1:
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total / size


def marked_by_any(rows: set[int], length: int, device: torch.device) -> set[int]:
    """The rows, all below `length`, that any process gives; every process must call it, and gets all of them."""
    if rank_and_size()[1] == 1:
        return rows
    marks = torch.zeros(length, dtype=torch.uint8, device=device)
    marks[torch.tensor(sorted(rows), dtype=torch.int64, device=device)] = 1
    dist.all_reduce(marks, dist.ReduceOp.MAX)
    return set(marks.nonzero()[:, 0].tolist())


def gather_to_first(tensor: Tensor) -> list[Tensor]:
    """On rank 0 every process's tensor (all of one shape), in the order of ranks; elsewhere nothing."""
    rank, size = rank_and_size()
    if size == 1:
        return [tensor]
    tensor = tensor.contiguous()
    parts = [torch.empty_like(tensor) for _ in range(size)] if rank == 0 else None
    dist.gather(tensor, parts)
    return parts or []
