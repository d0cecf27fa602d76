import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from zeroshot.ranking.stacking import HANDICAPS, folds_of, harmonic_means, right_by_handicap


def test_right_by_hand():
    """Seen classes 0 and 1, held-out 2; the second image is 2's, and nearer to 0 by 0.25."""
    scores = torch.tensor([[0.9, 0.1, 0.5], [0.5, 0.0, 0.25]])
    right = right_by_handicap(scores, torch.tensor([0, 2]), torch.tensor([False, False, True]))
    assert right[:, 0].tolist() == [handicap < 0.4 for handicap in HANDICAPS.tolist()]  # 0.9 - 0.4 ties with 0.5
    assert right[:, 1].tolist() == [handicap >= 0.25 for handicap in HANDICAPS.tolist()]


def test_harmonic_mean_by_hand():
    right = torch.tensor([[2.0, 1, 3, 0], [4, 4, 0, 0]])  # of 4, 4, 4 and no images
    means = harmonic_means(right, torch.tensor([4, 4, 4, 0]), torch.tensor([False, False, True, True]))
    torch.testing.assert_close(means, torch.tensor([2 * 0.375 * 0.75 / (0.375 + 0.75), 0.0]))


def test_no_held_out_image_counts_as_nothing():
    assert harmonic_means(torch.ones(3, 2), torch.tensor([1, 0]), torch.tensor([False, True])).tolist() == [0, 0, 0]


@given(st.integers(2, 60), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_folds_are_equal_up_to_one_and_repeat(classes, folds, seed):
    fold = folds_of(classes, folds, seed)
    sizes = np.bincount(fold, minlength=folds)
    assert sizes.sum() == classes and sizes.max() - sizes.min() <= 1
    assert torch.equal(fold, folds_of(classes, folds, seed))
