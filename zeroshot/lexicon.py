"""The lexicon: the terms that text is tokenised against, and how words become multi-word terms (DeViSE section 3.1)."""

from collections.abc import Iterable, Mapping
from itertools import compress, count, pairwise

from zeroshot.base.errors import InputError
from zeroshot.terms import JOINER


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
        self._lengths = {pair: tuple(sorted(found, reverse=True)) for pair, found in lengths.items()}

    def merge(self, words: list[str]) -> list[str]:
        """`words` with every run that is a term replaced by it; no run crosses a token that is no word."""
        lengths = self._lengths
        # Nearly all the time goes into finding the pairs that begin a term: no Python code runs for the others.
        hits = compress(count(), map(lengths.__contains__, pairwise(words)))
        merged, done = [], 0
        for start in hits:
            if start < done:
                continue  # inside the term before
            for length in lengths[words[start], words[start + 1]]:
                term = JOINER.join(words[start:start + length])
                if term in self.terms:
                    merged += words[done:start]
                    merged.append(term)
                    done = start + length
                    break
        merged += words[done:]
        return merged


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
