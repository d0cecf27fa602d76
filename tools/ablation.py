"""Change one line, see what it did: `make ablation NAME=... [JOBS=n] [ROWS=...]` runs ablations/NAME.yaml row by row.

A row is `dvc exp run` on the list's preset with the row's overrides, in a clone beside the workspace (tools/bench.py).
A row that ran before with the same settings, code and inputs is not run again, so a killed ablation goes on where it
was; a row that fails is named, and the others run. The table: results/<preset>/ablations/<name>.md and .csv.
docs/ablations.md tells more.
"""

import argparse
import datetime
import importlib.metadata
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tools import ablation_settings as settings
from tools.ablation_list import MODELS, Ablation, Row, read_ablation
from tools.ablation_table import Row as TableRow
from tools.ablation_table import as_csv, as_markdown, fill
from tools.ablation_table import figure as figure_of
from tools.bench import Benches, Found, Job, experiments, why_it_failed
from tools.keep_results import VERSIONS, hardware
from tools.kept_tables import write_table
from tools.published_tables import Line, read_published, write_published
from tools.stage_deps import PROJECT
from tools.wrapping import wrapped
from zeroshot.console.errors import InputError

WORK = Path(".dvc/tmp/ablations")  # DVC and git ignore it
PATIENCE = 5  # seconds for a killed ablation to end


@dataclass(frozen=True)
class Planned:
    """One run of one row.

    Attributes:
        name: of its experiment.
        params: what its params.yaml holds.
        preset: the params.yaml that `overrides` apply to.
    """

    row: Row
    seed: int | None
    name: str
    label: str
    params: dict[str, Any]
    preset: bytes
    overrides: tuple[str, ...]

    def job(self, ablation: str, machine: Mapping[str, str]) -> Job:
        about = {"ablation": ablation, "row": self.row.label, "seed": self.seed, **machine}
        return Job(self.name, self.label, settings.with_overrides(self.preset, self.overrides), about)


def main(name: str, jobs: str = "1", rows: str = "*", root: Path = PROJECT) -> int:
    """Run what is missing, write the tables; the number of runs that failed.

    Args:
        rows: a pattern of row labels; others are not run this time, but stand in the tables if they ran before.

    Raises:
        InputError: anything that is wrong before a row runs.
    """
    if not re.fullmatch(r"[1-9]\d?", jobs):
        raise InputError(f"JOBS is `{jobs}`; expected how many rows run at a time, 1 to 99")
    ablation = read_ablation(name, root)
    commit = settings.git(root, "rev-parse", "HEAD").strip()
    published = published_of(ablation, root)
    planned = plan(ablation, commit, root)
    wanted = [run for run in planned if fnmatchcase(run.row.label, rows)]
    if not wanted:
        raise InputError(f"ROWS: `{rows}` is no row of ablations/{name}.yaml; it has "
                         f"`{'`, `'.join(row.label for row in ablation.rows)}`; a pattern takes several: `ResNet*`")
    with _alone(root):
        done = experiments(root)
        missing = [run for run in planned if run.name not in done]
        print(f"{len(planned) - len(missing)} of {len(planned)} runs are there already", flush=True)
        missing = [run for run in missing if run in wanted]
        if missing:
            refuse(ablation, missing, commit, root)
        failed = {}
        try:
            run_all(name, missing, commit, int(jobs), root, failed)
        finally:  # Ctrl-C too: what is there can be read
            told = write_done(ablation, planned, failed, published, root)
    print(told)
    return len(failed)


def plan(ablation: Ablation, commit: str, root: Path) -> list[Planned]:
    """Every run, in the order of rows and seeds.

    Raises:
        InputError: an unknown setting, an unclear value, or two rows of the same settings.
    """
    where = f"ablations/{ablation.name}.yaml"
    text, note = settings.preset_text(ablation, root)
    if note:
        print(note, flush=True)
    settings.overridden(text, [*ablation.base, *(f"{key}=0" for key in ablation.seed_keys)], f"{where}, every row")
    planned, seen, bodies = [], {}, settings.pipeline(root)
    for row in ablation.rows:
        for seed in ablation.seeds:
            overrides = ablation.overrides(row, seed)
            params = settings.overridden(text, overrides, f"{where}, row `{row.label}`")
            known = str(sorted((key, _plain(value)) for key, value in settings.values(params).items()))
            if (other := seen.setdefault(known, (row, seed))) != (row, seed):
                raise InputError(f"{where}: rows `{other[0].label}` and `{row.label}` have the same settings; expected "
                                 "rows that differ")
            suffix = "" if seed is None else f"-s{seed}"
            decides = settings.identity(root, commit, bodies, settings.values(params))
            label = f"ablation {ablation.name}: {row.label}{'' if seed is None else f', seed {seed}'}"
            planned.append(Planned(row, seed, f"{ablation.name}-{row.slug}{suffix}-{decides}", label, params, text,
                                   overrides))
    if faults := _never_ranked(ablation, planned):
        raise InputError("\n".join(f"{where}: {fault}" for fault in faults))
    return planned


