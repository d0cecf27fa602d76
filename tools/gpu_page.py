"""The page of figures that `make check-gpu` writes: Markdown, from what its steps noted."""

import datetime
from collections.abc import Mapping, Sequence
from typing import NamedTuple

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


class Check(NamedTuple):
    """What one check gave.

    Attributes:
        result: one of the three above.
        seen: figures, or why it was not run; of a failure the error's own line.
        tail: last lines of its traceback.
    """

    step: str
    name: str
    result: str
    seconds: float
    seen: str = ""
    tail: Sequence[str] = ()


class Speed(NamedTuple):
    """Images a second of training at a batch size."""

    batch: int
    deterministic: bool
    ours: float
    bare: float


class Findings(NamedTuple):
    """All that is known so far.

    Attributes:
        facts: about the machine and the code, name -> words.
        trained: what the speeds are of.
    """

    facts: Mapping[str, str]
    checks: Sequence[Check]
    speeds: Sequence[Speed]
    trained: str = ""


def page(findings: Findings, advice: Mapping[str, str], *, complete: bool) -> str:
    """The page; `advice`: step -> what to do where one of its checks failed."""
    checks = findings.checks
    count = {result: sum(check.result == result for check in checks) for result in (PASSED, FAILED, NOT_RUN)}
    lines = ["# On a GPU", "", f"- date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
             *(f"- {name}: {words}" for name, words in findings.facts.items()),
             "- checks: " + ", ".join(f"{number} {result}" for result, number in count.items())
             + ("" if complete else "; not complete: it is still running, or was ended"), ""]
    if findings.speeds:
        lines += ["## Training speed", "", *_speed_table(findings), ""]
    lines += ["## Checks", "", "| step | check | result | seconds | seen |", "|---|---|---|---|---|",
              *(f"| {check.step} | {check.name} | {check.result} | {check.seconds:.1f} | {_cell(check.seen)} |"
                for check in checks), ""]
    failed = [check for check in checks if check.result == FAILED]
    if failed:
        lines += ["## What failed", ""]
    for step in dict.fromkeys(check.step for check in failed):
        lines += [f"### {step}", "", f"What to do: {advice.get(step, 'see the traceback.')}", ""]
        for check in failed:
            if check.step == step:
                lines += [f"{check.name}:", "", *(f"    {line}" for line in check.tail or [check.seen]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _speed_table(findings: Findings) -> list[str]:
    """One row per batch size: ours and the bare loop's, with deterministic off and on."""
    found = {(speed.batch, speed.deterministic): speed for speed in findings.speeds}
    rows = []
    for batch in sorted({speed.batch for speed in findings.speeds}):
        cells = []
        for deterministic in (False, True):
            speed = found.get((batch, deterministic))
            cells += [f"{speed.ours:,.0f}", f"{speed.bare:,.0f}"] if speed else ["-", "-"]
        rows.append(f"| {batch} | " + " | ".join(cells) + " |")
    return [f"Images a second, {findings.trained}; the bare loop is torch's on one batch that lies ready on the GPU.",
            "", "| batch | deterministic off | bare loop, off | deterministic on | bare loop, on |",
            "|---|---|---|---|---|", *rows]


def _cell(words: str) -> str:
    """On one line, and no end of the cell."""
    words = " ".join(words.split()).replace("|", "\\|")
    return words if len(words) <= 200 else words[:197] + "..."
