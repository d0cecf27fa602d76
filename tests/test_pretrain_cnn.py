import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stages import pretrain_cnn
from tests.processes import kill_and_resume
from tests.vision import PRETRAIN, SIDE, WNIDS, make_index, make_index_in_place
from zeroshot.base.artifacts import Artifact
from zeroshot.base.params import load_params
from zeroshot.console.errors import InputError
from zeroshot.networks.normalisation import check_normalisation
from zeroshot.networks.outputs import imagenet_1k, keep_outputs
from zeroshot.networks.pretrained import build_pretrained
from zeroshot.networks.saved import read_cnn
from zeroshot.networks.visual_model import build_visual


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))


def train(index, folder, *, images="none", weights="none", weights_list="none", **changed):
    params = pretrain_cnn.Params(**{**PRETRAIN, **changed})
    pretrain_cnn.main(params, index=Path(index), images=Path(images), weights=Path(weights),
                      weights_list=Path(weights_list), out=folder / "cnn.safetensors", metrics=folder / "metrics.json",
                      curve=folder / "curve.csv")
    return folder / "cnn.safetensors"


def test_learns_repeats_and_describes_itself(tmp_path):
    make_index(tmp_path / "index")
    first, second = (train(tmp_path / "index", tmp_path / name, epochs=5) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert metrics["val_hit@1"] > 0.7 and metrics["train_images"] == 48 and metrics["val_hit@5"] == 1
    assert len((tmp_path / "a" / "curve.csv").read_text().splitlines()) == 6
    cnn = read_cnn(first)
    assert cnn.wnids == WNIDS[:4] and cnn.preprocessing.image_size == SIDE
    assert cnn.model(torch.zeros(1, 3, SIDE, SIDE)).shape == (1, 4)
    assert not list((tmp_path / "scratch" / "pretrain_cnn").iterdir())


def test_unseen_images_change_nothing(tmp_path):
    make_index(tmp_path / "index")
    make_index(tmp_path / "poisoned", poison_unseen=True)
    clean, poisoned = (Artifact(train(tmp_path / name, tmp_path / name, epochs=1)) for name in ("index", "poisoned"))
    assert all(np.array_equal(clean[name], poisoned[name]) for name in clean.names())


def test_killed_and_resumed_ends_with_the_same_bits(tmp_path):
    make_index(tmp_path / "index")
    settings = {"epochs": 8, "mixup": 0.2, "randaugment": 1}
    code = ("from pathlib import Path; from tests.test_pretrain_cnn import train; "
            f"train(Path({str(tmp_path / 'index')!r}), Path({str(tmp_path / 'cut')!r}), **{settings})")
    kill_and_resume(code, tmp_path / "cut" / "cnn.safetensors")
    whole = train(tmp_path / "index", tmp_path / "whole", **settings)
    assert whole.read_bytes() == (tmp_path / "cut" / "cnn.safetensors").read_bytes()


def test_too_many_unreadable_images_end_the_training(tmp_path, capfd):
    make_index_in_place(tmp_path)
    with pytest.raises(InputError, match=r"2 of 12 images cannot be read.*at most 1 .*max_unreadable"):
        train(tmp_path / "index", tmp_path, images=tmp_path / "images", max_unreadable=0.1)
    assert not (tmp_path / "cnn.safetensors").exists()
    capfd.readouterr()
    train(tmp_path / "index", tmp_path, images=tmp_path / "images", max_unreadable=0.2)
    assert capfd.readouterr().err.count("a grey image stands in") == 2  # in three epochs


def test_weights_from_a_file_without_training(tmp_path):
    make_index(tmp_path / "index")
    net = build_visual("resnet8", classes=4, stem="strided", dropout=0)
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    path = train(tmp_path / "index", tmp_path, weights=tmp_path / "weights.safetensors", pretrained="file", epochs=0)
    images = torch.randn(2, 3, SIDE, SIDE)
    assert torch.equal(read_cnn(path).model(images), net.eval()(images))
    assert "val_hit@1" in json.loads((tmp_path / "metrics.json").read_text())


def test_imagenet_outputs_are_mapped_to_seen_labels(tmp_path):
    from torchvision.models import squeezenet1_0

    torch.manual_seed(0)
    net = squeezenet1_0().eval()
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    known = imagenet_1k()
    assert known == sorted(known) and len(known) == 1000
    seen = [known[3], known[999], known[500]]
    model = build_pretrained("torchvision/squeezenet1_0", seen, pretrained="file", sha256="", stem="standard",
                             weights=tmp_path / "weights.safetensors", outputs="imagenet-1k", listed=tmp_path,
                             cache=tmp_path, dropout=0.5).eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(model(images), net(images)[:, [3, 999, 500]])


IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALVES = ([0.5] * 3, [0.5] * 3)


@pytest.mark.parametrize(("arch", "pretrained", "theirs"), [
    ("timm/resnet18", "timm", IMAGENET), ("timm/vit_tiny_patch16_224", "timm", HALVES),
    ("torchvision/resnet18", "torchvision", IMAGENET), ("torchvision/efficientnet_v2_l", "torchvision", HALVES)])
def test_images_must_be_normalised_as_a_librarys_weights_expect(arch, pretrained, theirs):
    other = HALVES if theirs is IMAGENET else IMAGENET
    check_normalisation(arch, pretrained, *theirs)
    check_normalisation(arch, "none", *other)
    check_normalisation(arch, "file", *theirs)
    check_normalisation(arch, "file", *other, "own")
    with pytest.raises(InputError, match=rf"`pretrain_cnn.mean` is \[{other[0][0]},.* to \[{theirs[0][0]},"):
        check_normalisation(arch, pretrained, *other)
    with pytest.raises(InputError, match=rf"`pretrain_cnn.deviation` is \[{other[1][0]},.* to \[{theirs[1][0]},"):
        check_normalisation(arch, pretrained, theirs[0], other[1])


@pytest.mark.parametrize("arch", ["timm/nothing", "timm/resnet18.nothing", "torchvision/nothing"])
def test_a_model_that_the_library_lacks_is_told_when_it_is_built(arch):
    check_normalisation(arch, arch.partition("/")[0], *HALVES)


def test_fresh_outputs_are_new():
    layer = torch.nn.Linear(2, 3)
    keep_outputs(layer, WNIDS[:2], None, "fresh")
    assert layer.out_features == 2 and layer.weight.shape == (2, 2) and layer.bias.tolist() == [0, 0]


@pytest.mark.parametrize(("changed", "content", "message"), [
    ({}, None, "no such file"), ({}, b"nonsense", "not a safetensors file"),
    ({"sha256": "00"}, b"nonsense", "its sha256 is")])
def test_bad_weights(tmp_path, changed, content, message):
    make_index(tmp_path / "index")
    weights = tmp_path / "weights.safetensors"
    if content is not None:
        weights.write_bytes(content)
    with pytest.raises(InputError, match=message):
        train(tmp_path / "index", tmp_path, weights=weights, pretrained="file", epochs=0, **changed)


def test_weights_of_another_network(tmp_path):
    make_index(tmp_path / "index")
    save_file(build_visual("resnet14", classes=4, stem="strided", dropout=0).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="do not fit resnet8"):
        train(tmp_path / "index", tmp_path, weights=tmp_path / "w.safetensors", pretrained="file", epochs=0)


@pytest.mark.parametrize(("changed", "message"), [
    ({"image_size": 40}, "image_size"), ({"epochs": 0}, "epochs above 0"), ({"crop_padding": 16}, "crop_padding"),
    ({"optimiser": "lion"}, "pretrain_cnn.optimiser"), ({"dropout": 1.0}, "pretrain_cnn.dropout"),
    ({"deviation": [0.2, 0.0, 0.2]}, "pretrain_cnn.deviation.1")])
def test_bad_params(tmp_path, changed, message):
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps({"pretrain_cnn": {**PRETRAIN, **changed}}))
    with pytest.raises(InputError, match=message):
        load_params("pretrain_cnn", pretrain_cnn.Params, path)
