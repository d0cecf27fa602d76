"""Tokenised text as numbers, so that counting, filtering and finding runs of words are operations on arrays."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from zeroshot.terms.spelling import JOINER
from zeroshot.text.sentences import SENTENCE_END


class EncodedText(NamedTuple):
    """Sentences, each ended by the token 0.

    Attributes:
        terms: distinct tokens, the first of them SENTENCE_END.
        ids: int32 [tokens], rows of `terms`.
    """

    terms: list[str]
    ids: Int32[np.ndarray, "tokens"]

    def tokens(self) -> list[str]:
        return list(map(self.terms.__getitem__, self.ids.tolist()))

    def counts(self) -> Counter:
        """Occurrences of each term that occurs."""
        counts = np.bincount(self.ids, minlength=len(self.terms)).tolist()
        return Counter({term: count for term, count in zip(self.terms[1:], counts[1:], strict=True) if count})

    def restricted(self, known: frozenset[str]) -> "EncodedText":
        """The text without terms that are not `known`, and without sentences that are empty then."""
        ids = self.ids[np.array([True] + [term in known for term in self.terms[1:]])[self.ids]]
        return EncodedText(self.terms, ids[~_empty(ids == 0)])

    def cut(self, longest: int) -> tuple["EncodedText", int]:
        """The text with sentences of more than `longest` terms cut after every `longest`, and how many those were."""
        lengths = np.diff(np.flatnonzero(self.ids == 0), prepend=-1) - 1
        too_long = int(np.count_nonzero(lengths > longest))
        if not too_long:
            return self, 0
        starts = np.cumsum(lengths + 1) - lengths - 1
        cuts = [range(start + longest, start + length, longest)
                for start, length in zip(starts.tolist(), lengths.tolist(), strict=True) if length > longest]
        return EncodedText(self.terms, np.insert(self.ids, [place for places in cuts for place in places], 0)), too_long

    def separated(self) -> "EncodedText":
        """The text with its terms taken apart into their words."""
        return encode([" ".join(self.tokens()).replace(JOINER, " ").split()])

    def lines(self) -> bytes:
        """UTF-8, a sentence a line, its terms a space apart; no sentence may be empty."""
        terms = [b"\n", *(term.encode() + b" " for term in self.terms[1:])]
        return b"".join(map(terms.__getitem__, self.ids.tolist())).replace(b" \n", b"\n")


def _empty(ends: Bool[np.ndarray, "tokens"]) -> Bool[np.ndarray, "tokens"]:
    """The ends that follow no word."""
    follows = np.ones_like(ends)
    follows[1:] = ends[:-1]
    return ends & follows


def encode(texts: Iterable[list[str]]) -> EncodedText:
    """The tokens of several texts, which end with a sentence's end each."""
    numbers = defaultdict(None, {SENTENCE_END: 0})
    numbers.default_factory = numbers.__len__
    ids: list[int] = []
    for tokens in texts:
        ids += map(numbers.__getitem__, tokens)
    return EncodedText(list(numbers), np.array(ids, np.int32))


def write_encoded(file: IO[bytes], text: EncodedText) -> None:
    """Append a text to a file."""
    np.save(file, text.ids)
    np.save(file, np.frombuffer("\n".join(text.terms).encode(), np.uint8))


def read_encoded(path: Path) -> Iterator[EncodedText]:
    """The texts that write_encoded wrote, one after the other."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        while file.tell() < size:
            ids = np.load(file)
            yield EncodedText(np.load(file).tobytes().decode().split("\n"), ids)
