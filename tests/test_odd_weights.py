"""Checkpoints whose tensors are not what a network computes with, and files that never were weights."""

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
