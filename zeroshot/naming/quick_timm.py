"""timm with the one architecture that is wanted; the rest of it is imported as soon as anybody looks for it.

`import timm` runs a hundred architectures' modules, its readers of data sets, torchvision and a client of the Hugging
Face hub, for longer than it takes to build the network and name a picture. Here such packages are entered without
running their own code, which is put off, and what the architecture's module imports from them is found in the few
modules of PARTS. Where another version of timm does not go along with that, all of it is imported, as ever.
So it is too where other code shares the process, which is to find timm as it knows it.
"""

import contextlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path

# Package -> its modules in which names are looked up while its own code is put off.
PARTS = {"timm": ("version", "models._factory", "models._registry"), "timm.data": ("constants",),
         "timm.models": ("_factory", "_registry"), "torchvision": (), "torchvision.ops": ()}
HUB, CLIENT = "timm.models._hub", "huggingface_hub"  # the one imports the other, and does without it
EXTRACTION = "torchvision.models.feature_extraction"
EXTRACTING = ("create_feature_extractor", "get_graph_node_names")  # of which timm wraps these


_own: list[bool] = []  # not empty: the process is a command's own


def in_a_process_of_its_own() -> None:
    """Say that this process runs a command of `python -m zeroshot`, and no other code that might want timm."""
    _own.append(True)


class Differs(Exception):
    """The libraries are not as they were expected. No ImportError, which they might take for something else."""


class PutOff(types.ModuleType):
    """A package whose own code has not run. It runs when something is wanted that is not there.

    Attributes:
        parts: its modules where names are looked up while an architecture is imported, and none else; then None.
    """

    parts: tuple[str, ...] | None = None

    def __getattr__(self, name: str):
        if name.startswith("__") and name not in ("__path__", "__all__", "__version__"):
            raise AttributeError(name)  # which many ask of every module
        if self.parts is None:
            self._run()
            return getattr(self, name)
        for part in self.parts:
            module = importlib.import_module(f"{self.__name__}.{part}")
            if name in vars(module):
                return vars(module)[name]
        raise Differs(f"{self.__name__} is asked for {name}")

    def _run(self) -> None:
        above = sys.modules.get(self.__name__.rpartition(".")[0])
        if isinstance(above, PutOff):
            above._run()  # as Python does, and most often it imports this one
        if not isinstance(self, PutOff):
            return
        self.__class__ = types.ModuleType
        vars(self).pop("parts", None)
        self.__path__ = self.__spec__.submodule_search_locations
        if HUB in sys.modules and HUB.rpartition(".")[0] == self.__name__:
            importlib.reload(sys.modules[HUB])  # in place, with its client now
        self.__spec__.loader.exec_module(self)


@contextlib.contextmanager
def one_architecture(name: str) -> Iterator[None]:
    """Within, timm knows the architecture `name`, "resnet50" or "resnet50.a1_in1k"; afterwards all that it has."""
    if not _own or "timm" in sys.modules and not isinstance(sys.modules["timm"], PutOff):
        importlib.import_module("timm")  # whole, as it may be already
        yield
        return
    try:
        _import(name)
    except Exception:  # another version, in whatever way it differs; or no architecture of that name
        _close()
        timm = importlib.import_module("timm")
        if isinstance(timm, PutOff):
            timm._run()
    try:
        yield
    finally:
        _close()


def _import(name: str) -> None:
    _enter_packages()
    module = _module_of(name)
    with _without(CLIENT), _late_extraction():
        importlib.import_module(f"timm.models.{module}")
        if not sys.modules["timm"].is_model(name):
            raise Differs(f"timm.models.{module} does not register {name}")


def _enter_packages() -> None:
    for name, parts in PARTS.items():
        package = sys.modules.get(name) or _entered(name)
        if isinstance(package, PutOff):
            package.parts, package.__path__ = parts, package.__spec__.submodule_search_locations


def _entered(name: str) -> PutOff:
    package = importlib.util.module_from_spec(importlib.util.find_spec(name))
    package.__class__ = PutOff
    sys.modules[name] = package
    above, _, own = name.rpartition(".")
    if above:
        setattr(sys.modules[above], own, package)
    return package


def _close() -> None:
    """Whoever asks a package for anything from now on, or imports another module of it, has it run."""
    for name in PARTS:
        if isinstance(package := sys.modules.get(name), PutOff):
            package.parts = None
            vars(package).pop("__path__", None)


def _module_of(name: str) -> str:
    """The module that defines an architecture; told from its text. Raises Differs if that is not just one."""
    defines = f"\ndef {name.partition('.')[0]}(".encode()
    [folder] = sys.modules["timm.models"].__path__
    found = [path.stem for path in sorted(Path(folder).glob("[!_]*.py")) if defines in path.read_bytes()]
    if len(found) != 1:
        raise Differs(f"{len(found)} modules of timm define {name}")
    return found[0]


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Within, `module` is not installed, unless it is loaded already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None
    try:
        yield
    finally:
        del sys.modules[module]


@contextlib.contextmanager
def _late_extraction() -> Iterator[None]:
    """Within, torchvision's extraction of features is only imported when it is called, with torchvision."""
    if EXTRACTION in sys.modules:
        yield
        return
    stand_in = types.ModuleType(EXTRACTION)
    for name in EXTRACTING:
        setattr(stand_in, name, _late(name))
    sys.modules[EXTRACTION] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(EXTRACTION) is stand_in:
            del sys.modules[EXTRACTION]


def _late(name: str):
    return lambda *given, **named: getattr(importlib.import_module(EXTRACTION), name)(*given, **named)
