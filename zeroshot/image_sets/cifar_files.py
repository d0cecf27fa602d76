"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as published: archives or unpacked folders, of the python or binary version.

Archives are read in place, member by member from front to back; nothing is extracted. The python version's pickles go
through zeroshot.base.pickles. A part (train or test) of 50,000 images is 150 MB and is held in memory as a whole.
"""

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Int64, UInt8

from zeroshot.base.pickles import ArraysOnly, NotLetIn
from zeroshot.base.signatures import HEAD, said_of
from zeroshot.console.errors import InputError, quoted

SIDE = 32
BYTES = 3 * SIDE * SIDE  # of an image: its red, then its green, then its blue plane, row by row
LARGEST = 1 << 28  # bytes of a member; the largest is 155 MB
PIECE = 1 << 20


@dataclass(frozen=True)
class Version:
    """One published form of a data set.

    Attributes:
        folder: what it unpacks to; its archive is `archive`.
        md5: of the published archive.
        names: the file that names the labels.
        batches: part -> its files, in order.
        label: pickles: the key of the labels; binary: bytes before an image, the last of them its label.
    """

    folder: str
    archive: str
    md5: str
    names: str
    batches: Mapping[str, tuple[str, ...]]
    label: str | int

    @property
    def pickled(self) -> bool:
        return isinstance(self.label, str)

    @property
    def files(self) -> tuple[str, ...]:
        return (self.names, *(name for names in self.batches.values() for name in names))


FIVE = range(1, 6)
VERSIONS = {
    "cifar-100": (
        Version("cifar-100-python", "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", "meta",
                {"train": ("train",), "test": ("test",)}, "fine_labels"),
        Version("cifar-100-binary", "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8",
                "fine_label_names.txt", {"train": ("train.bin",), "test": ("test.bin",)}, 2)),
    "cifar-10": (
        Version("cifar-10-batches-py", "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", "batches.meta",
                {"train": tuple(f"data_batch_{number}" for number in FIVE), "test": ("test_batch",)}, "labels"),
        Version("cifar-10-batches-bin", "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530",
                "batches.meta.txt", {"train": tuple(f"data_batch_{number}.bin" for number in FIVE),
                                     "test": ("test_batch.bin",)}, 1))}
NAME_KEYS = {"cifar-100": "fine_label_names", "cifar-10": "label_names"}
MD5S = {  # of the unpacked files of the python versions
    "cifar-100-python/meta": "7973b15100ade9c7d40fb424638fde48",
    "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
    "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
    "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
    "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e"}
AGAIN = "fetch it again"
ANY_MD5 = "or set `index_images.cifar.md5` to any if this is another edition that you trust"


@dataclass(frozen=True)
class Part:
    """Some images of a data set as they are stored, labels that count `names`, and where they were found."""

    names: list[str]
    labels: Int64[np.ndarray, "images"]
    stored: UInt8[np.ndarray, "images 3072"]
    where: str


def find_version(root: Path, dataset: str) -> tuple[Version, Path]:
    """The one version of `dataset` below `root`, and its archive (which goes before a folder beside it) or folder.

    Raises:
        InputError: none, or both the python and the binary version.
    """
    found = [(version, path) for version in VERSIONS[dataset] if (path := place_of(root, version))]
    if len(found) > 1:
        raise InputError(f"{root}: holds both {found[0][1].name} and {found[1][1].name}, the same images twice; keep "
                         "one of them here")
    if not found:
        raise InputError(missing(root, dataset))
    return found[0]


def place_of(root: Path, version: Version) -> Path | None:
    """Its archive, packed or gunzipped, else its folder; None where there is none of them."""
    archive = version.archive
    for name in (archive, archive.removesuffix(".gz"), version.folder):
        if (root / name).exists():
            return root / name
    return None


def missing(root: Path, dataset: str) -> str:
    """What to put where, in a line."""
    python, binary = VERSIONS[dataset]
    return (f"{root}: holds no {dataset.upper()}; put {python.archive} there (from https://www.cs.toronto.edu/~kriz/"
            f"cifar.html), or {binary.archive}, or what either unpacks to ({python.folder}, {binary.folder}); "
            "index_images.images says where this is, and `index_images.cifar.fetch: true` downloads it")


def read_part(root: Path, dataset: str, part: str, *, published: bool) -> Part:
    """The images of a part.

    Args:
        part: train or test.
        published: whether MD5 sums must be the published ones.

    Raises:
        InputError: not there, another MD5 sum, cut short, damaged, a file missing, or another content than published.
    """
    version, path = find_version(root, dataset)
    wanted = (version.names, *version.batches[part])
    files = _read_folder(path, wanted, published) if path.is_dir() else _read_archive(path, version, wanted, published)
    inside = path if path.is_dir() else path / version.folder
    names = _names(files[version.names], version, dataset, inside / version.names)
    read = _from_pickle if version.pickled else _from_binary
    batches = [read(files.pop(name), version, inside / name) for name in version.batches[part]]
    for name, (labels, _) in zip(version.batches[part], batches, strict=True):
        _check_labels(labels, names, inside / name, version.names)
    return Part(names, np.concatenate([np.array(labels, np.int64) for labels, _ in batches]),
                np.concatenate([stored for _, stored in batches]), f"{path.name}, {part}")


# --- bytes of files

def _read_folder(folder: Path, wanted: tuple[str, ...], published: bool) -> dict[str, bytes]:
    return {name: _read_file(folder / name, published) for name in wanted}


def _read_file(path: Path, published: bool) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({(error.strerror or 'no file').lower()}); unpack the archive again, "
                         "or put the archive itself beside this folder") from None
    if published:
        _check_file(path, data)
    return data


def _check_file(path: Path, data: bytes) -> None:
    """Of the binary versions only the archives have published sums."""
    key = f"{path.parent.name}/{path.name}"
    if key in MD5S:
        _check_md5(path, hashlib.md5(data, usedforsecurity=False).hexdigest(), MD5S[key])


def _read_archive(path: Path, version: Version, wanted: tuple[str, ...], published: bool) -> dict[str, bytes]:
    """The wanted files; the archive is read to its end, where gzip keeps a checksum.

    Whatever its name says: browsers unpack .tar.gz and leave the name.
    """
    head = b""
    try:
        with open(path, "rb") as file:
            packed = (head := file.read(HEAD)).startswith(b"\x1f\x8b")
            file.seek(0)
            if published and packed:
                _check_md5(path, hashlib.file_digest(file, "md5").hexdigest(), version.md5)
        with gzip.open(path) if packed else open(path, "rb") as stream:
            found = dict(_members(path, stream, {f"{version.folder}/{name}": name for name in wanted}))
            while stream.read(PIECE):
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: truncated or damaged archive ({type(error).__name__}; found {said_of(head)}); "
                         f"{AGAIN}") from None
    if published and not packed:
        for name, data in found.items():
            _check_file(path / version.folder / name, data)
    if lacking := [name for name in wanted if name not in found]:
        raise InputError(f"{path}: holds no {version.folder}/{lacking[0]}; expected {', '.join(version.files)}; "
                         f"{AGAIN}")
    return found


def _members(path: Path, stream: IO[bytes], wanted: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            archive.members.clear()  # or it would keep them all
            name = wanted.get(member.name.removeprefix("./"))
            if name is None:
                continue
            if not member.isreg() or not 0 <= member.size <= LARGEST:
                raise InputError(f"{path}: {quoted(member.name)} is no plain file of at most {LARGEST:,} bytes; "
                                 f"{AGAIN}")
            data = archive.extractfile(member).read()
            if len(data) < member.size:
                raise InputError(f"{path}: truncated in {quoted(member.name)}; {AGAIN}")
            yield name, data


def _check_md5(path: Path, found: str, published: str) -> None:
    if found != published:
        raise InputError(f"{path}: its MD5 is {found}, the published file's {published}: damaged, cut short, or not "
                         f"the original; {AGAIN}, {ANY_MD5}")


# --- what is in them

def _unpickled(data: bytes, path: Path) -> dict[str, Any]:
    try:
        found = ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a broken pickle raises nearly anything
        said = str(error) if isinstance(error, NotLetIn) else type(error).__name__
        raise InputError(f"{path}: its pickle cannot be read safely: {said}; {AGAIN}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: its pickle holds a {type(found).__name__}; expected CIFAR's dictionary; {AGAIN}")
    return found


def _names(data: bytes, version: Version, dataset: str, path: Path) -> list[str]:
    if version.pickled:
        names = _unpickled(data, path).get(NAME_KEYS[dataset])
    else:
        names = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{path}: names no labels; expected those of {dataset.upper()} in their order; {AGAIN}")
    if len(set(names)) < len(names):
        raise InputError(f"{path}: names a label twice; {AGAIN}")
    return names


def _from_pickle(data: bytes, version: Version, path: Path) -> tuple[list[int], np.ndarray]:
    found = _unpickled(data, path)
    stored, labels = found.get("data"), found.get(version.label)
    if not isinstance(stored, np.ndarray) or stored.dtype != np.uint8 or stored.ndim != 2 or not len(stored):
        shape = f"{stored.dtype} {list(stored.shape)}" if isinstance(stored, np.ndarray) else "missing or no array"
        raise InputError(f"{path}: its `data` is {shape}; expected uint8 [images, {BYTES}]; {AGAIN}")
    if stored.shape[1] != BYTES:
        raise InputError(f"{path}: its images have {stored.shape[1]:,} bytes; expected {BYTES:,}, which are "
                         f"{SIDE}x{SIDE} pixels in three colours; read others with `index_images.source: folders`")
    if fault := _label_fault(labels, len(stored)):
        raise InputError(f"{path}: its `{version.label}` {fault}; expected a list of {len(stored):,} whole numbers, "
                         f"one an image; {AGAIN}")
    return labels, stored


def _label_fault(labels: Any, images: int) -> str | None:
    """What is wrong with a batch's labels as its pickle has them."""
    if labels is None:
        return "are missing"
    if not isinstance(labels, list):
        return f"are a {type(labels).__name__}"
    if len(labels) != images:
        return f"are {len(labels):,}"
    odd = next((row for row, label in enumerate(labels) if type(label) is not int), None)
    return None if odd is None else f"hold a {type(labels[odd]).__name__}, of image {odd:,}"


def _from_binary(data: bytes, version: Version, path: Path) -> tuple[list[int], np.ndarray]:
    row = version.label + BYTES
    if not data or len(data) % row:
        raise InputError(f"{path}: has {len(data):,} bytes; expected a multiple of {row:,}, a label and an image of "
                         f"{SIDE}x{SIDE} pixels in three colours each; cut short, or images of another size; {AGAIN}")
    rows = np.frombuffer(data, np.uint8).reshape(-1, row)
    return rows[:, version.label - 1].tolist(), rows[:, version.label:]


def _check_labels(labels: list[int], names: list[str], path: Path, names_file: str) -> None:
    for row, label in enumerate(labels):
        if not 0 <= label < len(names):
            said = label if abs(label) < 10**9 else "a huge number"
            raise InputError(f"{path}: the label of image {row:,} is {said}; expected 0 to {len(names) - 1}, "
                             f"for {names_file} has {len(names)} names; {AGAIN}")
