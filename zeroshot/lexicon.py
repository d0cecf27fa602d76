"""The lexicon: the terms that text is tokenised against, and how words become multi-word terms (DeViSE section 3.1)."""

from collections.abc import Iterable, Mapping
from itertools import compress, count, pairwise
from pathlib import Path

from zeroshot.errors import InputError
from zeroshot.files import atomic_write
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


def write_lexicon(path: Path, counts: Mapping[str, int]) -> None:
    """Write `term <tab> count` lines in the order of `counts`."""
    with atomic_write(path) as file:
        file.writelines(f"{term}\t{count}\n" for term, count in counts.items())


def read_lexicon(path: Path) -> dict[str, int]:
    """Read what write_lexicon wrote: term -> count, in the file's order.

    Raises:
        InputError: missing, empty, or a line that is no `term <tab> count`, or a term twice; names the line.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro` makes it")
    counts: dict[str, int] = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            term, _, count = line.rstrip("\n").partition("\t")
            if not term or not count.isdecimal():
                raise InputError(f"{path}: line {number} is {line[:60]!r}; expected: term <tab> count")
            if term in counts:
                raise InputError(f"{path}: line {number}: term {term!r} stands twice")
            counts[term] = int(count)
    if not counts:
        raise InputError(f"{path}: no term in it")
    return counts
