"""Images a second of our training loop beside a bare torch loop on in-memory tensors, same network, same optimiser.

    python -m benchmarks.bench_training [--arch resnet20] [--stem strided] [--size 32] [--batch 128 ...] [--steps 60]
        [--precision float32] [--compile] [--deterministic off] [--threads 2]
        [--any-processor]

One row for each batch size, with `deterministic` off, on, or both (`--deterministic off on`). Ours reads uint8 pixels,
crops, flips and normalises them; the bare loop's inputs are ready float tensors on the device. Both run in turns, three
times; the best of each counts. Nothing else should run on the machine.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from stages.pretrain_cnn import Params, Trainer
from zeroshot.base.artifacts import Artifact, ArtifactWriter
from zeroshot.base.compute import set_up
from zeroshot.images.index import PIXELS_FILE, ImageIndex, write_index
from zeroshot.networks.batches import SquareSource
from zeroshot.networks.preprocessing import Preprocessing
from zeroshot.networks.visual_model import build_visual
from zeroshot.training.loop import train_pass

CLASSES = 100
ROUNDS = 3
WARM_UP = 3  # steps, in which a compiler works too
POOL = 16384  # images at most, or a batch of them: more are the same ones again


class Speed(NamedTuple):
    """Images a second of training, the best of ROUNDS."""

    ours: float
    bare: float


def main() -> None:
    options = read_options()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {options.threads} threads"
    print(f"{options.arch} {options.stem} {options.size}x{options.size}, {options.precision}, "
          f"compile {options.compile}, torch {torch.__version__}, {name}; images a second\n"
          f"{'batch':>6}  deterministic  {'bare loop':>10}  {'ours':>10}  ratio")
    for batch in options.batch:
        for deterministic in options.deterministic:
            ours, bare = measure(options, batch, deterministic == "on")
            print(f"{batch:>6}  {deterministic:<13}  {bare:>10,.0f}  {ours:>10,.0f}  {ours / bare:.3f}", flush=True)


def measure(options: argparse.Namespace, batch: int, deterministic: bool) -> Speed:
    """The speed at one batch size; the network is built, and compiled, anew."""
    torch._dynamo.reset()  # else the second batch size would be compiled for any size
    device = set_up(threads=options.threads, seed=1, deterministic=deterministic, any_processor=options.any_processor)
    images = min(batch * options.steps, max(POOL, batch))
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(options, batch, images, deterministic, Path(folder), device)
        batches = [np.arange(start, start + batch) % images for start in range(0, batch * options.steps, batch)]
        run_ours(trainer, batches[:WARM_UP]), run_bare(trainer, WARM_UP)
        rounds = [(run_ours(trainer, batches), run_bare(trainer, options.steps)) for _ in range(ROUNDS)]
    return Speed(*(batch * options.steps / min(seconds) for seconds in zip(*rounds, strict=True)))


def run_ours(trainer: Trainer, batches: list[np.ndarray]) -> float:
    """Seconds for one step a batch, by the stage's own loop."""
    trainer.network.train()
    began = time.perf_counter()
    train_pass(batches, trainer.source.squares(batches), trainer.loss, trainer.optimiser, rate=lambda step: 0.01,
               seed=1, epoch=0)
    return time.perf_counter() - began


def run_bare(trainer: Trainer, steps: int) -> float:
    """Seconds for as many steps on one batch that is ready on the device."""
    trainer.network.train()
    batch, size = trainer.params.batch, trainer.params.image_size
    images = torch.randn(batch, 3, size, size, device=trainer.device).contiguous(memory_format=trainer.layout)
    targets = torch.randint(CLASSES, (batch,), device=trainer.device)
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(steps):
        loss = F.cross_entropy(trainer.outputs(images), targets)
        trainer.optimiser.zero_grad()
        loss.backward()
        trainer.optimiser.step()
    loss.item()
    return time.perf_counter() - began


def make_trainer(options: argparse.Namespace, batch: int, images: int, deterministic: bool, folder: Path,
                 device: torch.device) -> Trainer:
    """The stage's trainer on noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (images, options.size, options.size, 3), np.uint8)
    with ArtifactWriter(folder / PIXELS_FILE, {}, {"pixels": (pixels.shape, np.uint8)}) as writer:
        writer.write("pixels", 0, pixels)
    labels = (np.arange(images) % CLASSES).astype(np.int32)
    write_index(folder, [f"n{number:08d}" for number in range(CLASSES)],
                {"role": np.zeros(images, np.uint8), "label": labels}, containers=[], made_from={},
                pixels=Artifact(folder / PIXELS_FILE).sha256)
    params = Params(
        arch=options.arch, stem=options.stem, dropout=0.0, pretrained="none", weights="", sha256="",
        weights_outputs="seen", weights_list="unused", weights_normalisation="published", resize=options.size,
        image_size=options.size, mean=(0.5, 0.5, 0.5), deviation=(0.2, 0.2, 0.2),
        crop_padding=2, flip=True, randaugment=0, randaugment_magnitude=9, mixup=0.0,
        optimiser="sgd", learning_rate=0.01, momentum=0.9, weight_decay=5e-4, schedule="cosine", label_smoothing=0.0,
        epochs=1, batch=batch, precision=options.precision, channels_last=True, compile=options.compile,
        deterministic=deterministic, threads=options.threads, any_processor=options.any_processor,
        max_unreadable=0, workers=0, seed=1)
    model = build_visual(options.arch, classes=CLASSES, stem=options.stem, dropout=0.0)
    source = SquareSource(folder, Path("none"), side=options.size, device=device, workers=0, max_unreadable=0)
    preprocessing = Preprocessing(options.size, options.size, params.mean, params.deviation)
    return Trainer(params, model, ImageIndex.read(folder), preprocessing, source, device)


def read_options(words: list[str] | None = None) -> argparse.Namespace:
    """The command line's, or those that `words` say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--stem", default="strided")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, nargs="+", default=[128])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--deterministic", nargs="+", default=["off"], choices=["off", "on"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--any-processor", action="store_true")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
