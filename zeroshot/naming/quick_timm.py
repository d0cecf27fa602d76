"""timm with the one architecture that is wanted; the rest of it is imported as soon as anybody looks for it.

`import timm` runs a hundred architectures' modules, its readers of data sets and a client of the Hugging Face hub, for
longer than it takes to build the network and name a picture. Here its packages are entered without running their own
code, which is put off; what an architecture's module imports from them is found in the few modules of PARTS. Where
another version of timm does not go along, all that was imported is dropped, and timm imported as ever.
"""

import contextlib
import importlib
import importlib.util
import re
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


class PutOff(types.ModuleType):
    """A package whose own code has not run; it does when something is wanted that is not there, and then is itself."""

    def __getattr__(self, name: str):
        if name.startswith("__") and name not in ("__path__", "__all__", "__version__"):
            raise AttributeError(name)  # which many ask of every module
        for part in self.__dict__["_parts"]:
            module = importlib.import_module(f"{self.__name__}.{part}")
            if name in vars(module):
                return vars(module)[name]
        self._run()
        return getattr(self, name)

    def _run(self) -> None:
        above = sys.modules.get(self.__name__.rpartition(".")[0])
        if isinstance(above, PutOff):
            above._run()  # as Python does, and most often it imports this one
        if not isinstance(self, PutOff):
            return
        self.__class__ = types.ModuleType
        del self._parts
        self.__path__ = self.__spec__.submodule_search_locations
        if HUB in sys.modules and HUB.rpartition(".")[0] == self.__name__:
            importlib.reload(sys.modules[HUB])  # in place, with its client now
        self.__spec__.loader.exec_module(self)


@contextlib.contextmanager
def one_architecture(name: str) -> Iterator[None]:
    """Within, timm knows the architecture `name`, "resnet50" or "resnet50.a1_in1k"; afterwards all that it has."""
    if "timm" in sys.modules and not isinstance(sys.modules["timm"], PutOff):
        yield  # it is there already, whole
        return
    try:
        _import(name)
    except Exception:  # another version, in whatever way it differs
        _drop()
        importlib.import_module("timm")
    try:
        yield
    finally:
        for package in _put_off():
            package._parts = ()
            vars(package).pop("__path__", None)  # so that whoever imports another module runs it, too


def _import(name: str) -> None:
    _enter_packages()
    module = _module_of(name)
    with _without(CLIENT), _late_extraction():
        importlib.import_module(f"timm.models.{module}")
        if not sys.modules["timm"].is_model(name):
            raise ImportError(f"timm.models.{module} does not register {name}")


def _enter_packages() -> None:
    for name, parts in PARTS.items():
        package = sys.modules.get(name)
        if package is None:
            spec = importlib.util.find_spec(name)
            package = importlib.util.module_from_spec(spec)
            package.__class__ = PutOff
            sys.modules[name] = package
            if "." in name:
                setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], package)
        if isinstance(package, PutOff):
            package._parts, package.__path__ = parts, package.__spec__.submodule_search_locations


def _put_off() -> list[PutOff]:
    return [module for name in PARTS if isinstance(module := sys.modules.get(name), PutOff)]


def _module_of(name: str) -> str:
    """The module that defines an architecture; told from its text. Raises ImportError if that is not just one."""
    defines = re.compile(rb"^def %s\(" % re.escape(name.partition(".")[0].encode()), re.MULTILINE)
    [folder] = sys.modules["timm.models"].__path__
    found = [path.stem for path in sorted(Path(folder).glob("[!_]*.py")) if defines.search(path.read_bytes())]
    if len(found) != 1:
        raise ImportError(f"{len(found)} modules of timm define {name}")
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


def _drop() -> None:
    """Forget whatever was imported of the libraries whose own code is put off."""
    libraries = {package.__name__.partition(".")[0] for package in _put_off()}
    for name in [name for name in sys.modules if name.partition(".")[0] in libraries]:
        del sys.modules[name]
