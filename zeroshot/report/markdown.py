"""Tables in Markdown that can be read in a terminal too."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], figures_from: int | None = None) -> list[str]:
    """The lines of a table, its columns as wide as their widest cell; the first row is the heading.

    Args:
        figures_from: the first of the columns that are set to the right where Markdown is rendered; None: no column is.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    heading, *others = ("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows)
    left = len(widths) if figures_from is None else figures_from
    rules = ["-" * (width + 2) if column < left else "-" * (width + 1) + ":" for column, width in enumerate(widths)]
    return [heading, f"|{'|'.join(rules)}|", *others]
