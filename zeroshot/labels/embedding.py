"""From a synset's names to its vectors in the space of term vectors (DeViSE section 3.1, ConSE section 3)."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from zeroshot.taxonomy import Taxonomy
from zeroshot.terms.spelling import JOINER, term_of, words_of
from zeroshot.terms.vectors import TermVectors

SHORTEST = 1e-6  # a mean of unit vectors shorter than this points nowhere


class Embedded(NamedTuple):
    """A label's vectors, one a row; how it came by them; the terms that they are made of."""

    vectors: Float32[np.ndarray, "rows dim"]
    way: str
    terms: list[str]


class UnitVectors:
    """Unit vectors by term.

    Users' files spell terms in their own way ("New_York"): a term that is spelt as ours wins, else the first in the
    file, which is the most frequent.
    """

    def __init__(self, terms: TermVectors, wanted: set[str] | None = None):
        """`wanted`: the terms that are needed; None: all."""
        self._vectors = terms.vectors
        spelt = [*map(term_of, terms.terms)]
        wanted = set(spelt) - {""} if wanted is None else wanted
        self._row = {term: row for row, term in enumerate(spelt) if term == terms.terms[row] and term in wanted}
        for row, term in enumerate(spelt):
            if term in wanted:
                self._row.setdefault(term, row)
        self.dim = terms.vectors.shape[1]

    def __contains__(self, term: str) -> bool:
        return term in self._row

    def known(self) -> list[str]:
        """The terms, those spelt as ours first, else in the file's order."""
        return list(self._row)

    def __getitem__(self, term: str) -> Float32[np.ndarray, "dim"]:
        return self._unit_rows(self._row[term])

    def of(self, terms: Sequence[str]) -> Float32[np.ndarray, "terms dim"]:
        """The vectors of several, bit for bit as one by one."""
        return self._unit_rows([self._row[term] for term in terms])

    def _unit_rows(self, rows: int | list[int]) -> Float32[np.ndarray, "*rows dim"]:
        vectors = self._vectors[rows].astype(np.float32)
        return unit(vectors / np.abs(vectors).max(axis=-1, keepdims=True))


def wanted_terms(nouns: Taxonomy) -> set[str]:
    """Every noun's lemmas as terms, and the words of these; and the wnids, for vectors by class."""
    lemmas = {term_of(lemma) for names in nouns.lemmas for lemma in names}
    return (lemmas | {word for lemma in lemmas for word in lemma.split(JOINER)} | set(nouns.wnids)) - {""}


def count_by_class(nouns: Taxonomy, terms: TermVectors) -> int:
    """How many of a file's vectors are by class, not by term: if most of its keys are wnids, so many; else 0.

    Args:
        terms: of the file those that `wanted_terms` holds.
    """
    wnids = sum(term_of(name) in nouns.index for name in terms.terms)
    return wnids if 2 * wnids > len(terms.terms) else 0


def named_by_class(nouns: Taxonomy) -> Taxonomy:
    """The nouns as a file of vectors by class names them: a noun's only name is its wnid."""
    return dataclasses.replace(nouns, lemmas=[[wnid] for wnid in nouns.wnids])


def unit(vectors: Float[np.ndarray, "*rows dim"]) -> Float32[np.ndarray, "*rows dim"]:
    """Each vector at length 1, computed in float64; all zero if it is shorter than SHORTEST."""
    vectors = vectors.astype(np.float64)
    length = np.sqrt(np.vecdot(vectors, vectors, keepdims=True))
    return (vectors / np.where(length > SHORTEST, length, np.inf)).astype(np.float32)


