"""Labels of one's own: very many, on the page too; and where the model's vectors are by class."""

import itertools
import re

import numpy as np
import pytest

import zeroshot
from tests.model_world import DIM, TERMS, WNID, build_parts, export, picture
from tests.serving_world import picture as png
from tests.serving_world import post, running
from zeroshot.console.errors import InputError
from zeroshot.labels import embedding
from zeroshot.naming import words as words_module
from zeroshot.serving.answers import Asked
from zeroshot.serving.models import ServedModel
from zeroshot.terms.vectors import TermVectors, write_term_vectors

MANY = [" ".join(words) for words in itertools.islice(itertools.product(TERMS, repeat=5), 50_000)]


def test_fifty_thousand_labels_are_uploaded_with_a_picture(model_folder):
    """By a request as browsers send it, with over a megabyte of labels; one more is refused with a sentence."""
    served = ServedModel(zeroshot.load_model(model_folder))
    fields = {"model": "hierse", "top": "3", "headers": {"X-Fragment": "1"}}
    with running(served) as port:
        status, _, text = post(port, ("a.png", png()), labels=",\r\n".join(MANY), **fields)
        assert status == 200, text[:300]
        assert post(port, ("a.png", png()), labels=",".join([*MANY, "striped"]), **fields)[0] == 413
    shown = re.findall('class="words"[^>]*>([^<]+)<', text)
    _, (column,) = served.name(png(), Asked(("hierse",), "", 3, tuple(MANY)))  # of the labels that are kept ready
    assert shown == [line.words for line in column.lines] and len(set(shown)) == 3 and set(shown) <= set(MANY)
    assert len(",".join(MANY)) > 1 << 20


def test_a_label_that_is_typed_twice_is_told_on_the_page_too(model_folder):
    with running(ServedModel(zeroshot.load_model(model_folder))) as port:
        _, _, text = post(port, ("a.png", png()), labels="striped, striped", headers={"X-Fragment": "1"})
    assert "1 of 2 labels stand for one that is there already: striped" in text
    assert set(re.findall('class="words"[^>]*>([^<]+)<', text)) == {"striped"}


def test_nouns_outside_the_run_are_worked_out_together(model_folder, monkeypatch):
    """Their hypernyms' vectors are those that each has alone, and are made once for all."""
    words, nouns = zeroshot.load_model(model_folder).words, [WNID["tapir"], WNID["crane machine"]]
    alone = [words.vectors("hypernyms", "", wnid) for wnid in nouns]
    calls = []
    embed = embedding.embed
    monkeypatch.setattr(embedding, "embed", lambda *given: calls.append(given[2]) or embed(*given))
    together = zeroshot.load_model(model_folder).words.vectors_of("hypernyms", [("", wnid) for wnid in nouns])
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
    assert len(alone[0]) == len(alone[1]) == 1 and sorted(calls) == sorted(set(calls))


def test_many_labels_have_the_vectors_that_each_has_alone(model_folder, monkeypatch):
    """Of one word, of several, of none, of a noun; in whichever part of them they are worked out."""
    monkeypatch.setattr(words_module, "AT_ONCE", 3)
    words = zeroshot.load_model(model_folder).words
    labels = [(TERMS[0], None), ("xqzt", None), (" ".join(TERMS[:3]), None), ("", WNID["tapir"]), (TERMS[1], None),
              (" ".join(TERMS[2:5]), None), (f"{TERMS[0]} xqzt", None), ("", None)]
    for kind in ("lemmas", "hypernyms"):
        together = words.vectors_of(kind, labels)
        assert [len(rows) for rows in together] == [1, 0, 1, 1, 1, 1, 0, 0]
        for rows, label in zip(together, labels, strict=True):
            assert np.array_equal(rows, words.vectors(kind, *label))
    [plain] = words.vectors_of("lemmas", labels[2:3])[0]
    mean = np.mean([words.vectors("lemmas", term, None)[0] for term in TERMS[:3]], axis=0)
    assert np.allclose(plain, mean / np.linalg.norm(mean), atol=1e-6)


@pytest.fixture(scope="module")
def by_class(tmp_path_factory):
    """A model whose vectors are keyed by wnid; of the nouns that are no labels it has the tapir's alone.

    The file holds more terms besides, of no noun: embed_labels, which reads none of them, said that it is by class.
    """
    parts = build_parts(tmp_path_factory.mktemp("parts"), by_class=True)
    keyed = [wnid for name, wnid in WNID.items() if name not in ("crane machine", "entity")]
    names = keyed + [f"adjective{number}" for number in range(100)]
    vectors = np.random.default_rng(2).normal(size=(len(names), DIM)).astype(np.float32)
    write_term_vectors(parts / "terms", TermVectors(names, np.arange(len(names), 0, -1), vectors))
    model = zeroshot.load_model(export(parts, tmp_path_factory.mktemp("by class") / "model"))
    return model, dict(zip(keyed, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=False))


def test_vectors_by_class_name_nouns_that_are_no_labels_of_the_run(by_class):
    model, vectors = by_class
    assert model.words.by_class
    (named,) = model.name(picture(0), "tapir, dog, husky")
    assert {answer.words for answer in named.answers["hierse"]} == {"tapir", "dog", "husky"}
    tapir = model.words.vectors("lemmas", "tapir", WNID["tapir"])
    np.testing.assert_allclose(tapir[0], vectors[WNID["tapir"]], atol=1e-3)  # exported in half precision
    lifted = model.words.vectors("hypernyms", "tapir", WNID["tapir"])
    mixed = vectors[WNID["tapir"]] + vectors[WNID["animal"]]  # entity has none
    np.testing.assert_allclose(lifted[0], mixed / np.linalg.norm(mixed), atol=1e-3)


@pytest.mark.parametrize("labels, said", [
    ("zedonk, dog", "'zedonk' is no noun of WordNet, and this model has vectors by class alone"),
    ("striped dog", "no noun of WordNet"), ("tapirr", "expected nouns or wnids; spelt like it: tapir"),
    ("crane, dog", "1 of the labels have no vector, since the vectors that the model was made of, by class, have none "
                   "of them: crane")])
def test_other_labels_are_refused_in_one_line(by_class, labels, said):
    with pytest.raises(InputError) as refusal:
        by_class[0].name(picture(0), labels)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_vectors_by_term_are_not_by_class(model_folder):
    assert not zeroshot.load_model(model_folder).words.by_class
