import json

import numpy as np
import pydantic
import pytest

from stages.embed_labels import Params, UnitVectors, embed, main, wanted_terms, with_hypernyms
from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import write_label_sets
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.taxonomy import make_taxonomy, write_taxonomy
from zeroshot.terms.vectors import TermVectors, write_term_vectors

ANIMAL, BIRD, CRANE, MACHINE, KIT, LAIKA, ROC = (f"n0000000{number}" for number in range(1, 8))
NOUNS = make_taxonomy({
    ANIMAL: (["animal"], [], [], "a living being"), BIRD: (["bird"], [ANIMAL], [], "has feathers"),
    CRANE: (["crane", "Grus grus"], [BIRD], [], "a bird | long-legged"), MACHINE: (["crane"], [], [], "lifts"),
    KIT: (["kit fox", "Vulpes macrotis", "desert Fox"], [ANIMAL], [], "small fox"),
    LAIKA: (["Laika"], [ROC], [ROC], "a dog"), ROC: (["roc"], [BIRD, ANIMAL], [], "no real bird")})
VECTORS = {"animal": [2, 0], "crane": [0, 3], "grus_grus": [5, 0], "desert_fox": [3, 4], "kit": [1, 0], "fox": [0, 1]}


def term_vectors(vectors: dict[str, list[float]]) -> TermVectors:
    return TermVectors(list(vectors), np.arange(len(vectors), 0, -1), np.array(list(vectors.values()), np.float32))


def embedded(wnid: str, synonyms: str = "first", fallback: str = "none", vectors=VECTORS) -> tuple[list, str, list]:
    found = embed(NOUNS, UnitVectors(term_vectors(vectors), wanted_terms(NOUNS)), wnid, synonyms, fallback)
    return found.vectors.astype(float).round(4).tolist(), found.way, found.terms


R = round(0.5 ** 0.5, 4)


@pytest.mark.parametrize("wnid, how, expected", [
    (CRANE, ("first",), ([[0, 1]], "term", ["crane"])),
    (CRANE, ("mean",), ([[R, R]], "term", ["crane", "grus_grus"])),
    (CRANE, ("best",), ([[0, 1], [1, 0]], "term", ["crane", "grus_grus"])),
    (KIT, ("first",), ([[0.6, 0.8]], "term", ["desert_fox"])),  # the first that has a vector
    (BIRD, ("first",), ([], "without", [])),
    (BIRD, ("best", "words"), ([], "without", [])),
    (BIRD, ("first", "hypernym"), ([[1, 0]], "hypernym", ["animal"])),
    (LAIKA, ("first", "hypernym"), ([[1, 0]], "hypernym", ["animal"])),
    (MACHINE, ("first", "hypernym"), ([[0, 1]], "term", ["crane"])),
])
def test_ways(wnid, how, expected):
    vectors, way, terms = embedded(wnid, *how)
    assert way == expected[1] and terms == expected[2]
    assert np.allclose(vectors, expected[0], atol=1e-4) and len(vectors) == len(expected[0])


def test_words_need_every_word():
    assert embedded(KIT, "first", "words", {"kit": [9, 0], "fox": [0, 1]}) == ([[R, R]], "words", ["kit", "fox"])
    assert embedded(KIT, "best", "words", {"kit": [9, 0], "fox": [0, 1], "desert": [1, 0], "vulpes": [1, 1]}) == (
        [[R, R], [R, R]], "words", ["kit", "fox", "desert", "fox"])
    assert embedded(KIT, "first", "words", {"kit": [9, 0]}) == ([], "without", [])


def test_opposites_have_no_mean():
    assert embedded(CRANE, "mean", vectors={"crane": [0, 1e-9], "grus_grus": [0, -7]}) == ([], "without", [])


def test_other_spellings():
    spelt = {"Crane": [1, 0], "crane": [0, 1], "Desert_Fox": [1, 0], "desert-fox": [0, 1]}
    assert embedded(CRANE, vectors=spelt)[0] == [[0, 1]]  # ours wins
    assert embedded(KIT, vectors=spelt)[0] == [[1, 0]]  # else the first


