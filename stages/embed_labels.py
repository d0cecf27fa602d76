"""Synsets -> label vectors: where each class lies in the space of term vectors (DeViSE section 3.1, ConSE section 3).

A label is a set of synonyms ("kit fox", "Vulpes macrotis"), each a term that the text may or may not hold. Which of
their vectors stand for the label, and what is done where the text has none, are params; by default such a label has no
vector, is no candidate, and is counted. A file of vectors by class, whose keys are wnids, takes the terms' place. Terms
are made unit length before they are averaged, label vectors after. With `retrofit` WordNet's hypernyms and hyponyms
draw them to each other first (zeroshot/labels/retrofitting.py), which the papers do not.
Writes three files for the same labels: lemmas.safetensors, for the papers' models; hypernyms.safetensors, in which each
vector has its hypernyms' mixed in, which the papers do not; random.safetensors, random unit vectors, one a label, for
DeViSE's random-embedding baseline. Seconds, plus reading the term vectors.
"""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic

from stages import run_stage
from zeroshot.base.files import atomic_write, sha256_of, write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError
from zeroshot.labels.embedding import (
    Embedded,
    UnitVectors,
    as_embedded,
    centered,
    count_by_class,
    embed,
    named_by_class,
    unit,
    wanted_terms,
    with_hypernyms,
)
from zeroshot.labels.label_sets import LABEL_SETS, read_label_sets
from zeroshot.labels.label_vectors import LabelVectors, write_label_vectors
from zeroshot.labels.retrofitting import retrofitting
from zeroshot.taxonomy import Taxonomy, read_taxonomy
from zeroshot.terms.spelling import term_of
from zeroshot.terms.vectors import read_term_vectors

WAYS = ("term", "words", "hypernym", "without")  # how a label came by its vector
LISTED = 200  # ambiguous terms in the report


HEAVIEST = 1e6  # weight: beside it the own vector is lost to rounding, and far beyond sums leave single precision


class Retrofit(StageParams):
    iterations: int = pydantic.Field(ge=0)
    weight: float = pydantic.Field(gt=0, le=HEAVIEST)


class Params(StageParams):
    vectors: str
    member: str
    synonyms: Literal["first", "mean", "best"]
    fallback: Literal["none", "words", "hypernym"]
    retrofit: Retrofit
    hypernyms: float = pydantic.Field(ge=0, le=HEAVIEST)
    center: bool
    seed: Seed


def main(params: Params, *, taxonomy: Path, label_sets: Path, term_vectors: Path, out: Path, metrics: Path,
         ambiguous: Path) -> None:
    nouns, sets = read_taxonomy(taxonomy), read_label_sets(label_sets)
    wnids = sorted({wnid for name in LABEL_SETS for wnid in sets[name]})
    nouns.rows(wnids)  # all must be there
    wanted = wanted_terms(nouns)
    read = read_term_vectors(term_vectors, lambda name: term_of(name) in wanted, params.member)
    by_class = count_by_class(nouns, read)
    nouns = named_by_class(nouns) if by_class else nouns
    terms = UnitVectors(read, wanted)
    draw = retrofitting(nouns, terms, params.synonyms, **params.retrofit.model_dump())
    labels = [draw(wnid, embed(nouns, terms, wnid, params.synonyms, params.fallback)) for wnid in wnids]
    lifted = with_hypernyms(nouns, terms, wnids, labels, params.synonyms, params.hypernyms, draw)
    if params.center:
        labels, lifted = (centered(some, np.isin(wnids, sets["seen"]).tolist()) for some in (labels, lifted))
    ways = {wnid: label.way for wnid, label in zip(wnids, labels, strict=True)}
    check_some_have_vectors(sets, ways, term_vectors)
    meta = params.model_dump(exclude={"hypernyms", "seed"} | ({"retrofit"} if draw is as_embedded else set()))
    meta |= {"by_class": True} if by_class else {}
    meta["terms"] = sha256_of(term_vectors / "sha256.txt" if term_vectors.is_dir() else term_vectors)
    found = pack(wnids, labels, meta)
    write_label_vectors(out / "lemmas.safetensors", found)
    write_label_vectors(out / "hypernyms.safetensors", pack(wnids, lifted, meta | {"hypernyms": params.hypernyms}))
    write_label_vectors(out / "random.safetensors", random_vectors(found, params.seed))
    shared = shared_terms(wnids, labels)
    left_out = {**read.left_out, **({} if term_vectors.is_dir() else unused(read.terms, nouns, by_class))}
    write_json(metrics, coverage(sets, ways) | sharing(shared) | {"vectors_by_class": by_class, **left_out})
    with atomic_write(ambiguous) as file:
        file.write("\n".join(ambiguous_lines(nouns, shared)) + "\n")
    print(f"{int(found.has_vector.sum()):,} of {len(wnids):,} labels have a vector, {len(found.vectors):,} vectors in "
          f"all; {len(shared):,} terms stand for several labels")
    if left_out:
        print("Of the file, left out: " + ", ".join(f"{count:,} {why.replace('_', ' ')}"
                                                    for why, count in left_out.items()))


def unused(names: list[str], nouns: Taxonomy, by_class: int) -> dict[str, int]:
    """Of a user's vectors that were read, those that nothing is made of, by why: the same term is there in another
    spelling, or only some of the keys are wnids, and the others are more (or the other way round).
    """
    terms = set(map(term_of, names))
    classes = len(terms & nouns.index.keys())
    counts = {"vectors_in_other_spellings": len(names) - len(terms),
              "vectors_by_term_beside_classes": len(terms) - classes if by_class else 0,
              "vectors_by_class_beside_terms": 0 if by_class else classes}
    return {why: count for why, count in counts.items() if count}


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
