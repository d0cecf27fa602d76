from pathlib import Path

import numpy as np
import pytest

from stages import embed_images, extract_features
from tests.test_finetune_devise import finetune, make_world
from tests.vision import EMBED, EXTRACT
from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))


def embed(folder, network, tap="pooled"):
    extract_features.main(extract_features.Params(**{**EXTRACT, "tap": tap}), index=folder / "index",
                          images=Path("none"), cnn=folder / "cnn.safetensors", out=folder / "features",
                          metrics=folder / "features.json")
    embed_images.main(embed_images.Params(**EMBED), index=folder / "index", images=Path("none"), network=network,
                      features=folder / "features", out=folder / "points.safetensors")
    return Artifact(folder / "points.safetensors")


def test_epochs_0_leaves_the_trunk_frozen_and_points_come_from_features(tmp_path):
    world = make_world(tmp_path)
    path = finetune(world, epochs=0)
    assert Artifact(path).names() == ["map.weight"] and Artifact(path).meta["trunk"] == "frozen"
    points = embed(world, path)
    features = Artifact(world / "features" / "features.safetensors")["features"].astype(np.float32)
    weight = Artifact(world / "map.safetensors")["weight"]
    np.testing.assert_allclose(points["points"], features[points["row"]] @ weight.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(points["row"], Artifact(world / "features" / "logits.safetensors")["row"])


def test_points_of_an_untouched_network_are_those_of_its_features(tmp_path):
    """A rate of almost nothing: through pixels or through cached features, M v is the same up to half precision."""
    world = make_world(tmp_path)
    frozen = embed(world, finetune(world, "frozen", epochs=0))["points"]
    moved = embed(world, finetune(world, "moved", epochs=1, learning_rate=1e-12))["points"]
    np.testing.assert_allclose(frozen, moved, atol=5e-3)


def test_features_of_another_tap_are_refused(tmp_path):
    world = make_world(tmp_path)
    with pytest.raises(InputError, match="features of tap 'activation'; the map takes 'pooled'"):
        embed(world, finetune(world, epochs=0), tap="activation")
