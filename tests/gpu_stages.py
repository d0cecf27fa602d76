"""The image side's stages on a GPU, against the CPU and themselves, compiled, and by processes: `make check-gpu`."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from tests import all_stages
from tests.gpu_notes import Notes, NotRunError, close, on_the_cpu, same
from tests.processes import run_group
from zeroshot.base.artifacts import Artifact
from zeroshot.base.compute import pick_device

NO_NORMS = dict(arch="torchvision/squeezenet1_1", stem="standard", resize=32, image_size=32,
                learning_rate=0.02)  # a batch norm would go by the process's own share


def stages(notes: Notes, small: bool) -> None:
    """All stages of the image side, against the CPU and against themselves."""
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder)
        all_stages.make_world(world)
        with on_the_cpu():
            all_stages.run_stages(world, world / "cpu", drawn=False)

        def run(out: str, **changed) -> bool:
            all_stages.run_stages(world, world / out, **changed)
            return True

        notes.check("all stages run", lambda: run("first") and "on the tests' tiny world")
        notes.check("again, the same bytes", lambda: run("second") and same(world, "first", "second"))
        notes.check("all stages run in bf16", lambda: run("bf16", precision="bf16") and "")
        notes.check("in bf16 again, the same bytes",
                    lambda: run("bf16-2", precision="bf16") and same(world, "bf16", "bf16-2"))
        notes.check("pixels that are streamed: the same bytes", lambda: streamed(world))
        notes.check("trained as on the CPU: weights within 1e-3", lambda: trained_as_the_cpu(world))
        notes.check("the CPU's networks: features, logits and points within 1e-3", lambda: seen_as_the_cpu(world))
        notes.check("the CPU's features and points: rankings", lambda: ranked_as_the_cpu(world))


def streamed(world: Path) -> str:
    all_stages.train_streamed(world, world / "streamed", **all_stages.AUGMENTED)
    return same(world, "streamed", "first", "cnn.safetensors")


def trained_as_the_cpu(world: Path) -> str:
    """Each training starts from what the CPU left, and nothing in it is drawn at random."""
    shutil.copytree(world / "cpu", world / "trained")
    settings = {"false_labels": "all", "optimiser": "sgd", "learning_rate": 0.01}
    all_stages.train_map(world, world / "trained", **settings)
    all_stages.finetune(world, world / "trained", **settings, **all_stages.NOT_DRAWN)
    all_stages.train_cnn(world, world / "trained", **all_stages.NOT_DRAWN)
    return close(world, "trained", "cpu", ["cnn", "all", "net"], 1e-3)


def seen_as_the_cpu(world: Path) -> str:
    shutil.copytree(world / "cpu", world / "mixed")
    all_stages.extract(world, world / "mixed")
    all_stages.embed(world, world / "mixed")
    return close(world, "mixed", "cpu", ["features", "logits", "points"], 1e-3)


def ranked_as_the_cpu(world: Path) -> str:
    shutil.copytree(world / "cpu", world / "ranked")
    all_stages.rank_images(world, world / "ranked")
    differing = total = 0
    paths = [path.relative_to(world / "cpu") for folder in ("conse", "closed_form")
             for path in sorted((world / "cpu" / folder).glob("*.safetensors"))]
    for name in [*paths, Path("softmax.safetensors"), Path("devise.safetensors"), Path("hierse.safetensors")]:
        ours, theirs = Artifact(world / "ranked" / name), Artifact(world / "cpu" / name)
        for array in theirs.names():
            differing, total = differing + int((ours[array] != theirs[array]).sum()), total + theirs[array].size
    assert differing <= 0.01 * total, f"{differing} of {total} places and ranks are not the CPU's"
    return f"{differing} of {total} places and ranks differ (close scores, rounded otherwise)"


def compiled(notes: Notes, small: bool) -> None:
    """Training by torch.compile's kernels."""
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder)
        all_stages.make_world(world)

        def train(out: str, **changed) -> bool:
            torch._dynamo.reset()
            all_stages.train_cnn(world, world / out, **all_stages.NOT_DRAWN, **changed)
            return True

        notes.check("it compiles and trains", lambda: train("first", compile=True) and "resnet8, float32")
        notes.check("again, the same bytes", lambda: train("second", compile=True) and same(world, "first", "second"))
        notes.check("as it does without: weights within 1e-2", lambda: (
            train("eager"), close(world, "first", "eager", ["cnn"], 1e-2))[1])


def processes(notes: Notes, small: bool) -> None:
    """A group of one on the GPU, two on the CPU; two on two GPUs where there are as many."""
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder)
        all_stages.make_world(world)
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
    all_stages.train_cnn(world, world / out, **NO_NORMS, **all_stages.NOT_DRAWN)
    if dist.is_initialized():
        dist.barrier()  # rank 0 has written it
    all_stages.extract(world, world / out)


def calls(world: Path) -> None:
    """torch's calls that zeroshot/base/processes.py makes, which a group of one would not."""
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
    (world / f"{out}-alone").mkdir()
    shutil.copy(world / out / "cnn.safetensors", world / f"{out}-alone")
    with on_the_cpu() if out == "two-cpu" else contextlib.nullcontext():
        all_stages.extract(world, world / f"{out}-alone")
    return "features: " + same(world, f"{out}-alone", out, "features.safetensors")


def start(world: Path, out: str, number: int, before: str, **environment: str) -> None:
    code = (f"import pathlib, tests.gpu_stages as c; world = pathlib.Path({str(world)!r}); {before}"
            f"c.work(world, {out!r})")
    ended = run_group(code, number, **environment)
    if any(process.returncode for process in ended):
        raise RuntimeError("\n".join(f"process {rank} ended with {process.returncode}:\n{process.stderr[-2000:]}"
                                     for rank, process in enumerate(ended)))
