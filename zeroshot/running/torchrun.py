"""torchrun, with less to say where a process fails: `python -m zeroshot.running.torchrun -m stages.<name> ...`."""

import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main() -> NoReturn:
    """Be torchrun, and end without its log lines and traceback: they say less than the process that failed."""
    said = ("Sending process %s closing signal", "failed (exitcode: %s)")
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").addFilter(
        lambda record: not str(record.msg).startswith(said))
    try:
        run.main()
    except ChildFailedError as error:
        sys.exit(_first_end(error.name.removeprefix("stages."), error.failures))
    sys.exit()


def _first_end(name: str, ends: Mapping[int, Any]) -> str | int:
    """A line about the process of this machine that ended first; 1 where that is rank 0, which said what was wrong."""
    rank, end = min(ends.items(), key=lambda item: (item[1].exitcode == -signal.SIGTERM, item[1].timestamp))
    if rank == 0 and end.exitcode == 1:
        return 1
    how = f"with exit status {end.exitcode}" if end.exitcode >= 0 else f"by {end.signal_name()}"
    why = " (did the memory run out?)" if end.exitcode == -signal.SIGKILL else ""
    return f"{name}: process {rank} ended first, {how}{why}; torchrun ended the others of {os.uname().nodename}"


if __name__ == "__main__":
    main()
