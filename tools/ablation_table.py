"""Runs beside a first one, as a table: figures, differences with paired intervals, and a line that says what they say.

Figures are those in metrics/<model>/<label set>.json of each run's commit. Intervals of differences: tools/paired.py.
Over several seeds, figures and differences are means. Of their difference two things are uncertain: which classes and
images were tested (half the interval of one pair of runs, the seeds' mean: seeds are tested on the same images, so
more of them do not narrow it) and which seeds were drawn (Student's t of the seeds' differences, S - 1 degrees of
freedom). The two are independent, and their halves add as squares.
"""

import csv
import functools
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from tools.ablation_settings import git
from tools.differences import HARMONIC, Difference, differences
from tools.runs import Run
from zeroshot.console.errors import InputError
from zeroshot.evaluation.model_names import display_name
from zeroshot.report.markdown import aligned

KEY = {HARMONIC: "gzsl_harmonic"}  # in metrics/, where it is another than here
METHOD = ("Figures in per cent, hp@5 as a fraction; then the difference from the first row ± half its 95 % interval, * "
          "where that excludes 0. Intervals: paired bootstrap by class, Student's t (docs/compare.md)")
OF_SEEDS = ("; over seeds, means, and the interval covers both which images were tested and which seeds were drawn "
            "(docs/ablations.md)")
OF_ONE_SEED = "; what another seed would shift, one seed cannot tell"
SMALL = 1e-12


@dataclass(frozen=True)
class Cell:
    """One figure of one row: its value, and its difference from the first row's, None where there is none."""

    value: float | None
    difference: float | None = None
    half: float | None = None

    @property
    def marked(self) -> bool:
        return self.half is not None and abs(self.difference) > self.half + SMALL


@dataclass
class Row:
    """Runs of one row: seed (None: the settings' own) -> commit.

    Attributes:
        failed: why runs are missing, "" if none are.
        cells: model -> label set and metric -> cell; a model that did as in the first row is not there.
        same: models whose answers are the first row's, image by image.
    """

    label: str
    change: str
    commits: dict[int | None, str]
    seconds: float | None = None
    failed: str = ""
    cells: dict[str, dict[tuple[str, str], Cell]] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def over_seeds(changes: Sequence[float], halves: Sequence[float | None]) -> tuple[float, float | None]:
    """Mean difference, and half its 95 % interval.

    Args:
        changes: difference of two runs, for each seed.
        halves: half the paired interval of each; None where there is none.
    """
    mean = float(np.mean(changes))
    if any(half is None for half in halves):
        return mean, None
    tested = float(np.mean(halves))
    if len(changes) == 1:
        return mean, tested
    drawn = float(stdtrit(len(changes) - 1, 0.975) * np.std(changes, ddof=1) / np.sqrt(len(changes)))
    return mean, float(np.hypot(tested, drawn))


def fill(rows: Sequence[Row], models: Sequence[str], columns: Sequence[tuple[str, str]], root: Path) -> None:
    """Put every row's cells in; the first row is what the others are compared with."""
    first = rows[0]
    opened: dict[str, Run | InputError] = {}

    def run(commit: str) -> Run | InputError:
        if commit not in opened:
            try:
                opened[commit] = Run.at(commit, root)
            except InputError as error:
                opened[commit] = error
        return opened[commit]

    for row in rows:
        paired = [(run(first.commits[seed]), run(commit)) for seed, commit in row.commits.items()
                  if row is not first and seed in first.commits]
        row.same = [model for model in models if paired and all(_same(*pair, model) for pair in paired)]
        other = [model for model in models if model not in row.same]
        intervals = _intervals(paired, other, columns, row)
        for model in other:
            if found := _cells(row, first, model, columns, intervals.get(model, {}), root):
                row.cells[model] = found
        if 0 < len(row.commits) < len(first.commits):
            row.notes.append(f"`{row.label}` has {len(row.commits)} of {len(first.commits)} seeds")
        for commit in row.commits.values():  # rankings are not wanted again
            if row is not first:
                opened.pop(commit, None)
    measured = {model for row in rows for model in (*row.cells, *row.same)}
    for row in rows:  # else a reader would take such a model for one that did as in the first row
        if lacking := [display_name(model) for model in models if row.commits and model in measured
                       and model not in (*row.cells, *row.same)]:
            row.notes.append(f"`{row.label}` has no {', no '.join(lacking)}")


