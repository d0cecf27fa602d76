"""Print the results table at the end of `make run`, and where to look next."""

from pathlib import Path

TABLES, PAGE = Path("metrics/tables"), Path("plots/report.html")

if __name__ == "__main__":
    print("\n" + (TABLES / "overview.md").read_text(encoding="utf-8"))
    print(f"To open: {TABLES.resolve()}/*.md and the plots in {Path('plots').resolve()};")
    print(f"all figures in one file: {TABLES}/results.csv")
    print(f"The page to look at: {PAGE.resolve().as_uri()}")
