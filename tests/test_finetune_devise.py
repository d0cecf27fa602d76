import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stages import finetune_devise
from tests.processes import assert_same_files, interrupt, kill_and_resume, stopped
from tests.test_extract_features import make_cnn
from tests.vision import FINETUNE, make_index, make_labels
from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError
from zeroshot.devise.map import write_map
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.networks.saved import read_cnn, read_devise


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))


def make_world(folder, **index):
    make_index(folder / "index", **index)
    make_cnn(folder / "cnn.safetensors")
    make_labels(folder / "labels.safetensors")
    torch.manual_seed(0)
    write_map(folder / "map.safetensors", torch.nn.Linear(64, 5, bias=False),
              {"tap": "pooled", "labels": read_label_vectors(folder / "labels.safetensors").sha256})
    return folder


def finetune(folder, out="out", **changed):
    params = finetune_devise.Params(**{**FINETUNE, **changed})
    finetune_devise.main(params, index=folder / "index", images=Path("none"), cnn=folder / "cnn.safetensors",
                         map=folder / "map.safetensors", label_vectors=folder / "labels.safetensors",
                         out=folder / out / "network.safetensors", metrics=folder / out / "metrics.json",
                         curve=folder / out / "curve.csv")
    return folder / out / "network.safetensors"


def test_loss_falls_and_trunk_moves(tmp_path):
    world = make_world(tmp_path)
    path = finetune(world, epochs=6, learning_rate=0.01)
    losses = [float(line.split(",")[1]) for line in (world / "out" / "curve.csv").read_text().splitlines()[1:]]
    assert losses[-1] < losses[0] and json.loads((world / "out" / "metrics.json").read_text())["train_images"] == 48
    before, after = read_cnn(world / "cnn.safetensors").model, read_devise(path).network
    assert not torch.equal(before.body[0].weight, after.trunk.body[0].weight)
    assert torch.equal(before.body[1].running_mean, after.trunk.body[1].running_mean)  # frozen_norms
    moved = read_devise(finetune(world, "moved", frozen_norms=False)).network
    assert not torch.equal(before.body[1].running_mean, moved.trunk.body[1].running_mean)


def test_unseen_images_change_nothing(tmp_path):
    results = [Artifact(finetune(make_world(tmp_path / name, poison_unseen=name == "poisoned"), epochs=1))
               for name in ("clean", "poisoned")]
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0].names())


def test_a_border_wider_than_the_image_is_refused(tmp_path):
    with pytest.raises(InputError, match="`crop_padding` is 16, of images of 16 pixels"):
        finetune(make_world(tmp_path), crop_padding=16)


def test_killed_and_resumed_gives_the_same_bytes(tmp_path, monkeypatch):
    world = make_world(tmp_path)
    whole = finetune(world, "whole", dropout=0.2)
    validate = stopped(finetune_devise.Trainer.validate, 2, interrupt)
    monkeypatch.setattr(finetune_devise.Trainer, "validate", validate)
    with pytest.raises(KeyboardInterrupt):
        finetune(world, "cut", dropout=0.2)
    assert finetune(world, "cut", dropout=0.2).read_bytes() == whole.read_bytes() and validate.calls == 3


def test_killed_at_any_moment_and_resumed_ends_with_the_same_bits(tmp_path):
    world, settings = make_world(tmp_path), {"epochs": 8, "dropout": 0.2, "optimiser": "sgd", "momentum": 0.9}
    code = ("from pathlib import Path; from tests.test_finetune_devise import finetune; "
            f"finetune(Path({str(world)!r}), 'cut', **{settings})")
    kill_and_resume(code, world / "cut" / "network.safetensors")
    finetune(world, "whole", **settings)
    assert_same_files(world / "whole", world / "cut", "network.safetensors", "metrics.json", "curve.csv")


def test_map_of_other_label_vectors(tmp_path):
    world = make_world(tmp_path)
    make_labels(world / "labels.safetensors", dim=4)
    with pytest.raises(InputError, match="trained with other label vectors"):
        finetune(world)
