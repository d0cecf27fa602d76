"""Retrofitting: nouns' vectors drawn to those of their hypernyms and hyponyms (Faruqui et al. 2015, equation 1).

With q'(i) what the text says of noun i, and E the pairs of a noun and its hypernym (an instance and its class too),

    sum over i of [ alpha(i) |q(i) - q'(i)|^2 + sum over (i, j) in E of beta(i, j) |q(i) - q(j)|^2 ]

is made small by setting each q(i) to where its own term has its minimum:

    q(i) = (alpha(i) q'(i) + sum over j of beta(i, j) q(j)) / (alpha(i) + sum over j of beta(i, j))

with alpha 1 and beta(i, j) = weight / number of i's neighbours, the paper's being weight 1. All nouns are set at once
from the iteration before, so that their order does not matter; one after the other, the paper's way, the limit is the
same. As there, nouns that the text does not name take no part: they are nobody's neighbours.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse
from jaxtyping import Float32

from zeroshot.labels.embedding import Embedded, UnitVectors, as_embedded, embed, embedded, unit
from zeroshot.taxonomy import Taxonomy

Draw = Callable[[str, Embedded], Embedded]
NOT_RETROFITTED = {"iterations": 0, "weight": 1.0}  # what label vectors are whose file tells of none


def retrofitting(nouns: Taxonomy, terms: UnitVectors, synonyms: str, iterations: int, weight: float) -> Draw:
    """What draws a noun's vectors, as `embed` made them, to its neighbours; nothing does if `iterations` is 0.

    All nouns' vectors (of several synonyms' the mean) go through all iterations but the last, which is what is
    returned: it sets each vector of a label by the neighbours. So one that came by a fallback is drawn to them too, but
    draws none. Nouns without a vector stay so. Cost: seconds, and memory for three vectors a noun.
    """
    if not iterations:
        return as_embedded
    means = np.array([_mean(embed(nouns, terms, wnid, synonyms, "none").vectors) for wnid in nouns.wnids])
    near = neighbours(nouns, means.any(axis=1))
    drawn = retrofitted(means, near, iterations - 1, weight)

    def draw(wnid: str, found: Embedded) -> Embedded:
        around = weight * (near[nouns.index[wnid]] @ drawn)[0]
        return embedded([unit(vector + around) for vector in found.vectors], found.way, found.terms, terms.dim)

    return draw


def neighbours(nouns: Taxonomy, named: np.ndarray) -> scipy.sparse.csr_matrix:
    """Float32 [nouns, nouns]: row i takes the mean over those of i's hypernyms and hyponyms that are `named`."""
    graph = nouns.graph().astype(np.float32) @ scipy.sparse.diags_array(named.astype(np.float32))
    graph = scipy.sparse.csr_matrix(graph)
    graph.eliminate_zeros()
    counts = np.diff(graph.indptr)
    graph.data /= np.repeat(counts, counts)
    return graph


def retrofitted(given: Float32[np.ndarray, "nouns dim"], near: scipy.sparse.csr_matrix, iterations: int, weight: float
                ) -> Float32[np.ndarray, "nouns dim"]:
    """The vectors after so many iterations, at whatever length; rows of 0 are nouns that take no part."""
    named = given.any(axis=1, keepdims=True)
    total = 1 + weight * (np.diff(near.indptr) > 0)[:, None]
    vectors = given
    for _ in range(iterations):
        vectors = near @ vectors
        vectors *= np.float32(weight)
        vectors += given
        vectors /= total.astype(np.float32)
        vectors *= named
    return vectors


def _mean(vectors: Float32[np.ndarray, "rows dim"]) -> Float32[np.ndarray, "dim"]:
    return unit(vectors.mean(0)) if len(vectors) else np.zeros(vectors.shape[1], np.float32)
