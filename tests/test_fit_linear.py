import json

import numpy as np
import pytest
import torch
from torch import nn

from stages import fit_linear
from tests.test_train_devise import make_features
from tests.vision import WNIDS, make_index, make_labels
from zeroshot.augment import Preprocessing
from zeroshot.base.errors import InputError
from zeroshot.networks import read_devise, write_cnn
from zeroshot.visual import build_visual

PARAMS = dict(strengths=[0.01, 1], label_strengths=[1], folds=2, seed=0, threads=1)


@pytest.fixture
def world(tmp_path):
    make_features(tmp_path, make_index(tmp_path / "index"))
    make_labels(tmp_path / "labels.safetensors")
    model = build_visual("resnet8", classes=4, stem="standard", dropout=0.0)
    preprocessing = Preprocessing(resize=16, image_size=16, mean=(0.5,) * 3, deviation=(0.2,) * 3)
    write_cnn(tmp_path / "cnn", model, arch="resnet8", stem="standard", dropout=0.0, wnids=WNIDS[:4],
              preprocessing=preprocessing, made_from={})
    return tmp_path


def fit(world, model="ridge", **changed):
    fit_linear.main(fit_linear.Params(**{**PARAMS, **changed}), model=model, features=world, index=world / "index",
                    cnn=world / "cnn", labels=world / "labels.safetensors", out=world / model / "network",
                    metrics=world / model / "metrics.json")
    return read_devise(world / model / "network"), json.loads((world / model / "metrics.json").read_text())


@pytest.mark.parametrize("model", ["ridge", "eszsl"])
def test_the_map_is_that_of_all_training_images_at_the_chosen_strength(world, model):
    devise, metrics = fit(world, model)
    from zeroshot.base.artifacts import Artifact
    from zeroshot.images import TRAIN, ImageIndex
    from zeroshot.label_vectors import read_label_vectors
    from zeroshot.linear_maps import eszsl, ridge

    index, rows = ImageIndex.read(world / "index"), ImageIndex.read(world / "index").rows(TRAIN)
    x = torch.from_numpy(Artifact(world / "features.safetensors")["features"][rows]).double()
    t = torch.from_numpy(read_label_vectors(world / "labels.safetensors").targets(index.seen)[0]).double()
    gram, sums = x.T @ x, torch.stack([x[index.labels[rows] == c].sum(0) for c in range(4)])
    strength = metrics["strength"] * gram.diagonal().mean()
    expected = (ridge(gram, sums, t, strength) if model == "ridge" else
                eszsl(gram, sums, t, strength, metrics["label_strength"] * (t.T @ t).diagonal().mean()))
    torch.testing.assert_close(devise.map.weight.double(), expected, rtol=1e-3, atol=1e-5)
    assert metrics["train_images"] == 48 and devise.network is None


def test_unseen_images_and_labels_change_nothing(world):
    first, metrics = fit(world)
    make_features(world, make_index(world / "index"), unseen=np.nan)
    make_labels(world / "labels.safetensors", without=WNIDS[4:])
    second, again = fit(world)
    assert torch.equal(first.map.weight, second.map.weight) and metrics == again


def test_harmonic_curve_by_hand():
    """Two seen classes, one held out; the point of its image is a little nearer to a seen vector."""
    vectors = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    val = fit_linear.Validation(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.6, 0, 0.55]]), torch.tensor([0, 1, 2]))
    curve = fit_linear.harmonic_curve(torch.eye(3), vectors, val, torch.tensor([False, False, True]))
    length = (0.6**2 + 0.55**2) ** 0.5
    needed = (0.6 - 0.55) / length  # 0.0614: from the handicap 0.07 on the held-out image is right, and all others
    expected = torch.where(fit_linear.HANDICAPS > needed, 1.0, 0.0)
    expected[-1] = 0.0  # a handicap of 1 lets the seen ones tie with 0, and lose
    torch.testing.assert_close(curve, expected)


def test_held_out_accuracy_is_the_mean_over_classes_among_those_alone():
    vectors = nn.functional.normalize(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
    val = fit_linear.Validation(torch.tensor([[0.9, 1], [1.0, 0], [1.0, 0.1], [0, 1.0]]), torch.tensor([0, 0, 0, 1]))
    held = torch.tensor([True, True, False])
    assert fit_linear.unseen_accuracy(torch.eye(2), vectors, val, held) == pytest.approx((2 / 3 + 1) / 2)


def test_too_few_classes_for_the_folds(world):
    with pytest.raises(InputError, match="`fit_linear.folds` is 3, for which 6 seen classes .* found 4"):
        fit(world, folds=3)
