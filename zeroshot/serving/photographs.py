"""A folder of photographs that is searched by words."""

import os
from pathlib import Path

from zeroshot.console.errors import InputError
from zeroshot.images.decoding import UnreadableImage
from zeroshot.naming.model import Model
from zeroshot.naming.pictures import find_pictures, read_bytes
from zeroshot.naming.search import search
from zeroshot.serving.limits import TOP, Refusal
from zeroshot.serving.pictures import check_picture, thumbnail


class Photographs:
    """The images below a folder, numbered; the list is made once.

    Attributes:
        name: what the folder is called.

    Raises:
        InputError: no such folder, or no image in it.
    """

    def __init__(self, model: Model, folder: Path):
        if not folder.is_dir():
            raise InputError(f"--photographs {folder}: no such folder; expected one with images at any depth")
        self._model, self._folder, self.name = model, folder, folder.resolve().name
        self._pictures = [picture for picture in find_pictures(folder) if not picture.fault]
        if not self._pictures:
            raise InputError(f"--photographs {folder}: no image in it or below it")
        self._row = {picture.name: row for row, picture in enumerate(self._pictures)}

    def __len__(self) -> int:
        return len(self._pictures)

    def search(self, words: str) -> dict:
        """What found.html shows of the nearest TOP."""
        found = search(self._model, words, self._pictures, TOP, None)
        images = [{"row": self._row[one.picture], "name": os.path.relpath(one.picture, self._folder),
                   "score": f"{one.score:.3f}"} for one in found]
        return {"said": f"Nearest to “{words}” of {len(self):,}", "images": images}

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
