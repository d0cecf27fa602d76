"""torch's modules as named arrays of an artifact, and back."""

import numpy as np
import torch
from torch import Tensor, nn

from zeroshot.base.artifacts import Artifact


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


def root(x: Tensor) -> Tensor:
    """Square root of a tensor on the CPU, rightly rounded; torch takes MKL's, whose last bit is the processor's."""
    return torch.as_tensor(np.sqrt(x.numpy()))