def _intervals(paired: Sequence[tuple[Any, Any]], models: Sequence[str], columns: Sequence[tuple[str, str]], row: Row
               ) -> dict[str, dict[tuple[str, str], list[float | None]]]:
    """Halves of the paired intervals, one a seed: model -> figure -> halves."""
    halves: dict[str, dict[tuple[str, str], list[float | None]]] = {}
    label_sets = list(dict.fromkeys(label_set for label_set, _ in columns))
    for before, after in paired:
        if not (isinstance(before, Run) and isinstance(after, Run)):
            row.notes.append(f"`{row.label}` has no intervals: {before if isinstance(after, Run) else after}")
            return {}
        ranked = [model for model in models if model in before.models and model in after.models]
        gone = [run.missing(model) for model in ranked for run in (before, after) if not run.has(model)]
        row.notes += gone[:1]
        shown = [model for model in ranked if before.has(model) and after.has(model)]
        for found in _differences(before, after, shown, label_sets, row):
            half = None if found.low is None else (found.high - found.low) / 2
            row.notes += [f"`{row.label}` is not paired with the first row, the two are taken as independent: "
                          f"{found.unpaired} in {found.label_set}"] if found.unpaired else []
            halves.setdefault(found.model, {}).setdefault((found.label_set, found.metric), []).append(half)
    return halves


def _differences(before: Run, after: Run, models: Sequence[str], label_sets: Sequence[str], row: Row
                 ) -> list[Difference]:
    """In those label sets that both runs have; what is out of reach gets a note and is no reason to lose the table."""
    try:
        both = [name for name in label_sets if models and name in before.label_sets and name in after.label_sets]
        return differences(before, after, models, both) if both else []
    except InputError as error:
        row.notes.append(f"`{row.label}` has no intervals: {error}")
        return []


def _same(before: Any, after: Any, model: str) -> bool:
    both = isinstance(before, Run) and isinstance(after, Run) and model in before.models and model in after.models
    return both and before.models[model][1] == after.models[model][1]


def _cells(row: Row, first: Row, model: str, columns: Sequence[tuple[str, str]],
           halves: Mapping[tuple[str, str], Sequence[float | None]], root: Path) -> dict[tuple[str, str], Cell]:
    cells = {}
    for column in columns:
        here, there = ({seed: value for seed, commit in of.commits.items()
                        if (value := figure(root, commit, model, *column)) is not None} for of in (row, first))
        both = [seed for seed in here if seed in there]
        if here and (row is first or not both):
            cells[column] = Cell(float(np.mean(list(here.values()))))
        elif here:
            wanted = list(halves.get(column, ()))
            change, half = over_seeds([here[seed] - there[seed] for seed in both],
                                      wanted if len(wanted) == len(both) else [None] * len(both))
            cells[column] = Cell(float(np.mean([here[seed] for seed in both])), change, half)
    return cells


def figure(root: Path, commit: str, model: str, label_set: str, metric: str) -> float | None:
    """From metrics/<model>/<label set>.json at a commit; None if that is not there."""
    return _metrics(root, commit, model, label_set).get(KEY.get(metric, metric))


@functools.lru_cache(10000)  # a commit does not change
def _metrics(root: Path, commit: str, model: str, label_set: str) -> dict[str, float]:
    try:
        return json.loads(git(root, "show", f"{commit}:metrics/{model}/{label_set}.json"))
    except InputError:
        return {}


def as_markdown(rows: Sequence[Row], columns: Sequence[tuple[str, str]]) -> str:
    """The table, its method, and each row's settings with a verdict; rows that did not run are named at the end."""
    table = [["row", "model", *(f"{label_set} {metric.replace('_', ' ')}" for label_set, metric in columns), "time"]]
    ran = [row for row in rows if row.commits or row.failed]
    for row in ran:
        table += _lines(row, columns)
    seeds = OF_SEEDS if any(len(row.commits) > 1 for row in rows) else OF_ONE_SEED
    notes = [f"- {note}" for note in dict.fromkeys(note for row in rows for note in row.notes)]
    verdicts = [f"- **{row.label}**{f' (`{row.change}`)' if row.change else ''}: "
                f"{verdict(row) if row is not rows[0] else 'what the others are compared with'}"
                for row in ran if row is not rows[0] or row.change]
    waiting = "; ".join(row.label for row in rows if row not in ran)
    return "\n".join([*aligned(table, figures_from=2), "",
                      f"{METHOD}{seeds}. A model that answers every image as in the first row is left out.",
                      *([""] if notes else []), *notes,
                      *(["", "What the intervals say:", "", *verdicts] if verdicts else []),
                      *(["", f"Not run: {waiting}."] if waiting else [])]) + "\n"