def embed(nouns: Taxonomy, terms: UnitVectors, wnid: str, synonyms: str, fallback: str) -> Embedded:
    """A label's vectors: its own terms', else by the fallback, else none.

    Args:
        synonyms: `first` lemma that has a vector; `mean` of all that have; `best`: every one is a row of its own, and
            whoever ranks takes the best.
        fallback: `words`: as `synonyms`, a lemma's vector being the mean of its words', where all have one;
            `hypernym`: the vectors of the nearest ancestor that has any (the smallest wnid of several as near).
    """
    def own(noun: str) -> tuple[list[np.ndarray], list[str]]:
        return chosen(nouns.lemmas[nouns.index[noun]], lambda term: [term] if term in terms else [], terms, synonyms)

    vectors, used = own(wnid)
    way = "term"
    if not vectors and fallback == "words":
        vectors, used = chosen(nouns.lemmas[nouns.index[wnid]], lambda term: known_words(term, terms), terms, synonyms)
        way = "words"
    if not vectors and fallback == "hypernym":
        vectors, used = next((found for ancestor in nouns.ancestors(wnid) if (found := own(ancestor))[0]), ([], []))
        way = "hypernym"
    return embedded(vectors, way, used, terms.dim)


def embedded(vectors: list[np.ndarray], way: str, used: list[str], dim: int) -> Embedded:
    """Pack a label's vectors; those that point nowhere (all zero) are none."""
    rows = np.array(vectors, np.float32).reshape(-1, dim)
    rows = rows[rows.any(axis=1)]
    return Embedded(rows, way if len(rows) else "without", used if len(rows) else [])


def known_words(term: str, terms: UnitVectors) -> list[str]:
    """The words of a term if all have a vector, else []."""
    words = words_of(term)
    return words if all(word in terms for word in words) else []


def chosen(lemmas: Iterable[str], parts_of: Callable[[str], list[str]], terms: UnitVectors,
           synonyms: str) -> tuple[list[np.ndarray], list[str]]:
    """Vectors for a synset's lemmas, and the terms used; `parts_of(term)` are the terms whose mean stands for it."""
    pieces = [parts for lemma in dict.fromkeys(map(term_of, lemmas)) if (parts := parts_of(lemma))]
    if synonyms == "first":
        pieces = pieces[:1]
    vectors = [unit(np.mean([terms[part] for part in parts], axis=0)) for parts in pieces]
    if synonyms == "mean" and vectors:
        vectors = [unit(np.mean(vectors, axis=0))]
    return vectors, [part for parts in pieces for part in parts]


def as_embedded(_: str, found: Embedded) -> Embedded:
    """A noun's vectors as they are, where they are not retrofitted."""
    return found


def with_hypernyms(nouns: Taxonomy, terms: UnitVectors, wnids: list[str], labels: list[Embedded], synonyms: str,
                   weight: float, draw: Callable[[str, Embedded], Embedded] = as_embedded) -> list[Embedded]:
    """Every vector t with its hypernyms' mixed in: t'(y) = t(y) + weight * mean of t'(h) over y's hypernyms h.

    All, the mean too, are taken at unit length, so that at weight 1 an ancestor's say halves with every edge (after
    HierSE, Li et al. 2015). A hypernym that no text names passes on what its own hypernyms say.

    Args:
        draw: what the labels' vectors went through after `embed` (zeroshot.labels.retrofitting); hypernyms' do as well.
    """
    def above(noun: str) -> np.ndarray:
        return unit(np.mean([mixed(parent) for parent in nouns.parents[noun]] or [np.zeros(terms.dim)], axis=0))

    @functools.cache
    def mixed(noun: str) -> np.ndarray:
        own = draw(noun, embed(nouns, terms, noun, synonyms, "none")).vectors
        return unit((unit(own.mean(0)) if len(own) else 0) + weight * above(noun))

    return [embedded([unit(vector + weight * above(wnid)) for vector in label.vectors], label.way, label.terms,
                     terms.dim) for wnid, label in zip(wnids, labels, strict=True)]


def centered(labels: list[Embedded], seen: list[bool]) -> list[Embedded]:
    """Every vector less the mean of the seen labels' (first) ones, at unit length; unseen labels move nothing."""
    mean = np.mean([label.vectors[0] for label, is_seen in zip(labels, seen, strict=True)
                    if is_seen and len(label.vectors)] or [0.0], axis=0)
    return [embedded([unit(vector - mean) for vector in label.vectors], label.way, label.terms, label.vectors.shape[1])
            for label in labels]