def _never_ranked(ablation: Ablation, planned: Sequence[Planned]) -> list[str]:
    """Of ConSE's models that the list asks for, those that no row makes, a sentence each; its default it may lack."""
    given = [settings.values(run.params).get("rank_conse.t") for run in planned]
    made = {f"conse-{t}": t for ts in given if isinstance(ts, list) for t in ts}
    asked = [] if ablation.models == MODELS else [model for model in ablation.models if model.startswith("conse-")]
    return [f"figures.models: `{model}`: no row has {model.partition('-')[2]} in `rank_conse.t`; they have "
            f"{', '.join(map(str, made.values())) or 'none'}" for model in asked if model not in made]


def _plain(value: Any) -> Any:
    """1.0 is 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def refuse(ablation: Ablation, missing: Sequence[Planned], commit: str, root: Path) -> None:
    """Raises InputError: what would be noticed only after hours, or would give other figures than one expects."""
    bodies = settings.pipeline(root)
    if dirty := settings.uncommitted(root, bodies, settings.values(missing[0].params)):
        rest = f" and {len(dirty) - 4} more" if len(dirty) > 4 else ""
        raise InputError(f"not committed: {', '.join(dirty[:4])}{rest}; rows run the last commit's code and would not "
                         "see it: `git commit` it, or `git stash --include-untracked` it")
    faults = {}
    for run in missing:
        of = f"ablations/{ablation.name}.yaml, row `{run.row.label}`"
        for fault in [*settings.missing_inputs(root, commit, bodies, settings.values(run.params)),
                      *settings.faults_of(run.params, bodies)]:
            faults.setdefault(fault, f"{of}: {fault}")
    if faults:
        raise InputError("\n".join(faults.values()))


def run_all(ablation: str, missing: Sequence[Planned], commit: str, jobs: int, root: Path,
            failed: dict[str, str]) -> None:
    """Run them, `jobs` at a time; put into `failed` why those failed that did: experiment's name -> reason.

    The first runs alone: what it makes, the others take from the run-cache.
    """
    if not missing:
        return
    machine, benches = about_machine(), Benches(root, root / WORK, commit)

    def run(at: int) -> None:
        job = missing[at].job(ablation, machine)
        if reason := run_told(f"[{at + 1}/{len(missing)}] {job.label}", benches, job, root):
            failed[job.name] = reason

    try:
        run(0)
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(run, range(1, len(missing))))
    finally:
        benches.close()


def run_told(title: str, benches: Benches, job: Job, root: Path) -> str:
    """Run it, say how it goes, return why it failed, "" if it did not."""
    print(f"{title} ...", flush=True)
    log, start = root / WORK / "logs" / f"{job.name}.log", time.monotonic()
    try:
        good = run_row(benches, job, log, lambda stage: print(f"{title}: {stage}", flush=True))
        reason = "" if good else why_it_failed(log)
    except (InputError, OSError) as error:
        reason = " ".join(str(error).split())
    where = f" (all it said: {log.relative_to(root)})" if log.exists() else ""
    print(f"{title} " + (f"FAILED: {reason}{where}" if reason else f"done in {time.monotonic() - start:.0f} s"),
          flush=True)
    return reason


def run_row(benches: Benches, job: Job, log: Path, say: Callable[[str], None]) -> bool:
    """The one place that starts DVC."""
    with benches.one() as bench:
        return bench.run(job, log, say)


def about_machine() -> dict[str, str]:
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in VERSIONS)
    return {"hardware": hardware(), "versions": f"Python {platform.python_version()}, {versions}"}


def write_done(ablation: Ablation, planned: Sequence[Planned], failed: Mapping[str, str], published: Sequence[Line],
               root: Path) -> str:
    """Write every table of the list, if any run is done; what to print of them."""
    done = experiments(root)
    if not any(run.name in done for run in planned):
        return "\nno row is done, so no table is written; one of an earlier commit stays as it is"
    path = write_tables(ablation, planned, done, failed, root)
    files = [*([write_beside(ablation, published, planned, root)] if published else []), path]
    return wrapped("".join("\n" + file.read_text(encoding="utf-8") for file in files)) + (
        f"\nkept in {path.relative_to(root)} and .csv; each row is an experiment: `dvc exp show`, `dvc exp apply "
        "<name>`")


def write_tables(ablation: Ablation, planned: Sequence[Planned], done: Mapping[str, Found], failed: Mapping[str, str],
                 root: Path) -> Path:
    """The Markdown file, and the CSV beside it."""
    rows = [_table_row(row, [run for run in planned if run.row is row], done, failed) for row in ablation.rows]
    fill(rows, ablation.models, ablation.columns, root)
    folder = root / "results" / ablation.preset / "ablations"
    found = [done[run.name] for run in planned if run.name in done]
    text = "\n".join([*_head(ablation, found), "", as_markdown(rows, ablation.columns)])
    path = folder / f"{ablation.name}.md"
    write_table(path, text, as_csv(rows, ablation.columns), root)
    return path


def published_of(ablation: Ablation, root: Path) -> list[Line]:
    """The figures of the publication that the list names; none if it names none."""
    return read_published(root / ablation.published, [row.label for row in ablation.rows]) if ablation.published else []


def write_beside(ablation: Ablation, published: Sequence[Line], planned: Sequence[Planned], root: Path) -> Path:
    """The publication's tables with ours, in results/<preset>."""
    done = experiments(root)
    commits = {row.label: [done[run.name].commit for run in planned if run.row is row and run.name in done]
               for row in ablation.rows}
    file = f"ablations/{ablation.name}.md"
    head = (f"# {ablation.title}: the published tables\n\nOurs: rows of [{file}]({file}), which tells date, hardware "
            "and settings.")
    return write_published(root / "results" / ablation.preset, head, published, commits,
                           lambda *asked: figure_of(root, *asked), root)


