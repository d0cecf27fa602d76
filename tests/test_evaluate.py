import csv
import json

import numpy as np
import pytest

from stages import evaluate, rank_devise, rank_softmax
from tests.ranking_world import NOUNS, SETS, WNID, build
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.console.errors import InputError
from zeroshot.evaluation.classes import wilson_interval
from zeroshot.evaluation.metrics import KS
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.ranking.rankings import Rankings
from zeroshot.taxonomy import make_taxonomy


def run(world, model="devise"):
    evaluate.main(evaluate.Params(resamples=200, seed=0), model=model, rankings=world / f"{model}.safetensors",
                  taxonomy=world / "taxonomy", label_sets=world / "label_sets", out=world / model,
                  headline=world / f"{model}.json", scores=world / f"{model}.csv",
                  classes=world / f"{model}-classes.csv")
    return {path.stem: json.loads(path.read_text()) for path in (world / model).glob("*.json")}


def devise(world):
    rank_devise.main(rank_devise.Params(threads=1, any_processor=True), points=world / "points.safetensors",
                     index=world / "index", label_vectors=world / "lemmas.safetensors", label_sets=world / "label_sets",
                     out=world / "devise.safetensors")


def test_figures_of_a_small_world(tmp_path):
    rng = np.random.default_rng(5)
    world = build(tmp_path, {name: rng.normal(size=4) for name in NOUNS if name != "canoe"}, images=12)
    devise(world)
    figures = run(world)
    ranked = Rankings(world / "devise.safetensors", read_label_sets(world / "label_sets"))
    assert set(figures) == set(ranked.names)
    for name, values in figures.items():
        ranks, true = ranked[f"{name}/rank"], ranked[f"{name}/true"]
        hits = {k: (ranks > 0) & (ranks <= k) for k in KS}
        assert [values[f"hit@{k}"] for k in KS] == [hits[k].mean() for k in KS]
        assert values["hp@1"] == values["hit@1"]
        assert (values["hit@1_low"], values["hit@1_high"]) == wilson_interval(hits[1].sum(), len(ranks))
        assert values["hp@5_low"] <= values["hp@5"] <= values["hp@5_high"]
        assert values["macro_hit@1"] == pytest.approx(np.mean([hits[1][true == label].mean() for label in set(true)]))
        assert values["images"] == len(ranks) and values["images_left_out"] == (ranks == 0).sum()
        assert values["labels"] - values["candidates"] == values["labels_left_out"]
    assert figures["unseen"]["images_left_out"] == 6 and figures["unseen"]["labels_left_out"] == 1
    both = figures["unseen+seen"]
    val = ranked["unseen+seen/val_rank"]
    seen = np.mean([(val[ranked["seen/true"] == label] == 1).mean() for label in set(ranked["seen/true"])])
    assert both["gzsl_seen"] == pytest.approx(seen) and both["gzsl_unseen"] == both["macro_hit@1"]
    assert both["gzsl_harmonic"] == pytest.approx(
        2 * seen * both["gzsl_unseen"] / (seen + both["gzsl_unseen"]) if seen + both["gzsl_unseen"] else 0)
    assert "gzsl_seen" not in figures["unseen"]


def test_hierarchical_precision_by_hand(tmp_path):
    """Points at the vector of cat, whatever the image shows; seen are cat, husky and car."""
    vectors = {"cat": [1, 0, 0, 0], "husky": [0.9, 0.1, 0, 0], "car": [0, 1, 0, 0], "pug": [0, 0, 1, 0]}
    world = build(tmp_path, vectors, images=12)
    source = Artifact(world / "points.safetensors")
    points = np.tile(np.array([1, 0, 0, 0], np.float32), (len(source["row"]), 1))
    write_artifact(world / "points.safetensors", {}, {"points": points, "row": source["row"]})
    devise(world)
    seen = run(world)["seen"]
    assert seen["hit@1"] == pytest.approx(1 / 3)
    # First two: cat, husky. Both are right for cat and for husky; car's correct set is {car, cat}, husky a hop farther.
    assert seen["hp@2"] == pytest.approx((1 + 1 + 0.5) / 3) and seen["hp@5"] == 1
    # Pug is the one candidate of the two unseen labels: right at 1 for half of the images; at 2 both labels are right.
    unseen = run(world)["unseen"]
    assert unseen["hit@1"] == unseen["hp@1"] == 0.5 and unseen["hp@2"] == 0.5


