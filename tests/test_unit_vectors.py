"""Vectors by the many are those of one by one, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stages import export_model
from zeroshot.base.artifacts import Artifact
from zeroshot.labels.embedding import SHORTEST, UnitVectors, unit
from zeroshot.terms.spelling import term_of, words_of
from zeroshot.terms.vectors import TermVectors


def alone(vector):
    """One vector at length 1, with numpy's own length."""
    vector = vector.astype(np.float64)
    length = np.linalg.norm(vector)
    return (vector / length if length > SHORTEST else 0 * vector).astype(np.float32)


@settings(max_examples=30)
@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=80),
                     elements=st.floats(-2, 2, width=32)))
def test_units(rows):
    wanted = np.array([alone(row) for row in rows])
    assert unit(rows).tobytes() == wanted.tobytes() and unit(rows[0]).tobytes() == wanted[0].tobytes()


def test_short_vectors_point_nowhere():
    assert unit(np.array([[0.0, -1e-7], [0.0, -1e-5]])).tolist() == [[0, 0], [0, -1]]


@pytest.mark.parametrize("form", [np.float16, np.float32])
def test_term_vectors(form):
    vectors = (np.random.default_rng(1).standard_normal((400, 300)) * 10.0 ** np.arange(-4, 4)[np.arange(400) % 8, None]
               ).astype(form)
    names = [f"t{number}" for number in range(400)]
    terms = UnitVectors(TermVectors(names, np.zeros(400, np.int64), vectors))
    order = names[::-1]
    naive = [alone(vector / np.abs(vector).max()) for vector in vectors[::-1].astype(np.float32)]
    assert terms.of(order).tobytes() == np.array(naive).tobytes() == b"".join(terms[name].tobytes() for name in order)


def test_all_terms_or_the_wanted_ones():
    spelt = ["New_York", "red", "Red", "new_york", "!", "sea-cow", "Sea Cow"]
    terms = TermVectors(spelt, np.zeros(7, np.int64), np.eye(7, dtype=np.float32))
    every = UnitVectors(terms)
    assert every.known() == ["red", "new_york", "sea_cow"]
    assert [every[name].argmax() for name in every.known()] == [1, 3, 5]
    assert UnitVectors(terms, {"sea_cow", "green"}).known() == ["sea_cow"]


def test_exported_terms_go_chunk_by_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(export_model, "CHUNK", 3)
    vectors = np.random.default_rng(2).standard_normal((8, 5)).astype(np.float32)
    terms = TermVectors([*"abcdefgh"], np.zeros(8, np.int64), vectors)
    export_model.write_terms(tmp_path / "terms.safetensors", terms, {"c", "g"}, 7)
    written = Artifact(tmp_path / "terms.safetensors")
    assert written.meta["terms"] == [*"cgabdef"]
    naive = [alone(vectors["abcdefgh".index(name)] / np.abs(vectors["abcdefgh".index(name)]).max())
             for name in "cgabdef"]
    assert written["vectors"].tobytes() == np.array(naive).astype(np.float16).tobytes()


@given(st.text("aZ9_- é'", max_size=9))
def test_a_term_is_its_words_joined(text):
    assert term_of(text) == "_".join(words_of(text))
