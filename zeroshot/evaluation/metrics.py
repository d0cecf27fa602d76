"""Scores of rankings, as pure functions of arrays.

Images enter as integer counts that add up, so that 14 M of them are scored chunk by chunk, to the same figures
in whatever chunks: first counts of a chunk, then metrics of the counts.
"""

import numpy as np
from jaxtyping import Float64, Int, Int64, UInt8

from zeroshot.evaluation.hierarchy import FAR

KS = (1, 2, 5, 10, 20)


def rank_counts(ranks: Int[np.ndarray, "images"], candidates: int) -> Int64[np.ndarray, "candidates+1"]:
    """How many images have each rank; rank 0: the true label is no candidate."""
    return np.bincount(ranks, minlength=candidates + 1)


def class_counts(ranks: Int[np.ndarray, "images"], true: Int[np.ndarray, "images"], labels: int
                 ) -> Int64[np.ndarray, "labels 6"]:
    """Images of each class, then how many of them are hit at each of KS."""
    within = [np.ones(len(ranks), bool), *((ranks > 0) & (ranks <= k) for k in KS)]
    return np.stack([np.bincount(true[hit], minlength=labels) for hit in within], axis=1)


def correct_counts(top: Int[np.ndarray, "images 20"], source: Int[np.ndarray, "images"],
                   hops: UInt8[np.ndarray, "sources labels"], radii: UInt8[np.ndarray, "sources ks"]
                   ) -> Int64[np.ndarray, "sources ks 21"]:
    """How many images of each source have 0, 1, ..., 20 of their first k predictions in the correct set.

    Args:
        top: predicted labels, -1 where there are no more.
        source: row of `hops` and `radii` of each image's true label.
    """
    counts = np.zeros((len(hops), len(KS), KS[-1] + 1), np.int64)
    distance = np.where(top < 0, FAR, hops[source[:, None], top])
    for column, k in enumerate(KS):
        correct = (distance[:, :k] <= radii[source, column, None]).sum(1)
        np.add.at(counts, (source, column, correct), 1)
    return counts


def hit_at(counts: Int64[np.ndarray, "ranks"], k: int) -> float:
    """Flat hit@k: share of images whose true label is among the first k."""
    return float(counts[1:k + 1].sum() / counts.sum())


def mean_reciprocal_rank(counts: Int64[np.ndarray, "ranks"]) -> float:
    """Mean of 1 / rank; an image whose label is no candidate counts 0."""
    return float((counts[1:] / np.arange(1, len(counts))).sum() / counts.sum())


def macro_hit_at(counts: Int64[np.ndarray, "labels 6"], k: int) -> float:
    """Mean over the classes that have test images of each class's hit@k."""
    tested = counts[counts[:, 0] > 0]
    return float((tested[:, 1 + KS.index(k)] / tested[:, 0]).mean())


def precision_values(counts: Int64[np.ndarray, "sources ks 21"], reachable: Int[np.ndarray, "sources"], k: int
                     ) -> tuple[Float64[np.ndarray, "values"], Int64[np.ndarray, "values"]]:
    """The distinct values of hierarchical precision@k and how many images have each.

    hp@k = |first k predictions in the correct set| / k; where the true label can reach fewer than k labels of the set,
    itself included, these are the correct set and their number the divisor, so that a perfect ranking always gives 1.
    """
    divisor = np.minimum(k, reachable)
    by_divisor = np.zeros((k + 1, KS[-1] + 1), np.int64)
    np.add.at(by_divisor, divisor, counts[:, KS.index(k)])
    divisors, correct = np.nonzero(by_divisor)
    return correct / divisors, by_divisor[divisors, correct]


def weighted_mean(values: Float64[np.ndarray, "values"], counts: Int64[np.ndarray, "values"]) -> float:
    """Mean over images of a metric with these values."""
    return float((values * counts).sum() / counts.sum())


def bootstrap_interval(values: Float64[np.ndarray, "values"], counts: Int64[np.ndarray, "values"], resamples: int,
                       seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean under resampling of images with replacement.

    How often each distinct value is drawn is multinomial, so a resample costs the same for any number of images.
    """
    images = counts.sum()
    drawn = np.random.default_rng(seed).multinomial(images, counts / images, size=resamples)
    low, high = np.quantile((drawn * values).sum(1) / images, [0.025, 0.975])
    return float(low), float(high)
