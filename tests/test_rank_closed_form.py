import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stages import rank_closed_form, rank_devise
from tests.ranking_world import build
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.closed_form.models import ClosedForm, write_closed_form
from zeroshot.console.errors import InputError
from zeroshot.images.index import VAL, ImageIndex
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.ranking.rank_images import ImageValues
from zeroshot.ranking.rankings import Rankings

MAP = torch.tensor(np.random.default_rng(5).normal(size=(4, 6)), dtype=torch.float32)
CENTRE = torch.arange(6.0)


@pytest.fixture
def world(tmp_path):
    """Features of every image; `points` are what MAP makes of the test images'."""
    world = build(tmp_path, images=12)
    index = ImageIndex.read(world / "index")
    features = np.random.default_rng(4).normal(size=(len(index), 6)).astype(np.float16)
    write_artifact(world / "features" / "features.safetensors", {}, {"features": features})
    row = np.concatenate([index.rows(1), index.rows(2)])
    points = (torch.from_numpy(features[row]).float() - CENTRE) @ MAP.T
    write_artifact(world / "points.safetensors", {}, {"points": points.numpy(), "row": row})
    return world


def run(world, *, handicap, neighbours=0, cosine=0.0, model=None, labels=None):
    seals = {"features": Artifact(world / "features" / "features.safetensors").sha256,
             "labels": labels or read_label_vectors(world / "lemmas.safetensors").sha256}
    write_closed_form(world / "fitted" / "ridge.safetensors", model or ClosedForm(MAP, CENTRE),
                      {**seals, "seen_handicap": cosine, "csls_neighbours": neighbours})
    params = rank_closed_form.Params(handicap=handicap, threads=1, any_processor=True)
    rank_closed_form.main(params, models=world / "fitted", features=world / "features",
                          label_vectors=world / "lemmas.safetensors", index=world / "index",
                          label_sets=world / "label_sets", out=world / "rankings")
    return Rankings(world / "rankings" / "ridge.safetensors", read_label_sets(world / "label_sets"))


def plain(world):
    rank_devise.main(rank_devise.Params(threads=1, any_processor=True), points=world / "points.safetensors",
                     label_vectors=world / "lemmas.safetensors", index=world / "index", label_sets=world / "label_sets",
                     out=world / "plain.safetensors")
    return Rankings(world / "plain.safetensors", read_label_sets(world / "label_sets"))


def test_without_corrections_it_is_the_plain_ranking(world):
    ours, theirs = run(world, handicap=0, cosine=5.0), plain(world)
    for name in theirs.names:
        np.testing.assert_array_equal(ours[f"{name}/top"], theirs[f"{name}/top"])


def test_a_large_handicap_puts_every_seen_label_last_and_leaves_each_kind_in_its_order(world):
    ours, theirs = run(world, handicap="auto", cosine=5.0), plain(world)
    sets = read_label_sets(world / "label_sets")
    np.testing.assert_array_equal(ours["unseen/top"], theirs["unseen/top"])
    np.testing.assert_array_equal(ours["seen/top"], theirs["seen/top"])
    unseen = len(sets["unseen"])
    np.testing.assert_array_equal(ours["unseen+seen/top"][:, :unseen], ours["unseen/top"][:, :unseen])
    assert (ours["unseen+seen/val_rank"] > unseen).all()


def test_hubness_is_the_mean_cosine_to_the_nearest_validation_images(world):
    index, points = ImageIndex.read(world / "index"), Artifact(world / "points.safetensors")
    vectors = read_label_vectors(world / "lemmas.safetensors")
    values = ImageValues.of_all(Artifact(world / "features" / "features.safetensors"), "features", index)
    placed = rank_closed_form.val_points(ClosedForm(MAP, CENTRE), values, index, torch.device("cpu"))
    found = rank_closed_form.hubness_of(vectors, torch.from_numpy(vectors.vectors), placed, 3)
    val = points["points"][index.roles[points["row"]] == VAL]
    val = val / np.linalg.norm(val, axis=1, keepdims=True)
    for label in range(len(vectors.wnids)):
        rows = vectors.vectors[vectors.row_label == label]
        expected = max((np.sort(val @ row)[-3:].mean() for row in rows), default=0.0)
        assert found[label] == pytest.approx(expected, abs=1e-5)


def test_labels_are_ranked_where_the_model_places_them(world):
    """Anchors at four labels' vectors, whose weights turn the space: a label is ranked by its place, not its vector."""
    labels = read_label_vectors(world / "lemmas.safetensors")
    anchors = torch.from_numpy(labels.vectors[:4])
    model = ClosedForm(MAP, CENTRE, anchors, torch.from_numpy(labels.vectors[[2, 0, 3, 1]]), 4.0)
    ranked, source = run(world, handicap=0, model=model), Artifact(world / "points.safetensors")
    sets = read_label_sets(world / "label_sets")
    places = F.normalize(torch.exp(4 * (torch.from_numpy(labels.vectors) @ anchors.T - 1)) @ model.weights).numpy()
    for row, point in zip(source["row"], source["points"], strict=True):
        if row in ranked["21k+seen/row"]:
            best = {wnid: (places[labels.row_label == labels.index[wnid]] @ point).max() for wnid in sets["21k+seen"]}
            top = ranked["21k+seen/top"][ranked["21k+seen/row"].tolist().index(row)]
            expected = sorted(best, key=lambda wnid: -best[wnid])
            assert [labels.wnids[label] for label in top if label >= 0] == expected


def test_a_model_of_other_label_vectors_is_refused(world):
    with pytest.raises(InputError, match="other features or label vectors"):
        run(world, handicap=0, labels="0" * 64)


def test_csls_lowers_a_hub(world):
    before, after = plain(world), run(world, handicap=0, neighbours=3)
    assert (before["21k+seen/top"] != after["21k+seen/top"]).any()
