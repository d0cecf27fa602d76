"""Images a second of our training loop beside a bare torch loop on in-memory tensors, same network, same optimiser.

    python -m benchmarks.bench_training [--arch resnet20] [--stem strided] [--size 32] [--batch 128] [--steps 60]
        [--precision float32] [--compile] [--threads 2]

Ours reads uint8 pixels, crops, flips and normalises them; the bare loop's inputs are ready float tensors on the
device. Both run in turns, three times; the best of each counts. Nothing else should run on the machine.
"""

import argparse
import tempfile
import time
from pathlib import Path

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


def main() -> None:
    options = read_options()
    device = set_up(threads=options.threads, seed=1, deterministic=False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(options, Path(folder), device)
        batches = [np.arange(options.batch) + start for start in range(0, options.batch * options.steps, options.batch)]
        bare, ours = [], []
        run_ours(trainer, batches[:3]), run_bare(trainer, options, 3)  # warm-up, compilation
        for _ in range(ROUNDS):
            ours.append(options.batch * options.steps / run_ours(trainer, batches))
            bare.append(options.batch * options.steps / run_bare(trainer, options, options.steps))
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {options.threads} threads"
    print(f"{options.arch} {options.stem} {options.size}x{options.size}, batch {options.batch}, {options.precision}, "
          f"compile {options.compile}, torch {torch.__version__}, {name}")
    print(f"bare loop {max(bare):>10,.0f} img/s\nours      {max(ours):>10,.0f} img/s\n"
          f"ratio     {max(ours) / max(bare):>10.3f}")


def run_ours(trainer: Trainer, batches: list[np.ndarray]) -> float:
    """Seconds for one step a batch, by the stage's own loop."""
    trainer.network.train()
    began = time.perf_counter()
    train_pass(batches, trainer.source.squares(batches), trainer.loss, trainer.optimiser, rate=lambda step: 0.01,
               seed=1, epoch=0)
    return time.perf_counter() - began


def run_bare(trainer: Trainer, options: argparse.Namespace, steps: int) -> float:
    """Seconds for as many steps on one batch that is ready on the device."""
    trainer.network.train()
    images = torch.randn(options.batch, 3, options.size, options.size, device=trainer.device)
    images = images.contiguous(memory_format=trainer.layout)
    targets = torch.randint(CLASSES, (options.batch,), device=trainer.device)
    began = time.perf_counter()
    for _ in range(steps):
        with torch.autocast(trainer.device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            logits = trainer.forward(images)
        loss = F.cross_entropy(logits.float(), targets)
        trainer.optimiser.zero_grad()
        loss.backward()
        trainer.optimiser.step()
    loss.item()
    return time.perf_counter() - began


def make_trainer(options: argparse.Namespace, folder: Path, device: torch.device) -> Trainer:
    """The stage's trainer on noise."""
    images = options.batch * options.steps
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
        epochs=1, batch=options.batch, precision=options.precision, channels_last=True, compile=options.compile,
        deterministic=False, threads=options.threads, max_unreadable=0, workers=0, seed=1)
    model = build_visual(options.arch, classes=CLASSES, stem=options.stem, dropout=0.0)
    source = SquareSource(folder, Path("none"), side=options.size, device=device, workers=0, max_unreadable=0)
    preprocessing = Preprocessing(options.size, options.size, params.mean, params.deviation)
    return Trainer(params, model, ImageIndex.read(folder), preprocessing, source, device)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--stem", default="strided")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
