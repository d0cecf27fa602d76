"""Reads a struct array from a MATLAB file (level 5): enough for ILSVRC's meta.mat, and safe on damaged bytes.

scipy's reader, in C, can end the whole process on those. The format: a header of 128 bytes, then elements, each a tag
(type, bytes) with its data, filled up to eight bytes; a matrix is an element whose data are elements again: flags,
dimensions, name, then numbers, characters, or of a struct the field names and a matrix for each field of each entry.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}  # types of elements
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
STRUCT, CHAR = 2, 4  # classes of matrices
HEADER = 128


def read_structs(data: bytes, name: str) -> list[dict[str, Any]]:
    """The entries of the struct array `name`: field -> number, text, list of numbers, or None for other kinds.

    Raises:
        ValueError: no such struct, or not a file of this kind.
    """
    if data[126:128] != b"IM":
        raise ValueError("not a little-endian MATLAB file of level 5")
    for kind, content in _elements(data[HEADER:]):
        if kind == COMPRESSED:
            kind, content = next(_elements(zlib.decompress(content)))  # checks its checksum
        if kind == MATRIX and (found := _matrix(content))[0] == name and isinstance(found[1], list):
            return found[1]
    raise ValueError(f"no struct {name}")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:  # a small one: size and data within the tag
            kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            after = start + size + (-size % 8 if kind != COMPRESSED else 0)
        if start + size > len(data) or (after == at + 8 and size > 4):
            raise ValueError("cut short")
        yield kind, data[start:start + size]
        at = after


def _matrix(data: bytes, depth: int = 0) -> tuple[str, Any]:
    """Name and value."""
    parts = list(_elements(data))
    if not parts:
        return "", None
    if depth > 4 or len(parts) < 3:
        raise ValueError("not as expected")
    (_, flags), (_, dims), (_, name), *rest = parts
    what, count = flags[0], math.prod(struct.unpack(f"<{len(dims) // 4}i", dims))
    if what == STRUCT:
        return name.decode("ascii"), _entries(count, rest, depth)
    if not rest:
        return name.decode("ascii"), None
    kind, content = rest[0]
    if what == CHAR and kind in TEXTS:
        return name.decode("ascii"), content.decode(TEXTS[kind])
    if kind not in NUMBERS:
        return name.decode("ascii"), None
    numbers = struct.unpack(f"<{len(content) // struct.calcsize(NUMBERS[kind])}{NUMBERS[kind]}", content)
    return name.decode("ascii"), numbers[0] if len(numbers) == 1 else list(numbers)


def _entries(count: int, parts: list[tuple[int, bytes]], depth: int) -> list[dict[str, Any]]:
    (_, length), (_, packed), *values = parts
    width = int.from_bytes(length[:4], "little")
    if not 0 < width <= 64:
        raise ValueError("not as expected")
    names = [packed[at:at + width].split(b"\0")[0].decode("ascii") for at in range(0, len(packed), width)]
    if count * len(names) != len(values):
        raise ValueError("another number of fields than it says")
    found = [_matrix(content, depth + 1)[1] for _, content in values]
    return [dict(zip(names, found[at:at + len(names)], strict=True)) for at in range(0, len(found), len(names))]
