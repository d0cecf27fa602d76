import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.export_model import how_embedded
from tests.model_world import WNID
from tests.test_embed_labels import (
    ANIMAL,
    BIRD,
    CRANE,
    KIT,
    LAIKA,
    MACHINE,
    NOUNS,
    ROC,
    VECTORS,
    inputs,
    run,
    term_vectors,
)
from zeroshot.labels.embedding import UnitVectors, embed, wanted_terms, with_hypernyms
from zeroshot.labels.retrofitting import retrofitting
from zeroshot.naming.folder import ModelFolder
from zeroshot.naming.words import Words
from zeroshot.taxonomy import make_taxonomy
from zeroshot.terms.vectors import read_term_vectors

__all__ = ["inputs"]
NAMED = {ANIMAL: [1, 0], CRANE: [0, 1], MACHINE: [0, 1], KIT: [0.6, 0.8]}  # as test_embed_labels' terms have it


def drawn(wnid, iterations, weight=1.0, synonyms="first", fallback="none", nouns=NOUNS, vectors=VECTORS):
    terms = UnitVectors(term_vectors(vectors), wanted_terms(nouns))
    draw = retrofitting(nouns, terms, synonyms, iterations, weight)
    return draw(wnid, embed(nouns, terms, wnid, synonyms, fallback))


def at_length_1(vector):
    return np.divide(vector, np.linalg.norm(vector))


@pytest.mark.parametrize("wnid, iterations, weight, expected", [
    (KIT, 1, 1, [1.6, 0.8]),  # its only neighbour is animal
    (KIT, 1, 0.5, [1.1, 0.8]),
    (ANIMAL, 1, 1, [1.6, 0.8]),  # of its neighbours bird and roc no text names
    (KIT, 2, 1, [0.6 + 0.8, 0.8 + 0.4]),  # animal is (1 + 0.6, 0 + 0.8) / 2 by then
    (MACHINE, 9, 1, [0, 1]),  # is alone
    (CRANE, 9, 1, [0, 1]),  # bird, which links it to animal, has no vector
])
def test_by_hand(wnid, iterations, weight, expected):
    found = drawn(wnid, iterations, weight)
    assert np.allclose(found.vectors, [at_length_1(expected)], atol=1e-6) and found.way == "term"


def test_no_vector_before_none_after_and_none_by_no_iterations():
    assert len(drawn(BIRD, 5).vectors) == 0 and drawn(BIRD, 5).way == "without"
    assert (drawn(KIT, 0).vectors == embed(NOUNS, UnitVectors(term_vectors(VECTORS), wanted_terms(NOUNS)), KIT, "first",
                                           "none").vectors).all()


def test_a_label_by_fallback_is_drawn_but_draws_none():
    found = drawn(ROC, 1, fallback="hypernym")
    assert found.way == "hypernym" and np.allclose(found.vectors, [[1, 0]])  # animal's own, and animal beside it
    assert np.allclose(drawn(ANIMAL, 1, fallback="hypernym").vectors, drawn(ANIMAL, 1).vectors)


def test_every_synonym_is_drawn_to_the_same_neighbours():
    nouns = make_taxonomy({ANIMAL: (["a"], [], [], ""), BIRD: (["b", "c"], [ANIMAL], [], "")})
    vectors = {"a": [1, 0, 0], "b": [0, 1, 0], "c": [0, 0, 1]}
    found = drawn(BIRD, 2, synonyms="best", nouns=nouns, vectors=vectors)
    around = np.add([1, 0, 0], at_length_1([0, 1, 1])) / 2  # animal after one iteration, by the mean of b and c
    assert np.allclose(found.vectors, [at_length_1(around + [0, 1, 0]), at_length_1(around + [0, 0, 1])], atol=1e-6)


