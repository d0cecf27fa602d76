import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroshot.devise.hinge import hinge_terms, rank_loss, sampled_sum, truncated_sum


def unit(labels, dim, seed):
    vectors = torch.randn(labels, dim, generator=torch.Generator().manual_seed(seed))
    return vectors / vectors.norm(dim=1, keepdim=True)


def truncated_by_loop(scores, label, margin, order):
    """The paper's sum, word by word: false labels in that order, stop at the first that violates the margin."""
    total = 0.0
    for j in order:
        if j != label:
            term = max(0.0, margin - scores[label] + scores[j])
            total += term
            if term > 0:
                break
    return total


def test_all_by_hand():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    points = torch.tensor([[0.5, 0.45], [0.0, 2.0]])
    loss = rank_loss(points, torch.tensor([0, 0]), vectors, loss="hinge_rank", margin=0.1, false_labels="all",
                     samples=1)
    # image 1: label 1 gives 0.1 - 0.5 + 0.45, label 2 gives 0.1 - 0.5 - 0.5 < 0; image 2: 0.1 - 0 + 2 and 0.1 - 0 + 0
    torch.testing.assert_close(loss, torch.tensor([0.05, 2.2]))


def test_euclidean_adds_the_distance():
    vectors, points, targets = unit(4, 3, 0), torch.randn(6, 3), torch.tensor([0, 1, 2, 3, 0, 1])
    settings = dict(margin=0.1, false_labels="all", samples=1)
    added = (rank_loss(points, targets, vectors, loss="hinge_rank_euclidean", **settings)
             - rank_loss(points, targets, vectors, loss="hinge_rank", **settings))
    expected = [float(np.linalg.norm(vectors[t].numpy() - p.numpy())) for p, t in zip(points, targets, strict=True)]
    torch.testing.assert_close(added, torch.tensor(expected))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.integers(0, 1000), st.floats(0.01, 1))
def test_all_is_the_double_loop(labels, seed, margin):
    vectors, points = unit(labels, 4, seed), torch.randn(3, 4, generator=torch.Generator().manual_seed(seed + 1))
    targets = torch.arange(3) % labels
    scores = (points @ vectors.T).tolist()
    expected = [sum(max(0.0, margin - row[t] + row[j]) for j in range(labels) if j != t)
                for row, t in zip(scores, targets.tolist(), strict=True)]
    loss = rank_loss(points, targets, vectors, loss="hinge_rank", margin=margin, false_labels="all", samples=1)
    torch.testing.assert_close(loss, torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_truncated_has_the_distribution_of_the_loop_over_random_orders():
    """Over all orders of five labels the loop's values are those that the vectorised draw gives, equally often."""
    scores = torch.tensor([0.3, 0.35, 0.1, 0.28, 0.9])
    label, margin, draws = 0, 0.1, 20_000
    rng = np.random.default_rng(0)
    loops = np.array([truncated_by_loop(scores.tolist(), label, margin, rng.permutation(5)) for _ in range(draws)])
    torch.manual_seed(0)
    ours = truncated_sum(hinge_terms(scores.expand(draws, 5), torch.full((draws,), label), margin)).numpy()
    for value in (0.15, 0.08, 0.7):  # the violating labels 1, 3, 4
        for drawn in (loops, ours):
            assert np.isclose(drawn, value, atol=1e-5).mean() == pytest.approx(1 / 3, abs=0.015)


def test_truncated_is_zero_without_violation():
    terms = hinge_terms(torch.tensor([[1.0, 0.0, 0.2]]), torch.tensor([0]), 0.1)
    assert truncated_sum(terms).item() == 0


def test_sampled_never_draws_the_true_label_and_all_others():
    terms = torch.tensor([[100.0, 1.0, 10.0, 0.0]])  # the true label's own term would show
    torch.manual_seed(0)
    sums = torch.cat([sampled_sum(terms, torch.tensor([0]), 1) for _ in range(200)])
    assert set(sums.tolist()) == {0.0, 1.0, 10.0}


def test_sampled_mean_is_the_scaled_whole_sum():
    terms = hinge_terms(torch.randn(1, 6, generator=torch.Generator().manual_seed(3)), torch.tensor([2]), 0.5)
    torch.manual_seed(0)
    mean = sampled_sum(terms.expand(20_000, 6), torch.full((20_000,), 2), 3).mean()
    assert mean.item() == pytest.approx(3 / 5 * terms.sum().item(), rel=0.03)


@pytest.mark.parametrize("false_labels", ["truncated", "sampled", "all"])
def test_gradient_reaches_the_map(false_labels):
    points = torch.zeros(4, 3, requires_grad=True)
    torch.manual_seed(0)
    rank_loss(points, torch.arange(4), unit(4, 3, 0), loss="hinge_rank", margin=0.1, false_labels=false_labels,
              samples=2).sum().backward()
    assert points.grad.abs().sum() > 0
