import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from zeroshot.ranking.csls import hubness


@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_it_is_the_mean_of_the_nearest_images_however_they_come(images, piece, neighbours, seed):
    cosines = np.random.default_rng(seed).uniform(-1, 1, (images, 5)).astype(np.float32)
    expected = np.sort(cosines, axis=0)[::-1][:neighbours].mean(0)
    found = hubness(torch.from_numpy(cosines).split(piece), neighbours)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
