import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroshot.evaluation import metrics
from zeroshot.evaluation.metrics import KS


def test_by_hand():
    ranks, true = np.array([1, 2, 0, 7, 1, 30]), np.array([4, 4, 4, 5, 5, 5])
    counts = metrics.rank_counts(ranks, 30)
    assert [metrics.hit_at(counts, k) for k in KS] == pytest.approx([2 / 6, 3 / 6, 3 / 6, 4 / 6, 4 / 6])
    assert metrics.mean_reciprocal_rank(counts) == pytest.approx((1 + 1 / 2 + 0 + 1 / 7 + 1 + 1 / 30) / 6)
    classes = metrics.class_counts(ranks, true, 9)
    assert classes[4].tolist() == [3, 1, 2, 2, 2, 2] and classes[5].tolist() == [3, 1, 1, 1, 2, 2]
    assert metrics.macro_hit_at(classes, 2) == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_macro_weighs_classes_not_images():
    ranks, true = np.array([1] * 9 + [5]), np.array([0] * 9 + [1])
    assert metrics.macro_hit_at(metrics.class_counts(ranks, true, 3), 1) == 0.5


@given(st.lists(st.integers(0, 40), min_size=1, max_size=50), st.integers(1, 49))
def test_hits_grow_with_k_and_chunks_add_up(ranks, cut):
    ranks = np.array(ranks)
    counts = metrics.rank_counts(ranks, 40)
    hits = [metrics.hit_at(counts, k) for k in KS]
    assert hits == sorted(hits) and 0 <= hits[0] and hits[-1] <= 1 and hits[0] <= metrics.mean_reciprocal_rank(counts)
    np.testing.assert_array_equal(metrics.rank_counts(ranks[:cut], 40) + metrics.rank_counts(ranks[cut:], 40), counts)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_bootstrap_is_the_one_that_draws_images(seed):
    """Against images drawn one by one: both intervals estimate the same, to Monte Carlo error."""
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 0.2, 0.5, 1], 300, p=[0.4, 0.3, 0.2, 0.1])
    distinct, counts = np.unique(values, return_counts=True)
    means = rng.choice(values, (4000, 300)).mean(1)
    interval = metrics.bootstrap_interval(distinct, counts, 4000, 0)
    np.testing.assert_allclose(interval, np.quantile(means, [0.025, 0.975]), atol=0.006)
    assert interval == metrics.bootstrap_interval(distinct, counts, 4000, 0)
    assert interval[0] <= values.mean() <= interval[1]


def test_bootstrap_of_certainty_has_no_width():
    assert metrics.bootstrap_interval(np.array([0.0, 1.0]), np.array([0, 7]), 100, 0) == (1, 1)
