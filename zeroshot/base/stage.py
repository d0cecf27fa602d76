"""How every stage starts: settings from params.yaml, paths from dvc.yaml's command line, and nothing else."""

import argparse
import contextlib
import ctypes
import errno
import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from zeroshot.base.errors import InputError
from zeroshot.base.params import StageParams, load_params

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def run_stage(main: Callable[..., None], *, check_all_params: bool = False, shared: bool = False) -> None:
    """Call `main(params, *, flag: Path | str, ...)` as a program and exit.

    `params`, where main takes it, is the section of params.yaml named like main's file, checked by the
    class that annotates it; each other argument becomes a `--flag` (underscores as dashes).
    A flag with a default may be left out.

    `check_all_params`, for the long stages that others wait for: have the other stages' sections checked too, so that
    a slip there is told now and not after hours; in a process of its own, since this one loads no other stage's code.

    `shared`: several processes can share the stage's work; `launch` tells how they are started.
    """
    die_with_parent()
    if "stages" in sys.modules and os.getppid() != sys.modules["stages"].PARENT:
        sys.exit("the process that started this stage is gone; so is the stage")
    name = Path(inspect.getfile(main)).stem
    paths = _parse_flags(main, name)
    joined = shared and "RANK" in os.environ  # torchrun started this process, and others with it
    if not joined:
        if check_all_params and (fault := subprocess.run([sys.executable, "-m", "tools.check_params"]).returncode):
            sys.exit(fault)
        if shared and ("PET_NPROC_PER_NODE" in os.environ or "PET_NNODES" in os.environ):
            launch(f"stages.{name}", sys.argv[1:])
    params = inspect.signature(main).parameters.get("params")
    try:
        with _process_group() if joined else contextlib.nullcontext():
            settings = {"params": _load(name, params.annotation, joined)} if params else {}
            main(**settings, **paths)
    except Exception as error:
        if (message := _for_the_user(error, name, params.annotation if params else StageParams)) is None:
            raise
        sys.exit(f"{name}: {message}")


def _parse_flags(main: Callable[..., None], name: str) -> dict[str, Path | str]:
    parser = argparse.ArgumentParser(prog=f"python -m stages.{name}", description=sys.modules[main.__module__].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in inspect.signature(main).parameters.values():
        if flag.name != "params":
            optional = flag.default is not inspect.Parameter.empty
            kind = str if flag.annotation is str else Path
            parser.add_argument("--" + flag.name.replace("_", "-"), type=kind, required=not optional,
                                default=flag.default if optional else None, metavar=flag.name.upper())
    return vars(parser.parse_args())


def _load(name: str, params: type[StageParams], joined: bool) -> StageParams:
    if not joined:
        return load_params(name, params)
    from zeroshot.base.processes import load_together

    return load_together(lambda: load_params(name, params))


def _for_the_user(error: Exception, name: str, params: type[StageParams]) -> str | None:
    """What to say of an error that the user can mend; None for a bug of ours, whose traceback is wanted."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (f"{error}: a disk is full, this folder's or that of the checkpoints (~/.cache/zeroshot; "
                "ZEROSHOT_SCRATCH names another place); free some space, then `dvc repro`: nothing half written is "
                "left, and training goes on from its last checkpoint")
    return _of_torch(error, name, params) if isinstance(error, RuntimeError) else None


def _of_torch(error: RuntimeError, name: str, params: type[StageParams]) -> str | None:
    """What to say of torch's errors for which a setting is the remedy."""
    text, torch = str(error).partition("\n")[0], sys.modules.get("torch")  # not loaded for this: many do without
    if isinstance(error, getattr(torch, "OutOfMemoryError", ())) or "CUDA error: out of memory" in text:
        short = ". ".join(text.split(". ")[:3]).rstrip(".")  # what was asked for, and what there is
        lower = f"lower `{name}.batch` in params.yaml, or " if "batch" in params.model_fields else ""
        return f"{short}; {lower}end what else uses this GPU (`nvidia-smi` lists it)"
    operation = re.search(r"(\S+) does not have a deterministic implementation", text)
    if operation and "deterministic" in params.model_fields:
        return (f"torch has no deterministic implementation of {operation[1]} on this device; set "
                f"`{name}.deterministic: false` in params.yaml (then no two runs have quite the same bits)")
    return None


def launch(module: str, arguments: list[str]) -> NoReturn:
    """Become the torchrun that starts `module` as several processes; its variables PET_* say how many, and where.

    On several nodes (PET_NNODES) the same command must run on each: the words of ZEROSHOT_LAUNCH are put before it,
    such as `srun --ntasks-per-node=1`.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun's own default, without its warning; params set `threads`
    launcher = shlex.split(os.environ.get("ZEROSHOT_LAUNCH", ""))
    nodes = os.environ.get("PET_NNODES", "1").partition(":")[0]  # of "2:4", which torchrun allows, it waits for 2
    if not launcher and nodes.isdigit() and int(nodes) > 1:
        there = shlex.join(["python", "-m", module, *arguments])
        print(f"{module.removeprefix('stages.')}: waiting for {nodes} nodes (PET_NNODES): on each of the others start "
              f"`{there}` with the same PET_ variables, or have ZEROSHOT_LAUNCH start it on all of them (under Slurm "
              "`srun --ntasks-per-node=1`)", file=sys.stderr, flush=True)
    command = [*launcher, sys.executable, "-m", "zeroshot.base.torchrun", "-m", module, *arguments]
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        sys.exit(f"ZEROSHOT_LAUNCH: there is no program {command[0]!r}")


def _process_group() -> contextlib.AbstractContextManager[None]:
    from zeroshot.base.processes import process_group  # loads torch, which many stages do without

    return process_group()


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent goes, so that a killed `dvc` leaves no writer behind.

    A stage's worker processes call it too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
