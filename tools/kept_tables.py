"""Tables in results/ that a later run replaces, Markdown and CSV: what the older ones alone have does not get lost."""

import csv
import io
import itertools
import shlex
import shutil
from pathlib import Path

from tools.ablation_settings import git
from zeroshot.base.files import atomic_write


def write_table(path: Path, markdown: str, text: str, root: Path) -> None:
    """Write the Markdown file and the CSV beside it; say what the ones in place had and these lack, and where it is.

    Args:
        path: of the Markdown file.
        text: the CSV; `row` is the row's label, `value` or `ours` a figure, `seeds`, if there, of how many runs.
        root: of git's repository, in which the files may or may not be.
    """
    pair = {path: markdown, path.with_suffix(".csv"): text}
    if lost := _lost(path.with_suffix(".csv"), text):
        print(f"{path.relative_to(root)}: the one before had more of {'; '.join(lost)}; {_saved(list(pair), root)}",
              flush=True)
    for file, content in pair.items():
        with atomic_write(file) as out:
            out.write(content)


def _lost(path: Path, text: str) -> list[str]:
    """Rows of which the CSV file in place has figures, or more seeds', that `text` has not; [] where there is none."""
    try:
        before = _held(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return []
    here = _held(text)
    return [row for row, seeds in before.items() if here.get(row, 0) < seeds]


def _held(text: str) -> dict[str, int]:
    """Row -> of how many seeds it has figures."""
    told = [line for line in csv.DictReader(io.StringIO(text)) if line.get("value") or line.get("ours")]
    return {line.get("row") or "": int(line["seeds"]) if (line.get("seeds") or "").isdecimal() else 1 for line in told}


def _saved(files: list[Path], root: Path) -> str:
    """Where the older files are: in the last commit, else copied beside themselves."""
    names = [str(file.relative_to(root)) for file in files]
    if not git(root, "status", "--porcelain", "--ignored", "--", *names):
        return f"`git checkout {' '.join(map(shlex.quote, names))}` brings it back"
    there = [file for file in files if file.exists()]
    copies = [_free(file) for file in there]
    for file, copy in zip(there, copies, strict=True):
        shutil.copyfile(file, copy)
    return f"it is kept as {' and '.join(copy.name for copy in copies)}"


def _free(path: Path) -> Path:
    """A name beside it that no file has: x.md.before, x.md.before2 ..."""
    names = (path.with_name(f"{path.name}.before{number}") for number in itertools.chain([""], itertools.count(2)))
    return next(name for name in names if not name.exists())
