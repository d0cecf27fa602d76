"""What the training stages share: seeds, rates, optimisers, and an epoch loop that survives being killed."""

import csv
import errno
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroshot.base.checkpoints import load_checkpoint, save_checkpoint
from zeroshot.base.errors import InputError
from zeroshot.base.files import atomic_write
from zeroshot.base.progress import progress

Optimiser = Literal["sgd", "adagrad", "adamw"]
Schedule = Literal["constant", "cosine", "onecycle"]
Precision = Literal["float32", "bf16"]
WARM_UP = 0.2  # of all steps, in the one-cycle schedule
CHECK_EVERY = 100  # steps between looks at the loss; each makes a GPU wait


def seed_step(seed: int, epoch: int, step: int) -> None:
    """Make all of torch's further draws a function of (seed, epoch, step), so that a resumed run repeats them."""
    torch.manual_seed(int(np.random.SeedSequence([seed, 1, epoch, step]).generate_state(1, np.uint64)[0] >> 1))


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


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def make_optimiser(name: Optimiser, model: nn.Module, *, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    """Optimiser over the trainable parameters; `weight_decay` spares biases and norms. `set_rate` sets the rate."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [{"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
              {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    fused = {"fused": True} if trained[0].is_cuda else {}
    if name == "adagrad":
        return torch.optim.Adagrad(groups, lr=1.0)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=1.0, **fused)
    return torch.optim.SGD(groups, lr=1.0, momentum=momentum, nesterov=momentum > 0, **fused)


def train_pass(batches: Sequence[Int[np.ndarray, "batch"]], inputs: Iterable[Tensor],
               loss_of: Callable[[Int[np.ndarray, "batch"], Tensor], Float[Tensor, ""]],
               optimiser: torch.optim.Optimizer, *, rate: Callable[[int], float], seed: int, epoch: int,
               checkpoint: Path) -> float:
    """One step of `optimiser` a batch; returns the mean loss over the steps.

    Args:
        batches: row numbers.
        inputs: the batches' contents, in the same order.
        loss_of: rows, contents -> mean loss of the batch.
        rate: step of this epoch (from 0) -> learning rate.
        checkpoint: where the last good state lies, for the message.

    Raises:
        InputError: the loss is not finite.
    """
    total = None
    with progress(total=sum(map(len, batches)), unit="img", desc=f"epoch {epoch + 1}") as bar:
        for step, (rows, content) in enumerate(zip(batches, inputs, strict=True)):
            seed_step(seed, epoch, step)
            set_rate(optimiser, rate(step))
            loss = loss_of(rows, content)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total = loss.detach() if total is None else total + loss.detach()
            if step % CHECK_EVERY == CHECK_EVERY - 1:
                check_loss(total.item(), epoch, checkpoint)
            bar.update(len(rows))
    mean = total.item() / len(batches)
    check_loss(mean, epoch, checkpoint)
    return mean


def hits_at(scores: Float[Tensor, "images labels"], targets: Int[Tensor, "images"],
            ranks: tuple[int, ...]) -> Float[Tensor, "images ranks"]:
    """1 where the true label is among the first k; a false label with an equal score counts as before it."""
    above = (scores >= scores.gather(1, targets[:, None])).sum(1)
    return torch.stack([(above <= k).float() for k in ranks], 1)


def run_epochs(epochs: int, train_epoch: Callable[[int], dict[str, float]],
               parts: dict[str, nn.Module | torch.optim.Optimizer], checkpoint: Path) -> list[dict[str, float]]:
    """Call `train_epoch(epoch)` for 0..epochs-1, save `parts` after each, and take up where a killed run stopped.

    Args:
        train_epoch: trains and returns the epoch's figures. Its random draws must come from `seed_step` and
            `epoch_order`: then a resumed run ends with the same bits.
        parts: all that training changes.

    Returns:
        The figures of every epoch, those before a kill included.

    Raises:
        InputError: the disk is full. Whatever is raised, the checkpoint before stays.
    """
    history: list[dict[str, float]] = []
    if (state := load_checkpoint(checkpoint)) is not None:
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        history = state["history"]
        print(f"continuing after epoch {len(history)} of {epochs}", flush=True)
    for epoch in range(len(history), epochs):
        began = time.perf_counter()
        figures = train_epoch(epoch)
        seconds = time.perf_counter() - began
        print(f"epoch {epoch + 1}/{epochs}: {seconds:.1f} s, "
              + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()), flush=True)
        history.append(figures)
        _save(checkpoint, {"parts": {name: part.state_dict() for name, part in parts.items()}, "history": history})
    return history


def check_loss(loss: float, epoch: int, checkpoint: Path) -> None:
    """Raise InputError if `loss` is not finite."""
    if not math.isfinite(loss):
        kept = f"the state after epoch {epoch} is kept in {checkpoint}" if epoch else "no epoch was finished"
        raise InputError(f"epoch {epoch + 1}: the training loss became {loss}; lower `learning_rate` in params.yaml, "
                         f"or use `precision: float32` ({kept})")


def write_curve(path: Path, history: list[dict[str, float]]) -> None:
    """CSV for `dvc plots`: epoch (from 1) and that epoch's figures, a row each."""
    with atomic_write(path) as file:
        writer = csv.DictWriter(file, ["epoch", *(history[0] if history else ["train_loss"])], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"epoch": number, **figures} for number, figures in enumerate(history, 1))


def _save(checkpoint: Path, state: dict) -> None:
    try:
        save_checkpoint(checkpoint, state)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"{checkpoint}: the disk is full; free some space, or set ZEROSHOT_SCRATCH to a folder on "
                         "another disk, then `dvc repro` (the checkpoint before is kept)") from None
