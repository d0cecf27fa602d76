import numpy as np
import pytest
import torch

from stages import rank_calibrated, rank_devise
from tests.ranking_world import build
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.images import VAL, ImageIndex
from zeroshot.label_sets import read_label_sets
from zeroshot.label_vectors import read_label_vectors
from zeroshot.rankings import Rankings


@pytest.fixture
def world(tmp_path):
    return build(tmp_path, images=12)


def run(world, *, handicap, neighbours=0, cosine=0.0):
    write_artifact(world / "network", {"made_from": {"seen_handicap": cosine}}, {})
    params = rank_calibrated.Params(handicap=handicap, csls_neighbours=neighbours, threads=1)
    rank_calibrated.main(params, points=world / "points.safetensors", network=world / "network",
                         labels=world / "terms.safetensors", index=world / "index", splits=world / "splits",
                         out=world / "x.safetensors")
    return Rankings(world / "x.safetensors", read_label_sets(world / "splits"))


def plain(world):
    rank_devise.main(rank_devise.Params(threads=1), points=world / "points.safetensors",
                     labels=world / "terms.safetensors", index=world / "index", splits=world / "splits",
                     out=world / "plain.safetensors")
    return Rankings(world / "plain.safetensors", read_label_sets(world / "splits"))


def test_without_corrections_it_is_the_plain_ranking(world):
    ours, theirs = run(world, handicap=False, cosine=5.0), plain(world)
    for name in theirs.names:
        np.testing.assert_array_equal(ours[f"{name}/top"], theirs[f"{name}/top"])


def test_a_large_handicap_puts_every_seen_label_last_and_leaves_each_kind_in_its_order(world):
    ours, theirs = run(world, handicap=True, cosine=5.0), plain(world)
    sets = read_label_sets(world / "splits")
    np.testing.assert_array_equal(ours["unseen/top"], theirs["unseen/top"])
    np.testing.assert_array_equal(ours["seen/top"], theirs["seen/top"])
    unseen = len(sets["unseen"])
    np.testing.assert_array_equal(ours["unseen+seen/top"][:, :unseen], ours["unseen/top"][:, :unseen])
    assert (ours["unseen+seen/val_rank"] > unseen).all()


def test_hubness_is_the_mean_cosine_to_the_nearest_validation_images(world):
    index, points = ImageIndex.read(world / "index"), Artifact(world / "points.safetensors")
    vectors = read_label_vectors(world / "terms.safetensors")
    found = rank_calibrated.hubness(points, index, vectors, 3, torch.device("cpu"))
    val = points["points"][index.roles[points["row"]] == VAL]
    val = val / np.linalg.norm(val, axis=1, keepdims=True)
    for label in range(len(vectors.wnids)):
        rows = vectors.vectors[vectors.row_label == label]
        expected = max((np.sort(val @ row)[-3:].mean() for row in rows), default=0.0)
        assert found[label] == pytest.approx(expected, abs=1e-6)


def test_csls_lowers_a_hub(world):
    before, after = plain(world), run(world, handicap=False, neighbours=3)
    assert (before["21k+seen/top"] != after["21k+seen/top"]).any()
