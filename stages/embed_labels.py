"""Synsets -> label vectors: where each class lies in the space of term vectors (DeViSE section 3.1, ConSE section 3).

A label is a set of synonyms ("kit fox", "Vulpes macrotis"), each a term that the text may or may not hold. Which of
their vectors stand for the label, and what is done where the text has none, are params; by default such a label has no
vector, is no candidate, and is counted. A file of vectors by class, whose keys are wnids, takes the terms' place. Terms
are made unit length before they are averaged, label vectors after.
Writes three files for the same labels: lemmas.safetensors, for the papers' models; hypernyms.safetensors, in which each
vector has its hypernyms' mixed in, which the papers do not; random.safetensors, random unit vectors, one a label, for
DeViSE's random-embedding baseline. Seconds, plus reading the term vectors.
"""

import dataclasses
import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pydantic
from jaxtyping import Float32

from stages import run_stage
from zeroshot.base.files import atomic_write, sha256_of, write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import LABEL_SETS, read_label_sets
from zeroshot.labels.label_vectors import LabelVectors, write_label_vectors
from zeroshot.taxonomy import Taxonomy, read_taxonomy
from zeroshot.terms.spelling import JOINER, term_of, words_of
from zeroshot.terms.vectors import TermVectors, read_term_vectors

WAYS = ("term", "words", "hypernym", "without")  # how a label came by its vector
SHORTEST = 1e-6  # a mean of unit vectors shorter than this points nowhere
LISTED = 200  # ambiguous terms in the report


class Params(StageParams):
    vectors: str
    member: str
    synonyms: Literal["first", "mean", "best"]
    fallback: Literal["none", "words", "hypernym"]
    hypernyms: float = pydantic.Field(ge=0)
    center: bool
    seed: Seed


class Embedded(NamedTuple):
    """A label's vectors, one a row; how it came by them; the terms that they are made of."""

    vectors: Float32[np.ndarray, "rows dim"]
    way: str
    terms: list[str]


def main(params: Params, *, taxonomy: Path, label_sets: Path, term_vectors: Path, out: Path, metrics: Path,
         ambiguous: Path) -> None:
    nouns, sets = read_taxonomy(taxonomy), read_label_sets(label_sets)
    wnids = sorted({wnid for name in LABEL_SETS for wnid in sets[name]})
    nouns.rows(wnids)  # all must be there
    wanted = wanted_terms(nouns)
    read = read_term_vectors(term_vectors, lambda name: term_of(name) in wanted, params.member)
    by_class = count_wnids(read, nouns)
    if by_class:  # then a class has one name, its wnid
        nouns = dataclasses.replace(nouns, lemmas=[[wnid] for wnid in nouns.wnids])
    terms = UnitVectors(read, wanted)
    labels = [embed(nouns, terms, wnid, params.synonyms, params.fallback) for wnid in wnids]
    lifted = with_hypernyms(nouns, terms, wnids, labels, params.synonyms, params.hypernyms)
    if params.center:
        labels, lifted = (centered(some, np.isin(wnids, sets["seen"]).tolist()) for some in (labels, lifted))
    ways = {wnid: label.way for wnid, label in zip(wnids, labels, strict=True)}
    check_some_have_vectors(sets, ways, term_vectors)
    meta = params.model_dump(exclude={"hypernyms", "seed"})
    meta["terms"] = sha256_of(term_vectors / "sha256.txt" if term_vectors.is_dir() else term_vectors)
    found = pack(wnids, labels, meta)
    write_label_vectors(out / "lemmas.safetensors", found)
    write_label_vectors(out / "hypernyms.safetensors", pack(wnids, lifted, meta | {"hypernyms": params.hypernyms}))
    write_label_vectors(out / "random.safetensors", random_vectors(found, params.seed))
    shared = shared_terms(wnids, labels)
    write_json(metrics, coverage(sets, ways) | sharing(shared) | {"vectors_by_class": by_class, **read.left_out})
    with atomic_write(ambiguous) as file:
        file.write("\n".join(ambiguous_lines(nouns, shared)) + "\n")
    print(f"{int(found.has_vector.sum()):,} of {len(wnids):,} labels have a vector, {len(found.vectors):,} vectors in "
          f"all; {len(shared):,} terms stand for several labels")
    if read.left_out:
        print("Of the file, left out: " + ", ".join(f"{count:,} {why.replace('_', ' ')}"
                                                    for why, count in read.left_out.items()))


class UnitVectors:
    """Unit vectors by term.

    Users' files spell terms in their own way ("New_York"): a term that is spelt as ours wins, else the first in the
    file, which is the most frequent.
    """

    def __init__(self, terms: TermVectors, wanted: set[str]):
        self._vectors = terms.vectors
        self._row: dict[str, int] = {name: row for row, name in enumerate(terms.terms) if name in wanted}
        for row, name in enumerate(terms.terms):
            if (term := term_of(name)) in wanted:
                self._row.setdefault(term, row)
        self.dim = terms.vectors.shape[1]

    def __contains__(self, term: str) -> bool:
        return term in self._row

    def __getitem__(self, term: str) -> Float32[np.ndarray, "dim"]:
        vector = self._vectors[self._row[term]]
        return unit(vector / np.abs(vector).max())


def wanted_terms(nouns: Taxonomy) -> set[str]:
    """Every noun's lemmas as terms, and the words of these; and the wnids, for vectors by class."""
    lemmas = {term_of(lemma) for names in nouns.lemmas for lemma in names}
    return (lemmas | {word for lemma in lemmas for word in lemma.split(JOINER)} | set(nouns.wnids)) - {""}


