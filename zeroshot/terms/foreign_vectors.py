"""Word vectors in the forms that other tools write: word2vec text and binary, GloVe text, gensim's own files."""

import gzip
import re
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from zeroshot.base.pickles import ArraysOnly
from zeroshot.console.errors import InputError

HEADER = re.compile(rb"(\d+) +(\d+)\s*\n")  # of word2vec: how many terms, of what width
EXPORT = "in gensim, export it with `.save_word2vec_format(path, binary=True)`"
PICKLE = b"\x80"  # how gensim's files begin
BOM = b"\xef\xbb\xbf"
LONGEST_TERM = 10_000  # bytes
WIDEST = 100_000  # numbers of a vector
GROWTH = 64 << 20  # bytes by which the matrix grows while it is read


def read_foreign_vectors(path: Path) -> tuple[list[str], np.ndarray]:
    """Terms and float32 [terms, dim] of a file, `.gz` or not; which form it has is told by its first bytes.

    Raises:
        InputError: cut short, wrong width or no number; names the line or the vector.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            origin = len(BOM) if file.read(len(BOM)) == BOM else 0
            file.seek(origin)
            first = file.readline(LONGEST_TERM)
            if first.startswith(PICKLE):
                return _read_gensim(path)
            if not (header := HEADER.fullmatch(first)):
                file.seek(origin)
                return _read_text(path, file, None, 1)
            count, dim = int(header[1]), int(header[2])
            if not count or not 0 < dim <= WIDEST:
                raise InputError(f"{path}: its first line announces {count} terms of width {dim}; expected at least "
                                 f"one, of width 1 to {WIDEST}")
            start = file.readline()
            file.seek(origin + len(first))
            if _is_text(start, dim):
                return _read_text(path, file, (count, dim), 2)
            return _read_binary(path, file, count, dim)
    except (EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: truncated or corrupt archive: {error}") from None


class _Matrix:
    """Float32 rows that come one by one, in memory for about as many as came, whatever a file's header announces."""

    def __init__(self):
        self._rows, self._filled = np.empty((0, 0), np.float32), 0

    def append(self, row: np.ndarray) -> None:
        if self._filled == len(self._rows):
            more = max(1, GROWTH // row.nbytes)
            self._rows.resize((self._filled + more, len(row)), refcheck=False)  # in place: large blocks are not copied
        self._rows[self._filled] = row
        self._filled += 1

    def whole(self) -> np.ndarray:
        self._rows.resize((self._filled, self._rows.shape[1]), refcheck=False)
        return self._rows


def _is_text(line: bytes, dim: int) -> bool:
    try:
        return len([float(number) for number in line.split()[-dim:]]) == dim
    except ValueError:
        return False


def _read_text(path: Path, lines: Iterable[bytes], expected: tuple[int, int] | None,
               number: int) -> tuple[list[str], np.ndarray]:
    """Lines `term number number ...`; a term may hold spaces (some of GloVe's do) once the width is known."""
    terms, rows, dim = [], _Matrix(), expected[1] if expected else None
    for number, line in enumerate(lines, number):  # noqa: B020
        dim = dim or line.rstrip().count(b" ")
        fields = line.rstrip().rsplit(b" ", dim)
        try:
            row = np.array(fields[1:], np.float32)
        except ValueError:
            row = np.empty(0, np.float32)
        if not dim or len(row) != dim:
            raise InputError(f"{path}: line {number} is {line[:60]!r}; expected a term and {dim or 'some'} numbers, "
                             "all parted by single spaces")
        terms.append(fields[0].decode("utf-8", "replace"))
        rows.append(row)
    if not terms or expected and len(terms) != expected[0]:
        raise InputError(f"{path}: ends after line {number} with {len(terms)} vectors; "
                         f"expected {expected[0] if expected else 'at least one'}")
    return terms, rows.whole()


def _read_binary(path: Path, file: IO[bytes], count: int, dim: int) -> tuple[list[str], np.ndarray]:
    terms, rows = [], _Matrix()
    for number in range(1, count + 1):
        term = _until_space(file)
        packed = file.read(4 * dim)
        if term is None or len(packed) != 4 * dim:
            raise InputError(f"{path}: truncated in vector {number} of {count}, or no word2vec binary file")
        terms.append(term.decode("utf-8", "replace"))
        rows.append(np.frombuffer(packed, "<f4"))
    if file.read(2).strip():
        raise InputError(f"{path}: goes on after its {count} vectors; expected its end")
    return terms, rows.whole()


def _until_space(file: IO[bytes]) -> bytes | None:
    term = bytearray()
    while (byte := file.read(1)) != b" ":
        if not byte or len(term) > LONGEST_TERM:
            return None
        term += byte
    return bytes(term).lstrip(b"\n")  # some writers end a vector with a line


def _read_gensim(path: Path) -> tuple[list[str], np.ndarray]:
    """KeyedVectors.save or Word2Vec.save, in one file: one beside it could change unnoticed by DVC."""
    try:
        with open(path, "rb") as file:
            saved = ArraysOnly(file, inert=("gensim", "numpy.random")).load()
    except Exception as error:  # a broken pickle raises nearly anything
        raise InputError(f"{path}: gensim's file cannot be read safely: {error}; {EXPORT}") from None
    fields = getattr(getattr(saved, "wv", saved), "__dict__", {})
    terms = fields.get("index_to_key") or fields.get("index2word")
    vectors = fields.get("vectors", fields.get("syn0"))
    if vectors is None:
        raise InputError(f"{path}: holds no vectors; gensim keeps large ones in a file of their own (...vectors.npy), "
                         f"but one file is expected here; {EXPORT}")
    if not terms:
        raise InputError(f"{path}: gensim's file holds no terms; expected KeyedVectors or Word2Vec")
    return list(terms), np.asarray(vectors, np.float32)
