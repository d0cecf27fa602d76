"""Several processes on one job, one a GPU, as torchrun starts them; without torchrun there is one."""

import contextlib
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor


@contextlib.contextmanager
def process_group() -> Iterator[int]:
    """Join the processes that torchrun started; yields this one's rank, 0 if it is alone."""
    if "RANK" not in os.environ:
        yield 0
        return
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def rank_and_size() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


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
