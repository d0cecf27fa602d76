"""Packed numeric artifacts: named arrays and a small description in one sealed safetensors file.

Any safetensors reader opens these files. Beyond the library, this module streams rows (features of
14 M images never sit in memory) and seals: the SHA-256 of everything else is kept in the header and
checked on opening, since a flipped byte would otherwise load without a word.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from zeroshot.base.files import atomic_write
from zeroshot.console import refusals
from zeroshot.console.errors import NotMade

DTYPES = {"BOOL": np.bool_, "U8": np.uint8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
          "F16": np.float16, "F32": np.float32, "F64": np.float64}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
CHUNK = 8 << 20  # bytes read at a time when hashing
NOT_MADE = "not_made"  # in the meta of what stands for an artifact that could not be made: why
UNSEALED = "0" * 64
MAX_HEADER = 100 << 20  # bytes; the safetensors library's own limit


class ArtifactWriter:
    """Writes an artifact row by row; it appears under its name, sealed, when the `with` block ends well.

    Args:
        path: file to write.
        meta: JSON-able description (what it was made from, label names); bytes are kept stable.
        shapes: name -> (shape, dtype) of every array, known beforehand.
    """

    def __init__(self, path: Path, meta: Mapping[str, Any], shapes: Mapping[str, tuple[tuple[int, ...], Any]]):
        self._header, self._arrays = _layout(meta, shapes)
        self._atomic = atomic_write(path, "w+b")

    def __enter__(self) -> "ArtifactWriter":
        self._file = self._atomic.__enter__()
        self._file.write(self._header)
        end = max((offset + nbytes for _, _, offset, nbytes in self._arrays.values()), default=0)
        self._file.truncate(len(self._header) + end)
        return self

    def write(self, name: str, start: int, rows: np.ndarray) -> None:
        """Store `rows` as rows start, start+1, ... of array `name`."""
        shape, dtype, offset, _ = self._arrays[name]
        assert rows.shape[1:] == shape[1:] and start + len(rows) <= shape[0], (name, rows.shape, start, shape)
        self._file.seek(len(self._header) + offset + start * _row_bytes(shape, dtype))
        self._file.write(np.ascontiguousarray(rows, dtype).data.cast("B") if rows.size else b"")

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._file.seek(0)
            digest = hashlib.sha256()
            while block := self._file.read(CHUNK):
                digest.update(block)
            self._file.seek(self._header.index(UNSEALED.encode()))
            self._file.write(digest.hexdigest().encode())
        self._atomic.__exit__(kind, error, trace)


def write_artifact(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays that fit in memory; see `ArtifactWriter`."""
    with ArtifactWriter(path, meta, {name: (array.shape, array.dtype) for name, array in arrays.items()}) as writer:
        for name, array in arrays.items():
            writer.write(name, 0, array if array.ndim else array.reshape(1))


def write_not_made(path: Path, why: str) -> None:
    """In the place of an artifact that cannot be made, where that is no fault: a file that says why. It is said, too.

    Args:
        why: a few words, "no training images" for example.
    """
    write_artifact(path, {NOT_MADE: why}, {})
    print(refusals.not_made(path, why), flush=True)


def why_not_made(path: Path) -> str | None:
    """Why this artifact could not be made, by `write_not_made`; None if it is there.

    Raises:
        InputError: as `Artifact`.
    """
    try:
        Artifact(path, verify=False)
    except NotMade as found:
        return found.why
    return None


class Artifact:
    """A sealed file, opened and checked.

    Attributes:
        path: where it lies.
        meta: the description given when it was written.
        sha256: its checksum; put it into the meta of what is made from it.

    Raises:
        InputError: missing, cut short, not one of ours, or damaged.
        NotMade: it only says why there is none.
    """

    def __init__(self, path: Path, *, verify: bool = True):
        self.path = path
        try:
            self._file = open(path, "rb")
        except FileNotFoundError:
            raise refusals.no_artifact(path) from None
        try:
            self._read_header()
        except (ValueError, KeyError, TypeError):
            raise refusals.foreign_artifact(path) from None
        if verify and self._digest() != self.sha256:
            raise refusals.damaged_artifact(path)
        if (why := self.meta.get(NOT_MADE)) is not None:
            raise refusals.not_made(path, why)

    def _read_header(self) -> None:
        length = int.from_bytes(self._file.read(8), "little")
        if not 2 <= length <= MAX_HEADER:
            raise ValueError("header length")
        header = self._file.read(length)
        entries = json.loads(header)
        described = json.loads(entries.pop("__metadata__")["meta"])
        self.sha256: str = described.pop("sha256")
        self.meta: dict[str, Any] = described
        self._start = 8 + length
        unsealed = header.replace(self.sha256.encode(), UNSEALED.encode(), 1)
        self._unsealed_header = length.to_bytes(8, "little") + unsealed
        self._arrays = {name: (tuple(entry["shape"]), np.dtype(DTYPES[entry["dtype"]]), entry["data_offsets"][0])
                        for name, entry in entries.items()}

    def _digest(self) -> str:
        digest = hashlib.sha256(self._unsealed_header)
        self._file.seek(self._start)
        while block := self._file.read(CHUNK):
            digest.update(block)
        return digest.hexdigest()

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def names(self) -> list[str]:
        """Names of the arrays, sorted."""
        return sorted(self._arrays)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of array `name`."""
        return self._arrays[name][0]

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start..stop-1 of array `name`, freshly read: memory does not grow with the file."""
        shape, dtype, offset = self._arrays[name]
        stop = min(stop, shape[0])
        block = np.empty((stop - start, *shape[1:]), dtype)
        if block.size:
            self._file.seek(self._start + offset + start * _row_bytes(shape, dtype))
            read = self._file.readinto(block.data.cast("B"))
            if read != block.nbytes:
                raise refusals.short_artifact(self.path, name, read, block.nbytes)
        return block

    def __getitem__(self, name: str) -> np.ndarray:
        """The whole array `name`, in memory."""
        return self.rows(name, 0, self.shape(name)[0])

    def memmap(self, name: str) -> np.ndarray:
        """Array `name`, read-only, paged in as it is touched: for random access to large arrays."""
        shape, dtype, offset = self._arrays[name]
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(self.path, dtype, "r", self._start + offset, shape)


def _row_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize


def _layout(meta: Mapping[str, Any], shapes: Mapping[str, tuple[tuple[int, ...], Any]]):
    """Header bytes, and name -> (shape, dtype, offset, bytes). Widest dtypes first keeps every array aligned."""
    arrays, entries, offset = {}, {}, 0
    for name, (shape, dtype) in sorted(shapes.items(), key=lambda item: (-np.dtype(item[1][1]).itemsize, item[0])):
        shape, dtype = tuple(map(int, shape)) or (1,), np.dtype(dtype)
        nbytes = _row_bytes(shape, dtype) * shape[0]
        arrays[name] = (shape, dtype, offset, nbytes)
        entries[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [offset, offset + nbytes]}
        offset += nbytes
    sealed = {"sha256": UNSEALED, **meta}  # first, so that patching finds the right zeros
    header = json.dumps({"__metadata__": {"meta": json.dumps(sealed, sort_keys=False)}, **entries},
                        separators=(",", ":"), ensure_ascii=True).encode()
    header += b" " * (-(8 + len(header)) % 64)  # arrays start aligned, for memory maps
    return len(header).to_bytes(8, "little") + header, arrays
