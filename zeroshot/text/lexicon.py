"""The lexicon: the terms that text is tokenised against, and how words become multi-word terms (DeViSE section 3.1)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from zeroshot.console.errors import InputError
from zeroshot.terms.spelling import JOINER
from zeroshot.text.encoded import EncodedText, encode

SIEVE = 64  # bytes a pair of words that begins a term; one in so many other pairs passes for one


class MultiwordTerms:
    """Merges runs of words into terms, greedily from the left, the longest first: "great white shark" is one token.

    Args:
        terms: "great_white_shark", ...; single words among them are of no effect.
    """

    def __init__(self, terms: Iterable[str]):
        self.terms = {term for term in terms if JOINER in term}
        self._numbers: dict[str, int] = {}  # of words that are first or second in a term, from 1
        lengths: dict[int, set[int]] = {}
        for term in self.terms:
            words = term.split(JOINER)
            first, second = (self._numbers.setdefault(word, len(self._numbers) + 1) for word in words[:2])
            lengths.setdefault(first << 32 | second, set()).add(len(words))
        self._lengths = {pair: sorted(found, reverse=True) for pair, found in lengths.items()}
        self._sieve = np.zeros(SIEVE * len(lengths) + 1, bool)
        self._sieve[np.array(list(lengths), np.int64) % len(self._sieve)] = True

    def merge(self, text: EncodedText) -> EncodedText:
        """`text` with every run of words that is a term replaced by it; no run crosses a sentence's end."""
        found = list(self._runs(text))
        if not found:
            return text
        starts, _, merged = zip(*found, strict=True)
        rows = {term: row for row, term in enumerate(dict.fromkeys([*text.terms, *merged]))}
        ids = text.ids.copy()
        ids[list(starts)] = [rows[term] for term in merged]
        within = [place for start, length, _ in found for place in range(start + 1, start + length)]
        return EncodedText(list(rows), np.delete(ids, within))

    def merge_words(self, words: list[str]) -> list[str]:
        """The same for a few words."""
        merged, text = words.copy(), EncodedText(words, np.arange(len(words), dtype=np.int32))
        for start, length, term in reversed(list(self._runs(text))):
            merged[start:start + length] = [term]
        return merged

    def fall_back(self, text: EncodedText, known: frozenset[str]) -> EncodedText:
        """`text` with each multi-word term that is not `known` as what its own words merge into; others stay."""
        pieces = [[term] if term in known or JOINER not in term else self.merge_words(term.split(JOINER))
                  for term in text.terms]
        return encode([[piece for row in text.ids.tolist() for piece in pieces[row]]])

    def _runs(self, text: EncodedText) -> Iterator[tuple[int, int, str]]:
        """Start, length and term of the runs of words that merge."""
        numbers = np.array([self._numbers.get(term, 0) for term in text.terms], np.int64)[text.ids]
        pairs = numbers[:-1] << 32 | numbers[1:]
        # Python code runs only where two words pass the sieve, as all pairs that begin a term do and few others.
        starts = np.flatnonzero(self._sieve[pairs % len(self._sieve)])
        done = 0
        for start, pair in zip(starts.tolist(), pairs[starts].tolist(), strict=True):
            if start < done:
                continue  # inside the term before
            for length in self._lengths.get(pair, ()):
                term = JOINER.join([text.terms[row] for row in text.ids[start:start + length].tolist()])
                if term in self.terms:
                    yield start, length, term
                    done = start + length
                    break


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


def settled_lexicon(counts: Counter, labels: set[str], multiword: MultiwordTerms, **rules: int) -> list[str]:
    """The lexicon by `counts`, from which multi-word terms that are left out vanish.

    The longest of those count as the shorter terms and words that they fall back to, and the choice is made anew, until
    no multi-word term is left out. What is given stays as it is.

    Args:
        multiword: as the counted terms were merged.
        rules: size, min_count and label_min_count, as `choose_lexicon` takes them.
    """
    counts, multiword = counts.copy(), MultiwordTerms(multiword.terms)
    while True:
        lexicon = choose_lexicon(counts, labels, **rules)
        left_out = [term for term in counts.keys() - set(lexicon) if JOINER in term]
        longest = max((term.count(JOINER) for term in left_out), default=0)
        if not longest:
            return lexicon
        falling = {term: counts.pop(term) for term in left_out if term.count(JOINER) == longest}
        multiword.terms -= falling.keys()
        for term, count in falling.items():
            for shorter in multiword.merge_words(term.split(JOINER)):
                counts[shorter] += count
