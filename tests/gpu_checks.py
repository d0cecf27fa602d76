"""The steps of `make check-gpu`: what must hold on a GPU, each check on its own, noted as soon as it is known.

    python -m tests.gpu_checks STEP NOTES [--small]

`--small`: little enough for a CPU, which then stands in for the GPU: so the tests run this code. Nothing here needs
pytest, but for the step that runs the tests.
"""

import argparse
import importlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from tests.gpu_notes import TAIL, Notes, NotRunError
from zeroshot.base.compute import pick_device, set_up
from zeroshot.base.parent import die_with_parent

GPU_TESTS = [f"tests/test_{name}.py" for name in (
    "pretrain_cnn", "extract_features", "embed_images", "finetune_devise", "train_devise", "image_training",
    "rank_softmax", "rank_devise", "rank_conse", "rank_closed_form", "on_a_gpu")]
NETWORKS = {  # arch -> stem, pixels; first those of the presets
    "alexnet": ("standard", 224), "torchvision/resnet18": ("standard", 64), "resnet20": ("strided", 32),
    "torchvision/squeezenet1_0": ("standard", 224), "resnet9-32": ("standard", 32), "convnet": ("standard", 32),
    "allcnn": ("standard", 32), "torchvision/vgg11": ("standard", 224),
    **{f"torchvision/{name}": ("standard", 64) for name in (
        "densenet121", "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x1_0", "regnet_y_400mf",
        "convnext_tiny", "swin_t")},
    "torchvision/vit_b_16": ("standard", 224), "timm/tf_efficientnet_lite0": ("standard", 64)}


def about(notes: Notes, small: bool) -> None:
    """The machine."""
    def facts() -> str:
        gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        notes.write("facts", GPU=", ".join(gpus) or "none", driver=driver(), CUDA=str(torch.version.cuda),
                    cuDNN=str(torch.backends.cudnn.version()), torch=torch.__version__,
                    Python=f"{platform.python_version()}, {os.cpu_count()} CPU cores")
        x = torch.ones(64, 64, device=pick_device())
        assert (x @ x == 64).all()
        return "a product on it is right"

    notes.check("the GPU computes", facts)


def driver() -> str:
    if not shutil.which("nvidia-smi"):
        return "not known (no nvidia-smi)"
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20)
    return said.stdout.partition("\n")[0].strip() or "not known"


def networks(notes: Notes, small: bool) -> None:
    """A step of training by each family of networks with `deterministic`: it is not refused, and repeats."""
    for precision in ("float32", "bf16"):
        for arch in ["resnet20"] if small else NETWORKS:
            notes.check(f"{arch}, {precision}: gradients repeat", lambda arch=arch, p=precision: repeats(arch, p))


def repeats(arch: str, precision: str) -> str:
    from zeroshot.networks.visual_model import build_visual

    if arch.startswith("timm/") and not importlib.util.find_spec("timm"):
        raise NotRunError("timm is not installed")
    device, (stem, size) = set_up(threads=2, seed=1, deterministic=True), NETWORKS[arch]
    model = build_visual(arch, classes=10, stem=stem, dropout=0.1).to(device, memory_format=torch.channels_last).train()
    images = torch.randn(16, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.arange(16, device=device) % 10
    gradients = []
    for _ in range(2):
        torch.manual_seed(2)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(images)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        gradients.append(torch.autograd.grad(F.cross_entropy(logits.float(), targets), parameters, allow_unused=True))
    differing = sum(not torch.equal(one, other) for one, other in zip(*gradients, strict=True) if one is not None)
    assert not differing, f"{differing} of {len(gradients[0])} gradients differ between two equal steps"
    return f"{len(gradients[0])} gradients"


def training(notes: Notes, small: bool) -> None:
    """ResNet-18 by the stage's own loop: images a second."""
    from benchmarks import bench_training as bench

    words = ("--arch resnet8 --size 16 --precision float32" if small else
             "--arch torchvision/resnet18 --stem small --size 64 --precision bf16 --compile")
    for batch in (8, 16) if small else (512, 1024, 2048, 4096):
        for deterministic in (False, True):
            steps = 2 if small else max(10, 40960 // batch)

            def measure(batch=batch, deterministic=deterministic, steps=steps) -> str:
                speed = bench.measure(bench.read_options([*words.split(), "--steps", str(steps)]), batch, deterministic)
                notes.write("speed", batch=batch, deterministic=deterministic, ours=speed.ours, bare=speed.bare)
                return f"{speed.ours:,.0f} img/s, {speed.ours / speed.bare:.2f} of the bare loop"

            notes.check(f"batch {batch}, deterministic {'on' if deterministic else 'off'}", measure)
            torch.cuda.empty_cache()


def tests(notes: Notes, small: bool) -> None:
    """pytest on the image side's files: on the GPU, and what is marked `on_the_cpu` without it."""
    files = ["tests/test_params.py"] if small else GPU_TESTS
    notes.check("the image side's tests, on the GPU", lambda: run_pytest(files))
    notes.check("those marked on_the_cpu, without it",
                lambda: run_pytest(["-m", "on_the_cpu", *files], CUDA_VISIBLE_DEVICES=""))


def run_pytest(words: list[str] | tuple[str, ...], **environment: str) -> str:
    if lacking := [name for name in ("pytest", "hypothesis") if not importlib.util.find_spec(name)]:
        raise NotRunError(f"{', '.join(lacking)} not installed")
    parallel = ["-n", "4", "--dist", "loadfile"] if importlib.util.find_spec("xdist") else []
    ended = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", *parallel, *words],
                           env={**os.environ, **environment}, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, check=False)
    print(ended.stdout)
    lines = ended.stdout.rstrip().splitlines()
    if ended.returncode == 5:  # pytest found none
        raise NotRunError("no test is marked so")
    if ended.returncode:
        named = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        raise RuntimeError("\n".join([lines[-1], *named[:TAIL - 3]]))
    return lines[-1].strip("= ")


STEPS = {"about": "tests.gpu_checks", "rankings": "tests.gpu_rankings", "stages": "tests.gpu_stages",
         "networks": "tests.gpu_checks", "processes": "tests.gpu_stages", "training": "tests.gpu_checks",
         "compiled": "tests.gpu_stages", "tests": "tests.gpu_checks"}  # where each one is; in the order of the page


def step(name: str) -> Callable[[Notes, bool], None]:
    """The step's function; what another step's module cannot import does not concern it."""
    return getattr(importlib.import_module(STEPS[name]), name)


def main() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("notes", type=Path)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    step(options.step)(Notes(options.step, options.notes), options.small)


if __name__ == "__main__":
    main()
