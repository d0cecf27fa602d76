import types

import numpy as np
import pytest
import torch

from zeroshot.networks.inference import Passes, memory_layout, over_images
from zeroshot.networks.preprocessing import Preprocessing


@pytest.mark.parametrize("images, batches", [
    (1, [1]), (2, [2]), (3, [4]), (200, [256]), (256, [256]), (300, [256, 256])])
def test_few_images_make_a_small_batch_of_a_power_of_two(images, batches):
    seen = []

    def network(crops):
        seen.append(len(crops))
        return (crops.mean((1, 2, 3))[:, None],)

    source = types.SimpleNamespace(device=torch.device("cpu"), merge_unreadable=lambda: None, squares=lambda batches: (
        torch.from_numpy(np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (len(rows), 8, 8, 3)).copy())
        for rows in batches))
    how = Passes(256, "float32", memory_layout(False))
    found = [(start, outputs) for start, (outputs,) in over_images(
        network, np.arange(images) % 200, source, Preprocessing(8, 8, (0.0,) * 3, (1.0,) * 3), how, None)]
    assert seen == batches and [start for start, _ in found] == [256 * number for number in range(len(batches))]
    outputs = torch.cat([outputs for _, outputs in found])[:, 0]  # the padding is left out again
    torch.testing.assert_close(outputs, torch.arange(images) % 200 / 255)
