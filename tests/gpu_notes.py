"""How the steps of `make check-gpu` note what they see, and what they compare by."""

import contextlib
import json
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from zeroshot.base.artifacts import Artifact

TAIL = 15  # lines of a traceback


class NotRunError(Exception):
    """Why a check could not be made here; it has not failed."""


class Notes:
    """A file of JSON lines: a check that began, what it gave, a speed, facts."""

    def __init__(self, step: str, path: Path):
        self.step, self.path = step, path

    def write(self, kind: str, **fields) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps([kind, fields]) + "\n")

    def check(self, name: str, work: Callable[[], str | None]) -> None:
        """Note what `work` says that it saw, or how it failed."""
        self.write("began", name=name)
        began, result, seen, tail = time.perf_counter(), "passed", "", []
        try:
            seen = work() or ""
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # an error of a kernel comes late
        except NotRunError as why:
            result, seen = "not run", str(why)
        except BaseException as error:  # also SystemExit, by which a stage ends
            result, seen = "failed", (str(error) or repr(error)).splitlines()[0]
            tail = traceback.format_exc().splitlines()[-TAIL:]
            traceback.print_exc()
        self.write("check", step=self.step, name=name, result=result, seconds=time.perf_counter() - began, seen=seen,
                   tail=tail)


@contextlib.contextmanager
def on_the_cpu() -> Iterator[None]:
    """Have the stages take the CPU."""
    seen, torch.cuda.is_available = torch.cuda.is_available, lambda: False
    try:
        yield
    finally:
        torch.cuda.is_available = seen


def same(world: Path, one: str, other: str, only: str = "*") -> str:
    first, second = world / one, world / other
    names = [path.relative_to(first) for path in first.rglob(only) if path.is_file()]
    differing = [str(name) for name in names if (first / name).read_bytes() != (second / name).read_bytes()]
    assert names and not differing, f"{len(differing)} of {len(names)} files differ: {', '.join(differing[:5])}"
    return f"{len(names)} files"


def close(world: Path, one: str, other: str, names: list[str], tolerance: float) -> str:
    """Largest difference of all arrays, relative to the array's own largest number."""
    largest = 0.0
    for name in names:
        mine, theirs = (Artifact(world / folder / f"{name}.safetensors") for folder in (one, other))
        assert mine.names() == theirs.names(), name
        for array in theirs.names():
            a, b = mine[array].astype(np.float64), theirs[array].astype(np.float64)
            difference = np.abs(a - b).max() / max(np.abs(b).max(), 1e-12)
            assert difference <= tolerance, f"{name}: {array} differs by {difference:.2g} of its largest number"
            largest = max(largest, difference)
    return f"largest difference {largest:.1e}"
