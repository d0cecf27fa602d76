"""How fast the network of params.yaml trains here, what memory that takes, how long its features are."""

import resource
import sys
import time

import torch

from tools.estimate_cost import Training
from zeroshot.base.compute import set_up
from zeroshot.networks.visual_model import build_visual, check_size, feature_dim
from zeroshot.running.quick_torch import whole_torch

TRAINED, WARM_UP = 8.0, 8  # seconds that training is measured for; images of the steps before


def feature_width(params: dict[str, dict]) -> int:
    """Length of v(image) at `extract_features.tap`, by a network without memory for its weights.

    Raises:
        InputError: no such network or tap, or images too small for it.
    """
    whole_torch()
    try:
        with torch.device("meta"):
            return _width(params)
    except NotImplementedError:  # some networks read numbers while they are built (torchvision's RegNets)
        return _width(params)


def _width(params: dict[str, dict]) -> int:
    cnn = params["pretrain_cnn"]
    model = build_visual(cnn["arch"], classes=2, stem=cnn["stem"], dropout=cnn["dropout"])
    check_size(model, cnn["image_size"])
    return feature_dim(model, params["extract_features"]["tap"], cnn["image_size"])


def measure_training(cnn: dict, classes: int, width: int) -> Training:
    """Train the network of params section pretrain_cnn on noise for some seconds, on a run's device."""
    device = set_up(threads=cnn["threads"], deterministic=cnn["deterministic"], any_processor=cnn["any_processor"])
    model = build_visual(cnn["arch"], classes=classes, stem=cnn["stem"], dropout=cnn["dropout"]).to(device)
    layout = torch.channels_last if cnn["channels_last"] else torch.contiguous_format
    model, optimiser = model.to(memory_format=layout), torch.optim.SGD(model.parameters(), 0.01)
    before, most = peak_memory(), cnn["batch"] if device.type == "cuda" else 128

    def seconds(batch: int) -> float:
        """Of a step."""
        images = torch.rand(batch, 3, cnn["image_size"], cnn["image_size"], device=device).to(memory_format=layout)
        begun = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=cnn["precision"] == "bf16"):
            loss = torch.nn.functional.cross_entropy(model(images), torch.zeros(batch, dtype=torch.long, device=device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()  # waits for a GPU
        return time.perf_counter() - begun

    few = min(WARM_UP, cnn["batch"])
    image = min(seconds(few) for _ in range(3)) / few  # the very first step takes longer
    batch = min(cnn["batch"], most, max(few, int(TRAINED / image)))  # a step of a large network may take minutes
    steps = [seconds(batch)]
    while sum(steps) < TRAINED:
        steps.append(seconds(batch))
    # The fastest step is the one that other programs disturbed least.
    return Training(batch / min(steps), width, sum(weight.numel() for weight in model.parameters()),
                    before + (peak_memory() - before) * cnn["batch"] // batch)


def peak_memory() -> int:
    """Bytes that this process has needed so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
