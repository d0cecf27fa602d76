"""Are the term vectors any good? Word similarity, analogies, and how well the labels' vectors follow WordNet.

Gold standards (gensim's package ships them): WordSim-353 and SimLex-999, Spearman's correlation of cosine with people's
judgement; Google's analogies ("Athens is to Greece as Baghdad to ?"), share answered right, by section. Label space,
which is what zero-shot recognition lives on: over pairs of labels, Spearman's correlation of cosine with WordNet's path
similarity; and the share of a label's nearest labels that are at most two WordNet edges from it.

Inputs: data/term_vectors, data/taxonomy, data/label_sets. Outputs: flat metrics, with the share that is out of
vocabulary beside each (a figure with nothing to compute it from is left out); the four that DVC compares; a Markdown
table of nearest terms.  Cost: half a minute.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydantic
import scipy.sparse
from gensim.test.utils import datapath
from jaxtyping import Float32, Float64, Int64
from scipy.stats import spearmanr

from stages import run_stage
from zeroshot.base.files import atomic_write, write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.progress import progress
from zeroshot.labels.label_sets import read_wnids
from zeroshot.taxonomy import Taxonomy, read_taxonomy
from zeroshot.terms.spelling import term_of
from zeroshot.terms.vectors import TermVectors, read_term_vectors

SIMILARITIES = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}
HEADLINE = {"wordsim": "wordsim353_spearman", "simlex": "simlex999_spearman", "analogies": "analogies",
            "near": "labels_near"}  # DVC's metrics; short names, for `dvc metrics show` has a column for each
CHUNK = 512  # rows compared at a time with all others
THREADS = min(4, os.cpu_count() or 1)  # each with a chunk, of 200 MB at most; counts add up the same in any order


class Params(StageParams):
    analogy_terms: int = pydantic.Field(ge=4)
    label_pairs: int = pydantic.Field(ge=1)
    neighbours: int = pydantic.Field(ge=1)
    hops: int = pydantic.Field(ge=1)
    nearest_of: list[str] = pydantic.Field(min_length=1)
    nearest: int = pydantic.Field(ge=1)
    seed: Seed


def main(params: Params, *, term_vectors: Path, taxonomy: Path, label_sets: Path, metrics: Path,
         headline: Path, nearest: Path) -> None:
    known = read_term_vectors(term_vectors)
    nouns = read_taxonomy(taxonomy)
    rows = {term: row for row, term in enumerate(known.terms)}
    units = known.vectors / np.linalg.norm(known.vectors, axis=1, keepdims=True)
    results = {"terms": len(rows)}
    for name, file in SIMILARITIES.items():
        results |= word_similarity(name, Path(datapath(file)), rows, units)
    results |= analogies(Path(datapath("questions-words.txt")), rows, units[:params.analogy_terms])
    wnids = read_wnids(label_sets / "21k+seen.txt")
    results |= label_space(wnids, nouns, rows, units, params)
    write_json(metrics, results)
    write_json(headline, {name: round(results[figure], 4) for name, figure in HEADLINE.items() if figure in results})
    write_nearest(nearest, known, rows, units, params)


def word_similarity(name: str, gold: Path, rows: dict[str, int], units: Float32[np.ndarray, "terms dim"]) -> dict:
    """Spearman's rank correlation of cosine and judgement, over the pairs whose words both have vectors."""
    found, judged, pairs = [], [], 0
    for line in gold.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        first, second, score = line.split("\t")
        pairs += 1
        if (first := term_of(first)) in rows and (second := term_of(second)) in rows:
            found.append((rows[first], rows[second]))
            judged.append(float(score))
    return correlation(name, cosines(units, np.array(found, np.int64).reshape(-1, 2)), judged, pairs)


