"""What the training stages share: seeds, rates, optimisers, and an epoch loop that survives being killed."""

import contextlib
import csv
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroshot.base.checkpoints import load_checkpoint, save_checkpoint
from zeroshot.base.compute import pick_device, seed_draws
from zeroshot.base.files import atomic_write
from zeroshot.base.params import Seed, StageParams
from zeroshot.base.processes import from_first, is_first, mean_over_processes, process_and_count, refuse_together
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.running.scratch import scratch_folder
from zeroshot.training.optimisers import Adagrad, Descent, Sgd

Optimiser = Literal["sgd", "adagrad", "adamw"]
AnyOptimiser = Descent | torch.optim.Optimizer
Schedule = Literal["constant", "cosine", "onecycle"]
WARM_UP = 0.2  # of all steps, in the one-cycle schedule
CHECK_EVERY = 100  # steps between looks at the loss; each makes a GPU wait


class Diverged(InputError):
    """Training left the finite numbers in this epoch (from 0)."""

    def __init__(self, epoch: int, what: str):
        super().__init__(f"epoch {epoch + 1}: {what}; lower `learning_rate` in params.yaml, or use "
                         "`precision: float32`")


class TrainingParams(StageParams):
    """Settings of every training stage; epochs and batch are each stage's own."""

    optimiser: Optimiser
    learning_rate: float = pydantic.Field(gt=0)
    momentum: float = pydantic.Field(ge=0, lt=1)
    weight_decay: float = pydantic.Field(ge=0)
    schedule: Schedule
    threads: int = pydantic.Field(ge=1)
    any_processor: bool
    seed: Seed


def seed_step(seed: int, epoch: int, step: int) -> None:
    """Make torch's further draws a function of (seed, epoch, step, process), so that a resumed run repeats them."""
    process = process_and_count()[0]
    entropy = [seed, 1, epoch, step, *([process] if process else [])]
    seed_draws(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1))


def epoch_order(images: int, seed: int, epoch: int) -> Int[np.ndarray, "images"]:
    """The order in which an epoch takes its images: a permutation, a function of (seed, epoch)."""
    return np.random.default_rng([seed, 0, epoch]).permutation(images)


def epoch_batches(rows: Int[np.ndarray, "images"], batch: int, seed: int, epoch: int) -> list[Int[np.ndarray, "batch"]]:
    """Split `rows` in this epoch's order into batches of one size; the rest waits for another epoch.

    Fewer rows than `batch` make a single batch.
    """
    order = rows[epoch_order(len(rows), seed, epoch)]
    return [order[start:start + batch] for start in range(0, max(len(order) - batch, 0) + 1, batch)]


def rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """Share of the peak learning rate at `step` of `steps` (from 0)."""
    done = step / max(steps, 1)
    if schedule == "constant":
        return 1.0
    if schedule == "onecycle" and done < WARM_UP:
        return (step + 1) / (WARM_UP * steps + 1)
    rest = (done - WARM_UP) / (1 - WARM_UP) if schedule == "onecycle" else done
    return 0.5 * (1 + math.cos(math.pi * rest))


def rates(params: TrainingParams, epoch: int, steps: int) -> Callable[[int], float]:
    """Step of this epoch (from 0) -> learning rate; `params` has `epochs`, and each epoch has `steps`."""
    return lambda step: params.learning_rate * rate_factor(params.schedule, epoch * steps + step, params.epochs * steps)


