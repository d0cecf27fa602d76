"""The lexicon: the terms that text is tokenised against, and how words become multi-word terms (DeViSE section 3.1)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import numpy as np

from zeroshot.base.errors import InputError
from zeroshot.encoded_text import EncodedText
from zeroshot.terms import JOINER

SIEVE = 64  # places a pair of words: one in so many other pairs passes the sieve too


class MultiwordTerms:
    """Merges runs of words into terms, greedily from the left, the longest first: "great white shark" is one token.

    Args:
        terms: "great_white_shark", ...; single words among them are of no effect.
    """

    def __init__(self, terms: Iterable[str]):
        self.terms = {term for term in terms if JOINER in term}
        lengths: dict[tuple[str, str], set[int]] = {}
        for term in self.terms:
            words = term.split(JOINER)
            lengths.setdefault((words[0], words[1]), set()).add(len(words))
        self._lengths = {pair: sorted(found, reverse=True) for pair, found in lengths.items()}
        self._numbers = {word: number for number, word in enumerate(dict.fromkeys(chain.from_iterable(lengths)), 1)}
        self._sieve = np.zeros(SIEVE * len(lengths) + 1, bool)
        first, second = ([self._numbers[pair[side]] for pair in lengths] for side in (0, 1))
        self._sieve[self._places(np.array(first, np.int64), np.array(second, np.int64))] = True

    def merge(self, text: EncodedText) -> EncodedText:
        """`text` with every run of words that is a term replaced by it; no run crosses a sentence's end."""
        # Python code runs only where two words pass the sieve, as all pairs that begin a term do and few others.
        numbers = np.array([self._numbers.get(term, 0) for term in text.terms], np.int64)[text.ids]
        starts = np.flatnonzero(self._sieve[self._places(numbers[:-1], numbers[1:])])
        found = list(self._runs(starts, text))
        if not found:
            return text
        starts, lengths, merged = zip(*found, strict=True)
        rows = {term: row for row, term in enumerate(dict.fromkeys([*text.terms, *merged]))}
        ids = text.ids.copy()
        ids[list(starts)] = [rows[term] for term in merged]
        within = [place for start, length, _ in found for place in range(start + 1, start + length)]
        return EncodedText(list(rows), np.delete(ids, within))

    def merge_words(self, words: list[str]) -> list[str]:
        """The same for a few words."""
        merged, text = words.copy(), EncodedText(words, np.arange(len(words)))
        for start, length, term in reversed(list(self._runs(text.ids[:-1], text))):
            merged[start:start + length] = [term]
        return merged

    def _runs(self, starts: np.ndarray, text: EncodedText) -> Iterator[tuple[int, int, str]]:
        """Start, length and term of the runs that merge, among those that begin at `starts`."""
        terms, done = text.terms, 0
        pairs = zip(text.ids[starts].tolist(), text.ids[starts + 1].tolist(), strict=True)
        for start, (first, second) in zip(starts.tolist(), pairs, strict=True):
            if start < done:
                continue  # inside the term before
            for length in self._lengths.get((terms[first], terms[second]), ()):
                rows = [first, second] if length == 2 else text.ids[start:start + length].tolist()
                term = JOINER.join([terms[row] for row in rows])
                if term in self.terms:
                    yield start, length, term
                    done = start + length
                    break

    def _places(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Where in the sieve the pairs of two words stand."""
        return (first * (len(self._numbers) + 1) + second) % len(self._sieve)


def choose_lexicon(counts: Mapping[str, int], labels: set[str], *, size: int, min_count: int,
                   label_min_count: int) -> list[str]:
    """Terms of the lexicon, most frequent first (then by name): every label that occurs often enough, then other terms.

    Args:
        counts: occurrences of each term in the text.
        labels: terms of the labels; they belong to the lexicon from `label_min_count` on, whatever their rank.
        size: the number of terms at most (the paper's 155,000).
        min_count: occurrences that any other term needs.
    """
    kept = [term for term, count in counts.items() if term in labels and count >= label_min_count]
    if len(kept) > size:
        raise InputError(f"params.yaml: `prepare_corpus.lexicon_size` is {size}, but {len(kept)} label lemmas occur at "
                         f"least {label_min_count} times in the text; raise it, or `label_min_count`")
    others = (term for term, count in counts.items() if term not in labels and count >= min_count)
    kept += sorted(others, key=lambda term: (-counts[term], term))[:size - len(kept)]
    return sorted(kept, key=lambda term: (-counts[term], term))
