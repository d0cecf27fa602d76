"""The steps of `make check-gpu`: what must hold on a GPU, each check on its own, noted as soon as it is known.

    python -m tests.gpu_checks STEP NOTES [--small]

`--small`: little enough for a CPU, which then stands in for the GPU: so the tests run this code. Nothing here needs
pytest, but for the step that runs the tests.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from zeroshot.base.compute import pick_device, set_up
from zeroshot.base.parent import die_with_parent

TAIL = 15  # lines of a traceback
LABELS, DIM, IMAGES = 21841, 500, 8192
GPU_TESTS = [f"tests/test_{name}.py" for name in (
    "pretrain_cnn", "extract_features", "embed_images", "finetune_devise", "train_devise", "image_training",
    "rank_softmax", "rank_devise", "rank_conse", "rank_closed_form", "on_a_gpu")]
NETWORKS = {  # arch -> stem, pixels; first those of the presets
    "alexnet": ("standard", 224), "torchvision/resnet18": ("standard", 64), "resnet20": ("strided", 32),
    "torchvision/squeezenet1_0": ("standard", 224), "torchvision/vgg11": ("standard", 224),
    **{f"torchvision/{name}": ("standard", 64) for name in (
        "densenet121", "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x1_0", "regnet_y_400mf",
        "convnext_tiny", "swin_t")},
    "torchvision/vit_b_16": ("standard", 224), "timm/tf_efficientnet_lite0": ("standard", 64)}
NO_NORMS = dict(arch="torchvision/squeezenet1_1", stem="standard", resize=32, image_size=32,
                learning_rate=0.02)  # a batch norm would go by the process's own share


class NotRunError(Exception):
    """Why a check could not be made here; it has not failed."""


class Notes:
    """A file of JSON lines: a check that began, what it gave, a speed, facts."""

    def __init__(self, step: str, path: Path):
        self.step, self.path = step, path

    def write(self, kind: str, **fields) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps([kind, fields]) + "\n")

    def check(self, name: str, work: Callable[[], str | None]) -> None:
        """Note what `work` says that it saw, or how it failed."""
        self.write("began", name=name)
        began, result, seen, tail = time.perf_counter(), "passed", "", []
        try:
            seen = work() or ""
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # an error of a kernel comes late
        except NotRunError as why:
            result, seen = "not run", str(why)
        except BaseException as error:  # also SystemExit, by which a stage ends
            result, seen = "failed", (str(error) or repr(error)).splitlines()[0]
            tail = traceback.format_exc().splitlines()[-TAIL:]
            traceback.print_exc()
        self.write("check", step=self.step, name=name, result=result, seconds=time.perf_counter() - began, seen=seen,
                   tail=tail)


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


# rankings, at the papers' size

def rankings(notes: Notes, small: bool) -> None:
    """Scores and what is ranked by them."""
    labels, images = (600, 256) if small else (LABELS, IMAGES)
    device = set_up(threads=os.cpu_count() or 1)
    notes.check("scores that are exact: the CPU's rankings, ties and all", lambda: ranked_alike(labels, images, device))
    notes.check("equal label vectors score equally, to the bit", lambda: equals_tie(labels, images, device))
    notes.check("the GPU's first 20 are the CPU's but for rounding", lambda: near_the_cpus(labels, images, device))
    notes.check("ranked twice, the same bits", lambda: ranked_twice(labels, images, device))


def rank_on(device: torch.device, vectors: np.ndarray, points: np.ndarray, true: np.ndarray) -> dict[str, tuple]:
    """Set -> first 20, ranks, in the chunks of that device."""
    from zeroshot.ranking.first_labels import CHUNK, CosineScores, lay_out, rank_chunk

    label = np.arange(len(vectors))
    members = {"seen": label % 20 == 0, "unseen": label % 20 == 1, "21k": label % 20 > 0}
    members["21k+seen"] = members["21k"] | members["seen"]
    layout = lay_out(members, np.ones(len(vectors), bool), device)
    score, chunk, found = CosineScores(vectors, label, layout), CHUNK[device.type], []
    chunk = min(chunk, len(points))
    for start in range(0, len(points), chunk):
        here = slice(start, start + chunk)
        ranked = rank_chunk(score(torch.tensor(points[here], device=device)), torch.tensor(true[here], device=device),
                            layout)
        found.append({name: [part.cpu().numpy() for part in parts] for name, parts in ranked.items()})
    return {name: tuple(np.concatenate([part[name][which] for part in found]) for which in (0, 1)) for name in members}


def exact_world(labels: int, images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label vectors, points and true labels whose cosines every device computes without rounding, many of them equal.

    A point has 16 entries of +-1, so that its length is 4; a vector's entries are multiples of 1/8 up to 1.
    """
    rng = np.random.default_rng(0)
    vectors = (rng.integers(-8, 9, (labels, DIM)) / 8).astype(np.float32)
    points = np.zeros((images, DIM), np.float32)
    places = rng.random((images, DIM)).argpartition(16, axis=1)[:, :16]
    np.put_along_axis(points, places, rng.choice([-1.0, 1.0], (images, 16)).astype(np.float32), 1)
    return vectors, points, rng.integers(-1, labels, images)


