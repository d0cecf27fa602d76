"""`make experiments [REV=...]`: all that `dvc exp` has run from one commit, beside that commit's own run.

The table is that of `make ablation`: figures, differences from the commit's run with paired intervals, a verdict each.
"""

import argparse
import shlex
import sys
from pathlib import Path

from tools.ablation_list import COLUMNS, MODELS, column
from tools.ablation_settings import git, read, values
from tools.ablation_table import Row, as_markdown, fill
from tools.bench import Found, experiments
from tools.preset import shown
from tools.stage_deps import PROJECT
from tools.wrapping import wrapped
from zeroshot.console.ends import ended
from zeroshot.console.errors import InputError

MOST = 5  # settings shown of one experiment


def main(rev: str = "HEAD", root: Path = PROJECT) -> str:
    """The table, as Markdown.

    Raises:
        InputError: no such revision, or no experiment that began there.
    """
    try:
        commit = git(root, "rev-parse", "--verify", f"{rev}^{{commit}}").strip()
    except InputError:
        raise InputError(f"REV is `{rev}`, no commit that git knows; `git log --oneline` shows them") from None
    found = list(experiments(root).values())
    here = [one for one in found if one.baseline == commit]
    elsewhere = list(dict.fromkeys(one.baseline[:7] for one in found if one.baseline != commit))
    others = f"from other commits (`make experiments REV=...`): {', '.join(elsewhere[::-1])}" if elsewhere else ""
    if not here:
        raise InputError(f"no experiment began at {rev} ({commit[:7]}); " + (others or "`dvc exp run -S "
                         "section.key=value` makes one, `make ablation NAME=...` several"))
    rows = [Row(f"commit {commit[:7]}", "", {None: commit}), *(_row(one, commit, root) for one in here)]
    columns = tuple(map(column, COLUMNS))
    fill(rows, MODELS, columns, root)
    return wrapped(as_markdown(rows, columns) + (f"\nExperiments {others}\n" if others else ""))


def _row(one: Found, baseline: str, root: Path) -> Row:
    return Row(one.name, _changes(one.commit, baseline, root), {None: one.commit}, one.seconds)


def _changes(commit: str, baseline: str, root: Path) -> str:
    """`key=value` of what an experiment set otherwise than its commit, as `dvc exp run -S` takes it."""
    before, after = (values(read(git(root, "show", f"{rev}:params.yaml").encode())) for rev in (baseline, commit))
    changed = [shlex.quote(f"{key}={shown(value)}") for key, value in after.items()
               if before.get(key) != value or key not in before]
    return " ".join(changed[:MOST]) + (f" and {len(changed) - MOST} more" if len(changed) > MOST else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make experiments", description=__doc__.partition("\n")[0])
    parser.add_argument("rev", nargs="?", default="HEAD", help="the commit that they began at (default: HEAD)")
    asked = parser.parse_args()
    sys.exit(ended("experiments", lambda: print(main(asked.rev))))
