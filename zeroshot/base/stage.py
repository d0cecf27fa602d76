"""How every stage starts: settings from params.yaml, paths from dvc.yaml's command line, and nothing else."""

import argparse
import contextlib
import ctypes
import errno
import inspect
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from zeroshot.base.errors import InputError
from zeroshot.base.params import load_params
from zeroshot.base.scratch import scratch_root

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
    arguments = inspect.signature(main).parameters
    flags = [argument for argument in arguments.values() if argument.name != "params"]
    parser = argparse.ArgumentParser(prog=f"python -m stages.{name}", description=sys.modules[main.__module__].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in flags:
        optional = flag.default is not inspect.Parameter.empty
        kind = str if flag.annotation is str else Path
        parser.add_argument("--" + flag.name.replace("_", "-"), type=kind, required=not optional,
                            default=flag.default if optional else None, metavar=flag.name.upper())
    paths = vars(parser.parse_args())
    joined = shared and "RANK" in os.environ  # torchrun started this process, and others with it
    if not joined:
        if check_all_params and (fault := subprocess.run([sys.executable, "-m", "tools.check_params"]).returncode):
            sys.exit(fault)
        if shared and ("PET_NPROC_PER_NODE" in os.environ or "PET_NNODES" in os.environ):
            launch(f"stages.{name}", sys.argv[1:])
    try:
        with _process_group() if joined else contextlib.nullcontext():
            settings = {"params": load_params(name, arguments["params"].annotation)} if "params" in arguments else {}
            main(**settings, **paths)
    except InputError as error:
        sys.exit(f"{name}: {error}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(f"{name}: {error}: a disk is full, this folder's or that of the checkpoints ({scratch_root()}; "
                 "ZEROSHOT_SCRATCH names another place); free some space, then `dvc repro`: nothing half written is "
                 "left, and training goes on from its last checkpoint")


def launch(module: str, arguments: list[str]) -> NoReturn:
    """Become the torchrun that starts `module` as several processes; its variables PET_* say how many, and where.

    On several nodes (PET_NNODES) the same command must run on each: the words of ZEROSHOT_LAUNCH are put before it,
    such as `srun --ntasks-per-node=1`.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun's own default, without its warning; params set `threads`
    command = [*shlex.split(os.environ.get("ZEROSHOT_LAUNCH", "")), sys.executable, "-m", "torch.distributed.run",
               "-m", module, *arguments]
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
