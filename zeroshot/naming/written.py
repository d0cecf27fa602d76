"""Files that a user asks for: a place that cannot be written to is told before anything is computed, in one line."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from zeroshot.console.errors import InputError


def check_place(option: str, path: Path) -> None:
    """Raise InputError if no file can be written there.

    Args:
        option: of the command line, by which the path was given.
    """
    if path.is_dir():
        raise InputError(f"{option} {path}: is a folder; expected a file's name")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    with told(option, path), tempfile.TemporaryFile(dir=above):
        pass


@contextlib.contextmanager
def told(option: str, path: Path) -> Iterator[None]:
    """Within, a file that cannot be written is an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written there ({error.strerror or error}); give another path"
                         ) from None
