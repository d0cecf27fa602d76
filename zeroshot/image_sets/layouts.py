"""Finds the classes of each role, in every layout in which ImageNet is kept.

A role (train, val, unseen) is one of
    a folder of <wnid>/ folders and/or <wnid>.tar files     (the 2011 release; most copies of ImageNet)
    a tar of <wnid>.tar files                               (ILSVRC2012_img_train.tar, fall11_whole.tar)
    a tar or folder of ILSVRC2012_val_<number>.JPEG         (ILSVRC2012_img_val.tar), with the devkit's ground truth
"""

import io
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io

from zeroshot.console.errors import InputError
from zeroshot.image_sets.archives import is_junk, tar_members
from zeroshot.taxonomy import WNID

VAL_IMAGE = re.compile(r"(?:.*/)?ILSVRC2012_val_(\d{8})\.JPEG")
EXPECTED = "expected a folder of <wnid>/ folders or <wnid>.tar files, or one of ILSVRC's tars"


@dataclass(frozen=True)
class Source:
    """Where the images of one class, or of the whole numbered val set, lie.

    Attributes:
        role: 0 train, 1 val, 2 unseen.
        wnid: their class; None for ILSVRC's val set, whose images carry numbers.
        container: path relative to the images' root, with "/": a tar or a folder.
        start: first byte of the tar in the container: 0 unless it lies inside another.
        size: bytes of the tar, None for folders.
    """

    role: int
    wnid: str | None
    container: str
    start: int = 0
    size: int | None = None


def find_sources(root: Path, role: int, place: str) -> list[Source]:
    """The classes under `root`/`place`, sorted by wnid.

    Raises:
        InputError: missing, empty, an entry that is no wnid or a link to nothing, or a class twice.
    """
    path = root / place
    if path.is_dir():
        sources = list(_in_folder(path, role, place))
    elif path.is_file():
        sources = list(_in_tar(path, role, place))
    else:
        raise InputError(f"{path}: no such folder or tar; {EXPECTED} (params.yaml: index_images.images and .roles)")
    if not sources:
        raise InputError(f"{path}: empty; {EXPECTED}")
    sources.sort(key=lambda source: (source.wnid or "", source.container))
    for one, other in zip(sources, sources[1:], strict=False):
        if one.wnid == other.wnid:
            raise InputError(f"{path}: class {one.wnid} is there twice ({one.container}, {other.container}); keep one")
    return sources


def _in_folder(path: Path, role: int, place: str) -> Iterator[Source]:
    entries = sorted((entry for entry in os.scandir(path) if not is_junk(entry.name)), key=lambda entry: entry.name)
    if entries and all(VAL_IMAGE.fullmatch(entry.name) for entry in entries):
        yield Source(role, None, place)
        return
    for entry in entries:
        is_folder = os.path.isdir(entry.path)
        if not is_folder and not os.path.isfile(entry.path):
            raise InputError(f"{entry.path}: neither a folder nor a file (a link to nothing?); mend or remove it")
        wnid = entry.name if is_folder else entry.name.removesuffix(".tar")
        if not WNID.fullmatch(wnid):
            raise InputError(f"{entry.path}: its name is no wnid (n and eight digits); {EXPECTED}")
        yield Source(role, wnid, f"{place}/{entry.name}", 0, None if is_folder else entry.stat().st_size)


def _in_tar(path: Path, role: int, place: str) -> Iterator[Source]:
    for member in tar_members(path):
        if not member.isreg() or is_junk(member.name):
            continue
        if VAL_IMAGE.fullmatch(member.name):
            yield Source(role, None, place, 0, path.stat().st_size)
            return
        name = member.name.split("/")[-1]
        wnid = name.removesuffix(".tar")
        if name == wnid or not WNID.fullmatch(wnid):
            raise InputError(f"{path}: holds {member.name!r}; expected <wnid>.tar files or ILSVRC2012_val_*.JPEG")
        yield Source(role, wnid, place, member.offset_data, member.size)


def read_ground_truth(path: Path) -> list[str]:
    """wnid of each ILSVRC2012 val image, number 1 first, from the devkit (its .tar.gz, or the unpacked folder).

    Raises:
        InputError: the devkit, or a file in it, is missing or not as expected.
    """
    try:
        numbers = _devkit_file(path, "ILSVRC2012_validation_ground_truth.txt").decode("ascii").split()
        synsets = scipy.io.loadmat(io.BytesIO(_devkit_file(path, "meta.mat")), squeeze_me=True)["synsets"]
        wnid_of = {int(number): str(wnid) for number, wnid in zip(np.atleast_1d(synsets["ILSVRC2012_ID"]),
                                                                  np.atleast_1d(synsets["WNID"]), strict=True)}
        return [wnid_of[int(number)] for number in numbers]
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read as ILSVRC2012's devkit ({type(error).__name__}: {error}); expected "
                         "ILSVRC2012_devkit_t12.tar.gz or the folder that it unpacks to") from None


def _devkit_file(path: Path, name: str) -> bytes:
    if path.is_dir():
        for found in sorted(path.rglob(name)):
            return found.read_bytes()
    else:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                if member.isreg() and member.name.split("/")[-1] == name:
                    return archive.extractfile(member).read()
    raise InputError(f"{path}: holds no {name}; expected ILSVRC2012_devkit_t12.tar.gz or the folder that it unpacks to")


def val_wnids(names: list[bytes], ground_truth: list[str], where: Path) -> list[str]:
    """Class of each numbered val image.

    Raises:
        InputError: a name without number, or a number beyond the ground truth.
    """
    wnids = []
    for name in names:
        match = VAL_IMAGE.fullmatch(os.fsdecode(name))
        number = int(match[1]) if match else 0
        if not 1 <= number <= len(ground_truth):
            raise InputError(f"{where}: holds {os.fsdecode(name)!r}; expected ILSVRC2012_val_<number>.JPEG, "
                             f"numbers 1 to {len(ground_truth)}")
        wnids.append(ground_truth[number - 1])
    return wnids
