"""The image side's stages on a pretend GPU (tests/pretend_gpu.py), in a process of its own, and again on the CPU."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from stages import (
    embed_images,
    extract_features,
    finetune_devise,
    pretrain_cnn,
    rank_closed_form,
    rank_conse,
    rank_devise,
    rank_softmax,
    train_devise,
)
from tests.vision import EMBED, EXTRACT, FINETUNE, MAP, PRETRAIN, WNIDS, make_index
from zeroshot.base import compute, processes
from zeroshot.base.artifacts import Artifact
from zeroshot.closed_form.models import ClosedForm, write_closed_form
from zeroshot.labels.label_sets import write_label_sets
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors, write_label_vectors
from zeroshot.networks import batches
from zeroshot.ranking import first_labels
from zeroshot.training import loop

DIM = 5
CHUNK = 16  # images ranked at a time, of 26
OTHERS = [f"n1{number:07d}" for number in range(500)]  # labels without images, in more blocks than are looked at
AUGMENTED = {"mixup": 0.2, "randaugment": 3, "dropout": 0.1}
MAPS = {"truncated": {}, "sampled": {"scaling": "standardise", "bias": True, "dropout": 0.1, "optimiser": "adagrad"},
        "all": {"loss": "hinge_rank_euclidean", "scaling": "none", "optimiser": "adamw", "learning_rate": 0.01}}
ATTEMPTS = {"there + here": "refused", "here[places]": "refused", "there[places] = here": "refused",
            "there.numpy()": "refused", "there + torch.tensor(1.0)": 0, "torch.zeros(3, device=device)": 0,
            "there[places]": 0, "here.to(device, non_blocking=True)": 0, "here.to(device)": 1, "there[[0, 1]]": 1,
            "there[there > 0]": 1, "there[there > 0] = 0": 0, "there.nonzero()": 1, "there.sum().item()": 1,
            "if there.any(): pass": 1, "there.tolist()": 1, "there.cpu()": 1, "here.copy_(there)": 1}  # waits


def make_world(folder):
    make_index(folder / "index")
    write_label_sets(folder / "label_sets", {"seen": WNIDS[:4], "unseen": WNIDS[4:], "2-hops": WNIDS[4:5], "3-hops": [],
                                         "21k": [*WNIDS[4:], *OTHERS]})
    for seed, name in enumerate(("lemmas", "hypernyms")):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((40, DIM)).astype(np.float32)
        rows = np.sort(rng.integers(len(WNIDS), len(WNIDS) + len(OTHERS), 1000))  # synonyms, and vectors that are equal
        vectors = np.concatenate([vectors[:len(WNIDS)], vectors[rng.integers(40, size=len(rows))]])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        write_label_vectors(folder / f"{name}.safetensors", LabelVectors(
            [*WNIDS, *OTHERS], vectors, np.concatenate([np.arange(len(WNIDS)), rows]).astype(np.int32)))


def run_stages(world, out):
    train_cnn(world, out, **AUGMENTED)
    extract(world, out)
    for false_labels in MAPS:
        train_map(world, out, false_labels=false_labels)
    finetune(world, out)
    embed_images.main(embed_images.Params(**EMBED), index=world / "index", images=world, features=out,
                      network=out / "net.safetensors", out=out / "points.safetensors")
    rank_images(world, out)


def train_cnn(world, out, **changed):
    params = pretrain_cnn.Params(**{**PRETRAIN, "epochs": 1, **changed})
    pretrain_cnn.main(params, index=world / "index", images=world, weights=world, weights_list=world,
                      out=out / "cnn.safetensors", metrics=out / "cnn.json", curve=out / "cnn.csv")


def extract(world, out):
    extract_features.main(extract_features.Params(**EXTRACT), index=world / "index", images=world,
                          cnn=out / "cnn.safetensors", out=out, metrics=out / "features.json")


def train_map(world, out, **changed):
    name = changed["false_labels"]
    params = train_devise.Params(**{**MAP, "epochs": 1, **MAPS[name], **changed})
    train_devise.main(params, features=out, index=world / "index", label_vectors=world / "lemmas.safetensors",
                      out=out / f"{name}.safetensors", metrics=out / f"{name}.json", curve=out / f"{name}.csv")


def finetune(world, out, **changed):
    finetune_devise.main(finetune_devise.Params(**{**FINETUNE, "epochs": 1, **changed}), index=world / "index",
                         images=world, cnn=out / "cnn.safetensors", map=out / "truncated.safetensors",
                         label_vectors=world / "lemmas.safetensors", out=out / "net.safetensors",
                         metrics=out / "net.json", curve=out / "net.csv")


def rank_images(world, out):
    asked, lemmas = {"index": world / "index", "label_sets": world / "label_sets"}, world / "lemmas.safetensors"
    rank_softmax.main(rank_softmax.Params(threads=1), features=out, out=out / "softmax.safetensors", **asked)
    rank_devise.main(rank_devise.Params(threads=1), points=out / "points.safetensors", label_vectors=lemmas,
                     out=out / "devise.safetensors", **asked)
    rank_conse.main(rank_conse.Params(t=[1, 3], hierse_t=1, handicap=True, folds=2, seed=0, threads=1), features=out,
                    lemmas=lemmas, hypernyms=world / "hypernyms.safetensors", out=out / "conse",
                    hierse=out / "hierse.safetensors", metrics=out / "conse.json", **asked)
    write_models(out / "models", Artifact(out / "features.safetensors").sha256, read_label_vectors(lemmas).sha256)
    rank_closed_form.main(rank_closed_form.Params(handicap=True, threads=1), models=out / "models", features=out,
                          label_vectors=lemmas, out=out / "closed_form", **asked)


def write_models(folder, features, labels):
    """A linear model, and one that places the labels itself; each with CSLS and without."""
    draw = torch.Generator().manual_seed(3)
    map, centre = torch.randn(DIM, 64, generator=draw), torch.randn(64, generator=draw)
    anchors, weights = torch.randn(2, 4, DIM, generator=draw)
    models = {"linear": ClosedForm(map, centre), "placed": ClosedForm(map, centre, anchors, weights, 2.0)}
    for name, model in models.items():
        for neighbours in (0, 3):
            write_closed_form(folder / f"{name}-{neighbours}.safetensors", model, {
                "features": features, "labels": labels, "seen_handicap": 0.1, "csls_neighbours": neighbours})


# what the process with the pretend GPU does

class LikeCuda(str):
    """A device's name that calls itself CUDA's: batches.py keeps packed pixels on such a one, or streams them to it."""

    type = "cuda"


def run_on_pretend_gpu(world):
    from tests import pretend_gpu as gpu  # registers the device in this process

    for module in (compute, processes, loop):
        module.pick_device = lambda: gpu.DEVICE
    first_labels.CHUNK["pretend"] = CHUNK
    torch.cuda.mem_get_info, torch.cuda.set_device = lambda device: (2**40, 2**40), lambda device: None
    torch.Tensor.pin_memory = lambda tensor: tensor
    source = batches.SquareSource.__init__
    batches.SquareSource.__init__ = lambda self, *folders, device, **rest: source(
        self, *folders, device=LikeCuda(device), **rest)
    run_stages(world, world / "gpu")
    train_streamed(world, world / "streamed", **AUGMENTED)
    shutil.copytree(world / "gpu", world / "again")
    report = {"attempts": {code: attempt(gpu, code) for code in ATTEMPTS},
              "waits": {name: [waits_of(gpu, world, *epoch) for epoch in pair] for name, pair in EPOCHS.items()}}
    (world / "report.json").write_text(json.dumps(report))


def train_streamed(world, out, **changed):
    """On packed pixels that are too many for the GPU."""
    share, batches.RESIDENT_SHARE = batches.RESIDENT_SHARE, 0
    train_cnn(world, out, **changed)
    batches.RESIDENT_SHARE = share


def attempt(gpu, code):
    """How often the host waits; or that it is refused."""
    device, here = gpu.DEVICE, torch.ones(3)
    names = {"torch": torch, "device": device, "here": here, "there": here.to(device),
             "places": torch.arange(3, device=device)}
    gpu.waits.clear()
    try:
        exec(code, names)
    except (RuntimeError, TypeError):
        return "refused"
    return gpu.waits.total()


def waits_of(gpu, world, run, settings):
    gpu.waits.clear()
    run(world, world / "again", **settings)
    return dict(gpu.waits)


# an epoch of 3 steps, and one of 6
EPOCHS = {"pretrain_cnn": [(train_cnn, {**AUGMENTED, "batch": batch}) for batch in (16, 8)],
          "pretrain_cnn, streamed": [(train_streamed, {"batch": batch}) for batch in (16, 8)],
          "finetune_devise": [(finetune, {"batch": 8, "share": share}) for share in (0.5, 1.0)],
          **{name: [(train_map, {"false_labels": name, "batch": batch}) for batch in (16, 8)] for name in MAPS}}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder with what the stages wrote on the CPU and on the pretend GPU, and with that process's report."""
    folder = tmp_path_factory.mktemp("gpu")
    make_world(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEROSHOT_SCRATCH", str(folder / "scratch"))
        patch.setenv("OMP_NUM_THREADS", "1")  # the device's gradients have a thread of their own
        patch.setitem(first_labels.CHUNK, "cpu", CHUNK)
        run_stages(folder, folder / "cpu")
        code = ("import pathlib, tests.test_on_a_gpu as t; "
                f"t.run_on_pretend_gpu(pathlib.Path({str(folder)!r}))")
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr  # each stage ended, so that nothing mixed devices
    return folder


def report(folder, about):
    return json.loads((folder / "report.json").read_text())[about]


def test_the_pretend_gpu_refuses_what_a_gpu_refuses_and_counts_waits(ran):
    assert report(ran, "attempts") == ATTEMPTS


def test_every_stage_writes_the_cpus_bytes(ran):
    written = [path.relative_to(ran / "cpu") for path in (ran / "cpu").rglob("*") if path.is_file()]
    assert len(written) > 30
    assert [path for path in written if (ran / "gpu" / path).read_bytes() != (ran / "cpu" / path).read_bytes()] == []
    assert (ran / "streamed" / "cnn.safetensors").read_bytes() == (ran / "cpu" / "cnn.safetensors").read_bytes()


@pytest.mark.parametrize("name", EPOCHS)
def test_more_steps_make_the_host_wait_no_more_often(ran, name):
    few, many = report(ran, "waits")[name]
    if name == "pretrain_cnn":  # RandAugment's matrices are torchvision's
        few, many = ({what: number for what, number in waits.items()
                      if not what.startswith("a copy to the device, augmentation.py")} for waits in (few, many))
    assert few and many == few
