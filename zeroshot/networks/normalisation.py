"""With which mean and deviation a library's published weights learnt, and whether params.yaml has the same."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from zeroshot.console.errors import InputError
from zeroshot.networks.packaged import PACKAGES
from zeroshot.networks.without_compiler import without_compiler

Pretrained = Literal["none", "file", "package", "torchvision", "timm"]
Normalised = Literal["published", "own"]
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean, deviation; of R, G, B in 0..1
NEAR = 1e-3  # between means that differ by their rounding only; those in use lie further apart


def check_normalisation(arch: str, pretrained: Pretrained, mean: Sequence[float], deviation: Sequence[float],
                        normalised: Normalised = "published") -> None:
    """Raise InputError if the weights learnt from images with another mean or deviation than these.

    Args:
        pretrained: weights in a file may be any of those that the library publishes for `arch`.
        normalised: `own`: a file's weights learnt with these, whatever the library publishes.
    """
    if pretrained == "none" or (pretrained == "file" and normalised == "own"):
        return
    published = _published(arch, pretrained)
    if not published or any(_near(mean, one[0]) and _near(deviation, one[1]) for one in published):
        return
    theirs = published[0]
    key, ours, learnt = ("deviation", deviation, theirs[1]) if _near(mean, theirs[0]) else ("mean", mean, theirs[0])
    own = ("; or, if the weights in your file learnt otherwise, `pretrain_cnn.weights_normalisation` to own"
           if pretrained == "file" else "")
    raise InputError(f"params.yaml: `pretrain_cnn.{key}` is {list(ours)}, but {arch}'s weights learnt with "
                     f"{_rounded(learnt)}; set `pretrain_cnn.mean` to {_rounded(theirs[0])} and "
                     f"`pretrain_cnn.deviation` to {_rounded(theirs[1])}{own}")


def _near(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    return np.abs(np.subtract(ours, theirs)).max() <= NEAR


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(v, 6) for v in values]


def _published(arch: str, pretrained: Pretrained) -> list[Normalisation]:
    """Mean and deviation of the weights, the library's default first; none for a model that it does not have."""
    library, _, name = arch.rpartition("/")
    if pretrained == "package":
        return [PACKAGES[arch].normalisation] if arch in PACKAGES else []
    library = library or ("torchvision" if arch == "alexnet" else "")
    if pretrained not in ("file", library):
        return []
    try:
        return {"timm": _of_timm, "torchvision": _of_torchvision}[library](name, every=pretrained == "file")
    except (KeyError, RuntimeError, ValueError):  # a CIFAR ResNet; or no such model, as build_visual tells
        return []


def _of_timm(name: str, every: bool) -> list[Normalisation]:
    with without_compiler():
        import timm

    default = timm.get_pretrained_cfg(name)
    found = [default] if default else []
    if every and "." not in name:  # a file may hold any of its weights; a tag names one
        known = timm.models.list_pretrained(f"{name}.*")
        found += [timm.get_pretrained_cfg(tagged) for tagged in known]
    return [(tuple(one.mean), tuple(one.std)) for one in found]


def _of_torchvision(name: str, every: bool) -> list[Normalisation]:
    with without_compiler():
        from torchvision import models

    weights = models.get_model_weights(name)
    transforms = [one.transforms() for one in [weights.DEFAULT, *(weights if every else ())]]
    return [(tuple(one.mean), tuple(one.std)) for one in transforms]
