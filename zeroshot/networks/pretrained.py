"""Weights that someone else trained, instead of training, or to begin from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

import zeroshot.networks.torchvision_guard  # noqa: F401  (before torchvision and timm)
from zeroshot.base.files import sha256_of
from zeroshot.console.errors import InputError
from zeroshot.networks.visual_model import Stem, VisualModel, build_visual

Pretrained = Literal["none", "file", "torchvision", "timm"]
Outputs = Literal["imagenet-1k", "seen", "fresh"]
NEAR = 1e-3  # between means that differ by their rounding only; those in use lie further apart


def build_pretrained(arch: str, seen: list[str], *, pretrained: Pretrained, weights: Path, sha256: str,
                     outputs: Outputs, stem: Stem, dropout: float) -> VisualModel:
    """Build `arch` with one output per seen label, from random weights or those that `pretrained` names.

    Args:
        pretrained: `none`; `file`: a safetensors file under the library's own names; `torchvision`, `timm`: the
            library's download.
        weights: that file.
        sha256: it must have; empty: not checked.
        outputs: what the weights' outputs are: `imagenet-1k`: the 1,000 wnids, sorted; `seen`: the seen labels,
            sorted; `fresh`: of no use here, begin with a random classifier.

    Raises:
        InputError: missing or wrong file, other architecture, or seen labels that are not among the outputs.
    """
    if pretrained == "none":
        return build_visual(arch, classes=len(seen), stem=stem, dropout=dropout)
    if pretrained == "file":
        state = _read_weights(weights, sha256)
        model = build_visual(arch, classes=len(seen), stem=stem, dropout=dropout, state=state)
    else:
        if not arch.startswith(pretrained + "/"):
            raise InputError(f"params.yaml: `pretrain_cnn.pretrained` is {pretrained!r}, which has no weights for arch "
                             f"{arch!r}; expected an arch that begins with {pretrained + '/'!r}")
        model = build_visual(arch, classes=len(seen), stem=stem, dropout=dropout, pretrained=True)
    keep_outputs(model.classifier, _positions(seen, outputs))
    return model


def check_normalisation(arch: str, pretrained: Pretrained, mean: Sequence[float], deviation: Sequence[float]) -> None:
    """Raise InputError if a library's weights learnt from images with another mean or deviation than these."""
    library, _, name = arch.partition("/")
    if library != pretrained or (theirs := _normalisation(library, name)) is None:
        return
    for key, ours, learnt in (("mean", mean, theirs[0]), ("deviation", deviation, theirs[1])):
        if np.abs(np.subtract(ours, learnt)).max() > NEAR:
            raise InputError(f"params.yaml: `pretrain_cnn.{key}` is {list(ours)}, but {arch}'s weights learnt with "
                             f"{list(learnt)}; set `pretrain_cnn.mean` to {list(theirs[0])} and "
                             f"`pretrain_cnn.deviation` to {list(theirs[1])}")


def _normalisation(library: str, name: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and deviation of the library's weights; None for a model that it does not have."""
    try:
        if library == "timm":
            import timm

            known = timm.get_pretrained_cfg(name)
            return known and (known.mean, known.std)
        from torchvision import models

        transforms = models.get_model_weights(name).DEFAULT.transforms()
        return transforms.mean, transforms.std
    except (RuntimeError, ValueError):  # build_visual tells
        return None


def keep_outputs(classifier: nn.Module, positions: Int[np.ndarray, "seen"]) -> None:
    """Cut the last layer down to these outputs, in this order; -1 stands for a new, random output."""
    last = [module for module in classifier.modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    known = torch.from_numpy(positions >= 0)
    if positions.max(initial=-1) >= len(last.weight):
        raise InputError(f"the weights have {len(last.weight)} outputs, fewer than `pretrain_cnn.weights_outputs` "
                         "says; expected imagenet-1k (1,000 outputs), seen (one per seen label) or fresh")
    for name in ("weight", "bias"):
        old = getattr(last, name)
        if old is not None:
            new = torch.randn(len(positions), *old.shape[1:]) * (0.01 if name == "weight" else 0)
            new[known] = old.detach()[positions[positions >= 0]]
            setattr(last, name, nn.Parameter(new))
    setattr(last, "out_features" if isinstance(last, nn.Linear) else "out_channels", len(positions))


def _positions(seen: list[str], outputs: Outputs) -> Int[np.ndarray, "seen"]:
    if outputs == "fresh":
        return np.full(len(seen), -1)
    known = sorted(seen) if outputs == "seen" else imagenet_1k()
    place = {wnid: number for number, wnid in enumerate(known)}
    if missing := [wnid for wnid in seen if wnid not in place]:
        raise InputError(f"params.yaml: `pretrain_cnn.weights_outputs` is {outputs!r}, but {len(missing)} of "
                         f"{len(seen)} seen labels are not among them ({', '.join(missing[:3])} ...); "
                         "expected `fresh` with epochs above 0")
    return np.array([place[wnid] for wnid in seen], np.int64)


def imagenet_1k() -> list[str]:
    """The 1,000 wnids of ILSVRC-2012, sorted: the order of pretrained networks' outputs."""
    import timm.data

    known = timm.data.ImageNetInfo("imagenet-1k")
    return [known.index_to_label_name(number) for number in range(1000)]


def _read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; `pretrain_cnn.weights` in params.yaml must name a safetensors file "
                         "since `pretrained` is 'file'")
    if sha256 and (found := sha256_of(path)) != sha256.lower():
        raise InputError(f"{path}: its sha256 is {found}; `pretrain_cnn.sha256` in params.yaml expects {sha256}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file, or cut short ({error})") from None