def _table_row(row: Row, runs: Sequence[Planned], done: Mapping[str, Found], failed: Mapping[str, str]) -> TableRow:
    found = {run.seed: done[run.name] for run in runs if run.name in done}
    times = [one.seconds for one in found.values() if one.seconds is not None]
    reasons = [failed[run.name] for run in runs if run.name in failed]
    return TableRow(row.label, " ".join(row.overrides), {seed: one.commit for seed, one in found.items()},
                    sum(times) if times else None, reasons[0] if reasons else "")


def _head(ablation: Ablation, found: Sequence[Found]) -> list[str]:
    def told(values: Sequence[str]) -> str:
        return "; ".join(dict.fromkeys(values)) or "none"

    dates = [str(datetime.date.fromtimestamp(one.about["started"])) for one in found if one.about]
    over = (f", seeds {', '.join(map(str, ablation.seeds))} of {', '.join(f'`{key}`' for key in ablation.seed_keys)}"
            if ablation.seed_keys else "")
    every = f", every row with `{' '.join(ablation.base)}`" if ablation.base else ""
    return [f"# {ablation.title}", "",
            f"`make ablation NAME={ablation.name}`: preset {ablation.preset}{every}{over}.", "",
            f"- date: {told(sorted(dates))}; code: commit {told([one.baseline[:7] for one in found])}",
            f"- hardware: {told([one.about['hardware'] for one in found if one.about])}",
            f"- {told([one.about['versions'] for one in found if one.about])}",
            "- time: minutes:seconds of the row, all seeds, given what the rows before it left in DVC's run-cache"]


class _alone:
    """One ablation of a repository at a time."""

    def __init__(self, root: Path):
        self._root = root

    def __enter__(self) -> None:
        (self._root / WORK).mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self._root / WORK / "lock")
        try:
            self._lock.acquire(timeout=PATIENCE)
        except Timeout:
            raise InputError("another `make ablation` runs in this folder; wait for it, or end it: its finished rows "
                             "stay") from None

    def __exit__(self, *_: object) -> None:
        self._lock.release()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make ablation NAME=... JOBS=...", description=__doc__.partition("\n")[0])
    parser.add_argument("name")
    parser.add_argument("--jobs", default="1", metavar="N", help="rows at a time")
    parser.add_argument("--rows", default="*", metavar="PATTERN", help="only rows with such labels")
    asked = parser.parse_args()
    try:
        failures = main(asked.name, asked.jobs, asked.rows)
    except InputError as error:
        sys.exit(f"ablation: {error}")
    except KeyboardInterrupt:
        sys.exit("ablation: stopped; finished rows stay, the same command goes on")
    sys.exit(f"ablation: {failures} run{'s' * (failures > 1)} failed, named above; the same command tries again what "
             "failed" if failures else 0)
