"""One file per DVC stage, named as in dvc.yaml. Run one by hand with `python -m stages.<name> --help`."""

import os
import sys
from collections.abc import Callable

import zeroshot.base.processor  # noqa: F401  before a stage loads numpy or torch
import zeroshot.running.collecting  # noqa: F401
import zeroshot.running.freed_memory  # noqa: F401
import zeroshot.running.quick_torch  # noqa: F401
import zeroshot.running.spinning  # noqa: F401
from zeroshot.running.ending import end

PARENT = os.getppid()  # asked before a stage's slow imports, in which the parent may be killed
CHECK_PARAMS = [sys.executable, "-m", "tools.check_params"]


def run_stage(main: Callable[..., None], *, check_all_params: bool = False, shared: bool = False) -> None:
    """Run a stage's `main` as a program; see zeroshot.running.stage.

    Args:
        check_all_params: for the long stages that others wait for: have the other stages' sections checked too, so that
            a slip there is told now and not after hours; in a process of its own, since this one loads no other stage's
            code.
        shared: several processes can share the stage's work.
    """
    from zeroshot.running import stage

    stage.run_stage(main, parent=PARENT, check_first=CHECK_PARAMS if check_all_params else (), shared=shared)
    if main.__module__ == "__main__":  # a program, not another's function call
        end(0)
