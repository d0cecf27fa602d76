"""Print the results table at the end of `make run`, and where to look next."""

import sys
from pathlib import Path

from zeroshot.console.ends import ended
from zeroshot.console.errors import InputError

TABLES, PAGE = Path("metrics/tables"), Path("plots/report.html")


def main() -> None:
    overview = TABLES / "overview.md"
    if not overview.is_file():
        raise InputError(f"{overview}: no such file; `make run` makes it, in the project's folder")
    print("\n" + overview.read_text(encoding="utf-8"))
    print(f"To open: {TABLES.resolve()}/*.md and the plots in {Path('plots').resolve()};")
    print(f"all figures in one file: {TABLES}/results.csv")
    print(f"The page to look at: {PAGE.resolve().as_uri()}")


if __name__ == "__main__":
    sys.exit(ended("results", main))
