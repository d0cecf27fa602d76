"""Processes for tests: two of a group on one machine, as torchrun would start them; one that is killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

NO_SHARING = "two processes cannot share one GPU (NCCL)"


def run_as_two(code: str) -> list[subprocess.CompletedProcess]:
    """Both processes' ends, rank 0's first; `code` is Python, and runs inside the group.

    Tests that call it are marked `on_the_cpu(NO_SHARING)`.
    """
    return run_group(code, 2)


def run_group(code: str, processes: int, **environment: str) -> list[subprocess.CompletedProcess]:
    """As `run_as_two`, for any number of processes of this machine."""
    code = f"from zeroshot.base.processes import process_group\nwith process_group():\n    {code}"
    where = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes),
             "OMP_NUM_THREADS": "1", **environment}
    started = [subprocess.Popen([sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**where, "RANK": str(rank), "LOCAL_RANK": str(rank)})
               for rank in range(processes)]
    said = [process.communicate(timeout=120) for process in started]
    return [subprocess.CompletedProcess(process.args, process.returncode, *texts)
            for process, texts in zip(started, said, strict=True)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def kill_and_resume(code: str, out: Path) -> None:
    """Run Python `code`, which trains, kill it after its second epoch, and run it again: it must go on from there.

    It must not have written `out` before it was killed.
    """
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("epoch 2/"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL and not out.exists()
    resumed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "continuing after epoch" in resumed and "epoch 1/" not in resumed


def stopped(method: Callable, call: int, stop: Callable[[], None]) -> Callable:
    """A method that calls `stop` first in its call number `call`, from 1; its attribute `calls` counts."""
    def counting(self):
        counting.calls += 1
        if counting.calls == call:
            stop()
        return method(self)

    counting.calls = 0
    return counting


def interrupt() -> None:
    raise KeyboardInterrupt


def assert_same_files(first: Path, second: Path, *names: str) -> None:
    """Of two folders, byte for byte."""
    assert [name for name in names if (first / name).read_bytes() != (second / name).read_bytes()] == []
