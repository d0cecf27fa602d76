"""Print the results table at the end of `make run`, and where to look next."""

from pathlib import Path

TABLES = Path("metrics/tables")

if __name__ == "__main__":
    print("\n" + (TABLES / "overview.md").read_text(encoding="utf-8"))
    print(f"To open: {TABLES.resolve()}/*.md and the plots in {Path('plots').resolve()};")
    print(f"all figures in one file: {TABLES}/results.csv")
