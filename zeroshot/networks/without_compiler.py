"""torchvision and timm without torch's compiler, which loading them would load, and which takes longer than they do.

torchvision.ops.roi_align asks whether it supports a device, in a function that is not called here, and timm's NaFlex
networks ask it to leave an iterator alone. What is compiled (`compile: true`) loads it then.
"""

import contextlib
import sys
import types
from collections.abc import Iterator

import zeroshot.networks.torchvision_guard  # noqa: F401  (before torchvision and timm)

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
