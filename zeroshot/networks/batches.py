"""Batches of decoded squares by row, on the device.

Packed pixels take no work per image; image files are decoded by worker processes.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zeroshot.base.parent import die_with_parent
from zeroshot.base.processes import marked_by_any
from zeroshot.console.errors import InputError
from zeroshot.images.decoding import UnreadableImage
from zeroshot.images.files import ImageFiles
from zeroshot.images.pixels import PackedPixels, open_pixels
from zeroshot.networks.without_compiler import without_compiler

T = TypeVar("T")
R = TypeVar("R")
RESIDENT_SHARE = 0.25  # of a GPU's free memory, for keeping a packed set there
AT_ONCE = 4096  # images on their way there, so that the set need not fit in memory
AHEAD = 3  # batches of a larger packed set that are read, or being read, while the one before is in use
GREY = 128  # stands in for an image that turns out to be unreadable


class SquareSource:
    """Images of an index as uint8 squares.

    Attributes:
        device: where the squares come out.
        unreadable: rows of images that could not be decoded so far; each was reported and became a grey square.
    """

    def __init__(self, index: Path, images_root: Path, *, side: int, device: torch.device, workers: int,
                 max_unreadable: float, reader: "Squares | None" = None):
        """
        Args:
            index: folder of the image index.
            images_root: where the image files lie, for sets that are not packed.
            reader: other images than those of an index, which is not looked at then.
            side: of the squares, pixels.
            workers: processes that decode; 0 decodes in this one. Not used for packed sets.
            max_unreadable: share of the index's images that may turn out to be unreadable.
        """
        self._reader = open_pixels(index, images_root) if reader is None else reader
        self._side, self.device, self._workers = side, device, workers
        self._allowed = int(max_unreadable * len(self._reader))
        self._resident = _to_gpu(self._reader, device)
        self.unreadable: set[int] = set()

    def squares(self, batches: Sequence[Int[np.ndarray, "batch"]]) -> Iterator[UInt8[Tensor, "batch side side 3"]]:
        """The squares of each batch of row numbers in turn.

        Raises:
            InputError: more images are unreadable than may be, of those that this process has come across; or a file
                is gone, or has changed since it was indexed.
        """
        for pixels in self._packed(batches) if self._reader.packed else self._decoded(batches):
            yield _resized(pixels, self._side)

    def tell(self, row: int, message: str) -> None:
        """Say that an image cannot be decoded, once for each."""
        print(f"{self._reader.where(row)}: {message}; a grey image stands in for it", file=sys.stderr, flush=True)

    def merge_unreadable(self) -> None:
        """Make `unreadable` what any of the processes found; every process must call it.

        Raises:
            InputError: more images are unreadable than may be.
        """
        self.unreadable = marked_by_any(self.unreadable, len(self._reader), self.device)
        self._check_unreadable()

    def _check_unreadable(self) -> None:
        if len(self.unreadable) > self._allowed:
            raise InputError(f"{len(self.unreadable)} of {len(self._reader)} images cannot be read (named above); at "
                             f"most {self._allowed} may be (this stage's `max_unreadable` in params.yaml); mend them, "
                             "or have them left out: `index_images.check: decode`")

    def _packed(self, batches: Sequence[Int[np.ndarray, "batch"]]) -> Iterator[UInt8[Tensor, "batch height width 3"]]:
        if self._resident is not None:
            return (self._resident[torch.from_numpy(rows).to(self.device, non_blocking=True)] for rows in batches)
        if self.device.type == "cuda":
            pinned = ahead(self._pinned, batches, torch.cuda.set_device, self.device)  # pinned for a thread's own GPU
            return (pixels.to(self.device, non_blocking=True) for pixels in pinned)
        return (torch.from_numpy(self._reader.read(rows)).to(self.device) for rows in batches)

    def _pinned(self, rows: Int[np.ndarray, "batch"]) -> UInt8[Tensor, "batch height width 3"]:
        return torch.from_numpy(self._reader.read(rows)).pin_memory()  # from other memory a copy waits for the GPU

    def _decoded(self, batches: Sequence[Int[np.ndarray, "batch"]]) -> Iterator[UInt8[Tensor, "batch side side 3"]]:
        decoder = _Decoder(self._reader, self._reader.first_side or self._side)
        loader = DataLoader(decoder, batch_sampler=batches, num_workers=self._workers, collate_fn=_collate,
                            pin_memory=self.device.type == "cuda",
                            prefetch_factor=4 if self._workers else None, worker_init_fn=_start_worker)
        for collated in loader:
            if isinstance(collated, InputError):
                raise collated
            squares, unreadable = collated
            for row, message in unreadable:
                if row not in self.unreadable:  # a later epoch, or the filling of a batch
                    self.tell(row, message)
                self.unreadable.add(row)
            self._check_unreadable()
            yield squares.to(self.device, non_blocking=True)


def ahead(read: Callable[[T], R], batches: Iterable[T], start: Callable[..., None] | None = None,
          *shared: Any) -> Iterator[R]:
    """Yield read(batch) of each batch in turn; a thread reads the next ones while the consumer works.

    Args:
        read: an exception in it is raised here, in its batch's place.
        start: called in the thread as start(*shared) before anything else.
    """
    pool = ThreadPoolExecutor(1, initializer=start, initargs=shared)
    coming: deque[Future[R]] = deque()
    try:
        for batch in batches:
            coming.append(pool.submit(read, batch))
            if len(coming) > AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:  # also where the consumer stops early
        pool.shutdown(cancel_futures=True)


def padded_batches(rows: Int[np.ndarray, "images"], batch: int) -> list[Int[np.ndarray, "batch"]]:
    """Split `rows`, in order, into batches of exactly `batch`; the last one is filled up with its last row.

    Kernels may sum in another order for another batch size; with one shape, a row's result depends on that row alone.
    """
    filled = np.concatenate([rows, np.repeat(rows[-1:], -len(rows) % batch)])
    return list(filled.reshape(-1, batch))


class Squares(Protocol):
    """Images that are decoded one by one, by worker processes, to which it is sent.

    Attributes:
        packed: False.
        first_side: the side that every image is decoded to before it gets the network's, as packed ones are; None: at
            once.
    """

    packed: bool
    first_side: int | None

    def __len__(self) -> int: ...

    def where(self, row: int) -> str:
        """Its name, for messages."""

    def square(self, row: int, side: int) -> np.ndarray:
        """uint8 [side, side, 3]. Raises UnreadableImage."""


Decoded = tuple[np.ndarray, tuple[int, str] | None]  # square; row and fault of an unreadable image


class _Decoder(Dataset):
    def __init__(self, reader: Squares, side: int):
        self._reader, self._side = reader, side

    def __getitem__(self, row: int) -> Decoded | InputError:
        try:
            return self._reader.square(int(row), self._side), None
        except UnreadableImage as error:
            grey = np.full((self._side, self._side, 3), GREY, np.uint8)
            return grey, (int(row), str(error))
        except InputError as error:
            return error  # raised in a worker, it would come out wrapped into the worker's traceback


def _start_worker(number: int) -> None:
    die_with_parent()  # an orphan would keep the scratch folder's lock


def _collate(items: list[Decoded | InputError]) -> tuple[Tensor, list[tuple[int, str]]] | InputError:
    if fault := next((item for item in items if isinstance(item, InputError)), None):
        return fault
    return torch.from_numpy(np.stack([square for square, _ in items])), [error for _, error in items if error]


def _resized(pixels: UInt8[Tensor, "batch height width 3"], side: int) -> UInt8[Tensor, "batch side side 3"]:
    if pixels.shape[1:3] == (side, side):
        return pixels
    with without_compiler():
        from torchvision.transforms.v2 import InterpolationMode, functional

    resized = functional.resize(pixels.permute(0, 3, 1, 2), [side, side], InterpolationMode.BICUBIC, antialias=True)
    return resized.permute(0, 2, 3, 1)


def _to_gpu(reader: PackedPixels | ImageFiles, device: torch.device) -> Tensor | None:
    """All packed pixels on the GPU where they fit well, else None."""
    if device.type != "cuda" or not reader.packed:
        return None
    needed = len(reader) * reader.size[0] * reader.size[1] * 3
    if needed > RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    resident = torch.empty((len(reader), *reader.size, 3), dtype=torch.uint8, device=device)
    for start in range(0, len(reader), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(reader)))
        resident[start:start + AT_ONCE] = torch.from_numpy(reader.read(rows))
    return resident
