"""The image side's stages on a pretend GPU (tests/pretend_gpu.py), in a process of its own, and again on the CPU."""

import json
import shutil

import pytest
import torch

from tests.all_stages import AUGMENTED, MAPS, finetune, make_world, run_stages, train_cnn, train_map, train_streamed
from tests.processes import run_apart
from zeroshot.base import compute, processes
from zeroshot.networks import batches
from zeroshot.ranking import rank_images as ranking
from zeroshot.training import loop

CHUNK = 16  # images ranked at a time, of 26
ATTEMPTS = {"there + here": "refused", "here[places]": "refused", "there[places] = here": "refused",
            "there.numpy()": "refused", "there + torch.tensor(1.0)": 0, "torch.zeros(3, device=device)": 0,
            "there[places]": 0, "here.to(device, non_blocking=True)": 0, "here.to(device)": 1, "there[[0, 1]]": 1,
            "there[there > 0]": 1, "there[there > 0] = 0": 0, "there.nonzero()": 1, "there.sum().item()": 1,
            "if there.any(): pass": 1, "there.tolist()": 1, "there.cpu()": 1, "here.copy_(there)": 1}  # waits



# what the process with the pretend GPU does

class LikeCuda(str):
    """A device's name that calls itself CUDA's: batches.py keeps packed pixels on such a one, or streams them to it."""

    type = "cuda"


def run_on_pretend_gpu(world):
    from tests import pretend_gpu as gpu  # registers the device in this process

    for module in (compute, processes, loop):
        module.pick_device = lambda: gpu.DEVICE
    ranking.CHUNK["pretend"] = CHUNK
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
        patch.setitem(ranking.CHUNK, "cpu", CHUNK)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")  # for the process; this one may have looked already
        patch.setattr(torch.cuda, "is_available", lambda: False)
        run_stages(folder, folder / "cpu")
        code = ("import pathlib, tests.test_on_a_gpu as t; "
                f"t.run_on_pretend_gpu(pathlib.Path({str(folder)!r}))")
        ended = run_apart(code)
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
