"""Processes for tests: two of a group on one machine, as torchrun would start them; one that is killed.

They are copies of one process that has loaded torch and computed nothing: started anew, each would load it for seconds.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

import torch

import stages
from tests.garbage import leave_what_is_loaded

NO_SHARING = "two processes cannot share one GPU (NCCL)"
LOADED = ["tests.garbage", "pytest", "hypothesis", "pandas", "scipy.sparse", "stages.pretrain_cnn",
          "stages.train_skipgram", "torch._dynamo"]  # the last for torch's AdamW
PATIENCE = 600  # seconds: on a busy machine all takes long


def run_as_two(code: str) -> list[subprocess.CompletedProcess]:
    """Both processes' ends, rank 0's first; `code` is Python, and runs inside the group.

    Tests that call it are marked `on_the_cpu(NO_SHARING)`.
    """
    return run_group(code, 2)


def run_group(code: str, processes: int, **environment: str) -> list[subprocess.CompletedProcess]:
    """As `run_as_two`, for any number of processes of this machine."""
    code = f"from zeroshot.base.processes import process_group\nwith process_group():\n    {code}"
    return run_together(code, processes, **environment)


def run_together(code: str, processes: int, **environment: str) -> list[subprocess.CompletedProcess]:
    """As `run_group`, but `code` joins the group itself, as a stage that torchrun starts does.

    There is no torchrun that would end the others when one ends, so none waits for that.
    """
    code = f"from zeroshot.base import processes; processes.TURN = 0\n{code}"
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes), **environment}
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(started_process(code, **where, RANK=str(rank), LOCAL_RANK=str(rank)))
                   for rank in range(processes)]
        return [ended(*process) for process in started]


def run_apart(code: str) -> subprocess.CompletedProcess:
    """One process alone."""
    with started_process(code) as process:
        return ended(*process)


def as_module(module: str, *arguments: str) -> str:
    """Python code that runs a module as `python -m module arguments` would."""
    return (f"import runpy, sys; sys.argv = {[module, *arguments]!r}; "
            f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)")


def run_command(command: list[str], **_) -> subprocess.CompletedProcess:
    """In the place of `subprocess.run`: a `python -m module arguments`, in a process of its own that has torch."""
    assert command[:2] == [sys.executable, "-m"]
    return run_apart(as_module(*command[2:]))


@contextlib.contextmanager
def started_process(code: str, **environment: str) -> Iterator[tuple[BaseProcess, Path, Path]]:
    """A process that runs Python `code` in this one's environment and folder, and what it has said: stdout, stderr.

    Where it still runs at the end, it is killed.
    """
    # CUDA, once it is looked for, takes no copies
    context = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "forkserver")
    context.set_forkserver_preload(LOADED)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "stdout"), Path(folder, "stderr")
        for file in files:
            file.touch()
        with mock.patch.dict(os.environ, OMP_NUM_THREADS="1", **environment):
            process = context.Process(target=_run, args=(code, dict(os.environ), os.getcwd(), files))
            process.start()
        try:
            yield process, *files
        finally:
            process.kill()
            process.join()


def _run(code: str, environment: dict[str, str], folder: str, files: tuple[Path, Path]) -> None:
    for stream, path in zip((sys.stdout, sys.stderr), files, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    stages.PARENT = os.getppid()  # it was loaded before
    leave_what_is_loaded()
    exec(code, {"__name__": "__main__"})


def ended(process: BaseProcess, stdout: Path, stderr: Path) -> subprocess.CompletedProcess:
    """Wait for its end."""
    process.join(PATIENCE)
    assert process.exitcode is not None, f"still runs after {PATIENCE} s: {stderr.read_text()}"
    return subprocess.CompletedProcess(process.name, process.exitcode, stdout.read_text(), stderr.read_text())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def kill_and_resume(code: str, out: Path) -> None:
    """Run Python `code`, which trains, kill it after its second epoch, and run it again: it must go on from there.

    It must not have written `out` before it was killed.
    """
    with started_process(code) as (process, stdout, stderr):
        while process.is_alive() and "epoch 2/" not in stdout.read_text():
            time.sleep(0.005)
        process.kill()
        killed = ended(process, stdout, stderr)
    assert killed.returncode == -signal.SIGKILL and not out.exists(), killed.stderr
    resumed = run_apart(code)
    assert resumed.returncode == 0, resumed.stderr
    assert "continuing after epoch" in resumed.stdout and "epoch 1/" not in resumed.stdout


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
