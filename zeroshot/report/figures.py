"""Figures as files, the same bytes each time."""

from pathlib import Path

from matplotlib.figure import Figure

from zeroshot.base.files import atomic_write

LONGEST = 24  # characters of a synset's name in them


def save(figure: Figure, path: Path) -> None:
    """Write a PNG; nothing in it says when, or by which version of what."""
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=figure.dpi, metadata={"Software": None})
