"""Scaling of features where rounding makes a constant one seem to vary."""

import numpy as np
import torch

from stages.train_devise import measure_scaling, unscaled


def test_a_constant_that_sums_do_not_keep_is_constant():
    """Of some of these the sums, in pieces, leave a variance of 1e-16: dividing by its root would drown the others."""
    rows = np.arange(30_001)
    features = np.random.default_rng(0).standard_normal((len(rows), 40)).astype(np.float16)
    features[:, 8:] = np.linspace(0.1, 7, 32, dtype=np.float16)
    scaling = measure_scaling("standardise", features, rows, torch.device("cpu"))
    assert (scaling.deviation[8:] == 1).all()
    np.testing.assert_allclose(scaling.deviation[:8], features[:, :8].astype(np.float64).std(0), rtol=1e-5)
    linear, v = torch.nn.Linear(40, 4), torch.from_numpy(features[:50]).float()
    torch.testing.assert_close(unscaled(linear, scaling)(v), linear((v - scaling.mean) / scaling.deviation),
                               rtol=0, atol=1e-5)
