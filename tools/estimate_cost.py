"""What a run costs in disk, time and memory: a few measured rates, multiplied. An estimate, with its basis."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from zeroshot.base.compute import pick_device, set_up
from zeroshot.visual import build_visual

LABELS, MODELS, LABEL_SETS = 21_841, 10, 9  # candidates of 21k+seen; models that are ranked; label sets of each
RANKED = 20_000 / 2.5  # images/s of one model: 500-D, 21,841 labels, 2 CPU cores, chunked product and top 20
SKIPGRAM_WORDS = 60_000  # words/s of one core at 500-D and window 20; hardly more at smaller sizes
DRAWN = 3_000  # images/s of one core that the demo's renderer draws
INDEX_BYTES = 60  # of an image's row: label, place, name
TRAINED = 8.0  # seconds that training is measured for
DECODER_BYTES = 300e6  # memory of one decoding process


@dataclass(frozen=True)
class Found:
    """The data, as measured or scaled up from a sample.

    Attributes:
        classes, images: by role (train, val, unseen).
        listed, decoded: images/s of one core, for listing (with `check`) and for decoding at the wanted size.
        words: words of the text.
    """

    classes: Mapping[str, int]
    images: Mapping[str, int]
    listed: float
    decoded: float
    words: int

    @property
    def test(self) -> int:
        """Images that every model is tested on."""
        return self.images["val"] + self.images["unseen"]

    @property
    def total(self) -> int:
        return sum(self.images.values())


@dataclass(frozen=True)
class Training:
    """A CNN's measured steps: images/s without loading, width of the penultimate layer, number of weights."""

    rate: float
    width: int
    weights: int


def measure_training(cnn: Mapping, classes: int) -> Training:
    """Train the network of params section pretrain_cnn on noise for some seconds, on a run's device."""
    device = set_up(threads=cnn["threads"], deterministic=cnn["deterministic"])
    model = build_visual(cnn["arch"], classes=classes, stem=cnn["stem"], dropout=cnn["dropout"]).to(device)
    layout = torch.channels_last if cnn["channels_last"] else torch.contiguous_format
    batch = cnn["batch"] if device.type == "cuda" else min(cnn["batch"], 128)
    images = torch.rand(batch, 3, cnn["image_size"], cnn["image_size"], device=device).to(memory_format=layout)
    labels, model = torch.zeros(batch, dtype=torch.long, device=device), model.to(memory_format=layout)
    optimiser = torch.optim.SGD(model.parameters(), 0.01)
    done, start = -batch, time.perf_counter()  # the first step warms up
    while time.perf_counter() - start < TRAINED or done <= 0:
        with torch.autocast(device.type, torch.bfloat16, enabled=cnn["precision"] == "bf16"):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()  # waits for a GPU
        done += batch
        if done == 0:
            start = time.perf_counter()
    rate = done / (time.perf_counter() - start)
    with torch.no_grad():
        width = model.head(model.body(images[:2])).flatten(1).shape[1]
    return Training(rate, width, sum(weight.numel() for weight in model.parameters()))


def disk_bytes(params: Mapping[str, Mapping], found: Found, training: Training) -> dict[str, float]:
    """Bytes that a run leaves in the project, by what they are."""
    seen, dim = found.classes["train"], params["train_skipgram"]["dim"]
    return {
        "image index": INDEX_BYTES * found.total,
        "packed pixels": found.total * 3 * (params["index_images"]["pack"] or 0) ** 2,
        f"features ({training.width} half floats an image)": found.total * training.width * 2,
        f"logits ({seen:,} floats a test image)": found.test * seen * 4,
        f"points ({dim} floats a test image, two models)": 2 * found.test * dim * 4,
        "rankings (first 20 and rank, each label set)": MODELS * LABEL_SETS * found.test * 84,
        "networks and checkpoints": 8 * training.weights * 4,
    }


def run_seconds(params: Mapping[str, Mapping], found: Found, training: Training) -> dict[str, float]:
    """Seconds of each stage that takes long; what is not listed is short beside them."""
    index, cnn, skipgram = params["index_images"], params["pretrain_cnn"], params["train_skipgram"]
    finetuning = params["finetune_devise"]["epochs"] * params["finetune_devise"]["share"]
    loading = 0 if index["pack"] else 1 / found.decoded / max(cnn["workers"], 1)  # seconds an image
    epoch = found.images["train"] * max(1 / training.rate, loading)
    indexed = found.decoded if index["pack"] else found.listed
    read = found.words * skipgram["epochs"]
    return {
        "index_images": found.total / indexed / index["workers"],
        f"train_skipgram ({found.words:,} words an epoch)": read / SKIPGRAM_WORDS / skipgram["workers"],
        f"pretrain_cnn ({cnn['epochs']} epochs)": cnn["epochs"] * epoch,
        "extract_features": found.total * max(1 / (3 * training.rate), loading),
        f"finetune_devise ({finetuning:g} epochs, two models)": 2 * finetuning * epoch,
        "ranking": MODELS * found.test / RANKED * skipgram["dim"] / 500,
    }


def memory_bytes(params: Mapping[str, Mapping], training_peak: float) -> float:
    """Peak memory of the largest stage, page cache not counted; `training_peak` is this process's after training."""
    cnn, index = params["pretrain_cnn"], params["index_images"]
    decoders = 0 if index["pack"] else cnn["workers"] * DECODER_BYTES
    return training_peak + decoders + LABELS * params["train_skipgram"]["dim"] * 4


def basis(params: Mapping[str, Mapping], found: Found, training: Training) -> str:
    """Where the figures come from."""
    how = "drawn (taken, not measured)" if params["index_images"]["source"] == "demo" else "decoded (measured)"
    return (f"Basis: {found.decoded:,.0f} images/s {how} a core; {training.rate:,.0f} images/s trained on "
            f"{pick_device()} (measured, without\n  loading), extraction 3 times as fast; ranking "
            f"{RANKED:,.0f} images/s at 500-D on 2 cores; skip-gram 60,000 words/s\n  a core; "
            "300 MB a decoding process; features as wide as the classifier's input.")
