"""What a trained classifier's outputs stand for: taken by position, so there must be just as many as the list says."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from zeroshot.base.lists import NO_LABEL, read_wnid_list
from zeroshot.console.errors import InputError
from zeroshot.networks.without_compiler import without_compiler

Outputs = Literal["imagenet-1k", "seen", "list", "fresh"]
REMEDY = ("set `pretrain_cnn.weights_outputs` to `list` and `weights_list` to a file of their wnids in output order, "
          f"one a line ({NO_LABEL} for an output of no label), or to `fresh` with epochs above 0")
KNOWN_NUMBERS = {
    1001: "the 1K after an output for background, as TensorFlow counts: a list of - and the 1,000 wnids",
    21841: "ImageNet 2011 in sorted order is presets/lists/imagenet-2011.txt",
    21843: "Google's ImageNet 21K, whose order timm's package holds"}


def output_wnids(outputs: Outputs, seen: list[str], listed: Path) -> list[str] | None:
    """The wnid of each output, in order; NO_LABEL for none. None: of no use (`fresh`).

    Args:
        outputs: `imagenet-1k`: the 1,000 wnids, sorted; `seen`: the seen labels, sorted; `list`: those of `listed`.
    """
    if outputs == "fresh":
        return None
    if outputs == "list":
        return read_outputs(listed)
    return sorted(seen) if outputs == "seen" else imagenet_1k()


def read_outputs(path: Path) -> list[str]:
    """wnids in output order, NO_LABEL for an output of no label.

    Raises:
        InputError: missing, no text, empty, a line that begins with neither wnid nor NO_LABEL, or a wnid twice.
    """
    return read_wnid_list(path, f"wnids in output order, one a line, {NO_LABEL} for an output of no label "
                                "(params.yaml: pretrain_cnn.weights_list)", gaps=True)


def keep_outputs(classifier: nn.Module, seen: list[str], wnids: list[str] | None, outputs: str) -> None:
    """Cut the last layer down to the outputs of `seen`, in that order; all of them new and random if `wnids` is None.

    Args:
        wnids: see `output_wnids`.
        outputs: the setting, for messages.

    Raises:
        InputError: another number of outputs than wnids, or seen labels that are not among them.
    """
    last = [module for module in classifier.modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    positions = np.full(len(seen), -1) if wnids is None else _positions(seen, wnids, len(last.weight), outputs)
    known = torch.from_numpy(positions >= 0)
    for name in ("weight", "bias"):
        old = getattr(last, name)
        if old is not None:
            new = torch.randn(len(positions), *old.shape[1:]) * (0.01 if name == "weight" else 0)
            new[known] = old.detach()[positions[positions >= 0]]
            setattr(last, name, nn.Parameter(new))
    setattr(last, "out_features" if isinstance(last, nn.Linear) else "out_channels", len(positions))


def _positions(seen: list[str], wnids: list[str], found: int, outputs: str) -> Int[np.ndarray, "seen"]:
    if found != len(wnids):
        known = f" ({KNOWN_NUMBERS[found]})" if found in KNOWN_NUMBERS else ""
        raise InputError(f"params.yaml: `pretrain_cnn.weights_outputs` is {outputs!r}, {len(wnids):,} labels, but the "
                         f"weights have {found:,} outputs{known}; {REMEDY}")
    place = {wnid: number for number, wnid in enumerate(wnids)}
    if missing := [wnid for wnid in seen if wnid not in place]:
        raise InputError(f"params.yaml: `pretrain_cnn.weights_outputs` is {outputs!r}, but {len(missing)} of "
                         f"{len(seen)} seen labels are not among them ({', '.join(missing[:3])} ...); {REMEDY}")
    return np.array([place[wnid] for wnid in seen], np.int64)


def imagenet_1k() -> list[str]:
    """The 1,000 wnids of ILSVRC-2012, sorted: the order of pretrained networks' outputs."""
    with without_compiler():
        import timm.data

    known = timm.data.ImageNetInfo("imagenet-1k")
    return [known.index_to_label_name(number) for number in range(1000)]
