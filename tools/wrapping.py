"""Lines of text for a terminal; in files they stay whole, one paragraph a line."""

import textwrap

WIDTH = 160  # characters


def wrap(text: str, indent: str = "") -> str:
    """One paragraph; its further lines begin with `indent`."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def wrapped(markdown: str) -> str:
    """Paragraphs and list items wrapped; tables, as wide as they are, stay."""
    return "\n".join(line if line.startswith("|") else wrap(line, "  " if line.startswith("- ") else "")
                     for line in markdown.split("\n"))
