"""A publication's tables, its figures beside those of an ablation's rows: results/<preset>/tables.md and .csv.

What an ablation's list names as `published:` is a CSV file, one line per figure, with the columns
    table, caption, line   the figure's place in the publication
    published              in per cent; empty where it gives none
    row                    label of the ablation's row; the columns after it say which figure of it
    model, label_set, metric, wnid   with a wnid, hit@1 of that class alone
"""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.ablation_list import column_fault, model_fault
from tools.kept_tables import write_table
from tools.runs import Run
from zeroshot.console.errors import InputError
from zeroshot.evaluation.classes import wilson_interval
from zeroshot.evaluation.metrics import KS
from zeroshot.evaluation.model_names import display_name
from zeroshot.report.markdown import aligned
from zeroshot.taxonomy import WNID

COLUMNS = ["table", "caption", "line", "published", "row", "model", "label_set", "metric", "wnid"]
METRICS = tuple(f"{kind}@{k}" for kind in ("hit", "hp", "macro_hit") for k in KS)  # of metrics/, beside HARMONIC
Figure = Callable[[str, str, str, str], float | None]  # commit, model, label set, metric -> fraction


@dataclass(frozen=True)
class Line:
    """A figure of the publication, in per cent, and where ours is found."""

    table: str
    caption: str
    line: str
    published: float | None
    row: str
    model: str
    label_set: str
    metric: str
    wnid: str


def read_published(path: Path, rows: Sequence[str]) -> list[Line]:
    """Raises InputError: missing, other columns, a figure that is none or no number, a row that the ablation lacks."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != COLUMNS:
                raise InputError(f"{path}: columns {', '.join(reader.fieldnames or ['none'])}; expected "
                                 f"{', '.join(COLUMNS)}")
            return [_line(path, number, given, rows) for number, given in enumerate(reader, 2)]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a publication's figures") from None


def _line(path: Path, number: int, given: dict[str, str], rows: Sequence[str]) -> Line:
    if None in given or None in given.values():
        raise InputError(f"{path}: line {number} has not {len(COLUMNS)} columns")
    if given["row"] not in rows:
        raise InputError(f"{path}: line {number}: the ablation has no row `{given['row']}`; it has "
                         f"`{'`, `'.join(rows)}`")
    if fault := _fault(given):
        raise InputError(f"{path}: line {number}: {fault}")
    return Line(**{**given, "published": float(given["published"]) if given["published"] else None})


def _fault(given: Mapping[str, str]) -> str:
    """What is wrong with a line's figure; "" if nothing. Whether the runs have its class, they tell."""
    if given["published"] and not _is_number(given["published"]):
        return f"`published` is {given['published']}; expected a number or nothing"
    if given["wnid"] and not WNID.fullmatch(given["wnid"]):
        return f"`wnid` is {given['wnid']}; expected n and eight digits, or nothing"
    if given["wnid"] and given["metric"] != "hit@1":
        return f"`metric` is {given['metric']}; expected hit@1, which is what a class has"
    return model_fault(given["model"]) or column_fault(f"{given['label_set']} {given['metric']}", METRICS)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def write_published(path: Path, head: str, lines: Sequence[Line], commits: Mapping[str, Sequence[str]],
                    figure: Figure, root: Path) -> Path:
    """Write the Markdown file, and the CSV beside it; returns the former.

    Args:
        path: their folder.
        head: what stands above them, in Markdown.
        commits: row's label -> commits of its runs, one a seed; none for a row that has not run.
    """
    cells = [_ours(line, commits.get(line.row, ()), figure, root) for line in lines]
    write_table(path / "tables.md", as_markdown(head, lines, cells), as_csv(lines, cells), root)
    return path / "tables.md"


Cell = tuple[float, float | None, float | None]  # a fraction, and its 95 % interval, where there is one


def _ours(line: Line, commits: Sequence[str], figure: Figure, root: Path) -> Cell | None:
    found = [_of_class(commit, line, root) if line.wnid else _of_set(commit, line, figure) for commit in commits]
    there = [cell for cell in found if cell is not None]
    if not there:
        return None
    if len(there) == 1:
        return there[0]
    return float(np.mean([value for value, _, _ in there])), None, None


def _of_set(commit: str, line: Line, figure: Figure) -> Cell | None:
    value, low, high = (figure(commit, line.model, line.label_set, f"{line.metric}{end}")
                        for end in ("", "_low", "_high"))
    return None if value is None else (value, low, high)


def _of_class(commit: str, line: Line, root: Path) -> Cell | None:
    """From the run's rankings; None where they are out of reach."""
    try:
        ranked = Run.at(commit, root).rankings(line.model)
        true, rank = ranked[f"{line.label_set}/true"], ranked[f"{line.label_set}/rank"]
    except InputError:
        return None
    if line.wnid not in ranked.wnids:
        print(f"table {line.table}, {line.line}: {line.wnid} is no label of the run of row `{line.row}`", flush=True)
        return None
    own = rank[true == ranked.wnids.index(line.wnid)]
    return ((own == 1).mean(), *wilson_interval(int((own == 1).sum()), len(own))) if len(own) else None


def as_markdown(head: str, lines: Sequence[Line], cells: Sequence[Cell | None]) -> str:
    """One section per table; figures in per cent."""
    text = [head, "", "Per cent; ours with its 95 % interval over the test images. A dash: not published, or not run."]
    for table in dict.fromkeys(line.table for line in lines):
        own = [(line, cell) for line, cell in zip(lines, cells, strict=True) if line.table == table]
        rows = [["", "published", "ours", "row, model, figure"]]
        for line, cell in own:
            of_class = f" of {line.wnid}" if line.wnid else ""
            published = "–" if line.published is None else f"{line.published:g}"
            rows.append([line.line, published, _shown(cell),
                         f"{line.row}, {display_name(line.model)}, {line.label_set} {line.metric}{of_class}"])
        text += ["", f"## Table {table}. {own[0][0].caption}", "", *aligned(rows)]
    return "\n".join(text) + "\n"


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    value, low, high = cell
    return f"{100 * value:.1f}" + ("" if low is None else f" ({100 * low:.1f} to {100 * high:.1f})")


def as_csv(lines: Sequence[Line], cells: Sequence[Cell | None]) -> str:
    """All of the published file, and ours in per cent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "ours", "low", "high"])
    for line, cell in zip(lines, cells, strict=True):
        ours = [None if value is None else round(100 * value, 3) for value in cell or (None, None, None)]
        writer.writerow([*(getattr(line, column) for column in COLUMNS), *ours])
    return text.getvalue()
