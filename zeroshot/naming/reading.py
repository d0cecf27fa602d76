"""Pictures that were found, read: as squares for the network, or as they are."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from zeroshot.console.errors import InputError, quoted
from zeroshot.images.decoding import UnreadableImage, decode_square, square_of, upright_rgb
from zeroshot.naming.pictures import Picture, Row


class Reader:
    """Decodes pictures by number; it is sent to worker processes whole.

    Attributes:
        first_side: see zeroshot.networks.batches.Squares.
    """

    packed = False

    def __init__(self, pictures: Sequence[Picture], first_side: int | None):
        self._pictures, self.first_side = pictures, first_side

    def __len__(self) -> int:
        return len(self._pictures)

    def where(self, row: int) -> str:
        return self._pictures[row].name

    def square(self, row: int, side: int) -> np.ndarray:
        picture = self._pictures[row]
        if picture.fault:
            raise UnreadableImage(picture.fault)
        if isinstance(picture.content, (str, bytes)):
            return decode_square(read_bytes(picture), side)
        if isinstance(picture.content, Row):
            return _square_of_row(picture.content, side)
        return square_of(_as_image(picture.content), side)


def _square_of_row(content: Row, side: int) -> np.ndarray:
    if content.images.packed:
        return square_of(content.images.image(content.row), side)
    try:
        return content.images.square(content.row, side)
    except InputError as error:
        raise UnreadableImage(str(error)) from None


def read_bytes(picture: Picture) -> bytes:
    """A picture's file. Raises UnreadableImage if there is none."""
    if isinstance(picture.content, bytes):
        return picture.content
    try:
        with open(picture.content, "rb") as file:
            if picture.offset < 0:
                return file.read()
            file.seek(picture.offset)
            return file.read(picture.size)
    except OSError as error:
        raise UnreadableImage((error.strerror or "cannot be read").lower()) from None


def open_picture(picture: Picture) -> Image.Image:
    """The picture itself, RGB and upright. Raises UnreadableImage."""
    if picture.fault:
        raise UnreadableImage(picture.fault)
    if isinstance(picture.content, Row):
        return picture.content.images.image(picture.content.row)
    if not isinstance(picture.content, (str, bytes)):
        return _as_image(picture.content)
    return _as_image(read_bytes(picture))


def _as_image(content: Image.Image | np.ndarray | bytes) -> Image.Image:
    """Of an image that the user holds, which stays as it is, or of a file."""
    try:
        content = Image.open(io.BytesIO(content)) if isinstance(content, bytes) else content
        if 0 in (content.shape if isinstance(content, np.ndarray) else content.size):
            raise UnreadableImage("an image without pixels")
        return upright_rgb(Image.fromarray(content) if isinstance(content, np.ndarray) else content.copy())
    except UnreadableImage:
        raise
    except Exception as error:  # a file that is read only now may be broken in any way
        raise UnreadableImage(f"{type(error).__name__}: {quoted(str(error), 150)}") from None
