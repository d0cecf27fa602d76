"""Vectors of a user's file as they are read, one by one: only those that are wanted stay in memory."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from zeroshot.console.errors import InputError, quoted

GROWTH = 16 << 20  # bytes by which the matrix grows while it is read
CHECKED = 256  # rows: looked at one by one, between parsing, wide processor instructions take tenfold their time
ENGLISH = "/c/en/"  # before the terms of ConceptNet (Numberbatch), after "/c/de/" other languages'


class ReadVectors(NamedTuple):
    """Row i of `vectors` belongs to terms[i]; `left_out` counts the file's other vectors, by why."""

    terms: list[str]
    vectors: Float32[np.ndarray, "terms dim"]
    left_out: Mapping[str, int]


class Rows:
    """Collects (term, vector) in the file's order; of a term that is repeated, the first counts.

    Attributes:
        number: of vectors seen so far.
        dim: their width; whoever reads them sets it.
    """

    def __init__(self, path: Path, wanted: Callable[[str], bool] | None):
        """`wanted`: which terms are to be kept; None: all."""
        self.path, self.number, self.dim = path, 0, 0
        self._wanted, self._left_out = wanted, Counter()
        self._terms: dict[str, int] = {}  # to the vector's number in the file
        self._checked = 0  # rows that are known to be finite
        self._rows = np.empty((0, 0), np.float32)

    def wants(self, name: bytes | str) -> str | None:
        """The term of the next vector, or None if the vector is not to be added, which is counted."""
        self.number += 1
        try:
            term = name if isinstance(name, str) else name.decode()
        except UnicodeDecodeError:  # of "caf?" would come another word
            self._left_out["vectors_of_terms_not_utf8"] += 1
            return None
        if term.startswith("/c/"):
            if not term.startswith(ENGLISH):
                self._left_out["vectors_of_other_languages"] += 1
                return None
            term = term.removeprefix(ENGLISH)
        if self._wanted is not None and not self._wanted(term):
            self._left_out["vectors_not_needed"] += 1
            return None
        if term in self._terms:
            self._left_out["vectors_repeated"] += 1
            return None
        return term

    def add(self, term: str, row: Float32[np.ndarray, "dim"]) -> None:
        """Keep a vector that `wants` said is wanted; an all-zero one is counted instead.

        Raises:
            InputError: NaN or infinity, in this vector or one of the CHECKED before it.
        """
        if not row[0] and not row.any():
            self._left_out["vectors_all_zero"] += 1
            return
        filled = len(self._terms)
        if filled == len(self._rows):  # in place: large blocks are not copied
            self._rows.resize((filled + max(1, GROWTH // row.nbytes), self.dim), refcheck=False)
        self._rows[filled] = row
        self._terms[term] = self.number
        if filled + 1 - self._checked == CHECKED:
            self._check()

    def _check(self) -> None:
        finite = np.isfinite(self._rows[self._checked:len(self._terms)]).all(axis=1)
        if not finite.all():
            term, number = list(self._terms.items())[self._checked + int(finite.argmin())]
            raise InputError(f"{self.path}: vector {number} ({quoted(term)}) holds NaN or infinity; expected finite "
                             "numbers")
        self._checked = len(self._terms)

    def leave_out(self, why: str, count: int = 1) -> None:
        self._left_out[why] += count

    def whole(self) -> ReadVectors:
        """All that was kept, which may be nothing. Raises InputError as `add` does."""
        self._check()
        self._rows.resize((len(self._terms), self.dim), refcheck=False)
        return ReadVectors(list(self._terms), self._rows, dict(self._left_out))