@pytest.fixture
def inputs(tmp_path):
    write_taxonomy(tmp_path / "taxonomy", NOUNS)
    write_label_sets(tmp_path / "label_sets", {"seen": [ANIMAL, CRANE], "unseen": [KIT, MACHINE], "2-hops": [BIRD],
                                           "3-hops": [BIRD, KIT], "21k": [BIRD, KIT, MACHINE]})
    write_term_vectors(tmp_path / "terms", term_vectors(VECTORS))
    return tmp_path


def run(folder, vectors="terms", **changed):
    params = {"vectors": vectors, "member": "", "synonyms": "first", "fallback": "none", "hypernyms": 1.0,
              "retrofit": {"iterations": 0, "weight": 1.0}, "center": False, "seed": 0} | changed
    main(Params(**params), taxonomy=folder / "taxonomy", label_sets=folder / "label_sets",
         term_vectors=folder / vectors, out=folder / "labels", metrics=folder / "m.json", ambiguous=folder / "a.md")
    return [read_label_vectors(folder / "labels" / f"{name}.safetensors") for name in ("lemmas", "random", "hypernyms")]


def test_main(inputs):
    labels, random, _ = run(inputs)
    assert labels.wnids == random.wnids == [ANIMAL, BIRD, CRANE, MACHINE, KIT]
    assert labels.row_label.tolist() == random.row_label.tolist() == [0, 2, 3, 4]
    assert np.allclose(labels.vectors, [[1, 0], [0, 1], [0, 1], [0.6, 0.8]])
    assert np.allclose(np.linalg.norm(random.vectors, axis=1), 1)
    metrics = json.loads((inputs / "m.json").read_text())
    assert [metrics[f"21k/{key}"] for key in ("labels", "term", "words", "hypernym", "without")] == [3, 2, 0, 0, 1]
    assert metrics["ambiguous_terms"] == 1 and metrics["labels_of_ambiguous_terms"] == 2
    assert f"| crane | 2 | {CRANE} a bird / long-legged; {MACHINE} lifts |" in (inputs / "a.md").read_text()


def test_best_has_a_row_a_synonym_and_random_one_a_label(inputs):
    labels, random, _ = run(inputs, synonyms="best")
    assert labels.row_label.tolist() == [0, 2, 2, 3, 4] and random.row_label.tolist() == [0, 2, 3, 4]


def test_random_vectors_stay_when_coverage_grows(inputs):
    few, many = run(inputs)[1], run(inputs, fallback="hypernym")[1]
    assert len(many.vectors) == 5 and (few.vectors == many.of([few.wnids[i] for i in few.row_label])[0]).all()
    assert not np.allclose(run(inputs, seed=1)[1].vectors, few.vectors)


def test_random_vectors_do_not_tell_which_vectors_the_labels_have(inputs):
    """Its file is the same to the bit, so that nothing that is trained on it runs again."""
    def random_file():
        return (inputs / "labels" / "random.safetensors").read_bytes()

    run(inputs)
    before = random_file()
    other = {name: np.add(vector, 1) for name, vector in VECTORS.items()}
    write_term_vectors(inputs / "retrained", term_vectors(other))
    run(inputs, "retrained", synonyms="best", hypernyms=0.5)
    assert random_file() == before


@pytest.mark.parametrize("changed", [{"hypernyms": 1e308}, {"retrofit": {"iterations": 1, "weight": 1e308}}])
def test_weights_that_single_precision_cannot_hold_are_refused_and_the_heaviest_give_unit_vectors(inputs, changed):
    with pytest.raises(pydantic.ValidationError, match="less than or equal to 1000000"):
        run(inputs, **changed)
    heaviest = json.loads(json.dumps(changed).replace("1e+308", "1e6"))
    for labels in run(inputs, **heaviest):
        assert np.allclose(np.linalg.norm(labels.vectors, axis=1), 1)