def cosines(units: Float32[np.ndarray, "terms dim"],
            pairs: Int64[np.ndarray, "pairs 2"]) -> Float32[np.ndarray, "pairs"]:
    """Cosine similarity of the two rows of each pair."""
    parts = np.array_split(pairs, len(pairs) // CHUNK + 1)
    return np.concatenate([np.einsum("pd,pd->p", units[part[:, 0]], units[part[:, 1]]) for part in parts])


def correlation(name: str, ours: np.ndarray, gold: list[float] | np.ndarray, total: int) -> dict[str, float]:
    """The metrics of one comparison; without two different values on both sides there is no correlation to tell."""
    missing = {f"{name}_oov": round(1 - len(gold) / total, 6)}
    if not len(gold) or np.ptp(gold) == 0 or np.ptp(ours) == 0:
        return missing
    return {f"{name}_spearman": round(float(spearmanr(ours, gold).statistic), 6), **missing}


def analogies(gold: Path, rows: dict[str, int], units: Float32[np.ndarray, "candidates dim"]) -> dict[str, float]:
    """Share of "a is to b as c is to d" whose d is the candidate nearest b - a + c, other than a, b and c."""
    right, asked, total = 0, 0, 0
    results = {}
    for section, questions in analogy_sections(gold):
        total += len(questions)
        known = [[rows.get(term, len(units)) for term in question] for question in questions]
        known = np.array([question for question in known if max(question) < len(units)], np.int64).reshape(-1, 4)
        if len(known):
            hits = counted(lambda start, known=known: solved(known[start:start + CHUNK], units),
                           range(0, len(known), CHUNK))
            results[f"analogies_{section}"] = round(hits / len(known), 6)
            right, asked = right + hits, asked + len(known)
    overall = {"analogies": round(right / asked, 6)} if asked else {}
    return {**overall, "analogies_oov": round(1 - asked / total, 6), **results}


def counted(count: Callable[[int], int], starts: range, desc: str | None = None) -> int:
    """The sum of `count` over the chunks that begin at `starts`, several at a time."""
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(progress(pool.map(count, starts), total=len(starts), unit="chunks", desc=desc))


def analogy_sections(gold: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """(section, questions) of Google's file: `: section` lines, each followed by lines of four words."""
    for section in gold.read_text(encoding="utf-8").split(": ")[1:]:
        name, *lines = section.strip().splitlines()
        yield name, [[term_of(word) for word in line.split()] for line in lines]


def solved(questions: Int64[np.ndarray, "questions 4"], units: Float32[np.ndarray, "candidates dim"]) -> int:
    """How many of the questions have d as their first answer (3CosAdd)."""
    a, b, c, d = questions.T
    scores = (units[b] - units[a] + units[c]) @ units.T
    for given in (a, b, c):
        scores[np.arange(len(given)), given] = -np.inf
    return int((scores.argmax(axis=1) == d).sum())


def label_space(wnids: list[str], taxonomy: Taxonomy, rows: dict[str, int], units: Float32[np.ndarray, "terms dim"],
                params: Params) -> dict[str, float]:
    """How far the geometry of the labels is WordNet's. A label stands for its first lemma that has a vector."""
    terms = [first_known(taxonomy.lemmas[noun], rows) for noun in taxonomy.rows(wnids)]
    has = np.array([term is not None for term in terms])
    counts = {"labels": len(wnids), "labels_oov": round(1 - float(has.mean()), 6)}
    if has.sum() <= params.neighbours:
        return counts
    nouns = taxonomy.rows(wnids)[has]
    vectors = units[[term for term in terms if term is not None]]
    near = share_near(vectors, nouns, taxonomy.graph(), params.neighbours, params.hops)
    pairs = np.random.default_rng(params.seed).integers(len(nouns), size=(params.label_pairs, 2))
    similarity = path_similarities(taxonomy, nouns[pairs])
    spearman = correlation("labels", cosines(vectors, pairs), similarity, len(pairs))
    return {**counts, "labels_near": near} | spearman | counts  # labels_oov is of the labels, not of the pairs


def first_known(lemmas: list[str], rows: dict[str, int]) -> int | None:
    """Row of the first lemma that has a vector."""
    return next((rows[term] for lemma in lemmas if (term := term_of(lemma)) in rows), None)


def share_near(vectors: Float32[np.ndarray, "labels dim"], nouns: Int64[np.ndarray, "labels"],
               graph: scipy.sparse.csr_matrix, neighbours: int, hops: int) -> float:
    """Share of the labels' nearest `neighbours` other labels that lie within `hops` undirected WordNet edges."""
    step = graph + scipy.sparse.identity(graph.shape[0], bool, "csr")

    def near_in_chunk(start: int) -> int:
        chunk = np.arange(start, min(start + CHUNK, len(nouns)))
        scores = vectors[chunk] @ vectors.T
        scores[chunk - start, chunk] = -np.inf
        nearest = np.argpartition(-scores, neighbours - 1, axis=1)[:, :neighbours]
        reached = step[nouns[chunk]]
        for _ in range(hops - 1):
            reached = reached @ step
        return int(reached[np.arange(len(chunk))[:, None], nouns[nearest]].sum())

    near = counted(near_in_chunk, range(0, len(nouns), CHUNK), desc="labels' neighbours")
    return round(near / (len(nouns) * neighbours), 6)


def path_similarities(taxonomy: Taxonomy, pairs: Int64[np.ndarray, "pairs 2"]) -> Float64[np.ndarray, "pairs"]:
    """WordNet's path similarity of pairs of nouns: 1 / (1 + edges up to a common hypernym and down again, at least)."""
    wnids = taxonomy.wnids
    above = {noun: {wnids[noun]: 0, **taxonomy.ancestors(wnids[noun])} for noun in np.unique(pairs).tolist()}

    def similarity(first: int, second: int) -> float:
        up, down = above[first], above[second]
        return 1 / (1 + min((up[wnid] + down[wnid] for wnid in up.keys() & down.keys()), default=np.inf))

    chunks = (pairs[start:start + CHUNK].tolist() for start in range(0, len(pairs), CHUNK))
    return np.fromiter((similarity(*pair) for chunk in chunks for pair in chunk), np.float64, len(pairs))


def write_nearest(path: Path, known: TermVectors, rows: dict[str, int], units: Float32[np.ndarray, "terms dim"],
                  params: Params) -> None:
    """The papers' table of nearest terms, in Markdown."""
    with atomic_write(path) as file:
        file.write(f"| term | occurrences | its {params.nearest} nearest terms (cosine) |\n|---|---:|---|\n")
        for term in map(term_of, params.nearest_of):
            if term not in rows:
                file.write(f"| {term} | 0 | not in the vocabulary |\n")
                continue
            scores = units @ units[rows[term]]
            scores[rows[term]] = -np.inf
            best = np.argsort(-scores, kind="stable")[:params.nearest]
            listed = ", ".join(f"{known.terms[row].replace('_', ' ')} ({scores[row]:.2f})" for row in best)
            file.write(f"| {term.replace('_', ' ')} | {known.counts[rows[term]]:,} | {listed} |\n")


if __name__ == "__main__":
    run_stage(main)
