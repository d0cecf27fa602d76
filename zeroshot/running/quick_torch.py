"""A quarter of torch's start, put off until torch's compiler is loaded; stages/__init__.py imports this before torch.

torch._meta_registrations says what operations do to tensors without numbers. The compiler needs that, and whoever makes
tensors on device "meta", who calls `whole_torch` before. It also loads what readies torch.Generator for use; that is
done here at once. No result changes.
"""

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType

PUT_OFF, NEEDED_BY = "torch._meta_registrations", "torch._dynamo"


class _Later(importlib.abc.Loader):
    """Loads a module when `now` is called, or a name of it is asked for."""

    def __init__(self, loader: importlib.abc.Loader):
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        def ask(name: str):
            if name.startswith("__"):  # which `inspect` asks of every module
                raise AttributeError(name)
            self.now(module)
            return getattr(module, name)

        module.__getattr__ = ask
        _ready_generators()

    def now(self, module: ModuleType) -> None:
        if vars(module).pop("__getattr__", None):
            self.loader.exec_module(module)


def _ready_generators() -> None:
    """What torch._prims.rng_prims does for torch.Generator, which raises without."""
    import torch._C
    from torch._opaque_base import OpaqueBaseMeta

    torch._C._set_generator_metaclass(OpaqueBaseMeta)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None) -> importlib.machinery.ModuleSpec | None:
        if name == NEEDED_BY:
            whole_torch()
        if name != PUT_OFF or not (spec := importlib.machinery.PathFinder.find_spec(name, path)):
            return None
        spec.loader = _Later(spec.loader)
        return spec


def whole_torch() -> None:
    """Load now what was put off, if it was."""
    module = sys.modules.get(PUT_OFF)
    if module and isinstance(module.__spec__.loader, _Later):
        module.__spec__.loader.now(module)


if "torch" not in sys.modules:
    sys.meta_path.insert(0, _Finder())