def set_rate(optimiser: AnyOptimiser, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def make_optimiser(name: Optimiser, model: nn.Module, *, momentum: float, weight_decay: float) -> AnyOptimiser:
    """Optimiser over the trainable parameters; `weight_decay` spares biases and norms. `set_rate` sets the rate."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [{"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
              {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if name == "adagrad":
        return Adagrad(groups)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=1.0, fused=True)
    return Sgd(groups, momentum)


def train_pass(batches: Sequence[Int[np.ndarray, "batch"]], inputs: Iterable[Tensor],
               loss_of: Callable[[Int[np.ndarray, "batch"], Tensor], Float[Tensor, ""]],
               optimiser: AnyOptimiser, *, rate: Callable[[int], float], seed: int, epoch: int) -> float:
    """One step of `optimiser` a batch; returns the mean loss over the steps, and over the processes if there are more.

    Args:
        batches: row numbers; of several processes, each has its own share of every batch.
        inputs: the batches' contents, in the same order.
        loss_of: rows, contents -> mean loss of the batch.
        rate: step of this epoch (from 0) -> learning rate.

    Raises:
        Diverged: the loss is not finite.
    """
    processes, total = process_and_count()[1], None
    with progress(total=processes * sum(map(len, batches)), unit="img", desc=f"epoch {epoch + 1}") as bar:
        for step, (rows, content) in enumerate(zip(batches, inputs, strict=True)):
            seed_step(seed, epoch, step)
            set_rate(optimiser, rate(step))
            loss = loss_of(rows, content)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total = loss.detach() if total is None else total + loss.detach()
            if step % CHECK_EVERY == CHECK_EVERY - 1:
                check_loss(mean_over_processes(total).item(), epoch)
            bar.update(processes * len(rows))
    mean = mean_over_processes(total).item() / len(batches)
    check_loss(mean, epoch)
    return mean


@contextlib.contextmanager
def checkpoint_of(stage: str, **decides: Any) -> Iterator[Path]:
    """Yield where `run_epochs` keeps the state of this very computation; see `scratch_folder`.

    Of several processes only rank 0 has such a place. Their number counts as deciding, since sums depend on it, and
    so do the device and torch.
    """
    process, processes = process_and_count()
    if process > 0:
        yield Path(os.devnull)
        return
    with scratch_folder(stage, processes=processes, device=pick_device().type, torch=torch.__version__,
                        **decides) as folder:
        yield folder / "last.pt"


def run_epochs(epochs: int, train_epoch: Callable[[int], dict[str, float]],
               parts: dict[str, nn.Module | AnyOptimiser], checkpoint: Path) -> list[dict[str, float]]:
    """Call `train_epoch(epoch)` for 0..epochs-1, save `parts` after each, and take up where a killed run stopped.

    Args:
        train_epoch: trains and returns the epoch's figures. Its random draws must come from `seed_step` and
            `epoch_order`: then a resumed run ends with the same bits.
        parts: all that training changes. Several processes end each epoch with the same; rank 0 saves and loads it.

    Returns:
        The figures of every epoch, those before a kill included; whole on rank 0 only.

    Whatever is raised, the checkpoint before stays.

    Raises:
        InputError: training diverged; the message says what is kept.
    """
    history: list[dict[str, float]] = []
    first = is_first()
    if (state := from_first(load_checkpoint(checkpoint) if first else None)) is not None:
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        history = state["history"]
        if first:
            print(f"continuing after epoch {len(history)} of {epochs}", flush=True)
    for epoch in range(len(history), epochs):
        began = time.perf_counter()
        try:
            figures = train_epoch(epoch)
            if first:
                check_epoch(figures, parts, epoch)
        except Diverged as fault:
            kept = f"the state after epoch {epoch} is kept in {checkpoint}" if epoch else "no epoch was finished"
            raise InputError(f"{fault} ({kept})") from None
        history.append(figures)
        if first:
            print(f"epoch {epoch + 1}/{epochs}: {time.perf_counter() - began:.1f} s, "
                  + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()), flush=True)
            states = {name: part.state_dict() for name, part in parts.items()}
            save_checkpoint(checkpoint, {"parts": states, "history": history})
    return history


def check_loss(loss: float, epoch: int) -> None:
    """Raise Diverged if `loss`, which is the same in all processes, is not finite."""
    if not math.isfinite(loss):
        refuse_together(Diverged(epoch, f"the training loss became {loss}"))


def check_epoch(figures: dict[str, float], parts: dict[str, nn.Module | AnyOptimiser], epoch: int) -> None:
    """Raise Diverged if the last step of an epoch blew the network up: its own loss was still the one before."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise Diverged(epoch, f"{name} became {value}")
    for part in parts.values():
        if isinstance(part, nn.Module) and not all(value.isfinite().all() for value in part.state_dict().values()):
            raise Diverged(epoch, "weights became NaN or infinite")


def write_curve(path: Path, history: list[dict[str, float]]) -> None:
    """CSV for `dvc plots`: epoch (from 1) and that epoch's figures, one row per epoch."""
    with atomic_write(path) as file:
        writer = csv.DictWriter(file, ["epoch", *(history[0] if history else ["train_loss"])], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"epoch": number, **figures} for number, figures in enumerate(history, 1))
