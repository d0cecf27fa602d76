"""Words: what a model's labels are called and mean, and the vectors of any others."""

import bisect
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float16, Float32, Float64

from zeroshot.labels.embedding import (
    Embedded,
    UnitVectors,
    as_embedded,
    embed,
    known_words,
    named_by_class,
    unit,
    with_hypernyms,
)
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors
from zeroshot.naming.folder import ModelFolder
from zeroshot.taxonomy import Taxonomy, read_taxonomy
from zeroshot.terms.spelling import term_of

NEAR = 3  # spellings shown of an unknown word
CACHED = 1 << 14  # vectors
AT_ONCE = 1 << 12  # labels, which bounds memory
# Endings, and what stands in their place in the singular; of several that give a noun the first counts.
PLURALS = (("men", "man"), ("children", "child"), ("mice", "mouse"), ("lice", "louse"), ("geese", "goose"),
           ("feet", "foot"), ("teeth", "tooth"), ("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"),
           ("xes", "x"), ("zes", "z"), ("ves", "f"), ("s", ""), ("ves", "fe"), ("oes", "o"), ("ses", "sis"),
           ("ses", "s"), ("ices", "ix"), ("ices", "ex"), ("i", "us"), ("ae", "a"), ("a", "um"), ("a", "on"),
           ("eaux", "eau"))
ARTICLE = re.compile("^(a|an|the)_")
SHORTEST = 3  # letters of a singular: "was" and "its" are no plurals


def singulars(term: str) -> list[str]:
    """What a plural that follows a rule may be the plural of; nouns are the judges."""
    found = (term.removesuffix(ending) + instead for ending, instead in PLURALS if term.endswith(ending))
    return [] if term.endswith("ss") else [other for other in found if len(other) >= SHORTEST]


class Noun(NamedTuple):
    """A synset as the model's table has it."""

    wnid: str
    lemmas: list[str]
    parents: list[str]
    gloss: str


class Terms(UnitVectors):
    """Unit vectors by term, all spelt as ours; `terms` in the file's order."""

    def __init__(self, terms: list[str], vectors: Float16[np.ndarray, "terms dim"]):
        self.terms, self._vectors, self.dim = terms, vectors, vectors.shape[1]
        self._row = {term: row for row, term in enumerate(terms)}
        self._unit = lru_cache(CACHED)(super().__getitem__)

    def __getitem__(self, term: str) -> Float32[np.ndarray, "dim"]:
        return self._unit(term)


