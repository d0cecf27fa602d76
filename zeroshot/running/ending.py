"""The end of a program that has said all that it has to say.

Taking torch apart object by object takes Python a fifth as long as importing it. What matters is done before: threads
are waited for, all that asked to be called at the end is called (worker processes are ended, temporary files removed),
and the output is written out. Import this before anything else: who asked first is called last.
"""

import atexit
import os
import sys
from typing import NoReturn

_done: list[int] = []  # the exit status, once the program has come to its end


def end(status: int) -> NoReturn:
    """Exit, without taking everything apart."""
    _done.append(status)
    sys.exit(status)


@atexit.register
def _end_at_once() -> None:
    if not _done or sys.gettrace() or sys.getprofile():  # these may have been there first, and want to write as well
        return
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):  # there is none where the shell closed it
            stream.flush()
    except (OSError, ValueError):
        return  # Python says so
    os._exit(_done[0])
