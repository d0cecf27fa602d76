"""Term vectors: one vector a term of the lexicon, in a folder of our own or in a form that users already have.

The folder: `vectors.npy` float32 [terms, dim]; `vocabulary.tsv`, term <tab> count, in row order; `sha256.txt`, both
files' checksums (`sha256sum -c` reads it). zeroshot.terms.foreign_vectors reads the rest.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from zeroshot.base.files import atomic_write, sha256_of
from zeroshot.console.errors import InputError
from zeroshot.terms.foreign_vectors import read_foreign_vectors
from zeroshot.terms.vocabulary import read_counts, write_counts

SEALED = ("vectors.npy", "vocabulary.tsv")
CHUNK = 4096  # rows checked at a time
REMEDY = "delete the folder and `dvc repro train_skipgram`"


class TermVectors(NamedTuple):
    """Row i of `vectors`, of any length, belongs to terms[i], which occurred counts[i] times (0: not known)."""

    terms: list[str]
    counts: Int64[np.ndarray, "terms"]
    vectors: Float32[np.ndarray, "terms dim"]


def write_term_vectors(folder: Path, terms: TermVectors) -> None:
    """Write the folder, its checksums last."""
    with atomic_write(folder / "vectors.npy", "wb") as file:
        np.save(file, np.ascontiguousarray(terms.vectors, np.float32), allow_pickle=False)
    write_counts(folder / "vocabulary.tsv", dict(zip(terms.terms, map(int, terms.counts), strict=True)))
    with atomic_write(folder / "sha256.txt") as file:
        file.writelines(f"{sha256_of(folder / name)}  {name}\n" for name in SEALED)


def read_term_vectors(path: Path) -> TermVectors:
    """Read our folder, or a file of word2vec (text, binary), GloVe (text) or gensim (KeyedVectors or Word2Vec, saved).

    Terms of foreign files are as they stand there, "New_York" or "new_york"; of one that is repeated, the first counts.

    Raises:
        InputError: damaged, cut short, of changing width, a number that is none, an all-zero vector, or, in our folder,
            a term twice; names file and line or row.
    """
    if path.is_dir():
        terms = _read_folder(path)
    elif path.is_file():
        names, vectors = _first_of_each(path, *read_foreign_vectors(path))
        terms = TermVectors(names, np.zeros(len(names), np.int64), vectors)
    else:
        raise InputError(f"{path}: no such file or folder; expected term vectors")
    _check(path, terms)
    return terms


def _first_of_each(path: Path, names: list[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Without the repeated terms; moves the others up in place."""
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        first.setdefault(name, row)
    if (repeated := len(names) - len(first)) and len(vectors) == len(names):
        print(f"{path}: {repeated:,} of {len(names):,} vectors repeat a term; the first of each was kept")
        for new, old in enumerate(first.values()):
            vectors[new] = vectors[old]
        return list(first), vectors[:len(first)]
    return names, vectors


def _read_folder(folder: Path) -> TermVectors:
    for name in (*SEALED, "sha256.txt"):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; {REMEDY}")
    listed = (folder / "sha256.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    for name in SEALED:
        if f"{sha256_of(folder / name)}  {name}" not in listed:
            raise InputError(f"{folder / name}: damaged or edited: its checksum is not the one in sha256.txt; "
                             f"{REMEDY}")
    counts = read_counts(folder / "vocabulary.tsv")
    return TermVectors(list(counts), np.array(list(counts.values()), np.int64),
                       np.load(folder / "vectors.npy", allow_pickle=False))


def _check(path: Path, terms: TermVectors) -> None:
    names, _, vectors = terms
    if vectors.ndim != 2 or vectors.dtype != np.float32 or len(vectors) != len(names) or not vectors.size:
        raise InputError(f"{path}: {len(names)} terms and vectors of shape {vectors.shape}, {vectors.dtype}; "
                         f"expected float32 [{len(names)}, dim]")
    seen: dict[str, int] = {}
    for row, name in enumerate(names):
        if seen.setdefault(name, row) != row:
            raise InputError(f"{path}: term {name!r} stands twice, as vectors {seen[name] + 1} and {row + 1}")
    largest = np.empty(len(vectors), np.float32)  # NaN where any is NaN
    for start in range(0, len(vectors), CHUNK):
        largest[start:start + CHUNK] = np.abs(vectors[start:start + CHUNK]).max(axis=1)
    for fault, rows in (("holds NaN or infinity", ~np.isfinite(largest)), ("is all zero", largest == 0)):
        if rows.any():
            row = int(rows.argmax())
            raise InputError(f"{path}: vector {row + 1} ({names[row]!r}) {fault}, and {int(rows.sum()) - 1} more do; "
                             "expected finite numbers, not all zero")
