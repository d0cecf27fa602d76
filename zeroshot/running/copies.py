"""The copies that `dvc exp run --temp` and `--queue` run in: what git tracks and what stages made is there.

Data that git ignores is not, under a relative path; so whoever misses it there says what to do.
"""

from collections.abc import Iterable
from pathlib import Path

HINT = ("this run is in a copy of the project (`dvc exp run --temp` or `--queue`), which lacks what git does not "
        "track; give absolute paths in params.yaml")


def in_copy() -> bool:
    """Whether this process runs in such a copy."""
    return "/.dvc/tmp/exps/" in f"{Path.cwd().as_posix()}/"


def hint_for(message: str, settings: Iterable[str]) -> str:
    """What to add to an error that names one of these `settings`, relative paths of the user's, in such a copy."""
    named = any(path in message and not Path(path).is_absolute() for path in settings)
    return f"; {HINT}" if named and in_copy() else ""
