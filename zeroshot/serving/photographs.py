"""A folder of photographs that is searched by words."""

import os
import sys
from pathlib import Path

from zeroshot.console.errors import InputError
from zeroshot.images.decoding import UnreadableImage
from zeroshot.naming.model import Model
from zeroshot.naming.output import shown
from zeroshot.naming.pictures import find_pictures
from zeroshot.naming.reading import read_bytes
from zeroshot.naming.search import Search, first_of, placed
from zeroshot.serving.limits import TOP, Refusal
from zeroshot.serving.pictures import check_picture, thumbnail


class Photographs:
    """The images below a folder, numbered, and their points in the default model's space; found once, at the start.

    Attributes:
        name: what the folder is called.
        readable: how many of them could be read.

    Raises:
        InputError: no such folder, or no image in it that can be read.
    """

    def __init__(self, model: Model, folder: Path):
        if not folder.is_dir():
            raise InputError(f"--photographs {folder}: no such folder; expected one with images at any depth")
        self._model, self._folder, self.name = model, folder, shown(folder.resolve().name)
        self._pictures = [picture for picture in find_pictures(folder) if not picture.fault]
        self._points, faults = placed(model, model.with_space(None), self._pictures, "reading photographs")
        self.readable = len(self._pictures) - len(faults)
        if not self.readable:
            raise InputError(f"--photographs {folder}: no image in it or below it that can be read")
        for number, fault in faults.items():
            print(f"{shown(self._pictures[number].name)}: {fault}", file=sys.stderr)

    def __len__(self) -> int:
        return len(self._pictures)

    def search(self, words: str) -> dict:
        """What found.html shows of the nearest TOP."""
        query = Search(self._model, words)
        images = [{"row": row, "name": shown(os.path.relpath(self._pictures[row].name, self._folder)),
                   "score": f"{score:.3f}"} for row, score in first_of(self._points, query.query, TOP)]
        return {"said": f"{query.said}: the nearest {len(images)} of {self.readable:,}", "images": images}

    def thumbnail(self, row: int) -> bytes:
        """One of them, as a small JPEG.

        Raises:
            Refusal: it can no longer be read.
        """
        try:
            data = read_bytes(self._pictures[row])
        except UnreadableImage as error:
            raise Refusal(404, f"The image cannot be read: {error}.") from None
        check_picture(data)
        return thumbnail(data)
