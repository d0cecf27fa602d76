"""Pickles of numpy arrays and plain containers, read without letting them run anything.

A pickle may name any function of any module, to be called while it is read. Here a handful of names is let in, which
only rebuild arrays and plain values; for any other the file is refused.
"""

import pickle
from typing import IO, Any

LET_IN = {  # each by its own module: to import another, even one of numpy's, is to run it
    ("numpy", "ndarray"), ("numpy", "dtype"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"), ("numpy._core.numeric", "_frombuffer"),
    ("collections", "defaultdict"), ("builtins", "int"), ("builtins", "hash")}  # in gensim's models


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
        if (module, name) in (("__builtin__", "bytes"), ("builtins", "bytes")):  # and empty ones
            return _empty
        today = "numpy._core" + module.removeprefix("numpy.core") if module.startswith("numpy.core.") else module
        if (today, name) in LET_IN:
            return super().find_class(today, name)
        raise NotLetIn(f"refers to {module}.{name}")


def _empty(*given: Any) -> bytes:
    if given:
        raise NotLetIn("makes bytes of something")
    return b""


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise NotLetIn(f"asks for the encoding '{encoding}'")
    return text.encode("latin1")
