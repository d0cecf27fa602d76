import numpy as np
import pydantic
import pytest

from stages import draw_figures, rank_conse, rank_softmax
from tests.ranking_world import NOUNS, SEEN, SETS, WNID, build
from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.ranking.rankings import Rankings
from zeroshot.taxonomy import read_taxonomy

PARAMS = dict(label_set="unseen", models=["conse-1", "softmax"], images=5, answers=2, labels=300, perplexity=15, seed=0)


def params(**changed):
    return draw_figures.Params(**{**PARAMS, **changed})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build(tmp_path_factory.mktemp("world"))
    asked = {"features": world / "features", "index": world / "index", "label_sets": world / "label_sets"}
    rank_softmax.main(rank_softmax.Params(threads=1), out=world / "rankings" / "softmax.safetensors", **asked)
    rank_conse.main(rank_conse.Params(t=[1, 2], hierse_t=1, hierse_temperature=1.0,
                                      hierse_csls_neighbours=0, handicap=0, handicap_without_val=0.0, folds=2, seed=0,
                                      threads=1, any_processor=True), lemmas=world / "lemmas.safetensors",
                    hypernyms=world / "hypernyms.safetensors", out=world / "rankings" / "conse",
                    hierse=world / "rankings" / "hierse.safetensors",
                    metrics=world / "conse.json", **asked)
    return world


def ranked(world, model="conse/conse-1"):
    return Rankings(world / "rankings" / f"{model}.safetensors", read_label_sets(world / "label_sets"))


def test_models_that_are_not_there_or_were_not_tested_are_left_out(world, capsys):
    sets = read_label_sets(world / "label_sets")
    asked = params(models=["devise", "softmax", "conse-2", "conse-1"])
    ranked = draw_figures.read_models(asked, world / "rankings", sets)
    assert "not ranked, so left out: devise\n" in capsys.readouterr().out
    label_set, shown = draw_figures.tested_on(asked, ranked)
    assert (label_set, [model.model for model in shown]) == ("unseen", ["conse-2", "conse-1"])


def test_seen_images_are_shown_where_there_are_no_others(world, capsys):
    asked, sets = params(models=["softmax"]), read_label_sets(world / "label_sets")
    label_set, shown = draw_figures.tested_on(asked, draw_figures.read_models(asked, world / "rankings", sets))
    assert (label_set, [model.model for model in shown]) == ("seen", ["softmax"])
    assert "none of these models was tested on `unseen`" in capsys.readouterr().out
    with pytest.raises(InputError, match="`draw_figures.models` are softmax, none of which was tested on `unseen` or"):
        draw_figures.tested_on(asked, [])
    with pytest.raises(pydantic.ValidationError, match="one of seen, unseen"):
        params(label_set="unsen")


def test_one_image_of_each_class_is_picked(world):
    model = ranked(world)
    rows, true = model["unseen/row"], model["unseen/true"]
    picked = draw_figures.pick_images(model, "unseen", params())
    assert sorted(true[np.searchsorted(rows, picked)]) == sorted(set(true.tolist())) and len(picked) == 2
    np.testing.assert_array_equal(picked, draw_figures.pick_images(model, "unseen", params()))
    assert len(draw_figures.pick_images(model, "unseen", params(images=1))) == 1
    assert any((draw_figures.pick_images(model, "unseen", params(seed=seed)) != picked).any() for seed in range(1, 9))


def test_answers_are_the_first_labels_by_name_with_the_true_one_marked(world):
    model, nouns = ranked(world), read_taxonomy(world / "taxonomy")
    rows = model["unseen+seen/row"][[1, 4]]
    name = {wnid: noun for noun, wnid in WNID.items()}
    expected = []
    for place in (1, 4):
        true = model.wnids[model["unseen+seen/true"][place]]
        top = [model.wnids[label] for label in model["unseen+seen/top"][place][:2]]
        expected.append([(name[wnid], wnid == true) for wnid in top])
    assert draw_figures.answers_of(model, "unseen+seen", rows, 2, nouns) == expected
    every = draw_figures.answers_of(model, "unseen", rows, 20, nouns)[0]  # of the two unseen labels
    assert {noun for noun, _ in every} == {"canoe", "pug"} and sum(right for _, right in every) == 1


def test_a_label_has_the_kind_of_its_nearest_listed_hypernym(world, monkeypatch):
    nouns = read_taxonomy(world / "taxonomy")
    monkeypatch.setattr(draw_figures, "KINDS", {WNID["dog"]: "dogs", WNID["animal"]: "other animals"})
    kinds = {noun: draw_figures.kind_of(WNID[noun], nouns) for noun in NOUNS}
    assert kinds == {"entity": "other", "animal": "other animals", "dog": "dogs", "cat": "other animals",
                     "husky": "dogs", "pug": "dogs", "artefact": "other", "car": "other", "ship": "other",
                     "canoe": "other"}


def test_the_kinds_are_nouns_each_before_its_hypernyms(taxonomy_folder):
    """Or a label would never count to it."""
    nouns = read_taxonomy(taxonomy_folder)
    for wnid, name in draw_figures.KINDS.items():
        assert wnid in nouns.index and draw_figures.kind_of(wnid, nouns) == name


def test_near_vectors_lie_near_each_other_and_the_bits_repeat():
    random = np.random.default_rng(0)
    centres = np.repeat(random.standard_normal((2, 8)), 10, axis=0)
    vectors = (centres + 0.1 * random.standard_normal((20, 8))).astype(np.float32)
    places = draw_figures.place_labels(vectors, params(perplexity=5))
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    assert distances[:10, :10].max() < distances[:10, 10:].min()
    assert places.tobytes() == draw_figures.place_labels(vectors, params(perplexity=5)).tobytes()


def test_the_map_holds_seen_and_unseen_labels_that_have_a_vector(tmp_path):
    vectors = {noun: np.random.default_rng(1).normal(size=4) for noun in NOUNS if noun != "cat"}
    world = build(tmp_path, vectors)
    labels, sets = read_label_vectors(world / "lemmas.safetensors"), read_label_sets(world / "label_sets")
    everything = sorted({*SEEN, *SETS["unseen"]} - {WNID["cat"]})
    assert draw_figures.pick_labels(labels, sets, params()) == everything
    few = draw_figures.pick_labels(labels, sets, params(labels=3))
    assert len(few) == 3 and set(few) < set(everything)


def test_a_long_name_is_cut(world):
    nouns = read_taxonomy(world / "taxonomy")
    nouns.lemmas[nouns.index[WNID["cat"]]][0] = "c" * 30
    assert draw_figures.name_of(WNID["cat"], nouns) == "c" * 23 + "…"
    assert draw_figures.name_of("n99999999", nouns) == "n99999999"
