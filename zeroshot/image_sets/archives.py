"""Lists the images in a folder or a tar without unpacking it: names, offsets, sizes.

Tars are read header by header, seeking over the content; links, absolute names and names with ".." are never
followed. What is clearly no image (macOS's ._ and .DS_Store files, hidden files, texts) is ignored and counted.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from zeroshot.console.errors import InputError

NO_IMAGE_SUFFIXES = (".txt", ".xml", ".json", ".csv", ".tsv", ".md", ".html", ".db")
REMEDY = "fetch it again, and compare its size with the original's"


@dataclass(frozen=True)
class Listing:
    """Images of one container, in the order in which they lie there (tars) or sorted by name (folders).

    Attributes:
        names: paths inside the container, as the file system's bytes.
        offsets: int64, first content byte in the tar; -1 for files in a folder.
        sizes: int64, bytes.
        ignored: entries that are no images by name or kind (links, junk).
    """

    names: list[bytes]
    offsets: np.ndarray
    sizes: np.ndarray
    ignored: int


def list_tar(path: Path, start: int = 0, size: int | None = None) -> Listing:
    """List the images of the tar in bytes start..start+size-1 of `path` (all of it unless it lies inside another tar).

    Raises:
        InputError: no tar, cut short, or damaged.
    """
    names: list[bytes] = []
    offsets, sizes, ignored = [], [], 0
    for member in tar_members(path, start, size):
        if member.isdir():
            continue
        if not member.isreg() or member.issparse() or _outside(member.name) or is_junk(member.name):
            ignored += 1
            continue
        names.append(os.fsencode(member.name))
        offsets.append(member.offset_data)
        sizes.append(member.size)
    return Listing(names, np.array(offsets, np.int64), np.array(sizes, np.int64), ignored)


def tar_members(path: Path, start: int = 0, size: int | None = None) -> Iterator[tarfile.TarInfo]:
    """Yield the members of the tar in bytes start..start+size-1 of `path`, in order; only headers are read.

    Raises:
        InputError: no tar, cut short (in a member, or no end-of-archive mark), or damaged in between.
    """
    try:
        with open(path, "rb") as file:
            end = start + size if size is not None else os.fstat(file.fileno()).st_size
            file.seek(start)
            with tarfile.TarFile(fileobj=file, mode="r") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # or it would keep them all
                    if member.offset_data + (member.size if member.isreg() else 0) > end:
                        raise InputError(f"{path}: truncated tar: {member.name!r} goes beyond byte {end}; {REMEDY}")
                    yield member
                _check_end(path, file, archive.offset)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except tarfile.ReadError as error:
        raise InputError(f"{path}: {_fault(path, start, error)}; {REMEDY}") from None


def _check_end(path: Path, file: IO[bytes], offset: int) -> None:
    """tarfile ends without a word at any bad header; only a block of zeros is a proper end."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise InputError(f"{path}: truncated tar: it ends at byte {offset} without an end-of-archive mark; {REMEDY}")
    if block.strip(b"\0"):
        raise InputError(f"{path}: damaged tar: no valid member header at byte {offset}; {REMEDY}")


def _fault(path: Path, start: int, error: Exception) -> str:
    if path.stat().st_size == 0:
        return "empty file, expected a tar"
    with open(path, "rb") as file:
        file.seek(start)
        if file.read(2) == b"\x1f\x8b":
            return "gzip-compressed, expected a plain tar whose members can be read in place (gunzip it)"
    return f"not a readable tar ({error})"


def list_folder(folder: Path) -> Listing:
    """List the images at any depth below `folder`; links to files are followed, links to folders are not."""
    found, ignored = [], 0
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for name in files:
            if is_junk(name):
                ignored += 1
                continue
            path = os.path.join(parent, name)
            found.append((os.fsencode(os.path.relpath(path, folder)), _size(path)))
    found.sort()
    return Listing([name for name, _ in found], np.full(len(found), -1, np.int64),
                   np.array([size for _, size in found], np.int64), ignored)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        raise InputError(f"{path}: a link to a file that is not there; remove it or bring the file back") from None


def is_junk(name: str) -> bool:
    """Whether a path's last part says that it is no image: hidden, macOS's or Windows' litter, a text file."""
    parts = name.split("/")
    return parts[-1].startswith(".") or "__MACOSX" in parts or parts[-1].lower().endswith(NO_IMAGE_SUFFIXES)


def _outside(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")
