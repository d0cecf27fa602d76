import numpy as np
import pydantic
import pytest

from stages import draw_figures, rank_conse, rank_softmax
from tests.ranking_world import SEEN, WNID, build
from tests.vision import CLASSIFIERS
from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.ranking.rankings import Rankings
from zeroshot.report.gallery import Answer, answers_of, name_of, names_of, pick_images
from zeroshot.taxonomy import read_taxonomy

PARAMS = dict(label_set="unseen", models=["conse-1", "softmax"], images=5, answers=2, seed=0)


def params(**changed):
    return draw_figures.Params(**{**PARAMS, **changed})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build(tmp_path_factory.mktemp("world"))
    asked = {"features": world / "features", "index": world / "index", "label_sets": world / "label_sets"}
    rank_softmax.main(rank_softmax.Params(threads=1), out=world / "rankings" / "softmax.safetensors", **asked)
    rank_conse.main(rank_conse.Params(t=[1, 2], hierse_t=1, hierse_temperature=1.0,
                                      hierse_csls_neighbours=0, hierse_hubs="val", hierse_classifiers=CLASSIFIERS,
                                      handicap=0,
                                      handicap_without_val=0.0, folds=2, seed=0, threads=1, any_processor=True),
                    cnn=world / "cnn.safetensors", lemmas=world / "lemmas.safetensors",
                    hypernyms=world / "hypernyms.safetensors", out=world / "rankings" / "conse",
                    hierse=world / "rankings" / "hierse.safetensors",
                    hierse_classifiers=world / "classifiers.safetensors",
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


@pytest.mark.parametrize("label_set", ["seen", "unseen", "2-hops+seen", "most-500", "least-5+seen"])
def test_any_label_set_may_be_shown(label_set):
    assert params(label_set=label_set).label_set == label_set


@pytest.mark.parametrize("label_set", ["unsen", "seen+seen", "most-0", "most", "unseen+seen+seen", ""])
def test_what_is_no_label_set_is_refused(label_set):
    with pytest.raises(pydantic.ValidationError, match="one of seen, unseen, 2-hops, 3-hops, 21k, most-<n> or least-<"):
        params(label_set=label_set)


def test_a_label_set_that_the_run_did_not_make_is_refused(world):
    with pytest.raises(InputError, match=r"`draw_figures.label_set` is most-5, .*`build_label_sets.populated.sizes`"):
        draw_figures.main(params(label_set="most-5"), rankings=world / "rankings", index=world / "index",
                          images=world, taxonomy=world / "taxonomy", label_sets=world / "label_sets",
                          answers=world / "answers.png")


def test_one_image_of_each_class_is_picked(world):
    model = ranked(world)
    rows, true = model["unseen/row"], model["unseen/true"]
    picked = pick_images(model, "unseen", 5, seed=0)
    assert sorted(true[np.searchsorted(rows, picked)]) == sorted(set(true.tolist())) and len(picked) == 2
    np.testing.assert_array_equal(picked, pick_images(model, "unseen", 5, seed=0))
    assert len(pick_images(model, "unseen", 1, seed=0)) == 1
    assert any((pick_images(model, "unseen", 5, seed) != picked).any() for seed in range(1, 9))
    every = {row for seed in range(60) for row in pick_images(model, "unseen", 2, seed)}
    assert every == set(rows.tolist())  # none is left out


def test_answers_are_the_first_labels_with_the_true_one_and_the_seen_ones_marked(world):
    model = ranked(world)
    rows = model["unseen+seen/row"][[1, 4]]
    expected = []
    for place in (1, 4):
        true = model.wnids[model["unseen+seen/true"][place]]
        top = [model.wnids[label] for label in model["unseen+seen/top"][place][:2]]
        expected.append([Answer(wnid, wnid == true, wnid in SEEN) for wnid in top])
    assert answers_of(model, "unseen+seen", rows, 2, set(SEEN)) == expected
    assert any(answer.seen for image in expected for answer in image)
    every = answers_of(model, "unseen", rows, 20, set(SEEN))[0]  # of the two unseen labels
    assert {answer.wnid for answer in every} == {WNID["canoe"], WNID["pug"]}
    assert sum(answer.right for answer in every) == 1 and not any(answer.seen for answer in every)


def test_images_that_a_model_did_not_rank_are_told(world):
    with pytest.raises(InputError, match="`conse-1` hold 1 of 2 images that others hold"):
        answers_of(ranked(world), "unseen", np.array([ranked(world)["unseen/row"][0], 10**6]), 2, set())


def test_answers_of_seen_classes_are_drawn_in_italics_and_the_true_one_bold(world):
    given = [[Answer(WNID["car"], False, True), Answer(WNID["pug"], True, False), Answer(WNID["canoe"], False, False)]]
    figure = draw_figures.draw_answers([np.zeros((4, 4, 3), np.uint8)], [WNID["pug"]], {"devise": given},
                                       read_taxonomy(world / "taxonomy"))
    drawn = {text.get_text(): (text.get_fontstyle(), text.get_fontweight()) for text in figure.axes[1].texts}
    assert drawn == {"car": ("italic", "normal"), "pug": ("normal", "bold"), "canoe": ("normal", "normal")}


def test_a_long_name_is_cut(world):
    nouns = read_taxonomy(world / "taxonomy")
    nouns.lemmas[nouns.index[WNID["cat"]]][0] = "c" * 30
    assert name_of(WNID["cat"], nouns, 24) == "c" * 23 + "…" and name_of(WNID["cat"], nouns) == "c" * 30
    assert name_of("n99999999", nouns) == "n99999999"


def test_names_that_are_shared_are_told_apart_by_the_hypernym(world):
    nouns = read_taxonomy(world / "taxonomy")
    nouns.lemmas[nouns.index[WNID["canoe"]]][0] = "pug"
    names = names_of([WNID["pug"], WNID["car"], WNID["canoe"], "n99999999"], WNID["cat"], nouns)
    assert names == ["pug (dog)", "car", "pug (ship)", "n99999999"]
    assert names_of([WNID["pug"], WNID["car"]], WNID["pug"], nouns) == ["pug", "car"]
    assert names_of([WNID["pug"], WNID["car"]], WNID["canoe"], nouns) == ["pug (dog)", "car"]
    assert names_of([WNID["pug"], WNID["canoe"]], WNID["cat"], nouns, 8) == ["pug (do…", "pug (sh…"]
