"""Several processes on one job, one a GPU, as torchrun starts them; without torchrun there is one."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from zeroshot.base.compute import pick_device
from zeroshot.console import refusals
from zeroshot.console.errors import InputError

T = TypeVar("T")
TURN = 5  # seconds in which a process surely ends, torchrun notices, and ends the others


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started; without torchrun there are none to join.

    Of an error that all of them run into, rank 0 alone speaks; one that only another has, it tells some seconds later.
    """
    if "RANK" not in os.environ:
        yield
        return
    try:
        _join()
        yield
        dist.destroy_process_group()  # not after an error: NCCL would wait for the others, which wait for this one
    except Exception as error:
        _wait_for_turn(error)
        raise


def _join() -> None:
    if torch.cuda.is_available():
        device = pick_device()
        if device.index >= (gpus := torch.cuda.device_count()):
            raise refusals.too_few_gpus(device.index + 1, gpus)
        torch.cuda.set_device(device)  # NCCL sends what is no tensor from the current one
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def _wait_for_turn(error: Exception) -> None:
    """Give the process that knows most the time to speak first: torchrun ends all, here still asleep, when it ends.

    That is rank 0, then each machine's first; a process that only lost its connection to another comes last.
    """
    rank, local = (int(os.environ.get(name, 0)) for name in ("RANK", "LOCAL_RANK"))
    lost = isinstance(error, dist.DistError) or "gloo/transport" in str(error)
    time.sleep(TURN * ((rank > 0) + 2 * lost) + local)


def process_and_count() -> tuple[int, int]:
    """This process's number from 0 (torch calls it rank), and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def is_first() -> bool:
    """Whether this is rank 0, which alone writes and prints."""
    return process_and_count()[0] == 0


def refuse_together(fault: InputError) -> NoReturn:
    """Raise `fault` on rank 0 and end the others quietly: for one that every process finds at the same place."""
    if is_first():
        raise fault
    time.sleep(TURN)  # torchrun ends all when one ends; rank 0 speaks first
    sys.exit(1)


def load_together(load: Callable[[], T]) -> T:
    """load(); every process must call it. The InputError that rank 0 raises is told once, others by who finds them."""
    fault, value = None, None
    try:
        value = load()
    except InputError as error:
        fault = error
    firsts = from_first(str(fault or ""))
    if fault and str(fault) == firsts:
        refuse_together(InputError(firsts))
    if fault:
        raise fault
    return value


def from_first(value: T) -> T:
    """Rank 0's `value` (picklable); every process must call it."""
    if process_and_count()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def mean_over_processes(tensor: Tensor) -> Tensor:
    """Mean of every process's tensor (all of one shape); every process must call it, and gets the same bits."""
    if (size := process_and_count()[1]) == 1:
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total / size


def marked_by_any(rows: set[int], length: int, device: torch.device) -> set[int]:
    """The rows, all below `length`, that any process gives; every process must call it, and gets all of them."""
    if process_and_count()[1] == 1:
        return rows
    marks = torch.zeros(length, dtype=torch.uint8, device=device)
    marks[torch.tensor(sorted(rows), dtype=torch.int64, device=device)] = 1
    dist.all_reduce(marks, dist.ReduceOp.MAX)
    return set(marks.nonzero()[:, 0].tolist())


def gather_to_first(tensor: Tensor) -> list[Tensor]:
    """On rank 0 every process's tensor (all of one shape), in the order of ranks; elsewhere nothing."""
    rank, size = process_and_count()
    if size == 1:
        return [tensor]
    tensor = tensor.contiguous()
    parts = [torch.empty_like(tensor) for _ in range(size)] if rank == 0 else None
    dist.gather(tensor, parts)
    return parts or []