def test_scores_hold_the_same_figures_a_row_each(tmp_path):
    world = build(tmp_path)
    devise(world)
    figures = run(world)
    with open(world / "devise.csv") as file:
        rows = list(csv.DictReader(file))
    table = {(row["label_set"], row["metric"], row["k"]): float(row["value"]) for row in rows}
    assert table["unseen", "hit", "5"] == figures["unseen"]["hit@5"]
    assert table["unseen", "hit_low", "1"] == figures["unseen"]["hit@1_low"]
    assert table["seen", "mrr", ""] == figures["seen"]["mrr"]
    assert len(rows) == sum(map(len, figures.values())) and {row["model"] for row in rows} == {"devise"}


def test_the_headline_is_a_few_of_the_figures_rounded(tmp_path):
    world = build(tmp_path, images=12)
    devise(world)
    figures = run(world)
    headline = json.loads((world / "devise.json").read_text())
    wanted = {"seen_hit@1": figures["seen"]["hit@1"], "unseen_hit@1": figures["unseen"]["hit@1"],
              "unseen_hit@5": figures["unseen"]["hit@5"], "unseen_hp@5": figures["unseen"]["hp@5"],
              "harmonic": figures["unseen+seen"]["gzsl_harmonic"], "21k_hit@5": figures["21k"]["hit@5"]}
    assert headline == {name: round(value, 4) for name, value in wanted.items()}
    assert evaluate.headline_of({"seen": {"hit@1": 1 / 3}, "21k": {}}) == {"seen_hit@1": 0.3333}


def test_softmax_comes_near_but_never_hits_an_unseen_label(tmp_path):
    world = build(tmp_path)
    rank_softmax.main(rank_softmax.Params(threads=1), features=world / "features", index=world / "index",
                      label_sets=world / "label_sets", out=world / "softmax.safetensors")
    figures = run(world, "softmax")
    assert set(figures) == {"seen", "unseen+seen", "2-hops+seen", "21k+seen"}
    assert figures["unseen+seen"]["hit@20"] == 0 and figures["unseen+seen"]["hp@2"] > 0


def test_refusals(tmp_path):
    world = build(tmp_path)
    devise(world)
    (world / "softmax.safetensors").write_bytes((world / "devise.safetensors").read_bytes())
    with pytest.raises(InputError, match="rankings of `devise`; expected those of `softmax`"):
        run(world, "softmax")
    (world / "label_sets" / "unseen.txt").write_text(WNID["dog"] + "\n")
    with pytest.raises(InputError, match="another label set `unseen`"):
        run(world)
    assert SETS["unseen"] != [WNID["dog"]]


def test_classes_have_their_own_hits_and_those_apart_a_figure(tmp_path):
    """Seen are cat, husky and car; pug and canoe are no kinds of them."""
    world = build(tmp_path, images=12)
    devise(world)
    unseen = run(world)["unseen"]
    with open(world / "devise-classes.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["label_set"] == "unseen"]
    ranked = Rankings(world / "devise.safetensors", read_label_sets(world / "label_sets"))
    rank, true = ranked["unseen/rank"], ranked["unseen/true"]
    for row in rows:
        own = rank[true == ranked.wnids.index(row["wnid"])]
        assert int(row["images"]) == len(own) and float(row["hit@1"]) == (own == 1).mean()
        assert float(row["hit@1_low"]) <= float(row["hit@1"]) <= float(row["hit@1_high"])
    assert [row["apart"] for row in rows] == ["1", "1"]
    assert (unseen["apart_images"], unseen["apart_classes"]) == (12, 2) and unseen["apart_hit@1"] == unseen["hit@1"]


@pytest.mark.parametrize("seen", ["dog", "husky"])
def test_a_class_that_a_seen_one_is_a_kind_of_or_is_a_kind_of_is_not_apart(seen):
    """Unseen: pug, a kind of dog; dog itself, of which husky is a kind."""
    nouns = make_taxonomy({WNID[name]: ([name], [WNID[parent] for parent in parents], [], "")
                           for name, parents in NOUNS.items()})
    labels = sorted(WNID.values())
    true = {labels.index(WNID[name]) for name in ("pug", "dog", "canoe") if name != seen}
    apart = evaluate.Hierarchy._apart(nouns, labels, [WNID[seen]], true)
    expected = {"dog": {"canoe"}, "husky": {"pug", "canoe"}}[seen]
    assert {name for name in NOUNS if apart[labels.index(WNID[name])]} == expected


def test_wilsons_interval_by_hand():
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for hits, images, expected in ((81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0, 0.1611)),
                                   (1, 29, (0.0061, 0.1718))):
        assert wilson_interval(hits, images) == pytest.approx(expected, abs=5e-5)
