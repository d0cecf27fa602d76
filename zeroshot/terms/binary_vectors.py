"""word2vec's binary form: a term, a space, `dim` float32, perhaps a line end, and so on.

It has no way to say that a space belongs to a term, and gensim's export writes such terms nonetheless: read as it is
written, the rest of the term becomes numbers, and the next term is lost among bytes. Such files are found out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from zeroshot.console.errors import InputError, quoted
from zeroshot.terms.rows import ReadVectors, Rows

CHUNK = 1 << 20  # bytes read at a time
LONGEST_TERM = 10_000  # bytes
LONGEST_REST = 200  # bytes of a term behind its first space
HUGE = 1e10  # what no trained vector holds, and letters taken for numbers do
TINY = 1e-12  # so small are float32 whose bytes stand in the other order
EXPORT = "export it as text, in gensim by `.save_word2vec_format('vectors.txt')`"


def read_binary(path: Path, file: IO[bytes], count: int, dim: int, rows: Rows) -> ReadVectors:
    """The `count` vectors that follow the header.

    Raises:
        InputError: cut short, longer than announced, with spaces in terms, or of numbers that no training yields.
    """
    for term, packed, following in _records(path, file, count, dim):
        if rest := _rest_of_term(packed, following):
            raise InputError(f"{path}: vector {rows.number + 1} ({quoted(_said(term))}) begins with letters, "
                             f"{quoted(_said(rest))}: a term with a space in it, which word2vec's binary form cannot "
                             f"hold; {EXPORT}")
        if (wanted := rows.wants(term)) is not None:
            rows.add(wanted, np.frombuffer(packed, "<f4"))
    read = rows.whole()
    largest = np.maximum(read.vectors.max(axis=1), -read.vectors.min(axis=1)) if read.terms else np.ones(1)
    if not TINY < (middle := float(np.median(largest))) < HUGE:
        raise InputError(f"{path}: the largest number of a vector is {middle:.0e} (median); expected numbers near 1: "
                         f"they are no little-endian float32, or damaged; {EXPORT}")
    return read


def _records(path: Path, file: IO[bytes], count: int, dim: int) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Term, vector, and the bytes that follow, of each vector."""
    data, at, most = b"", 0, LONGEST_TERM + 4 * dim + LONGEST_REST
    for number in range(1, count + 1):
        if len(data) - at < most:
            data, at = data[at:] + file.read(CHUNK + most), 0
        space = data.find(b" ", at, at + LONGEST_TERM)
        begin, end = space + 1, space + 1 + 4 * dim
        if space < 0 or end > len(data):
            raise InputError(f"{path}: truncated in vector {number} of {count}, or no word2vec binary file")
        yield data[at:space].lstrip(b"\n"), data[begin:end], data[end:end + LONGEST_REST]
        at = end
    if (data[at:] + file.read(2)).strip():
        raise InputError(f"{path}: goes on after its {count} vectors; expected its end (terms with spaces do that too: "
                         f"{EXPORT})")


def _rest_of_term(packed: bytes, following: bytes) -> bytes:
    """What of a vector's bytes belongs to its term, up to a space; nothing, if it is a sound vector."""
    space = packed.find(b" ", 0, LONGEST_REST)
    rest = packed[:space + 1]
    if space < 0 or not _printable(rest):
        return b""
    # A sound vector begins so once in some hundred; then a term follows, and no number is made of letters.
    numbers = np.abs(np.frombuffer(packed, "<f4"))
    of_letters = len(rest) % 4 == 0 or not (numbers < HUGE).all()
    next_term = following[:len(rest)].lstrip(b"\n").partition(b" ")[0]
    return rest if of_letters or not _printable(next_term) else b""


def _printable(data: bytes) -> bool:
    try:
        return data.decode("utf-8").isprintable()
    except UnicodeDecodeError as error:  # cut within a letter
        return error.reason == "unexpected end of data" and data[:error.start].decode("utf-8").isprintable()


def _said(data: bytes) -> str:
    return data.decode("utf-8", "replace")
