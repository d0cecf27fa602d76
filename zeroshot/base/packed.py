"""Packed files as streams of bytes: gzip, bzip2, xz and zstd, told by their first bytes, whatever they are called.

What is cut short or damaged is refused, never passed off as whole. Streams may follow one another, as in multistream
dumps; zeros behind the last one are padding.
"""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from zeroshot.console import refusals

READ = 1 << 18  # bytes read from disk at a time
ENOUGH = 10  # first bytes that tell a packing
BZIP2_BLOCKS = b"1AY&SY", b"\x17rE8P\x90"  # a block begins, a stream ends: what follows a bzip2 header

UNPACKERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
    "zstd": lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(),  # `zstd --long=31`
}
SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
FAULTS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


def packing_of(head: bytes) -> str:
    """How a file is packed, by its first ENOUGH bytes: a key of UNPACKERS, or "" if it is not."""
    if head.startswith(b"BZh") and head[4:10] in BZIP2_BLOCKS:
        return "bzip2"
    if head.startswith(b"\x28\xb5\x2f\xfd") or head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:  # or to be skipped
        return "zstd"
    return "gzip" if head.startswith(b"\x1f\x8b") else "xz" if head.startswith(b"\xfd7zXZ\0") else ""


class Unpacked:
    """The bytes of a file, unpacked if it is packed, as an iterator of pieces.

    Attributes:
        packed: bytes of the file on disk read so far.
        trailing: bytes behind a bzip2 file's end that belong to no stream, and were not read.

    Raises (while iterating):
        InputError: truncated or corrupt, with the offset in the file on disk; or named as if packed, but not packed.
    """

    def __init__(self, path: Path):
        self.path, self.packed, self.trailing = path, 0, 0

    def __iter__(self) -> Iterator[bytes]:
        with open(self.path, "rb") as file:
            piece = self._read(file)
            if kind := packing_of(piece):
                yield from self._checked(file, piece, kind)
                return
            if piece and (named := SUFFIXES.get(self.path.suffix.lower())):
                raise refusals.not_packed(self.path, named, piece)
            while piece:
                yield piece
                piece = self._read(file)

    def _read(self, file: IO[bytes]) -> bytes:
        piece = file.read(READ)
        self.packed += len(piece)
        return piece

    def _checked(self, file: IO[bytes], packed: bytes, kind: str) -> Iterator[bytes]:
        try:
            yield from self._streams(file, packed, kind)
        except FAULTS as error:
            raise refusals.damaged_archive(self.path, kind, self.packed, error) from None

    def _streams(self, file: IO[bytes], packed: bytes, kind: str) -> Iterator[bytes]:
        while packed:
            unpacker = UNPACKERS[kind]()
            while not unpacker.eof:
                if not packed:
                    raise EOFError("it ends in the middle of a stream")
                if piece := unpacker.decompress(packed):
                    yield piece
                packed = self._read(file) if not unpacker.eof else unpacker.unused_data
            packed = packed.lstrip(b"\0")
            while len(packed) < ENOUGH and (more := self._read(file)):
                packed = (packed + more).lstrip(b"\0")
            if packed and packing_of(packed) != kind:
                self._pass_over(file, packed, kind)
                return

    def _pass_over(self, file: IO[bytes], packed: bytes, kind: str) -> None:
        """Count what follows the last stream; refuse it if it may be a stream with a damaged beginning."""
        end = b""
        while packed:
            if kind != "bzip2" or any(magic in end + packed for magic in BZIP2_BLOCKS):
                raise EOFError("what follows its end is no such stream")
            self.trailing += len(packed)
            end, packed = packed[-5:], self._read(file)


class _Raw(io.RawIOBase):
    def __init__(self, path: Path):
        self._pieces, self._rest = iter(Unpacked(path)), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._pieces, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def open_unpacked(path: Path) -> io.BufferedReader:
    """The unpacked file for reading, which raises as `Unpacked` does."""
    return io.BufferedReader(_Raw(path), READ)