def test_a_member_of_what_is_no_zip_is_refused(inputs):
    with pytest.raises(InputError, match=r"a folder, not a zip; leave `embed_labels.member` .*, now 'x.txt', empty"):
        run(inputs, member="x.txt")


def test_centred_by_seen_labels_alone(inputs):
    labels, _, _ = run(inputs, center=True)  # the seen ones' mean: (1/2, 1/2)
    assert np.allclose(labels.vectors[:3], [[R, -R], [-R, R], [-R, R]], atol=1e-4)
    assert np.allclose(labels.vectors[3], np.array([0.1, 0.3]) / 0.1 ** 0.5, atol=1e-4)


@pytest.mark.parametrize("wnid, weight, expected", [
    (ANIMAL, 1, [1, 0]),  # nothing is above it
    (CRANE, 1, [1, 1]),  # bird has no vector of its own and passes animal's on
    (CRANE, 0.5, [0.5, 1]),
    (CRANE, 0, [0, 1]),
    (MACHINE, 7, [0, 1]),
    (KIT, 2, [2.6, 0.8]),
    (LAIKA, 1, None),  # its hypernyms' vectors alone make none
])
def test_hypernyms_by_hand(wnid, weight, expected):
    terms = UnitVectors(term_vectors(VECTORS), wanted_terms(NOUNS))
    own = embed(NOUNS, terms, wnid, "first", "none")
    mixed, = with_hypernyms(NOUNS, terms, [wnid], [own], "first", weight)
    assert (mixed.way, mixed.terms) == (own.way, own.terms)
    assert np.allclose(mixed.vectors, [np.divide(expected, np.linalg.norm(expected))] if expected else np.empty((0, 2)))


def test_a_hypernyms_say_falls_with_every_edge_and_each_synonym_is_mixed():
    chain = make_taxonomy({ANIMAL: (["a"], [], [], ""), BIRD: (["b"], [ANIMAL], [], ""),
                           CRANE: (["c", "d"], [BIRD], [], "")})
    terms = UnitVectors(term_vectors({"a": [1, 0, 0, 0], "b": [0, 1, 0, 0], "c": [0, 0, 1, 0], "d": [0, 0, 0, 1]}),
                  wanted_terms(chain))
    own = embed(chain, terms, CRANE, "best", "none")
    mixed, = with_hypernyms(chain, terms, [CRANE], [own], "best", 1)
    above = [R, R]  # of bird: its own and animal's
    assert np.allclose(mixed.vectors, np.array([[*above, 1, 0], [*above, 0, 1]]) / 2 ** 0.5, atol=1e-4)


def test_hypernyms_of_seen_and_unseen_labels_are_written_beside_the_terms_which_their_weight_does_not_touch(inputs):
    terms, _, mixed = run(inputs)
    assert mixed.row_label.tolist() == terms.row_label.tolist()
    assert np.allclose(mixed.vectors, [[1, 0], [R, R], [0, 1], np.array([2, 1]) / 5 ** 0.5], atol=1e-4)
    before = (inputs / "labels" / "lemmas.safetensors").read_bytes()
    assert np.allclose(run(inputs, hypernyms=0)[2].vectors, terms.vectors)
    assert (inputs / "labels" / "lemmas.safetensors").read_bytes() == before


def test_users_own_file(inputs):
    (inputs / "glove.txt").write_text("Crane 0 2\nanimal 1 0\nkit_fox 3 4\n")
    assert np.allclose(run(inputs, "glove.txt")[0].vectors, [[1, 0], [0, 1], [0, 1], [0.6, 0.8]])


def test_refusals(inputs):
    for content, fault in (("animal 1 0\nkite 1 2\n", "no class with a vector among the 2 of label set `unseen`"),
                           ("haus 1 2\nhof 2 3\n", "no class with a vector among the 2 of label set `seen`"),
                           ("crane nan 2\nanimal 1 0\n", "NaN"),
                           ("crane 1 2\nanimal 1\n", "line 2")):
        (inputs / "glove.txt").write_text(content)
        with pytest.raises(InputError, match=fault):
            run(inputs, "glove.txt")
