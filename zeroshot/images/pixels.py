"""The images of an index by row: packed pixels, or files read in place; see zeroshot.images.index for what is where."""

from pathlib import Path

import numpy as np
from PIL import Image

from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError
from zeroshot.images.files import ImageFiles
from zeroshot.images.index import INDEX_FILE, PIXELS_FILE


class PackedPixels:
    """Every image of a small set, decoded once, mapped into memory.

    Attributes:
        size: (height, width) in pixels.
    """

    packed = True

    def __init__(self, folder: Path, *, verify: bool = True):
        self._folder = folder
        self._pixels = Artifact(folder / PIXELS_FILE, verify=verify).memmap("pixels")
        self.size: tuple[int, int] = self._pixels.shape[1:3]

    def __len__(self) -> int:
        return len(self._pixels)

    def __reduce__(self):  # to a worker process goes the path, not a copy of all pixels
        return _reopen, (self._folder,)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """uint8 [rows, height, width, 3], RGB, a copy; `rows` are row numbers of the index in any order."""
        return np.asarray(self._pixels[rows])

    def image(self, row: int) -> Image.Image:
        """One image, RGB."""
        return Image.fromarray(self._pixels[row])


def _reopen(folder: Path) -> PackedPixels:
    return PackedPixels(folder, verify=False)


def open_pixels(folder: Path, images_root: Path, *, verify: bool = True) -> PackedPixels | ImageFiles:
    """Open the images of the index in `folder` by row; both kinds of reader may be sent to worker processes.

    Args:
        images_root: where the files lie (params: index_images.images); not used for packed sets.
        verify: check the files' checksums (reads them whole, about 1 GB/s).

    Returns:
        `PackedPixels` where `ImageIndex.packed`, else `ImageFiles`. Both give `.image(row)` and say whether they are
        `.packed`; packed pixels are read many at a time too.

    Raises:
        InputError: missing or damaged index, or pixels that belong to another index.
    """
    artifact = Artifact(folder / INDEX_FILE, verify=verify)
    if (sha256 := artifact.meta["pixels"]) is None:
        return ImageFiles(folder / INDEX_FILE, images_root)
    if Artifact(folder / PIXELS_FILE, verify=False).sha256 != sha256:
        raise InputError(f"{folder / PIXELS_FILE}: belongs to another index than {folder / INDEX_FILE}; "
                         "`dvc repro index_images` makes both anew")
    return PackedPixels(folder, verify=verify)
