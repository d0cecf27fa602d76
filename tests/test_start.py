"""What naming and searching load and leave out: importing is most of the time that one picture takes."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.model_world import SEEN, SIDE, picture
from zeroshot.__main__ import main
from zeroshot.base.artifacts import Artifact
from zeroshot.naming.folder import MANIFEST, write_manifest
from zeroshot.naming.quick_start import Undrawn, library_of
from zeroshot.networks.preprocessing import Preprocessing
from zeroshot.networks.saved import write_cnn
from zeroshot.networks.visual_model import build_visual
from zeroshot.running.scratch import PROJECT

UNNEEDED = {"scipy", "sklearn", "pandas", "nltk", "gensim", "dvc", "pydantic", "ruamel", "matplotlib", "starlette",
            "jinja2", "sympy", "torch._decomp", "torchvision", "timm"}  # its network is none of the last two's
LOADED = ("import sys; from zeroshot.__main__ import main, quick_timm; quick_timm.in_a_process_of_its_own(); "
          "status = main(); "
          "print(status, *sorted(sys.modules))")


def loaded(*command):
    """Modules that a command loaded, after it went well."""
    program = [sys.executable, "-c", LOADED, *map(str, command)]
    ran = subprocess.run(program, cwd=PROJECT, capture_output=True, text=True)
    status, *modules = ran.stdout.splitlines()[-1].split()
    assert status == "0", ran.stderr
    return set(modules)


def test_one_picture_is_named_without_what_it_does_not_need(model_folder, tmp_path):
    picture(0).save(tmp_path / "a.png")
    modules = loaded("name", tmp_path / "a.png", "--from", model_folder)
    assert "torch" in modules and not UNNEEDED & {name.partition(".")[0] for name in modules}


@pytest.fixture(scope="module")
def timms_folder(model_folder, tmp_path_factory):
    """The little model, on a network of timm's."""
    pytest.importorskip("timm")
    folder = tmp_path_factory.mktemp("timms") / "model"
    shutil.copytree(model_folder, folder)
    arch = "timm/mobilenetv3_small_050"
    with library_of(arch):
        network = build_visual(arch, classes=len(SEEN), stem="standard", dropout=0.0)
    write_cnn(folder / "cnn.safetensors", network, arch=arch, stem="standard", dropout=0.0, wnids=SEEN, made_from={},
              preprocessing=Preprocessing(SIDE, SIDE, (0.5,) * 3, (0.25,) * 3))
    about = json.loads((folder / MANIFEST).read_text())
    for name in ("sha256", "format", "files"):
        del about[name]
    about["network"]["arch"] = arch
    about["seals"]["cnn.safetensors"] = Artifact(folder / "cnn.safetensors").sha256
    write_manifest(folder, about)
    return folder


def test_a_network_of_timms_comes_without_the_rest_of_timm(timms_folder, tmp_path):
    picture(0).save(tmp_path / "a.png")
    modules = loaded("name", tmp_path / "a.png", "--from", timms_folder, "--model", "hierse")
    assert "timm.models.mobilenetv3" in modules
    assert not modules & {"timm.models.beit", "timm.data.loader", "torchvision.models", "huggingface_hub",
                          "torch._dynamo"}


def test_the_second_search_loads_no_torch(model_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))
    for number in range(3):
        picture(number).save(tmp_path / f"{number}.png")
    search = ["search", "striped animal", "--in", str(tmp_path), "--from", str(model_folder), "--model", "hierse"]
    monkeypatch.setattr(sys, "argv", ["zeroshot", *search])
    assert main() == 0 and capsys.readouterr().out.count(".png") == 3
    assert not loaded(*search) & {"torch", "scipy", "pydantic", "torchvision", "timm"}


# --- the parts

def test_nothing_is_drawn_for_weights_that_are_read():
    with Undrawn():
        layer = nn.Conv2d(3, 4, 3)
        tensors = [layer.weight, layer.bias, nn.Embedding(3, 4).weight, nn.init.trunc_normal_(torch.ones(9)),
                   nn.init.xavier_normal_(torch.ones(3, 3))]
        assert nn.BatchNorm1d(2).weight.tolist() == [1, 1]
    assert all(torch.isfinite(tensor).all() for tensor in tensors)
    assert not any(tensor.any() for tensor in (*tensors[:3], tensors[4]))
    assert nn.Conv2d(3, 4, 3).weight.any()


ENDING = """
import atexit, sys, threading, time
atexit.register(print, "taking apart")  # asked for before all, so done after all
from zeroshot.running.ending import end
atexit.register(print, "called at the end")
threading.Thread(target=lambda: (time.sleep(0.1), print("thread done"))).start()
print("said")
"""


@pytest.mark.parametrize(("last", "status", "lines"), [
    ("end(3)", 3, ["said", "thread done", "called at the end"]),
    ("sys.setprofile(lambda *_: None); end(3)", 3, ["said", "thread done", "called at the end", "taking apart"]),
    ("sys.exit(2)", 2, ["said", "thread done", "called at the end", "taking apart"]),
    ("1 / 0", 1, ["said", "thread done", "called at the end", "taking apart"])])
def test_the_end_leaves_nothing_out_but_the_taking_apart(last, status, lines):
    ran = subprocess.run([sys.executable, "-c", ENDING + last], cwd=PROJECT, capture_output=True, text=True,
                         env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"})
    assert (ran.returncode, ran.stdout.splitlines()) == (status, lines)


def test_the_commands_end_that_way(model_folder, tmp_path):
    command = [sys.executable, "-m", "zeroshot", "name", str(tmp_path / "none.png"), "--from", str(model_folder)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert ran.returncode == 1 and "none.png: no such file" in ran.stderr and "labels: 21k+seen" in ran.stdout
