"""How a command ends: what its user can mend is one line; an output that nobody takes any more is no fault."""

import errno
import os
import sys
from collections.abc import Callable

from zeroshot.console.errors import InputError

INTERRUPTED = 130  # as shells have it


def ended(name: str, command: Callable[[], int | None]) -> int:
    """Run a command; returns its exit status: its own (None: 0), or 1 for what the user can mend.

    Args:
        name: what the line on standard error begins with.
    """
    try:
        status = command()
        if sys.stdout is not None:  # as it is where a shell closed it
            sys.stdout.flush()
        return status or 0
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the answers has enough
        _forget_output()
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"{name}: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        _forget_output()
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _forget_output() -> None:
    """Else Python would try once more at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