def count_wnids(terms: TermVectors, nouns: Taxonomy) -> int:
    """How many vectors are of classes, their keys being wnids, if most are; else all are of terms, and it is 0."""
    wnids = sum(term_of(name) in nouns.index for name in terms.terms)
    return wnids if 2 * wnids > len(terms.terms) else 0


def unit(vector: np.ndarray) -> Float32[np.ndarray, "dim"]:
    """The vector at length 1, computed in float64; all zero if it is shorter than SHORTEST."""
    vector = vector.astype(np.float64)
    length = np.linalg.norm(vector)
    return (vector / length if length > SHORTEST else 0 * vector).astype(np.float32)


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


def with_hypernyms(nouns: Taxonomy, terms: UnitVectors, wnids: list[str], labels: list[Embedded], synonyms: str,
                   weight: float) -> list[Embedded]:
    """Every vector t with its hypernyms' mixed in: t'(y) = t(y) + weight * mean of t'(h) over y's hypernyms h.

    All, the mean too, are taken at unit length, so that at weight 1 an ancestor's say halves with every edge (after
    HierSE, Li et al. 2015). A hypernym that no text names passes on what its own hypernyms say.
    """
    def above(noun: str) -> np.ndarray:
        return unit(np.mean([mixed(parent) for parent in nouns.parents[noun]] or [np.zeros(terms.dim)], axis=0))

    @functools.cache
    def mixed(noun: str) -> np.ndarray:
        own = embed(nouns, terms, noun, synonyms, "none").vectors
        return unit((unit(own.mean(0)) if len(own) else 0) + weight * above(noun))

    return [embedded([unit(vector + weight * above(wnid)) for vector in label.vectors], label.way, label.terms,
                     terms.dim) for wnid, label in zip(wnids, labels, strict=True)]


def centered(labels: list[Embedded], seen: list[bool]) -> list[Embedded]:
    """Every vector less the mean of the seen labels' (first) ones, at unit length; unseen labels move nothing."""
    mean = np.mean([label.vectors[0] for label, is_seen in zip(labels, seen, strict=True)
                    if is_seen and len(label.vectors)] or [0.0], axis=0)
    return [embedded([unit(vector - mean) for vector in label.vectors], label.way, label.terms, label.vectors.shape[1])
            for label in labels]


def check_some_have_vectors(sets: dict[str, list[str]], ways: dict[str, str], vectors: Path) -> None:
    """Refuse to go on where nothing could be learnt or nothing tested.

    Raises:
        InputError: no seen class has a vector, or none of the unseen ones, if there are any.
    """
    for name in ("seen", "unseen"):
        if sets[name] and all(ways[wnid] == "without" for wnid in sets[name]):
            raise InputError(f"{vectors}: no class with a vector among the {len(sets[name]):,} of label set `{name}` "
                             f"({', '.join(sets[name][:3])}, ...); are these vectors of English terms? "
                             "Text that names the classes, or a `fallback`, is needed")


def pack(wnids: list[str], labels: list[Embedded], meta: dict) -> LabelVectors:
    row_label = np.repeat(np.arange(len(labels), dtype=np.int32), [len(label.vectors) for label in labels])
    return LabelVectors(wnids, np.concatenate([label.vectors for label in labels]), row_label, meta)


def random_vectors(found: LabelVectors, seed: int) -> LabelVectors:
    """Random unit vectors for the labels that have any; drawn for all labels, so that coverage moves none.

    The file tells nothing else of the language model, so that another one leaves the random embedding as it is trained.
    """
    drawn = np.random.default_rng(seed).standard_normal((len(found.wnids), found.vectors.shape[1]))
    has = np.unique(found.row_label)
    return LabelVectors(found.wnids, np.array([unit(vector) for vector in drawn[has]], np.float32),
                        has.astype(np.int32), {"random": True, "seed": seed})


def coverage(sets: dict[str, list[str]], ways: dict[str, str]) -> dict[str, int]:
    """`<set>/labels`, and how many of them came by a vector in each way."""
    counts = {}
    for name in LABEL_SETS:
        ways_here = Counter(ways[wnid] for wnid in sets[name])
        counts |= {f"{name}/labels": len(sets[name])} | {f"{name}/{way}": ways_here[way] for way in WAYS}
    return counts


def shared_terms(wnids: list[str], labels: list[Embedded]) -> dict[str, list[str]]:
    """Term -> the labels that it stands for, where these are several; most labels first, then by term."""
    users = defaultdict(list)
    for wnid, label in zip(wnids, labels, strict=True):
        if label.way == "term":
            for term in label.terms:
                users[term].append(wnid)
    several = [(term, sharing) for term, sharing in users.items() if len(sharing) > 1]
    return dict(sorted(several, key=lambda item: (-len(item[1]), item[0])))


def sharing(shared: dict[str, list[str]]) -> dict[str, int]:
    """Metrics: how many terms stand for several labels, and how many labels that concerns."""
    return {"ambiguous_terms": len(shared), "labels_of_ambiguous_terms": len({w for ws in shared.values() for w in ws})}


def ambiguous_lines(nouns: Taxonomy, shared: dict[str, list[str]]) -> list[str]:
    """The report, in Markdown."""
    lines = ["# Ambiguous terms", "",
             f"{len(shared):,} terms stand for more than one label: their vector mixes the meanings, and where a label "
             "has no other term, nothing tells it from its namesakes. "
             + (f"The first {LISTED}:" if len(shared) > LISTED else "All:"), "",
             "| term | labels | meanings |", "|---|---:|---|"]
    for term, wnids in list(shared.items())[:LISTED]:
        meanings = "; ".join(f"{wnid} {nouns.definitions[nouns.index[wnid]]}".replace("|", "/") for wnid in wnids)
        lines.append(f"| {term} | {len(wnids)} | {meanings} |")
    return lines


if __name__ == "__main__":
    run_stage(main)
