"""Which class each image shows, where no folder or tar says it: tables beside the images, or the images' own names.

    ILSVRC2012_devkit_t12.tar.gz, or its folder   the numbered validation images, as ILSVRC distributes them
    LOC_val_solution.csv                          the same, as Kaggle does: ImageId,PredictionString
    val_annotations.txt                           Tiny ImageNet's val/images, or your own .txt or .tsv: name, wnid, box
    names                                         n01440764/x.JPEG, n01440764_10026_n01440764.JPEG, x_n01440764.JPEG
"""

import csv
import gzip
import io
import os
import re
import tarfile
from pathlib import Path

from zeroshot.base.lists import lines_of
from zeroshot.base.signatures import IMAGE_SUFFIXES
from zeroshot.console.errors import InputError, quoted
from zeroshot.image_sets.mat_files import read_structs
from zeroshot.taxonomy import WNID

LEADING = re.compile(r"([nN][0-9]{8})(?![0-9A-Za-z])")  # n01482330, n01482330-shark, but not n014823301
TRAILING = re.compile(r".*_([nN][0-9]{8})")
TABLES = ("val_annotations.txt", "LOC_val_solution.csv", "ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_devkit_t12")
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz or the folder that it unpacks to"


def read_truth(path: Path) -> dict[str, str]:
    """An image's name, without folder and suffix -> its wnid.

    Raises:
        InputError: missing, or not as expected; naming the line.
    """
    read = {".csv": _solution, ".txt": _annotations, ".tsv": _annotations}.get(path.suffix.lower(), _devkit)
    try:
        return read(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or type(error).__name__}); expected one of "
                         f"{', '.join(TABLES)} (params.yaml: index_images.ground_truth)") from None


def _solution(path: Path) -> dict[str, str]:
    """Kaggle's: the first wnid of each image's boxes."""
    try:
        rows = list(csv.reader(io.StringIO(_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: not a table of comma-separated values ({error})") from None
    if not rows or rows[0][:2] != ["ImageId", "PredictionString"]:
        raise InputError(f"{path}: expected Kaggle's table with the columns ImageId,PredictionString")
    return _table(path, [(number, row[0], (row[1].split() or [""])[0] if len(row) > 1 else "")
                         for number, row in enumerate(rows[1:], 2) if any(row)])


def _annotations(path: Path) -> dict[str, str]:
    """Tiny ImageNet's: name, wnid, and a box that is not read, parted by tabs (names may hold spaces then) or not."""
    lines = [(number, line.strip()) for number, line in enumerate(lines_of(_text(path)), 1)]
    fields = [(number, line.split("\t" if "\t" in line else None)) for number, line in lines if line]
    return _table(path, [(number, *[field.strip() for field in (found + ["", ""])[:2]]) for number, found in fields])


def _table(path: Path, rows: list[tuple[int, str, str]]) -> dict[str, str]:
    truth: dict[str, str] = {}
    for number, name, written in rows:
        wnid = written.lower()
        if not name or not WNID.fullmatch(wnid):
            raise InputError(f"{path}: line {number} names the image {quoted(name, 40)} and the class "
                             f"{quoted(written, 20)}; expected an image's name and a wnid (n and eight digits)")
        if truth.setdefault(stem(name), wnid) != wnid:
            raise InputError(f"{path}: line {number}: {quoted(name, 40)} is there twice, as "
                             f"{truth[stem(name)]} and {wnid}")
    if not truth:
        raise InputError(f"{path}: names no image")
    return truth


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None


def _devkit(path: Path) -> dict[str, str]:
    """ILSVRC's: a number a validation image, and what each number stands for."""
    try:
        numbers = _devkit_file(path, "ILSVRC2012_validation_ground_truth.txt").decode("ascii").split()
        synsets = read_structs(_devkit_file(path, "meta.mat"), "synsets")
        wnid_of = {int(synset["ILSVRC2012_ID"]): synset["WNID"] for synset in synsets}
        truth = {f"ILSVRC2012_val_{place:08}": wnid_of[int(number)] for place, number in enumerate(numbers, 1)}
        if not truth or not all(map(WNID.fullmatch, truth.values())):
            raise ValueError("classes that are no wnids")
        return truth
    except InputError:
        raise
    except Exception as error:  # what is decompressed and taken apart here may raise nearly anything
        what = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise InputError(f"{path}: cannot be read as ILSVRC2012's devkit ({what}); expected {DEVKIT}, or a table that "
                         "is named .csv (Kaggle's), .txt or .tsv (an image's name and its wnid a line)") from None


def _devkit_file(path: Path, name: str) -> bytes:
    if path.is_dir():
        for found in sorted(path.rglob(name)):
            return found.read_bytes()
    else:
        data = path.read_bytes()  # 2.5 MB
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data  # whole, or its checksum goes unread
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                if member.isreg() and member.name.split("/")[-1] == name:
                    return archive.extractfile(member).read()
    raise InputError(f"{path}: holds no {name}; expected {DEVKIT}")


def wnids_of(names: list[bytes], truth: dict[str, str] | None, where: Path) -> list[str]:
    """Class of each image: by `truth`, or by its own name where that is None.

    Raises:
        InputError: one of which nothing is known.
    """
    wnids = []
    for name in map(os.fsdecode, names):
        wnid = named_wnid(name) if truth is None else truth.get(stem(name))
        if wnid is None:
            known = "its name holds no wnid" if truth is None else f"the ground truth ({len(truth):,} images) lacks it"
            raise InputError(f"{where}: holds {quoted(name, 200)}, whose class is not "
                             f"known: {known}")
        wnids.append(wnid)
    return wnids


def named_wnid(name: str) -> str | None:
    """The wnid in an image's path: of its innermost folder that is one, else at its name's end or beginning."""
    *folders, _ = name.split("/")
    for folder in reversed(folders):
        if found := LEADING.match(folder):
            return found[1].lower()
    plain = stem(name)
    found = TRAILING.fullmatch(plain) or re.match(r"([nN][0-9]{8})_", plain)
    return found[1].lower() if found else None


def stem(name: str) -> str:
    """An image's name without folders and an image's suffix; other dots belong to it."""
    last = name[name.rfind("/") + 1:]
    dot = last.rfind(".")
    return last[:dot] if dot >= 0 and last[dot:].lower() in IMAGE_SUFFIXES else last
