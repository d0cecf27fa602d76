from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zeroshot.ranking import first_labels
from zeroshot.ranking.first_labels import TOP, CosineScores, OutputScores, lay_out, rank_chunk


def naive(scores, true, members, scored):
    """A full sort per image: by score, the true label after its equals, then by label."""
    ranked = {}
    for name, member in members.items():
        candidates = np.flatnonzero(member & scored)
        tops, ranks = [], []
        for image, label in enumerate(true):
            order = sorted(candidates, key=lambda c, image=image, label=label: (-scores[image, c], c == label, c))
            tops.append((order + [-1] * TOP)[:TOP])
            ranks.append(order.index(label) + 1 if label in order else 0)
        ranked[name] = np.array(tops), np.array(ranks)
    return ranked


def rank(scores, true, members, scored):
    """scores [images, labels], laid out and ranked."""
    layout = lay_out(members, scored)
    score = OutputScores(np.arange(scores.shape[1]), layout)
    return layout, rank_chunk(score(torch.tensor(scores)), torch.tensor(true), layout)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 30, 700, 1500]), st.sampled_from([2, 9, 10**6]), st.booleans(),
       st.sampled_from([1, 7, first_labels.TILE]))
@example(144032134, 3, 2, False, first_labels.TILE)  # no candidate at all
def test_ranks_and_first_20_are_those_of_a_full_sort(seed, labels, levels, negative, tile):
    """Two levels tie nearly everything, a million nearly nothing; 1,500 labels make atoms of more than 20 blocks."""
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, levels, (8, labels)) * (-0.25 if negative else 0.25)).astype(np.float32)  # also -0.0
    true = rng.integers(-1, labels, 8)
    scored = rng.random(labels) < 0.9
    seen = rng.random(labels) < 0.2
    members = {"seen": seen, "unseen": ~seen & (rng.random(labels) < 0.1), "21k": ~seen, "none": np.zeros(labels, bool)}
    members["21k+seen"] = members["21k"] | seen
    with mock.patch.object(first_labels, "TILE", tile):  # the last tile is cut where it does not divide the blocks
        layout, ranked = rank(scores, true, members, scored)
    for name, (top, ranks) in naive(scores, true, members, scored).items():
        assert layout.candidates[name] == (members[name] & scored).sum()
        if layout.candidates[name] == 0:
            assert name not in ranked
            continue
        np.testing.assert_array_equal(ranked[name][0], top)
        np.testing.assert_array_equal(ranked[name][1], ranks)


def test_the_true_label_comes_after_all_its_equals():
    everything = {"all": np.ones(30, bool)}
    _, ranked = rank(np.zeros((8, 30), np.float32), np.arange(8), everything, everything["all"])
    top, ranks = ranked["all"]
    assert (ranks == 30).all()
    assert top[3].tolist() == [0, 1, 2, *range(4, 21)]


def test_a_label_with_several_rows_counts_once_at_its_best():
    rng = np.random.default_rng(0)
    row_label = np.sort(rng.integers(0, 40, 100)).astype(np.int32)
    vectors = rng.normal(size=(100, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    points = rng.normal(size=(8, 8)).astype(np.float32)
    has = np.isin(np.arange(40), row_label)
    seen = np.arange(40) < 10
    layout = lay_out({"seen": seen, "unseen": ~seen}, has)
    scores = CosineScores(vectors, row_label, layout)(torch.tensor(points)).numpy()
    cosines = vectors @ points.T / np.linalg.norm(points, axis=1)
    for label in np.flatnonzero(has):
        np.testing.assert_allclose(scores[layout.slot_of[label]], cosines[row_label == label].max(0), atol=1e-6)
    assert np.isneginf(scores[layout.empty]).all() and np.isfinite(scores).sum() == has.sum() * 8


def test_a_shared_term_ties_exactly_whatever_its_slot():
    """Crane the bird and crane the machine have one vector: equal to the bit, so that the tie counts against us."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(1000, 50)).astype(np.float32)
    vectors[500:] = vectors[rng.permutation(500)]
    row_label = np.sort(rng.integers(0, 700, 1000))
    layout = lay_out({"a": np.arange(700) % 3 > 0, "b": np.arange(700) % 2 > 0, "all": np.ones(700, bool)},
                     np.isin(np.arange(700), row_label))
    points = torch.tensor(rng.normal(size=(256, 50)), dtype=torch.float32)
    products = CosineScores(vectors, row_label, layout)._product(points)
    rows = CosineScores(vectors, row_label, layout)._product(torch.eye(50))
    used, inverse = np.unique(rows, axis=0, return_inverse=True)
    for group in range(len(used)):
        same = products[np.flatnonzero(inverse == group)]
        assert (same == same[0]).all()


def test_bias_is_added_to_each_labels_score():
    vectors = np.eye(3, dtype=np.float32)
    layout = lay_out({"all": np.ones(3, bool)}, np.ones(3, bool))
    points = torch.tensor([[3.0, 2.0, 1.0]] * 8)
    plain = CosineScores(vectors, np.arange(3), layout)(points)
    shifted = CosineScores(vectors, np.arange(3), layout, np.array([0, 0, 1], np.float32))(points)
    assert rank_chunk(plain, torch.zeros(8, dtype=torch.long), layout)["all"][0][0, :3].tolist() == [0, 1, 2]
    assert rank_chunk(shifted, torch.zeros(8, dtype=torch.long), layout)["all"][0][0, :3].tolist() == [2, 0, 1]


@pytest.mark.parametrize("shift", [1, 7, 100])
def test_an_images_scores_do_not_depend_on_its_place_in_the_chunk(shift):
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(500, 64)).astype(np.float32)
    layout = lay_out({"all": np.ones(500, bool)}, np.ones(500, bool))
    score = CosineScores(vectors, np.arange(500), layout)
    points = torch.tensor(rng.normal(size=(256, 64)), dtype=torch.float32)
    assert torch.equal(score(points).roll(shift, 1), score(points.roll(shift, 0)))


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_permuting_labels_changes_no_rank(seed):
    rng = np.random.default_rng(seed)
    scores, true, order = rng.integers(0, 5, (8, 50)).astype(np.float32), rng.integers(0, 50, 8), rng.permutation(50)
    everything = {"all": np.ones(50, bool)}
    _, ranked = rank(scores, true, everything, everything["all"])
    _, permuted = rank(scores[:, order], np.argsort(order)[true], everything, everything["all"])
    assert torch.equal(ranked["all"][1], permuted["all"][1])
