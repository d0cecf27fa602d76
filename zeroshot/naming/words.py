"""Words: what a model's labels are called and mean, and the vectors of any others."""

import bisect
import difflib
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float16, Float32

from zeroshot.console.errors import InputError, quoted
from zeroshot.labels.embedding import UnitVectors, embed, embedded, known_words, unit, with_hypernyms
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors
from zeroshot.labels.retrofitting import NOT_RETROFITTED, Draw, retrofitting
from zeroshot.naming.folder import ModelFolder
from zeroshot.taxonomy import WNID, Taxonomy, read_taxonomy
from zeroshot.terms.spelling import term_of, words_of

NEAR = 3  # spellings shown of an unknown word
CACHED = 1 << 14  # vectors
OTHERS, GLOSS = 2, 40  # other meanings shown of a word; signs of each


class Noun(NamedTuple):
    """A synset as the model's table has it."""

    wnid: str
    lemmas: list[str]
    parents: list[str]
    gloss: str


class Terms(UnitVectors):
    """Unit vectors by term, all spelt as ours."""

    def __init__(self, terms: list[str], vectors: Float16[np.ndarray, "terms dim"]):
        self._vectors, self.dim = vectors, vectors.shape[1]
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
        """The nouns that a word may mean, WordNet's first first."""
        start = term_of(word) + "\t"
        place = bisect.bisect_left(self._senses, start)
        line = self._senses[place] if place < len(self._senses) else ""
        return line.removeprefix(start).split() if line.startswith(start) else []

    @cached_property
    def terms(self) -> "Terms":
        """The language model's vectors, as many as were exported."""
        artifact = self._folder.artifact("terms.safetensors")
        return Terms(artifact.meta["terms"], artifact["vectors"])

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
        if wnid is not None and len(rows := self._of_noun(kind, wnid)):
            return rows
        parts = self.parts(words)
        mean = [unit(np.mean([self.terms[part] for part in parts], axis=0))] if parts else []
        return self._centered(kind, embedded(mean, "words", parts, self.terms.dim).vectors)

    def parts(self, words: str) -> list[str]:
        """The terms whose mean stands for words: the term itself, or its words if all are known; else none."""
        return [term] if (term := term_of(words)) in self.terms else known_words(term, self.terms)

    def _of_noun(self, kind: str, wnid: str) -> Float32[np.ndarray, "rows dim"]:
        labels = self.label_vectors(kind)
        if (label := labels.index.get(wnid)) is not None and labels.has_vector[label]:
            first, stop = np.searchsorted(labels.row_label, [label, label + 1])
            return labels.vectors[first:stop]
        if wnid not in self.taxonomy.index:
            return np.zeros((0, self.terms.dim), np.float32)
        how = self._folder.about["embedded"]
        found = self._draw(wnid, embed(self.taxonomy, self.terms, wnid, how["synonyms"], how["fallback"]))
        if kind == "hypernyms" and len(found.vectors):
            found, = with_hypernyms(self.taxonomy, self.terms, [wnid], [found], how["synonyms"], how["hypernyms"],
                                    self._draw)
        return self._centered(kind, found.vectors)

    @cached_property
    def _draw(self) -> Draw:
        how = self._folder.about["embedded"]
        return retrofitting(self.taxonomy, self.terms, how["synonyms"], **how.get("retrofit", NOT_RETROFITTED))

    def _centered(self, kind: str, rows: Float32[np.ndarray, "rows dim"]) -> Float32[np.ndarray, "rows dim"]:
        """Less the mean of the seen labels', where the run's are."""
        mean = np.array(self._folder.about["embedded"]["means"].get(kind, []))
        if not len(mean):
            return rows
        return np.array([unit(row - mean) for row in rows], np.float32).reshape(rows.shape)

    def near(self, word: str) -> list[str]:
        """Known words that are spelt like an unknown one."""
        term = term_of(word)
        nouns = (line.partition("\t")[0] for line in self._senses)
        known = [other for other in dict.fromkeys([*nouns, *self.terms.known()])
                 if abs(len(other) - len(term)) <= 2]
        first = [other for other in known if other[:1] == term[:1]]
        found = difflib.get_close_matches(term, first, NEAR) or difflib.get_close_matches(term, known, NEAR)
        return [other.replace("_", " ") for other in found]


class OwnLabel(NamedTuple):
    """A label that a user gave.

    Attributes:
        words: what it is called in answers.
        wnid: of the noun that it stands for, if it is one.
        note: what was decided for it, to be told; "" for nothing.
    """

    words: str
    wnid: str | None
    note: str = ""


def own_label(words: Words, given: str) -> OwnLabel:
    """What a word, a wnid or `word=wnid` stands for.

    Raises:
        InputError: no noun of that number, or a word of which nothing is known, with near spellings.
    """
    word, _, wnid = (part.strip() for part in given.partition("="))
    if not wnid and WNID.fullmatch(word):
        word, wnid = words.name(word), word
    if wnid:
        if not WNID.fullmatch(wnid) or words.noun(wnid) is None:
            raise InputError(f"label {quoted(given)}: {quoted(wnid, 20)} is no noun synset of WordNet 3.0; expected a "
                             "wnid, n and eight digits")
        return OwnLabel(word or words.name(wnid), wnid)
    senses = words.senses(word)
    if len(senses) > 1:
        others = ", ".join(f"{word}={wnid} ({_meaning(words, wnid)})" for wnid in senses[1:1 + OTHERS])
        more = f" and {len(senses) - 1 - OTHERS} more" if len(senses) > 1 + OTHERS else ""
        return OwnLabel(word, senses[0], f"{word}: taken as {senses[0]} ({_meaning(words, senses[0])}); for others "
                                         f"write {others}{more}")
    return OwnLabel(word, senses[0] if senses else None)


def _meaning(words: Words, wnid: str) -> str:
    gloss = words.noun(wnid).gloss
    return gloss if len(gloss) <= GLOSS else gloss[:GLOSS].rsplit(" ", 1)[0].rstrip(" ,;.") + " ..."


def unknown(words: Words, label: str) -> str:
    """Why a label cannot be used, with what is spelt like it."""
    missing = [word for word in words_of(label) if word not in words.terms and not words.senses(word)]
    parts = [label] if len(missing) == len(words_of(label)) or not missing else missing
    said = []
    for part in parts:
        near = words.near(part)
        said.append(f"{quoted(part)} is no word that the model has read" + (
            f"; spelt like it: {', '.join(near)}" if near else ""))
    return "; ".join(said)

