"""A network that is built and read without what takes longest in that.

Torch's compiler: see without_compiler.py. Of timm, all but what builds the network: see quick_timm.py. And the drawing
of random weights.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zeroshot.naming.quick_timm import one_architecture
from zeroshot.networks.without_compiler import without_compiler


@contextlib.contextmanager
def library_of(arch: str) -> Iterator[None]:
    """Within, the library that builds `arch` is imported, as far as that takes; none for the networks of this project.

    Args:
        arch: see zeroshot.networks.visual_model.build_visual.
    """
    library, _, name = arch.partition("/")
    with contextlib.ExitStack() as lasting:
        with without_compiler():
            if library == "timm":
                lasting.enter_context(one_architecture(name))
            elif library in ("torchvision", "alexnet"):
                import torchvision.models  # noqa: F401
        yield


class Undrawn(TorchFunctionMode):
    """Within, what would be drawn at random is zero: the weights of a network that reads its own from a file."""

    DRAWS = frozenset({Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_})

    def __torch_function__(self, function, types, given=(), named=None):
        if function not in self.DRAWS:
            return function(*given, **(named or {}))
        tensor = given[0] if given else named["tensor"]
        with torch.no_grad():
            return tensor.zero_()