def _lines(row: Row, columns: Sequence[tuple[str, str]]) -> Iterator[list[str]]:
    time = "" if row.seconds is None else f"{int(row.seconds) // 60}:{int(row.seconds) % 60:02d}"
    cells = row.cells or {"": {}}
    for at, (model, figures) in enumerate(cells.items()):
        shown = [_shown(figures.get(column), column[1]) for column in columns]
        what = display_name(model) if model else _instead(row)
        yield [row.label.replace("|", "\\|") if at == 0 else "", what, *shown, time if at == 0 else ""]


def _instead(row: Row) -> str:
    """What stands in place of a model where a row has no figures."""
    if not row.commits:
        return verdict(row).partition(":")[0]
    return "as the first row" if row.same else "not measured"


def _shown(cell: Cell | None, metric: str) -> str:
    if cell is None or cell.value is None:
        return "–"
    scale, digits = _scale(metric)
    text = f"{scale * cell.value:.{digits}f}"
    return text if cell.difference is None else f"{text} {_change(cell, metric)}{' *' if cell.marked else ''}"


def _change(cell: Cell, metric: str) -> str:
    scale, digits = _scale(metric)
    change = f"{scale * cell.difference:+.{digits}f}"
    half = "–" if cell.half is None else f"{scale * cell.half:.{digits}f}"
    return f"{change if float(change) else f'{0:.{digits}f}'} ±{half}"


def _scale(metric: str) -> tuple[int, int]:
    return (1, 3) if metric.startswith("hp") else (100, 1)


def verdict(row: Row) -> str:
    """One line: what is better and worse than in the first row, by more than the intervals allow for."""
    if not row.commits:
        return f"failed: {row.failed}" if row.failed else "not run"
    cells = [(model, column, cell) for model, figures in row.cells.items() for column, cell in figures.items()
             if cell.difference is not None]
    parts = [f"{word} {_told([found for found in cells if found[2].marked and (found[2].difference > 0) == up])}"
             for word, up in (("better:", True), ("worse:", False))]
    parts = [part for part in parts if not part.endswith(": ")]
    judged = sum(cell.half is not None for _, _, cell in cells)
    if not cells:
        parts = ["nothing changed: every answer is the first row's" if row.same else "no figure in common"]
    elif not judged:
        parts = ["differences without intervals, so no verdict"]
    elif not parts:
        parts = [f"no difference that its interval tells from 0 ({judged} figures)"]
    return "; ".join(parts) + (f" (failed in part: {row.failed})" if row.failed else "")


def _told(found: Sequence[tuple[str, tuple[str, str], Cell]]) -> str:
    """DeViSE unseen hit@1 +0.8 ±0.5, hit@5 +2.3 ±1.1; a model and a label set are named once."""
    told, last = [], ("", "")
    for model, (label_set, metric), cell in found:
        model_name = f"{display_name(model)} " if model != last[0] else ""
        set_name = f"{label_set} " if (model, label_set) != last else ""
        told.append(f"{model_name}{set_name}{metric.replace('_', ' ')} {_change(cell, metric)}")
        last = model, label_set
    return ", ".join(told)


def as_csv(rows: Sequence[Row], columns: Sequence[tuple[str, str]]) -> str:
    """One line per row, model and figure: fractions and full digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "change", "model", "label_set", "metric", "value", "difference", "low", "high",
                     "excludes_0", "seeds", "seconds", "commits"])
    for row in rows:
        about = [len(row.commits), row.seconds, " ".join(row.commits.values())]
        for model, figures in row.cells.items():
            for label_set, metric in columns:
                if cell := figures.get((label_set, metric)):
                    ends = [None, None] if cell.half is None else [cell.difference - cell.half,
                                                                   cell.difference + cell.half]
                    writer.writerow([row.label, row.change, model, label_set, metric, cell.value, cell.difference,
                                     *ends, None if cell.half is None else cell.marked, *about])
    return text.getvalue()
