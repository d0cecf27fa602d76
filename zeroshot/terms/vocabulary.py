"""Terms and how often they occur, as a file: `term <tab> count` a line, most frequent first."""

from collections.abc import Mapping
from pathlib import Path

from zeroshot.base.files import atomic_write
from zeroshot.console.errors import InputError


def write_counts(path: Path, counts: Mapping[str, int]) -> None:
    """Write `term <tab> count` lines in the order of `counts`."""
    with atomic_write(path) as file:
        file.writelines(f"{term}\t{count}\n" for term, count in counts.items())


def read_counts(path: Path) -> dict[str, int]:
    """Read what write_counts wrote: term -> count, in the file's order.

    Raises:
        InputError: missing, empty, or a line that is no `term <tab> count`, or a term twice; names the line.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro` makes it")
    counts: dict[str, int] = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            term, _, count = line.rstrip("\n").partition("\t")
            if not term or not count.isdecimal():
                raise InputError(f"{path}: line {number} is {line[:60]!r}; expected: term <tab> count")
            if term in counts:
                raise InputError(f"{path}: line {number}: term {term!r} stands twice")
            counts[term] = int(count)
    if not counts:
        raise InputError(f"{path}: no term in it")
    return counts
