"""A network that is built and read without what takes longest in that.

Torch's compiler: two lines in torchvision and timm load it, though nothing is compiled. torchvision.ops.roi_align asks
whether it supports a device, in a function that is not called here, and timm's NaFlex networks ask it to leave an
iterator alone. Of timm, all but what builds the network: see quick_timm.py. And the drawing of random weights.
"""

import contextlib
import sys
import types
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import zeroshot.networks.torchvision_guard  # noqa: F401  (before torchvision and timm)
from zeroshot.naming.quick_timm import one_architecture

COMPILER = ("torch._dynamo", "torch._dynamo.utils")


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """Within, imports find a stand-in where torch's compiler would be; afterwards that can be loaded as ever."""
    if any(name in sys.modules for name in COMPILER):
        yield  # it is there already
        return
    stand_ins = {name: types.ModuleType(name) for name in COMPILER}
    stand_ins["torch._dynamo"].disable = lambda function=None, *_, **__: function or (lambda decorated: decorated)
    stand_ins["torch._dynamo.utils"].is_compile_supported = lambda device_type: False
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


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
