"""Text files, packed or not, as blocks of bytes: streamed, and never passed off as whole when cut short."""

import bz2
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import zstandard

from zeroshot.console.errors import InputError

READ = 1 << 18  # bytes read from disk at a time
BLOCK = 1 << 18  # unpacked bytes of a block, about 40,000 words: small enough for a processor's cache
SMALL = 3 << 19  # a file of at most this many bytes on disk is left to a worker to read and unpack
TASK = 3 << 19  # bytes of the blocks or small files of a task: many, since counts are merged task by task
LONGEST = 64 << 20  # unpacked bytes without a boundary after which a block ends anyway

UNPACKERS = {
    ".bz2": bz2.BZ2Decompressor,
    ".gz": lambda: zlib.decompressobj(wbits=31),
    ".zst": lambda: zstandard.ZstdDecompressor().decompressobj(),
}


class Block(NamedTuple):
    """A stretch of an unpacked file that ends at a boundary, or a whole small file still to be read."""

    path: Path
    offset: int  # of its first byte in the unpacked file
    data: bytes | None  # None: a whole small file, to be read where the block is worked on
    packed: int  # bytes of the file on disk that were read for it: what progress is measured in
    last: bool  # the file ends here


def tasks_of(paths: list[Path], boundary: bytes) -> Iterator[list[Block]]:
    """The files in the order of `paths`, small ones untouched, large ones cut into blocks, some blocks a task."""
    task, size = [], 0
    for path in paths:
        whole = path.stat().st_size
        for block in [Block(path, 0, None, whole, True)] if whole <= SMALL else blocks_of(path, boundary):
            task.append(block)
            size += block.packed if block.data is None else len(block.data)
            if size >= TASK:
                yield task
                task, size = [], 0
    if task:
        yield task


def opened(task: list[Block], boundary: bytes) -> Iterator[Block]:
    """The blocks of a task, those of its small files too."""
    for block in task:
        yield from [block] if block.data is not None else blocks_of(block.path, boundary)


def blocks_of(path: Path, boundary: bytes) -> Iterator[Block]:
    """Cut the unpacked file after the last `boundary` in every BLOCK bytes; the last block holds the rest.

    Raises:
        InputError: empty, truncated or corrupt, with the offset in the file on disk.
    """
    buffer, offset, packed, used = bytearray(), 0, 0, 0
    for piece, packed in _unpacked(path):
        buffer += piece
        while end := _cut(buffer, boundary):
            yield Block(path, offset, bytes(buffer[:end]), packed - used, False)
            used, offset = packed, offset + end
            del buffer[:end]
    if not buffer and not offset:
        raise InputError(f"{path}: the file is empty; expected text")
    yield Block(path, offset, bytes(buffer), packed - used, True)


def _cut(buffer: bytearray, boundary: bytes) -> int:
    """Where the first block of the buffer ends; 0 if more must be read to know."""
    if len(buffer) < BLOCK:
        return 0
    found = buffer.rfind(boundary, 0, BLOCK)
    if found < 0:
        found = buffer.find(boundary, BLOCK - len(boundary))
    if found >= 0:
        return found + len(boundary)
    return 0 if len(buffer) < LONGEST else buffer.rfind(b" ") + 1 or len(buffer)


def _unpacked(path: Path) -> Iterator[tuple[bytes, int]]:
    """Unpacked pieces, each with the number of bytes on disk read so far."""
    with open(path, "rb") as file:
        if path.suffix not in UNPACKERS:
            while piece := file.read(READ):
                yield piece, file.tell()
            return
        try:
            yield from _unpack(file, path.suffix)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise InputError(f"{path}: truncated or corrupt {path.suffix} archive at byte {file.tell()} of "
                             f"{path.stat().st_size}: {error}; fetch it again (its text was not used)") from None


def _unpack(file: IO[bytes], suffix: str) -> Iterator[tuple[bytes, int]]:
    """Unpack streams that follow one another, as in multistream dumps."""
    unpacker = None
    while packed := file.read(READ):
        while packed:
            if unpacker is None:
                unpacker = UNPACKERS[suffix]()
            piece = unpacker.decompress(packed)
            packed = unpacker.unused_data if unpacker.eof else b""
            if unpacker.eof:
                unpacker = None
            if piece:
                yield piece, file.tell()
    if unpacker is not None:
        raise EOFError("it ends in the middle of a stream")
