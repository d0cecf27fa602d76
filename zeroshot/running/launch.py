"""A stage on several processes: torchrun, which is told by its own variables PET_* how many, and where."""

import os
import shlex
import sys
from typing import NoReturn


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
    command = [*launcher, sys.executable, "-m", "zeroshot.running.torchrun", "-m", module, *arguments]
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        sys.exit(f"ZEROSHOT_LAUNCH: there is no program {command[0]!r}")
