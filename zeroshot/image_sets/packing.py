"""Every image of a set looked at once: is it readable, and with `pack`, its pixels, sealed in one file."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from zeroshot.base.artifacts import Artifact, ArtifactWriter
from zeroshot.base.ordered_pool import in_order
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.images.decoding import UnreadableImage, decode_square
from zeroshot.images.files import ImageFiles

ROWS = 256  # images decoded or checked per task
COPY_ROWS = 4096  # images copied at once
TOLD = 5  # images named where too many cannot be read


def find_unreadable(reader: ImageFiles, raw: Path, *, pack: int | None, check: str, max_unreadable: float,
                    lost: int, workers: int) -> list[tuple[int, str]]:
    """(row, reason) of every image that cannot be read; with `pack` the pixels of all others go to the file `raw`.

    Args:
        raw: gets uint8 [images, pack, pack, 3], zeros where unreadable.
        pack: side of the packed squares, pixels; None: no packing, `check` says how closely to look.
        check: "none", "header" or "decode".
        max_unreadable: share of all images, the lost ones too, that may be lost or unreadable.
        lost: images that the reader does not even have.

    Raises:
        InputError: more than that.
    """
    if pack is None and check == "none":
        return []
    raw.touch()
    images, unreadable = len(reader) + lost, []
    allowed = int(max_unreadable * images)
    tasks = [(start, min(start + ROWS, len(reader))) for start in range(0, len(reader), ROWS)]
    with progress(total=len(reader), unit="img", desc="packing" if pack else "checking", scale=True) as bar:
        for (start, stop), found in in_order(read_rows, tasks, workers, reader, raw, pack, check):
            unreadable += found
            bar.update(stop - start)
            if unreadable and lost + len(unreadable) > allowed:
                some = first_few([f"{reader.where(row)} ({reason})" for row, reason in unreadable])
                raise InputError(f"{lost + len(unreadable)} of {images} images cannot be read, {some}; at most "
                                 f"{allowed} may be skipped (params.yaml: index_images.max_unreadable)")
    return unreadable


def first_few(faults: list[str]) -> str:
    """The first few of images that cannot be read."""
    more = f"; and {len(faults) - TOLD} more" if len(faults) > TOLD else ""
    return f"the first {'; '.join(faults[:TOLD])}{more}"


def read_rows(task: tuple[int, int], reader: ImageFiles, raw: Path, pack: int | None,
              check: str) -> list[tuple[int, str]]:
    """Check or decode rows start..stop-1; pixels go straight to their place in `raw`."""
    unreadable, pixels = [], np.zeros((task[1] - task[0], pack or 0, pack or 0, 3), np.uint8)
    for place, row in enumerate(range(*task)):
        try:
            if pack is not None:
                pixels[place] = decode_square(reader.file_bytes(row), pack)
            elif check == "decode":
                reader.image(row)
            else:
                reader.check_header(row)
        except UnreadableImage as error:
            unreadable.append((row, str(error)))
    if pack is not None:
        with open(raw, "r+b") as file:
            file.seek(task[0] * pixels[:1].nbytes)
            file.write(pixels.data)
    return unreadable


def write_pixels(path: Path, raw: Path, rows: np.ndarray, side: int) -> str:
    """Copy the pixels of `rows` from the raw file into a sealed one; returns its checksum."""
    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), COPY_ROWS):
            images = np.memmap(raw, np.uint8, "r").reshape(-1, side, side, 3)  # anew: pages are let go with the map
            yield images[rows[start:start + COPY_ROWS]]

    return write_blocks(path, blocks(), len(rows), side)


def write_blocks(path: Path, blocks: Iterable[np.ndarray], images: int, side: int) -> str:
    """Write `images` squares, which come block by block, into a sealed file; returns its checksum."""
    with ArtifactWriter(path, {}, {"pixels": ((images, side, side, 3), np.uint8)}) as writer:
        start = 0
        for block in blocks:
            writer.write("pixels", start, np.ascontiguousarray(block))
            start += len(block)
    return Artifact(path, verify=False).sha256
