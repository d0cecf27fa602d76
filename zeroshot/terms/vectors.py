"""Term vectors: one vector a term of the lexicon, in a folder of our own or in a form that users already have.

The folder: `vectors.npy` float32 [terms, dim]; `vocabulary.tsv`, term <tab> count, in row order; `sha256.txt`, both
files' checksums (`sha256sum -c` reads it). zeroshot.terms.foreign_vectors reads the rest.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from zeroshot.base.files import atomic_write, sha256_of
from zeroshot.console.errors import InputError, quoted
from zeroshot.terms.foreign_vectors import read_foreign_vectors
from zeroshot.terms.vocabulary import read_counts, write_counts

SEALED = ("vectors.npy", "vocabulary.tsv")
CHUNK = 4096  # rows checked at a time
REMEDY = "delete the folder and `dvc repro train_skipgram`"


class TermVectors(NamedTuple):
    """Row i of `vectors`, of any length, belongs to terms[i], which occurred counts[i] times (0: not known).

    `left_out` counts vectors of a user's file that are not here, by why.
    """

    terms: list[str]
    counts: Int64[np.ndarray, "terms"]
    vectors: Float32[np.ndarray, "terms dim"]
    left_out: Mapping[str, int] = {}


def write_term_vectors(folder: Path, terms: TermVectors) -> None:
    """Write the folder, its checksums last."""
    with atomic_write(folder / "vectors.npy", "wb") as file:
        np.save(file, np.ascontiguousarray(terms.vectors, np.float32), allow_pickle=False)
    write_counts(folder / "vocabulary.tsv", dict(zip(terms.terms, map(int, terms.counts), strict=True)))
    with atomic_write(folder / "sha256.txt") as file:
        file.writelines(f"{sha256_of(folder / name)}  {name}\n" for name in SEALED)


def read_term_vectors(path: Path, wanted: Callable[[str], bool] | None = None, member: str = "") -> TermVectors:
    """Read our folder, or a file as zeroshot.terms.foreign_vectors describes them.

    Terms of foreign files are as they stand there, "New_York" or "new_york"; of one that is repeated, the first counts.

    Args:
        wanted: which terms of a foreign file are needed, which bounds the memory; None: all.
        member: the file's name in a zip that holds several.

    Raises:
        InputError: damaged, cut short, of changing width, a number that is none, or, in our folder, an all-zero vector
            or a term twice; names file and line or row.
    """
    if path.is_dir():
        if member:
            raise InputError(f"{path}: a folder, not a zip; leave `embed_labels.member` in params.yaml, now "
                             f"{quoted(member, 80)}, empty")
        terms = _read_folder(path)
        _check(path, terms)
        return terms
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; expected term vectors")
    names, vectors, left_out = read_foreign_vectors(path, wanted, member)
    return TermVectors(names, np.zeros(len(names), np.int64), vectors, left_out)


def _read_folder(folder: Path) -> TermVectors:
    if not any((folder / name).exists() for name in (*SEALED, "sha256.txt")):
        held = ", ".join(quoted(path.name) for path in sorted(folder.iterdir())[:5]) or "nothing"
        raise InputError(f"{folder}: a folder that holds {held}, and none of the files that train_skipgram writes; set "
                         "`embed_labels.vectors` in params.yaml to one file of vectors")
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
    names, vectors = terms.terms, terms.vectors
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
