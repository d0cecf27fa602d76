"""DeViSE's map M on disk.

    data/devise/<model>/map.safetensors   weight float32 [dim_label, dim_feature], bias float32 [dim_label] if any
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from zeroshot.base.artifacts import Artifact, write_artifact


def write_map(path: Path, linear: nn.Linear, meta: dict) -> None:
    """Write M; meta holds `tap` and the seals `labels` and `features`."""
    write_artifact(path, meta, state_arrays(linear))


def read_map(path: Path) -> tuple[nn.Linear, Artifact]:
    """M, on the CPU, and the opened file for its meta and seal."""
    artifact = Artifact(path)
    return linear_from(artifact, ""), artifact


def linear_from(artifact: Artifact, prefix: str) -> nn.Linear:
    """The linear layer whose arrays' names begin with `prefix`."""
    weight = torch.from_numpy(artifact[prefix + "weight"])
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=prefix + "bias" in artifact)
    with torch.no_grad():
        linear.weight.copy_(weight)
        if linear.bias is not None:
            linear.bias.copy_(torch.from_numpy(artifact[prefix + "bias"]))
    return linear


def state_arrays(module: nn.Module) -> dict[str, np.ndarray]:
    """A module's parameters and buffers by name."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in module.state_dict().items()}
