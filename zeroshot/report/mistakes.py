"""What each model takes each class for, and how far off that is in WordNet.

Rankings enter chunk by chunk and class by class, so that memory grows with classes and not with images.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Int64, UInt8

from zeroshot.evaluation import metrics
from zeroshot.evaluation.hierarchy import FAR, hops_and_radii
from zeroshot.evaluation.metrics import KS
from zeroshot.ranking.rankings import Rankings

Pairs = Int64[np.ndarray, "pairs 3"]  # true label, first answer, images; by the first two


@dataclass(frozen=True)
class Mistakes:
    """One model's first answers to the test images of one label set.

    Attributes:
        counts: of each label its test images, then how many of them are hit at each of KS.
        taken_for: of each label the wrong first answer that most images got (-1: none did), and how many.
        by_hops: images by how many WordNet edges lie between their label and the first answer (0: it is right; FAR:
            none lead there), row 0 where that answer is an unseen label, row 1 where it is a seen one.
        pairs: the most frequent mistakes, most images first.
    """

    counts: Int64[np.ndarray, "labels 6"]
    taken_for: Int64[np.ndarray, "labels 2"]
    by_hops: Int64[np.ndarray, "2 hops"]
    pairs: Pairs


class Distances:
    """WordNet edges between labels, any way, instance edges too."""

    def __init__(self, graph: scipy.sparse.csr_matrix, nodes: Int64[np.ndarray, "labels"],
                 sources: Int64[np.ndarray, "sources"]):
        """As `hops_and_radii` takes them: the nouns' graph, each label's noun (-1: none), where to search from."""
        everything = {"": np.ones(len(nodes), bool)}  # so that the search ends when it has found all labels
        self._hops, _ = hops_and_radii(graph, nodes, sources, everything, [len(nodes)])
        self._source_of = np.full(len(nodes), -1)
        self._source_of[sources] = np.arange(len(sources))

    def between(self, sources: np.ndarray, labels: np.ndarray) -> UInt8[np.ndarray, "pairs"]:
        """Edges between pairs of labels, the first of each a source; FAR where there is no way."""
        return self._hops[self._source_of[sources], labels]


def mistakes_of(ranked: Rankings, label_set: str, seen: Bool[np.ndarray, "labels"], distances: Distances, most: int
                ) -> Mistakes:
    """Count one model's mistakes in one label set; of its most frequent ones keep `most`."""
    labels = len(ranked.wnids)
    counts = np.zeros((labels, 1 + len(KS)), np.int64)
    for true, rank in ranked.chunks(f"{label_set}/true", f"{label_set}/rank"):
        counts += metrics.class_counts(rank, true, labels)
    taken_for = np.tile(np.array([-1, 0]), (labels, 1))
    by_hops = np.zeros((2, FAR + 1), np.int64)
    kept = np.empty((0, 3), np.int64)
    for pairs in first_answers(ranked, label_set):
        true, answer, images = pairs.T
        np.add.at(by_hops, (seen[answer].astype(int), distances.between(true, answer)), images)
        wrong = by_images(pairs[true != answer])
        named, first = np.unique(wrong[:, 0], return_index=True)
        taken_for[named] = wrong[first, 1:]
        kept = by_images(np.concatenate([kept, wrong[:most]]))[:most]
    return Mistakes(counts, taken_for, by_hops, kept)


def by_images(pairs: Pairs) -> Pairs:
    """Those of most images first; of as many, by their labels."""
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0], -pairs[:, 2]))]


def first_answers(ranked: Rankings, label_set: str) -> Iterator[Pairs]:
    """How many images of each class got each first answer, some whole classes at a time.

    Images lie class by class, so that all but the last class of a chunk are complete.
    """
    labels, held = len(ranked.wnids), np.empty((0, 2), np.int64)
    for true, top in ranked.chunks(f"{label_set}/true", f"{label_set}/top"):
        codes, images = np.unique(true.astype(np.int64) * labels + top[:, 0], return_counts=True)
        both = _added(np.concatenate([held, np.stack([codes, images], 1)]))
        whole = both[:, 0] // labels < true[-1]
        yield _pairs(both[whole], labels)
        held = both[~whole]
    yield _pairs(held, labels)


def _added(counted: Int64[np.ndarray, "codes 2"]) -> Int64[np.ndarray, "codes 2"]:
    """Counts of the same code added up."""
    codes, place = np.unique(counted[:, 0], return_inverse=True)
    return np.stack([codes, np.bincount(place, counted[:, 1], len(codes)).astype(np.int64)], 1)


def _pairs(counted: Int64[np.ndarray, "codes 2"], labels: int) -> Pairs:
    return np.stack([counted[:, 0] // labels, counted[:, 0] % labels, counted[:, 1]], 1)
