"""Pickles of numpy arrays and plain containers, read without letting them run anything.

A pickle may name any function of any module, to be called while it is read. Here a handful of names is let in, which
only rebuild arrays and plain values; for any other the file is refused.
"""

import pickle
from typing import IO, Any

OF_NUMPY = {"_reconstruct", "ndarray", "dtype", "_frombuffer", "scalar"}
PLAIN = {("collections", "defaultdict"), ("builtins", "int"), ("builtins", "hash")}  # in gensim's models


class NotLetIn(pickle.UnpicklingError):
    """The pickle asks for something that could run code; its message says what, in printable characters."""

    def __init__(self, what: str):
        plain = "".join(sign if sign.isprintable() else "?" for sign in what[:120])
        super().__init__(f"it {plain}, which is not let in")


class Inert:
    """Stands for any class that is asked for and of no use: keeps what was saved, does nothing."""

    def __init__(self, *_: Any, **__: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


class ArraysOnly(pickle._Unpickler):
    """Python's own unpickler: the faster one in C reserves as much memory as a damaged file announces."""

    def __init__(self, file: IO[bytes], *, encoding: str = "ASCII", inert: tuple[str, ...] = ()):
        """
        Args:
            encoding: of the strings that Python 2 wrote.
            inert: modules, with all below them, whose classes become `Inert`.
        """
        super().__init__(file, encoding=encoding)
        self._inert = inert
        self.first_inert = ""  # name of the first class that became one

    def find_class(self, module: str, name: str) -> Any:
        """Raises NotLetIn for all but arrays, plain values and what is inert."""
        if any(f"{module}.".startswith(f"{package}.") for package in self._inert):
            self.first_inert = self.first_inert or name
            return Inert
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return _latin1
        if (module.split(".")[0] == "numpy" and name in OF_NUMPY) or (module, name) in PLAIN:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise NotLetIn(f"refers to {module}.{name}")


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise NotLetIn(f"asks for the encoding '{encoding}'")
    return text.encode("latin1")
