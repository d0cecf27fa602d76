"""No process outlives the one that started it."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent goes, so that a killed `dvc` leaves no writer behind.

    A stage's worker processes call it too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
