"""Checkpoints whose tensors are not what a network computes with, and files that never were weights."""

import io
import zipfile

import pytest
import torch

from zeroshot.console.errors import InputError
from zeroshot.networks.visual_model import build_visual
from zeroshot.networks.weights_files import read_weights

W = torch.tensor([[1.0, -2.0], [0.0, 3.0]])


@pytest.mark.parametrize(("tensor", "kind"), [
    (W.to_sparse(), "sparse_coo float32"), (W.to("meta"), "meta float32"), (W.to(torch.complex64), "complex64")],
    ids=["sparse", "meta", "complex"])
def test_tensors_that_are_no_plain_numbers_are_refused(tmp_path, tensor, kind):
    torch.save({"a": W, "b": tensor}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=rf"w.pth: 1 of 2 tensors are no plain numbers, the first b \({kind}\)"):
        read_weights(tmp_path / "w.pth")


def test_whole_numbers_are_no_weights_but_may_be_counters():
    state = build_visual("resnet8", classes=2, stem="standard", dropout=0.0).state_dict()
    whole = {name: (50 * v).to(torch.int8) if name.endswith("classifier.weight") else v for name, v in state.items()}
    with pytest.raises(InputError, match=r"1 of whole numbers, as quantised ones are \(classifier.weight int8\)"):
        build_visual("resnet8", classes=2, stem="standard", dropout=0.0, state=whole)
    loaded = build_visual("resnet8", classes=2, stem="standard", dropout=0.0, state=state).state_dict()
    assert all(torch.equal(loaded[name], v) for name, v in state.items())


def test_a_dictionary_that_holds_itself_is_no_state_dict(tmp_path):
    found = {}
    found["model"] = found
    torch.save(found, tmp_path / "w.pth")
    with pytest.raises(InputError, match="w.pth: holds no state dict"):
        read_weights(tmp_path / "w.pth")


def test_of_several_networks_in_a_checkpoint_it_is_said_which_was_taken(tmp_path, capsys):
    torch.save({"state_dict": {"a": W}, "state_dict_ema": {"a": W + 1}, "optimizer": {"lr": 0.1}}, tmp_path / "w.pth")
    assert torch.equal(read_weights(tmp_path / "w.pth")["a"], W)
    said = capsys.readouterr().out
    assert "w.pth': holds several networks' weights; state_dict was taken, left out: 'state_dict_ema'\n" in said
    torch.save({"state_dict": {"a": W}, "optimizer": {"lr": 0.1}}, tmp_path / "w.pth")
    read_weights(tmp_path / "w.pth")
    assert not capsys.readouterr().out


@pytest.mark.parametrize(("text", "found"), [('{"detail": "Not found"}', r"'{\"detail\": \"Not found\"}'"),
                                             ("<?xml version='1.0'?><Error/>", "XML file")])
def test_a_servers_answer_is_no_weights(tmp_path, text, found):
    (tmp_path / "w.pth").write_text(text)
    with pytest.raises(InputError, match=f"w.pth: not a safetensors file or torch checkpoint, found {found}"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("key", ["net", "network", "state_dict_ema", "params"])
def test_the_only_weights_in_a_checkpoint_are_taken_whatever_their_name_and_that_is_said(tmp_path, capsys, key):
    torch.save({key: {"module.a": W}, "acc": 93.1, "optimizer": {"state": {0: {"step": W}}}}, tmp_path / "w.pth")
    assert torch.equal(read_weights(tmp_path / "w.pth")["a"], W)
    assert f"w.pth': of its content '{key}' was taken for the weights" in capsys.readouterr().out


def test_of_several_networks_under_names_of_their_own_none_is_taken(tmp_path):
    torch.save({"student": {"a": W}, "teacher": {"a": W + 1}}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="holds no state dict .*; found a dictionary of student, teacher"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("state", [
    {"n_averaged": torch.tensor(5), "module.a": W}, {"net.a": W}, {"_orig_mod.net.a": W}])
def test_what_wrappers_put_before_names_is_no_part_of_them(tmp_path, state):
    torch.save(state, tmp_path / "w.pth")
    assert list(read_weights(tmp_path / "w.pth")) == ["a"]
    torch.save({"n_averaged": torch.tensor(5)}, tmp_path / "w.pth")
    assert list(read_weights(tmp_path / "w.pth")) == ["n_averaged"]  # and fits no network


@pytest.mark.parametrize("data", [b"\x08\x07\x12\x07pytorch" + bytes(200), b"GGUF\3" + bytes(200), bytes(200),
                                  b"\x0a\x07AlexNet" + bytes(99)], ids=["ONNX", "GGUF", "TensorFlow", "Caffe"])
def test_other_tools_weights_are_not_said_to_be_python_objects(tmp_path, data):
    (tmp_path / "w").write_bytes(data)
    with pytest.raises(InputError, match="w: not a safetensors file or torch checkpoint, or cut short or damaged"):
        read_weights(tmp_path / "w")


def test_a_zip_that_is_not_torchs_says_what_it_holds(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        torch.save({"a": W}, saved := io.BytesIO())
        archive.writestr("best.pth", saved.getvalue())
    with pytest.raises(InputError, match="w.zip: a zip of 'best.pth', not torch's; unpack it, if weights are in it"):
        read_weights(tmp_path / "w.zip")
