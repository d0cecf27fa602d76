"""gensim's own files, which are pickles: their arrays are read, none of their code is run."""

from pathlib import Path

import numpy as np

from zeroshot.base.pickles import ArraysOnly, NotLetIn
from zeroshot.console.errors import InputError
from zeroshot.terms.rows import ReadVectors, Rows


def read_gensim(path: Path, rows: Rows) -> ReadVectors:
    """KeyedVectors.save or Word2Vec.save, in one file: one beside it could change unnoticed by DVC.

    Raises:
        InputError: anything else, with what it is and how to export it.
    """
    with open(path, "rb") as file:
        unpickler = ArraysOnly(file, inert=("gensim", "numpy.random"))
        try:
            saved = unpickler.load()
        except Exception as error:  # a broken pickle raises nearly anything
            what = _export(unpickler.first_inert)
            reason = _plain(str(error)) if isinstance(error, NotLetIn) else "it is truncated or damaged"
            raise InputError(f"{path}: a Python pickle that cannot be read safely: {reason}; {what}") from None
    fields = getattr(getattr(saved, "wv", saved), "__dict__", {})
    terms = fields.get("index_to_key") or fields.get("index2word")
    vectors = fields.get("vectors", fields.get("syn0"))
    if not unpickler.first_inert or not isinstance(terms, list):
        raise InputError(f"{path}: a Python pickle, but holds no terms as gensim's KeyedVectors or Word2Vec do; "
                         f"{_export(unpickler.first_inert)}")
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or len(vectors) != len(terms):
        raise InputError(f"{path}: gensim's {unpickler.first_inert}, but it holds no vectors: gensim keeps large ones "
                         "in a file of their own (...vectors.npy) and FastText's only as parts of words; one file with "
                         f"a vector a term is expected here; {_export(unpickler.first_inert)}")
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
