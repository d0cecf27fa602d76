import json

import numpy as np
import pytest
import torch

from stages import train_devise
from tests.processes import assert_same_files, interrupt, kill_and_resume, stopped
from tests.vision import MAP, WNIDS, make_index, make_labels
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.console.errors import InputError
from zeroshot.devise.map import read_map

DIM = 8


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))


def make_features(folder, index, *, unseen=None):
    """Features around a point a class; the unseen images' rows are all `unseen` if given."""
    rng = np.random.default_rng(2)
    features = (3 * rng.standard_normal((len(WNIDS), DIM))[index.labels] + rng.standard_normal((len(index), DIM)))
    if unseen is not None:
        features[index.rows(2)] = unseen
    write_artifact(folder / "features.safetensors", {"tap": "pooled"}, {"features": features.astype(np.float16)})
    return features


def train(folder, out="out", **changed):
    train_devise.main(train_devise.Params(**{**MAP, **changed}), features=folder, index=folder / "index",
                      label_vectors=folder / "labels.safetensors", out=folder / out / "map.safetensors",
                      metrics=folder / out / "metrics.json", curve=folder / out / "curve.csv")
    return read_map(folder / out / "map.safetensors")[0], json.loads((folder / out / "metrics.json").read_text())


@pytest.fixture
def world(tmp_path):
    make_features(tmp_path, make_index(tmp_path / "index"))
    make_labels(tmp_path / "labels.safetensors")
    return tmp_path


@pytest.mark.parametrize("changed", [
    {}, {"false_labels": "all", "scaling": "standardise"}, {"false_labels": "sampled", "bias": True, "dropout": 0.1},
    {"loss": "hinge_rank_euclidean", "optimiser": "adagrad", "learning_rate": 0.05}])
def test_learns_the_seen_labels(world, changed):
    _, metrics = train(world, epochs=30, **changed)
    assert metrics["val_hit@1"] > 0.7 and metrics["train_images"] == 48 and metrics["seen_labels"] == 4


def test_unseen_features_are_never_touched(tmp_path):
    """NaN in every unseen row, and in the unseen labels' vectors no row at all: the same bits come out."""
    index = make_index(tmp_path / "index")
    make_labels(tmp_path / "labels.safetensors")
    weights = []
    for unseen in (0.0, np.nan):
        make_features(tmp_path, index, unseen=unseen)
        weights.append(train(tmp_path, scaling="standardise")[0].weight)
    make_labels(tmp_path / "labels.safetensors", without=WNIDS[4:])
    weights.append(train(tmp_path, scaling="standardise")[0].weight)
    assert torch.isfinite(weights[0]).all() and all(torch.equal(weights[0], other) for other in weights[1:])


def test_a_label_without_vector_is_no_target_and_is_counted(tmp_path):
    make_features(tmp_path, make_index(tmp_path / "index"))
    make_labels(tmp_path / "labels.safetensors", without=[WNIDS[1]])
    _, metrics = train(tmp_path, epochs=20)
    assert metrics["train_images"] == 36 and metrics["train_images_without_vector"] == 12
    assert metrics["seen_labels_without_vector"] == 1 and metrics["val_images_without_vector"] == 4
    assert metrics["val_hit@5"] == 0.75  # its images are misses


def test_scaling_is_absorbed_by_the_map(world):
    torch.manual_seed(0)
    linear, v = torch.nn.Linear(DIM, 3), torch.randn(5, DIM)
    scaling = train_devise.Scaling(torch.randn(DIM), torch.rand(DIM) + 0.5)
    raw = train_devise.unscaled(linear, scaling)
    torch.testing.assert_close(raw(v), linear((v - scaling.mean) / scaling.deviation))


def test_scalings_by_hand():
    features, rows = np.array([[3.0, 1.0], [-3.0, 1.0], [9.0, 9.0]], np.float16), np.array([0, 1])
    rms = train_devise.measure_scaling("rms", features, rows, torch.device("cpu"))
    torch.testing.assert_close(rms.deviation, torch.full((2,), 10.0**0.5))
    each = train_devise.measure_scaling("standardise", features, rows, torch.device("cpu"))
    assert each.mean.tolist() == [0, 1] and each.deviation.tolist() == [3, 1]  # the second never varies


def test_killed_and_resumed_gives_the_same_bytes(world, monkeypatch):
    train(world, "whole", dropout=0.2)
    validate = stopped(train_devise.Trainer.validate, 3, interrupt)
    monkeypatch.setattr(train_devise.Trainer, "validate", validate)
    with pytest.raises(KeyboardInterrupt):
        train(world, "cut", dropout=0.2)
    train(world, "cut", dropout=0.2)
    assert validate.calls == 3 + 3  # epochs 1, 2, 3 (cut short); then 3, 4, 5
    assert_same_files(world / "whole", world / "cut", "map.safetensors", "metrics.json", "curve.csv")


def test_killed_at_any_moment_and_resumed_ends_with_the_same_bits(world):
    settings = {"epochs": 8, "batch": 1, "dropout": 0.2, "optimiser": "adamw", "learning_rate": 0.001}
    code = ("from pathlib import Path; from tests.test_train_devise import train; "
            f"train(Path({str(world)!r}), 'cut', **{settings})")
    kill_and_resume(code, world / "cut" / "map.safetensors")
    train(world, "whole", **settings)
    assert_same_files(world / "whole", world / "cut", "map.safetensors", "metrics.json", "curve.csv")


def test_random_vectors_take_the_same_code_and_give_another_map(world):
    first, _ = train(world)
    make_labels(world / "labels.safetensors", dim=7)
    second, _ = train(world)
    assert first.weight.shape == (5, DIM) and second.weight.shape == (7, DIM)
    assert Artifact(world / "out" / "map.safetensors").meta["tap"] == "pooled"


def test_no_seen_label_has_a_vector(tmp_path):
    make_features(tmp_path, make_index(tmp_path / "index"))
    make_labels(tmp_path / "labels.safetensors", without=WNIDS[:4])
    with pytest.raises(InputError, match="0 of 4 seen labels have a label vector"):
        train(tmp_path)


def test_rate_too_high(world):
    with pytest.raises(InputError, match="training loss became"):
        train(world, learning_rate=1e38, scaling="none")
