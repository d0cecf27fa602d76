"""Poolings that have a deterministic gradient on CUDA, against torch's that have none."""

import pytest
import torch
from torch import nn

from zeroshot.networks.pooling import GlobalMax


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_global_max_is_adaptive_max_pooling_to_the_bit(layout):
    """Equal values too: rounded ones, a third of them 0, as after a ReLU; the first of them has the gradient."""
    torch.manual_seed(0)
    final_map = torch.randn(8, 16, 4, 4).relu().mul(3).round().contiguous(memory_format=layout)
    weights, results = torch.randn(8, 16), []
    for pool in (nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), GlobalMax()):
        v = final_map.clone().requires_grad_()
        pooled = pool(v)
        (pooled * weights).sum().backward()
        results.append((pooled.detach(), v.grad))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
