"""Images read in place by row: from a tar by member offset, or from a file of its own; never extracted."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError
from zeroshot.images.decoding import UnreadableImage, check_header, decode_rgb, decode_square

HEAD = 8192  # bytes; holds the header of nearly every image
MAX_OPEN = 64  # tars held open at once, per process


class ImageFiles:
    """Reads the images of an index made from files. Cheap to send to a worker process: it takes paths along only."""

    packed = False
    first_side = None

    def __init__(self, index: Path, images_root: Path):
        self._index, self._root = index, images_root
        artifact = Artifact(index, verify=False)
        self._containers: list[str] = artifact.meta["containers"]
        self._container, self._offset, self._size, self._names, self._name_end = (
            np.asarray(artifact.memmap(name)) for name in ("container", "offset", "size", "names", "name_end"))
        self._open: dict[int, io.BufferedReader] = {}

    def __len__(self) -> int:
        return len(self._offset)

    def __reduce__(self):
        return ImageFiles, (self._index, self._root)

    def name(self, row: int) -> str:
        """File name of the image, below its container."""
        start = int(self._name_end[row - 1]) if row else 0
        return bytes(self._names[start:int(self._name_end[row])]).decode(errors="surrogateescape")

    def where(self, row: int) -> str:
        """For messages: the container's path and the image's name in it."""
        return f"{self._root / self._containers[self._container[row]]}/{self.name(row)}"

    def file_bytes(self, row: int, limit: int | None = None) -> bytes:
        """The image file's bytes, whatever its format; the first `limit` of them.

        Raises:
            InputError: the file is gone or, if it is read whole, has another size than when it was indexed (a tar's
                member cannot tell that it has grown).
        """
        container, offset, size = int(self._container[row]), int(self._offset[row]), int(self._size[row])
        wanted = size if limit is None else min(size, limit)
        try:
            if offset < 0:
                with open(self._root / self._containers[container] / self.name(row), "rb") as file:
                    data = file.read(wanted + (limit is None))  # one byte more shows that it has grown
            else:
                data = self._read_at(container, offset, wanted)
        except OSError as error:
            raise InputError(f"{self.where(row)}: cannot be read ({error.strerror}); it was there when it was indexed: "
                             "bring it back, or `dvc repro index_images`") from None
        if len(data) != wanted:
            found = f"cut short to {len(data)} bytes" if len(data) < wanted else "longer"
            raise InputError(f"{self.where(row)}: {found}, {size} bytes when it was indexed; "
                             "`dvc repro index_images` after the images have changed")
        return data

    def check_header(self, row: int) -> None:
        """Raise UnreadableImage if the file does not even begin like an image; costs one short read."""
        try:
            check_header(self.file_bytes(row, HEAD))
        except UnreadableImage:  # perhaps a long one, with a thumbnail or a colour profile before the image
            check_header(self.file_bytes(row))

    def image(self, row: int) -> Image.Image:
        """The decoded image, RGB, upright, of its own size.

        Raises:
            InputError: see `file_bytes`.
            UnreadableImage: the bytes are no image; the caller may count and skip it.
        """
        return decode_rgb(self.file_bytes(row))

    def square(self, row: int, side: int) -> np.ndarray:
        """The same as `decode_square` makes it: uint8 [side, side, 3]. Raises as `image` does."""
        return decode_square(self.file_bytes(row), side)

    def _read_at(self, container: int, offset: int, size: int) -> bytes:
        if (file := self._open.pop(container, None)) is None:
            if len(self._open) >= MAX_OPEN:  # the one unused for longest comes first
                self._open.pop(next(iter(self._open))).close()
            file = open(self._root / self._containers[container], "rb", buffering=0)
        self._open[container] = file
        file.seek(offset)
        return file.read(size)
