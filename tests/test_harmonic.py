import numpy as np
import torch

from zeroshot.ranking.harmonic import harmonic_mean


def test_by_hand_of_numbers_arrays_and_tensors():
    assert harmonic_mean(0.5, 0.25) == 1 / 3 and harmonic_mean(0.0, 0.0) == 0 and harmonic_mean(0.5, 0) == 0
    a, b, mean = [0.5, 0, 1], [0.25, 0, 1], [1 / 3, 0, 1]
    np.testing.assert_array_equal(harmonic_mean(np.array(a), np.array(b)), mean)
    torch.testing.assert_close(harmonic_mean(torch.tensor(a), torch.tensor(b)), torch.tensor(mean))