def naive(nouns, own, iterations, weight):
    """Equation (1)'s minimum in one vector after another, all from the iteration before; pairs counted once."""
    pairs = {frozenset((child, parent)) for child in nouns.wnids for parent in nouns.parents[child] if child != parent}
    vectors = dict(own)
    for _ in range(iterations):
        before = dict(vectors)
        for noun in own:
            near = [before[other] for pair in pairs if noun in pair for other in pair - {noun} if other in own]
            shares = [weight / len(near) for _ in near]
            total = own[noun] + sum((share * vector for share, vector in zip(shares, near, strict=True)), np.zeros(3))
            vectors[noun] = total / (1 + sum(shares))
    return vectors


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(0, 10**6), st.integers(1, 6), st.sampled_from([0.3, 1.0, 4.0]))
def test_as_a_naive_loop_does(count, seed, iterations, weight):
    rng = np.random.default_rng(seed)
    wnids = [f"n{number:08}" for number in range(1, count + 1)]
    nouns = make_taxonomy({wnid: ([f"t{at}"], sorted({wnids[above] for above in rng.integers(0, at, 2)}) if at else [],
                                  [wnids[0]] if at and rng.random() < 0.3 else [], "")
                           for at, wnid in enumerate(wnids)})
    vectors = {f"t{at}": rng.standard_normal(3).tolist() for at in range(count) if rng.random() < 0.8}
    vectors["t0"] = [1.0, 2.0, 3.0]
    own = {wnid: at_length_1(vectors[f"t{at}"]) for at, wnid in enumerate(wnids) if f"t{at}" in vectors}
    expected = naive(nouns, own, iterations, weight)
    for wnid in own:
        assert np.allclose(drawn(wnid, iterations, weight, nouns=nouns, vectors=vectors).vectors,
                           [at_length_1(expected[wnid])], atol=1e-4)


def test_neighbours_come_nearer_and_the_limit_stays():
    cosines = [float((drawn(KIT, n).vectors @ drawn(ANIMAL, n).vectors.T).item()) for n in (0, 1, 2)]
    assert cosines[0] < cosines[1] and cosines[0] < cosines[2] < 1
    assert np.allclose(drawn(KIT, 30).vectors, drawn(KIT, 31).vectors, atol=1e-6)
    # of two neighbours the limit is by hand: q = (own + q(other)) / 2, so a third of the way
    assert np.allclose(drawn(KIT, 40).vectors, [at_length_1([2 * 0.6 + 1, 2 * 0.8])], atol=1e-6)


def test_labels_and_their_hypernyms_are_retrofitted_and_the_file_says_so(inputs):  # noqa: F811
    lemmas, _, hypernyms = run(inputs, retrofit={"iterations": 2, "weight": 1.0})
    animal, kit = at_length_1([1 + 0.8, 0.4]), at_length_1([1.4, 1.2])
    assert np.allclose(lemmas.of([ANIMAL, KIT])[0], [animal, kit], atol=1e-6)
    assert np.allclose(hypernyms.of([KIT])[0], [at_length_1(kit + animal)], atol=1e-6)
    assert lemmas.meta["retrofit"] == {"iterations": 2, "weight": 1.0}
    assert "retrofit" not in run(inputs)[0].meta


def test_a_model_embeds_labels_of_ones_own_in_the_same_way(inputs):  # noqa: F811
    _, _, hypernyms = run(inputs, retrofit={"iterations": 3, "weight": 2.0}, center=True)
    how = how_embedded({"hypernyms": hypernyms}, NOUNS, read_term_vectors(inputs / "terms"), [ANIMAL, CRANE])
    assert how["retrofit"] == {"iterations": 3, "weight": 2.0}
    means = np.mean([drawn(wnid, 3, 2.0).vectors[0] for wnid in (ANIMAL, CRANE)], axis=0)
    assert np.allclose(how["means"]["lemmas"], means, atol=1e-6)


def test_hypernyms_pass_on_what_they_were_drawn_to():
    terms = UnitVectors(term_vectors(VECTORS), wanted_terms(NOUNS))
    draw = retrofitting(NOUNS, terms, "first", 1, 1.0)
    own = draw(LAIKA, embed(NOUNS, terms, CRANE, "first", "none"))  # roc, its hypernym and class, has no vector
    lifted, = with_hypernyms(NOUNS, terms, [LAIKA], [own], "first", 1.0, draw)
    assert np.allclose(lifted.vectors, [at_length_1(np.add([0, 1], at_length_1([1.6, 0.8])))], atol=1e-6)


def test_a_noun_that_is_no_label_is_drawn_too_when_it_is_named(model_folder, model_parts):
    folder = ModelFolder(model_folder)
    folder.about["embedded"]["retrofit"] = {"iterations": 1, "weight": 2.0}
    given = read_term_vectors(model_parts / "terms")
    tapir, animal = (at_length_1(given.vectors[given.terms.index(name)]) for name in ("tapir", "animal"))
    drawn_to = at_length_1(tapir + 2 * animal)
    assert np.allclose(Words(folder).vectors("lemmas", "tapir", WNID["tapir"]), [drawn_to], atol=2e-3)
    assert not np.allclose(Words(ModelFolder(model_folder)).vectors("lemmas", "tapir", WNID["tapir"]), [drawn_to],
                           atol=0.1)
