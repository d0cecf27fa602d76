"""Which class each image of a source shows: the source's own, or what a table or the image's name tells."""

from collections import Counter
from pathlib import Path

from zeroshot.image_sets.archives import list_folder, list_tar
from zeroshot.image_sets.layouts import Source
from zeroshot.image_sets.truths import read_truth, wnids_of


class Truths:
    """The tables that sources name, each read once."""

    def __init__(self, root: Path):
        self._root, self._read = root, {}
        self._listed: Counter[str] = Counter()  # table -> images whose class it told

    def lacking(self) -> int:
        """How many images the tables name that were not among those whose classes were asked for."""
        return sum(max(0, len(table) - self._listed[name]) for name, table in self._read.items())

    def classes(self, sources: list[Source]) -> set[str]:
        """All classes of a role: those that its images show, which a table that serves several roles has more than."""
        return {wnid for source in sources for wnid in self._classes(source)}

    def wnids(self, source: Source, names: list[bytes]) -> list[str]:
        """Class of each image of a source."""
        if source.wnid is not None:
            return [source.wnid] * len(names)
        if source.truth is not None:
            self._listed[source.truth] += len(names)
        return wnids_of(names, self._table(source), self._root / source.container)

    def _classes(self, source: Source) -> set[str]:
        if source.wnid is not None:
            return {source.wnid}
        path = self._root / source.container
        listed = list_folder(path) if path.is_dir() else list_tar(path)
        return set(wnids_of(listed.names, self._table(source), path))

    def _table(self, source: Source) -> dict[str, str] | None:
        if source.truth is not None and source.truth not in self._read:
            self._read[source.truth] = read_truth(self._root / source.truth)
        return self._read[source.truth] if source.truth is not None else None