class Words:
    """What a model knows of words. Everything is read at its first use."""

    def __init__(self, folder: ModelFolder):
        self._folder = folder
        self._vectors: dict[str, LabelVectors] = {}

    @cached_property
    def _lines(self) -> list[str]:
        return self._folder.text("nouns.tsv").splitlines()  # sorted by wnid

    def noun(self, wnid: str) -> Noun | None:
        """One synset, without reading the others; None if there is none of that number."""
        place = bisect.bisect_left(self._lines, wnid)
        if place == len(self._lines) or not self._lines[place].startswith(wnid + "\t"):
            return None
        _, lemmas, kinds, instances, gloss = self._lines[place].split("\t")
        return Noun(wnid, lemmas.split("|"), kinds.split() + instances.split(), gloss)

    def name(self, wnid: str) -> str:
        """The main word for a synset."""
        noun = self.noun(wnid)
        return noun.lemmas[0] if noun else wnid

    def path(self, wnid: str) -> list[str]:
        """Hypernyms from the nearest up to the root, wnids; of several the one that has most above itself."""
        path, at = [], wnid
        while (noun := self.noun(at)) and noun.parents:
            at = max(noun.parents, key=lambda parent: (self._height(parent), parent))
            path.append(at)
        return path

    def _height(self, wnid: str) -> int:
        """Edges up to the root, the long way."""
        if wnid not in self._heights:
            noun = self.noun(wnid)
            self._heights[wnid] = 1 + max(map(self._height, noun.parents), default=-1) if noun else 0
        return self._heights[wnid]

    @cached_property
    def _heights(self) -> dict[str, int]:
        return {}

    # --- any word

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """All nouns."""
        self._folder.text("nouns.tsv")  # for its checksum
        return read_taxonomy(self._folder.path)

    @cached_property
    def _senses(self) -> list[str]:
        return self._folder.text("senses.tsv").splitlines()  # sorted

    def senses(self, word: str) -> list[str]:
        """The nouns that a word may mean, WordNet's first first.

        Of what is none itself they are those of its singular, or of what stands behind an article.
        """
        term = term_of(word)
        bare = ARTICLE.sub("", term)
        forms = [term, *singulars(term), *([bare, *singulars(bare)] if bare != term else [])]
        return next(filter(None, map(self._senses_of, forms)), [])

    def is_noun(self, word: str) -> bool:
        """Whether a noun is called so, in the singular and without an article."""
        return bool(self._senses_of(term_of(word)))

    def _senses_of(self, term: str) -> list[str]:
        start = term + "\t"
        place = bisect.bisect_left(self._senses, start)
        line = self._senses[place] if place < len(self._senses) else ""
        return line.removeprefix(start).split() if line.startswith(start) else []

    @cached_property
    def terms(self) -> "Terms":
        """The language model's vectors, as many as were exported."""
        artifact = self._folder.artifact("terms.safetensors")
        return Terms(artifact.meta["terms"], artifact["vectors"])

    @cached_property
    def by_class(self) -> bool:
        """Whether the vectors are by class: a noun's only name is its wnid then, and other words have none."""
        return self._folder.about["embedded"].get("by_class", False)

    @cached_property
    def _nouns(self) -> Taxonomy:
        return named_by_class(self.taxonomy) if self.by_class else self.taxonomy

    def label_vectors(self, kind: str) -> LabelVectors:
        """Of the run's labels: `lemmas` or `hypernyms`."""
        if kind not in self._vectors:
            self._vectors[kind] = self._folder.read(f"{kind}.safetensors", read_label_vectors)
        return self._vectors[kind]

    def vectors(self, kind: str, words: str, wnid: str | None) -> Float32[np.ndarray, "rows dim"]:
        """The vectors of a label of any kind, several where each synonym counts; none if nothing is known of it.

        Args:
            kind: of label vectors.
            words: what it is called; taken where `wnid` is None or has no vector of its own.
        """
        return self.vectors_of(kind, [(words, wnid)])[0]

    def vectors_of(self, kind: str, labels: Sequence[tuple[str, str | None]]) -> list[Float32[np.ndarray, "rows dim"]]:
        """The same of many labels, (words, wnid) each; what they share of hypernyms is worked out once."""
        of_nouns = self._of_nouns(kind, dict.fromkeys(wnid for _, wnid in labels if wnid is not None))
        found = [(words, of_nouns.get(wnid, ())) for words, wnid in labels]
        of_words = self._of_words(kind, [words for words, rows in found if not len(rows)])
        return [rows if len(rows) else next(of_words) for _, rows in found]

    def _of_words(self, kind: str, labels: list[str]) -> Iterator[Float32[np.ndarray, "rows dim"]]:
        """The mean of each label's terms; labels of as many terms are worked out together."""
        for start in range(0, len(labels), AT_ONCE):
            parts = [self.parts(words) for words in labels[start:start + AT_ONCE]]
            found = [np.empty((0, self.terms.dim), np.float32)] * len(parts)
            for count in {len(terms) for terms in parts} - {0}:
                places = [place for place, terms in enumerate(parts) if len(terms) == count]
                rows = self.terms.of([term for place in places for term in parts[place]])
                means = unit(rows.reshape(len(places), count, -1).mean(axis=1))
                for place, mean, row in zip(places, means, self._centered(kind, means), strict=True):
                    if mean.any():  # else it points nowhere
                        found[place] = row[None]
            yield from found

    def parts(self, words: str) -> list[str]:
        """The terms whose mean stands for words: the term itself, or its words if all are known; else none."""
        return [term] if (term := term_of(words)) in self.terms else known_words(term, self.terms)

    def _of_nouns(self, kind: str, wnids: Iterable[str]) -> dict[str, Float32[np.ndarray, "rows dim"]]:
        """wnid -> vectors, of those that have any: the run's own, and others as embed_labels would have made them."""
        labels, found, others = self.label_vectors(kind), {}, []
        for wnid in wnids:
            if (label := labels.index.get(wnid)) is not None and labels.has_vector[label]:
                first, stop = np.searchsorted(labels.row_label, [label, label + 1])
                found[wnid] = labels.vectors[first:stop]
            elif wnid in self.taxonomy.index:
                others.append(wnid)
        if not others:
            return found
        how, nouns = self._folder.about["embedded"], self._nouns
        made = {wnid: self._draw(wnid, embed(nouns, self.terms, wnid, how["synonyms"], how["fallback"]))
                for wnid in others}
        made = {wnid: label for wnid, label in made.items() if len(label.vectors)}
        if kind == "hypernyms":
            lifted = with_hypernyms(nouns, self.terms, list(made), list(made.values()), how["synonyms"],
                                    how["hypernyms"], self._draw)
            made = dict(zip(made, lifted, strict=True))
        return found | {wnid: self._centered(kind, label.vectors) for wnid, label in made.items()}

    @cached_property
    def _draw(self) -> Callable[[str, Embedded], Embedded]:
        how = self._folder.about["embedded"]
        if "retrofit" not in how:
            return as_embedded
        from zeroshot.labels.retrofitting import retrofitting  # scipy, which others do not wait for
        return retrofitting(self._nouns, self.terms, how["synonyms"], **how["retrofit"])

    def _centered(self, kind: str, rows: Float32[np.ndarray, "rows dim"]) -> Float32[np.ndarray, "rows dim"]:
        """Less the mean of the seen labels', where the run's are."""
        mean = self._means.get(kind)
        if mean is None:
            return rows
        return unit(rows - mean)

    @cached_property
    def _means(self) -> dict[str, Float64[np.ndarray, "dim"]]:
        """Kind -> the mean of its seen labels' vectors; none where labels are not centred."""
        return {kind: np.array(mean) for kind, mean in self._folder.about["embedded"]["means"].items()}

    def near(self, word: str) -> list[str]:
        """Known words that are spelt like an unknown one."""
        term = term_of(word)
        nouns = (line.partition("\t")[0] for line in self._senses)
        known = [other for other in dict.fromkeys([*nouns, *self.terms.known()])
                 if abs(len(other) - len(term)) <= 2]
        first = [other for other in known if other[:1] == term[:1]]
        found = difflib.get_close_matches(term, first, NEAR) or difflib.get_close_matches(term, known, NEAR)
        return [other.replace("_", " ") for other in found]