def random_world(labels: int, images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((labels, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, rng.standard_normal((images, DIM)).astype(np.float32), rng.integers(0, labels, images)


def ranked_alike(labels: int, images: int, device: torch.device) -> str:
    world = exact_world(labels, images)
    ours, theirs = rank_on(device, *world), rank_on(torch.device("cpu"), *world)
    for name in theirs:
        for what, mine, other in zip(("first 20", "ranks"), ours[name], theirs[name], strict=True):
            differing = int((mine != other).sum())
            assert not differing, f"{name}: {differing} of {other.size} of the {what} are not the CPU's"
    return f"{images} images, {labels} labels, {len(theirs)} sets"


def equals_tie(labels: int, images: int, device: torch.device) -> str:
    from zeroshot.ranking.first_labels import CosineScores, lay_out

    vectors, points, _ = random_world(labels, images)
    vectors[labels // 2:2 * (labels // 2)] = vectors[:labels // 2]
    layout = lay_out({"all": np.ones(labels, bool)}, np.ones(labels, bool), device)
    scores = CosineScores(vectors, np.arange(labels), layout)(torch.tensor(points[:4096], device=device))
    first, second = scores[:labels // 2], scores[labels // 2:2 * (labels // 2)]
    differing = int((first != second).sum())
    assert not differing, f"{differing} of {first.numel()} scores of equal label vectors differ: ties are broken"
    return f"{first.numel():,} pairs"


def near_the_cpus(labels: int, images: int, device: torch.device) -> str:
    """Where labels stand otherwise, their scores on the CPU are within rounding of each other."""
    vectors, points, true = random_world(labels, min(images, 1024))
    ours, theirs = (rank_on(where, vectors, points, true)["21k+seen"][0] for where in (device, torch.device("cpu")))
    cosines = F.normalize(torch.from_numpy(points).double()) @ torch.from_numpy(vectors).double().T
    gaps = [cosines.gather(1, torch.from_numpy(first).long()) for first in (ours, theirs)]
    largest = (gaps[0] - gaps[1]).abs().max().item()
    assert largest < 1e-5, f"labels stand in each other's place whose cosines differ by {largest:.2g}; is it TF32?"
    return f"{(ours != theirs).mean():.1e} of the places differ, by {largest:.1e} at most"


def ranked_twice(labels: int, images: int, device: torch.device) -> str:
    world = random_world(labels, images)
    first, second = rank_on(device, *world), rank_on(device, *world)
    assert all(np.array_equal(one, other) for name in first for one, other in zip(first[name], second[name],
                                                                                 strict=True)), "two runs differ"
    return f"{images} images"


# the stages, on the tests' tiny world

@contextlib.contextmanager
def on_the_cpu() -> Iterator[None]:
    """Have the stages take the CPU."""
    seen, torch.cuda.is_available = torch.cuda.is_available, lambda: False
    try:
        yield
    finally:
        torch.cuda.is_available = seen


def stages(notes: Notes, small: bool) -> None:
    """All stages of the image side, against the CPU and against themselves."""
    from tests import all_stages as all_

    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder)
        all_.make_world(world)
        with on_the_cpu():
            all_.run_stages(world, world / "cpu", drawn=False)

        def run(out: str, **changed) -> bool:
            all_.run_stages(world, world / out, **changed)
            return True

        notes.check("all stages run", lambda: run("first") and "on the tests' tiny world")
        notes.check("again, the same bytes", lambda: run("second") and same(world, "first", "second"))
        notes.check("all stages run in bf16", lambda: run("bf16", precision="bf16") and "")
        notes.check("in bf16 again, the same bytes",
                    lambda: run("bf16-2", precision="bf16") and same(world, "bf16", "bf16-2"))
        notes.check("pixels that are streamed: the same bytes", lambda: streamed(all_, world))
        notes.check("trained as on the CPU: weights within 1e-3", lambda: trained_as_the_cpu(all_, world))
        notes.check("the CPU's networks: features, logits and points within 1e-3", lambda: seen_as_the_cpu(all_, world))
        notes.check("the CPU's features and points: rankings", lambda: ranked_as_the_cpu(all_, world))


def streamed(all_, world: Path) -> str:
    all_.train_streamed(world, world / "streamed", **all_.AUGMENTED)
    return same(world, "streamed", "first", "cnn.safetensors")


def trained_as_the_cpu(all_, world: Path) -> str:
    """Each training starts from what the CPU left, and nothing in it is drawn at random."""
    shutil.copytree(world / "cpu", world / "trained")
    settings = {"false_labels": "all", "optimiser": "sgd", "learning_rate": 0.01}
    all_.train_map(world, world / "trained", **settings)
    all_.finetune(world, world / "trained", **settings, **all_.NOT_DRAWN)
    all_.train_cnn(world, world / "trained", **all_.NOT_DRAWN)
    return close(world, "trained", "cpu", ["cnn", "all", "net"], 1e-3)


def same(world: Path, one: str, other: str, only: str = "*") -> str:
    first, second = world / one, world / other
    names = [path.relative_to(first) for path in first.rglob(only) if path.is_file()]
    differing = [str(name) for name in names if (first / name).read_bytes() != (second / name).read_bytes()]
    assert names and not differing, f"{len(differing)} of {len(names)} files differ: {', '.join(differing[:5])}"
    return f"{len(names)} files"


def close(world: Path, one: str, other: str, names: list[str], tolerance: float) -> str:
    """Largest difference of all arrays, relative to the array's own largest number."""
    from zeroshot.base.artifacts import Artifact

    largest = 0.0
    for name in names:
        mine, theirs = (Artifact(world / folder / f"{name}.safetensors") for folder in (one, other))
        assert mine.names() == theirs.names(), name
        for array in theirs.names():
            a, b = mine[array].astype(np.float64), theirs[array].astype(np.float64)
            difference = np.abs(a - b).max() / max(np.abs(b).max(), 1e-12)
            assert difference <= tolerance, f"{name}: {array} differs by {difference:.2g} of its largest number"
            largest = max(largest, difference)
    return f"largest difference {largest:.1e}"


def seen_as_the_cpu(all_, world: Path) -> str:
    shutil.copytree(world / "cpu", world / "mixed")
    all_.extract(world, world / "mixed")
    all_.embed(world, world / "mixed")
    return close(world, "mixed", "cpu", ["features", "logits", "points"], 1e-3)


def ranked_as_the_cpu(all_, world: Path) -> str:
    from zeroshot.base.artifacts import Artifact

    shutil.copytree(world / "cpu", world / "ranked")
    all_.rank_images(world, world / "ranked")
    differing = total = 0
    paths = [path.relative_to(world / "cpu") for folder in ("conse", "closed_form")
             for path in sorted((world / "cpu" / folder).glob("*.safetensors"))]
    for name in [*paths, Path("softmax.safetensors"), Path("devise.safetensors"), Path("hierse.safetensors")]:
        ours, theirs = Artifact(world / "ranked" / name), Artifact(world / "cpu" / name)
        for array in theirs.names():
            differing, total = differing + int((ours[array] != theirs[array]).sum()), total + theirs[array].size
    assert differing <= 0.01 * total, f"{differing} of {total} places and ranks are not the CPU's"
    return f"{differing} of {total} places and ranks differ (close scores, rounded otherwise)"


# networks

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


# processes

def processes(notes: Notes, small: bool) -> None:
    """A group of one on the GPU, two on the CPU; two on two GPUs where there are as many."""
    from tests import all_stages as all_

    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder)
        all_.make_world(world)
        work(world, "alone")
        notes.check("a group of one process (NCCL on a GPU): its calls, and the same bytes",
                    lambda: group_of_one(world))
        with on_the_cpu():
            work(world, "cpu")
        notes.check("two processes on the CPU (gloo): one's step, and the same features",
                    lambda: two(world, "cpu", 1e-4, CUDA_VISIBLE_DEVICES=""))
        notes.check("two processes on two GPUs (NCCL): one's step, and the same features",
                    lambda: two(world, "alone", 1e-3))


def work(world: Path, out: str) -> None:
    """Train a network without batch norms for an epoch, and take features by it; in a group, or alone."""
    from tests import all_stages as all_

    all_.train_cnn(world, world / out, **NO_NORMS, **all_.NOT_DRAWN)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # rank 0 has written it
    all_.extract(world, world / out)


def calls(world: Path) -> None:
    """torch's calls that zeroshot/base/processes.py makes, which a group of one would not."""
    import torch.distributed as dist

    x = torch.arange(4.0, device=pick_device())
    dist.all_reduce(x)
    marks = (x > 0).to(torch.uint8)
    dist.all_reduce(marks, dist.ReduceOp.MAX)
    parts, box = [torch.empty_like(x)], ["said"]
    dist.gather(x, parts)
    dist.broadcast_object_list(box)
    assert parts[0].tolist() == [0, 1, 2, 3] and marks.tolist() == [0, 1, 1, 1] and box == ["said"]
    (world / "calls").write_text(dist.get_backend())


def group_of_one(world: Path) -> str:
    start(world, "one", 1, "c.calls(world); ")
    same(world, "one", "alone", "*.safetensors")
    return f"by {(world / 'calls').read_text()}"


def two(world: Path, alone: str, tolerance: float, **environment: str) -> str:
    if not environment and torch.cuda.device_count() < 2:
        raise NotRunError(f"{torch.cuda.device_count()} GPU here; NCCL wants two for two processes")
    out = f"two-{alone}"
    start(world, out, 2, "", **environment)
    return f"weights: {close(world, out, alone, ['cnn'], tolerance)}; {features_of(world, out)}"


def features_of(world: Path, out: str) -> str:
    """One process takes features by the two's network."""
    from tests import all_stages as all_

    (world / f"{out}-alone").mkdir()
    shutil.copy(world / out / "cnn.safetensors", world / f"{out}-alone")
    with on_the_cpu() if out == "two-cpu" else contextlib.nullcontext():
        all_.extract(world, world / f"{out}-alone")
    return "features: " + same(world, f"{out}-alone", out, "features.safetensors")


def start(world: Path, out: str, number: int, before: str, **environment: str) -> None:
    from tests.processes import run_group

    code = (f"import pathlib, tests.gpu_checks as c; world = pathlib.Path({str(world)!r}); {before}"
            f"c.work(world, {out!r})")
    ended = run_group(code, number, **environment)
    if any(process.returncode for process in ended):
        raise RuntimeError("\n".join(f"process {rank} ended with {process.returncode}:\n{process.stderr[-2000:]}"
                                     for rank, process in enumerate(ended)))


# speed and the compiler

def training(notes: Notes, small: bool) -> None:
    """ResNet-18 by the stage's own loop: images a second."""
    from benchmarks import bench_training as bench

    words = ("--arch resnet8 --size 16 --precision float32" if small else
             "--arch torchvision/resnet18 --stem small --size 64 --precision bf16 --compile")
    for batch in (32, 64) if small else (512, 1024, 2048, 4096):
        for deterministic in (False, True):
            steps = 2 if small else max(10, 40960 // batch)

            def measure(batch=batch, deterministic=deterministic, steps=steps) -> str:
                speed = bench.measure(bench.read_options([*words.split(), "--steps", str(steps)]), batch, deterministic)
                notes.write("speed", batch=batch, deterministic=deterministic, ours=speed.ours, bare=speed.bare)
                return f"{speed.ours:,.0f} img/s, {speed.ours / speed.bare:.2f} of the bare loop"

            notes.check(f"batch {batch}, deterministic {'on' if deterministic else 'off'}", measure)
            torch.cuda.empty_cache()


def compiled(notes: Notes, small: bool) -> None:
    """Training by torch.compile's kernels."""
    from tests import all_stages as all_

    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder)
        all_.make_world(world)

        def train(out: str, **changed) -> bool:
            torch._dynamo.reset()
            all_.train_cnn(world, world / out, **all_.NOT_DRAWN, **changed)
            return True

        notes.check("it compiles and trains", lambda: train("first", compile=True) and "resnet8, float32")
        notes.check("again, the same bytes", lambda: train("second", compile=True) and same(world, "first", "second"))
        notes.check("as it does without: weights within 1e-2", lambda: (
            train("eager"), close(world, "first", "eager", ["cnn"], 1e-2))[1])


# the tests themselves

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


STEPS = {function.__name__: function
         for function in (about, rankings, stages, networks, processes, training, compiled, tests)}


def main() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("notes", type=Path)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    STEPS[options.step](Notes(options.step, options.notes), options.small)


if __name__ == "__main__":
    main()
