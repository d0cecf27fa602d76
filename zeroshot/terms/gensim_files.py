"""gensim's own files, which are pickles: their arrays are read, none of their code is run."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from zeroshot.console.errors import InputError
from zeroshot.terms.rows import ReadVectors, Rows


class _NotLetIn(pickle.UnpicklingError):
    """The file refers to something else than arrays and plain values."""


class _Inert:
    """Stands for any class of gensim: keeps what was saved, does nothing."""

    def __init__(self, *_: Any, **__: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds numpy arrays and plain values; gensim's classes become _Inert, so that a file can run no code."""

    OF_NUMPY = {"_reconstruct", "ndarray", "dtype", "_frombuffer", "scalar"}
    PLAIN = {("collections", "defaultdict"), ("builtins", "int"), ("builtins", "hash")}  # in models
    first = ""  # class of gensim's in the file: what it is

    def find_class(self, module: str, name: str) -> Any:
        package = module.split(".")[0]
        if package == "gensim" or module.startswith("numpy.random"):
            self.first = self.first or name
            return _Inert
        if (package == "numpy" and name in self.OF_NUMPY) or (module, name) in self.PLAIN:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise _NotLetIn(f"it refers to {module}.{name}, which is not let in")


def read_gensim(path: Path, rows: Rows) -> ReadVectors:
    """KeyedVectors.save or Word2Vec.save, in one file: one beside it could change unnoticed by DVC.

    Raises:
        InputError: anything else, with what it is and how to export it.
    """
    with open(path, "rb") as file:
        unpickler = _ArraysOnly(file)
        try:
            saved = unpickler.load()
        except Exception as error:  # a broken pickle raises nearly anything
            what = _export(unpickler.first)
            reason = _plain(str(error)) if isinstance(error, _NotLetIn) else "it is truncated or damaged"
            raise InputError(f"{path}: a Python pickle that cannot be read safely: {reason}; {what}") from None
    fields = getattr(getattr(saved, "wv", saved), "__dict__", {})
    terms = fields.get("index_to_key") or fields.get("index2word")
    vectors = fields.get("vectors", fields.get("syn0"))
    if not unpickler.first or not isinstance(terms, list):
        raise InputError(f"{path}: a Python pickle, but holds no terms as gensim's KeyedVectors or Word2Vec do; "
                         f"{_export(unpickler.first)}")
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or len(vectors) != len(terms):
        raise InputError(f"{path}: gensim's {unpickler.first}, but it holds no vectors: gensim keeps large ones in a "
                         "file of their own (...vectors.npy) and FastText's only as parts of words; one file with a "
                         f"vector a term is expected here; {_export(unpickler.first)}")
    rows.dim = vectors.shape[1]
    for term, row in zip(terms, vectors, strict=True):
        if (wanted := rows.wants(str(term))) is not None:
            rows.add(wanted, np.asarray(row, np.float32))
    return rows.whole()


def _export(name: str) -> str:
    keyed = "" if "KeyedVectors" in name else ".wv"
    loaded = f"gensim.models.{name or 'Word2Vec'}.load(...){keyed}"
    return f"in Python, export it with `{loaded}.save_word2vec_format('vectors.txt')`"


def _plain(text: str) -> str:
    return "".join(sign if sign.isprintable() and ord(sign) < 128 else "?" for sign in text[:100])
