"""Lists the images in a folder or a tar without unpacking it: names, offsets, sizes.

Tars are read header by header, seeking over the content; nothing is extracted, so that names are only names. An image
is what its suffix or its first bytes say is one; all else is ignored and counted by kind, as are hidden files and all
that lies in systems' own folders (Synology's @eaDir with its thumbnails, __MACOSX, #recycle, $RECYCLE.BIN). What is an
image by name but cannot be read (a link to nothing) is lost, and listed.
"""

import os
import posixpath
import stat
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from zeroshot.base.signatures import HEAD, is_image, is_named_image, kind_of, said_of
from zeroshot.console.errors import InputError, quoted

SYSTEMS_FOLDERS = ("@", "#", "$", "~", ".", "__")  # what their names begin with
PACKED = ("zip", "7-Zip", "RAR", "bzip2", "xz", "zstd", "LZ4")
REMEDY = "fetch it again, and compare its size with the original's"
RECORD = 1 << 20  # bytes of zeros that may fill up the last record; 10,240 are usual
LINKS = 40  # from one to the next, at most


@dataclass(frozen=True)
class Listing:
    """Images of one container, in the order in which they lie there (tars) or sorted by name (folders).

    Attributes:
        names: paths inside the container, as the file system's bytes.
        offsets: int64, first content byte in the tar; -1 for files in a folder.
        sizes: int64, bytes.
        ignored: kind -> how many entries are no images.
        lost: (name, reason) of images that cannot be read.
        folders: those inside the container that hold images, sorted.
    """

    names: list[bytes]
    offsets: np.ndarray
    sizes: np.ndarray
    ignored: Counter[str] = field(default_factory=Counter)
    lost: list[tuple[bytes, str]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def list_tar(path: Path, start: int = 0, size: int | None = None) -> Listing:
    """List the images of the tar in bytes start..start+size-1 of `path` (all of it unless it lies inside another tar).

    Links to images in the same tar, hard or symbolic, are images too. Of members of one name the last counts.

    Raises:
        InputError: no tar, cut short, or damaged.
    """
    found: list[tuple[str, int, int]] = []  # name, offset, size
    links: dict[int, tuple[str, str]] = {}  # place in `found` -> name, its target's
    ignored, lost = Counter(), []
    with open_container(path) as file:
        for member in tar_members(path, start, size):
            name = member.name
            if member.isdir():
                continue
            if kind := litter(name):
                ignored[kind] += 1
            elif member.issym() or member.islnk():
                links[len(found)] = name, _target(member)
                found.append((name, -1, -1))
            elif not member.isreg() or member.issparse():
                _lose(name, "no plain file, but a sparse or special one", ignored, lost)
            elif is_named_image(name) or is_image(_head(file, member.offset_data, member.size)):
                found.append((name, member.offset_data, member.size))
            else:
                ignored[_kind(name)] += 1
    if len({name.removeprefix("./") for name, _, _ in found}) < len(found):
        found, links = _newest(found, links, ignored)
    if links:
        found = _resolved(found, links, ignored, lost)
    return Listing([os.fsencode(name) for name, _, _ in found], np.array([at for _, at, _ in found], np.int64),
                   np.array([size for _, _, size in found], np.int64), ignored, lost,
                   sorted({name[:slash] for name, _, _ in found if (slash := name.rfind("/")) > 0}))


def _newest(found: list[tuple[str, int, int]], links: dict[int, tuple[str, str]], ignored: Counter[str]
            ) -> tuple[list[tuple[str, int, int]], dict[int, tuple[str, str]]]:
    """Of members of one name the last, as unpacking leaves it; the others are counted."""
    last = {name.removeprefix("./"): number for number, (name, _, _) in enumerate(found)}
    kept = sorted(last.values())
    ignored["older members of the same name"] += len(found) - len(kept)
    return [found[number] for number in kept], {place: links[number] for place, number in enumerate(kept)
                                                if number in links}


def _target(member: tarfile.TarInfo) -> str:
    """A link's: hard ones name a member, symbolic ones a path from where they lie."""
    folder = posixpath.dirname(member.name) if member.issym() else ""
    return posixpath.normpath(posixpath.join(folder, member.linkname))


def _resolved(found: list[tuple[str, int, int]], links: dict[int, tuple[str, str]], ignored: Counter[str],
              lost: list[tuple[bytes, str]]) -> list[tuple[str, int, int]]:
    place = {posixpath.normpath(name): number for number, (name, _, _) in enumerate(found)}
    kept = []
    for number, entry in enumerate(found):
        if number not in links:
            kept.append(entry)
            continue
        at: int | None = number
        for _ in range(LINKS):
            if at is None or at not in links:
                break
            at = place.get(links[at][1])
        if at is None or at in links:
            name, target = links[number]
            _lose(name, f"a link to {quoted(target, 200)}, which is no image in this tar", ignored, lost)
        else:
            kept.append((entry[0], *found[at][1:]))
    return kept


def _lose(name: str, reason: str, ignored: Counter[str], lost: list[tuple[bytes, str]]) -> None:
    if is_named_image(name):
        lost.append((os.fsencode(name), reason))
    else:
        ignored[_kind(name)] += 1


def open_container(path: Path) -> IO[bytes]:
    """Raises InputError if it cannot be opened."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None


def _head(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(min(size, HEAD))


def tar_members(path: Path, start: int = 0, size: int | None = None) -> Iterator[tarfile.TarInfo]:
    """Yield the members of the tar in bytes start..start+size-1 of `path`, in order; only headers are read.

    Raises:
        InputError: no tar, cut short (in a member, or no end-of-archive mark), or damaged in between.
    """
    try:
        with open_container(path) as file:
            end = start + size if size is not None else os.fstat(file.fileno()).st_size
            file.seek(start)
            with tarfile.TarFile(fileobj=file, mode="r") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # or it would keep them all
                    if member.size < 0 or member.offset_data + _bytes_in(member) > end:
                        raise InputError(f"{path}: truncated tar: {quoted(member.name, 200)} goes beyond byte {end}; "
                                         f"{REMEDY}")
                    yield member
                _check_end(path, file, archive.offset, end)
    except InputError:
        raise
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:  # of damaged headers, nearly anything
        raise InputError(f"{path}: {_fault(path, start, error)}") from None


def _bytes_in(member: tarfile.TarInfo) -> int:
    """How long a member's content is at least; a sparse one's size is that of the file it stands for."""
    return member.size if member.isreg() and not member.issparse() else 0


def _check_end(path: Path, file: IO[bytes], offset: int, end: int) -> None:
    """tarfile ends without a word at any bad header; only zeros up to the end of a record are a proper end.

    Where bytes are missing in between, whole members of them, the rest may still end so, but in a part of a block.
    """
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise InputError(f"{path}: truncated tar: it ends at byte {offset} without an end-of-archive mark; {REMEDY}")
    if block.strip(b"\0"):
        raise InputError(f"{path}: damaged tar: no valid member header at byte {offset}; {REMEDY}")
    if (end - offset) % tarfile.BLOCKSIZE:
        raise InputError(f"{path}: damaged tar: {end - offset:,} bytes from its end mark at byte {offset:,} on, which "
                         f"are no whole blocks of {tarfile.BLOCKSIZE}: something is missing or was put in; {REMEDY}")
    if end - offset > RECORD:
        raise InputError(f"{path}: the tar ends at byte {offset:,}, but {end - offset:,} bytes follow: another tar "
                         "behind it (joined by cat?), which must be a file of its own, or an incomplete download; "
                         f"{REMEDY}")
    if file.read(end - offset - len(block)).strip(b"\0"):
        raise InputError(f"{path}: something follows the tar's end at byte {offset:,}: another tar (joined by cat?), "
                         f"which must be a file of its own, or damage; {REMEDY}")


def _fault(path: Path, start: int, error: Exception) -> str:
    with open_container(path) as file:
        file.seek(start)
        head = file.read(HEAD)
    if not head:
        return f"empty file, expected a tar; {REMEDY}"
    kind = kind_of(head)
    if kind == "gzip":
        return "gzip-compressed, expected a plain tar whose members can be read in place; gunzip it"
    if kind in PACKED:
        return f"not a readable tar, but a {kind} file, in which images cannot be read in place; unpack it"
    found = f" ({type(error).__name__})" if kind in ("", "tar") else f", but a {said_of(head)}"
    return f"not a readable tar{found}; {REMEDY}"


def list_folder(folder: Path) -> Listing:
    """List the images at any depth below `folder`; links to files are followed.

    Raises:
        InputError: a link to a folder, which DVC does not see behind, to nothing, or what may not be read.
    """
    found: list[tuple[bytes, int]] = []
    ignored: Counter[str] = Counter()
    with_images: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        inside, before = parent[len(str(folder)):], len(found)
        if kind := litter(f"{inside.lstrip('/')}/x" if inside else "x"):
            ignored[kind] += len(files)
            continue
        for name in folders:
            if os.path.islink(path := os.path.join(parent, name)):
                raise InputError(f"{path}: a link to a folder inside a class, which DVC does not look behind; put its "
                                 "images here (hard links, `cp -al`, take no room), or remove it")
        folders.sort()
        for name in files:
            if kind := litter(name):
                ignored[kind] += 1
                continue
            path = os.path.join(parent, name)
            size = _image_size(path, name)
            if size is None:
                ignored[_kind(name)] += 1
            else:
                found.append((os.fsencode(os.path.relpath(path, folder)), size))
        if inside and len(found) > before:
            with_images.append(inside.lstrip("/"))
    found.sort()
    return Listing([name for name, _ in found], np.full(len(found), -1, np.int64),
                   np.array([size for _, size in found], np.int64), ignored, folders=sorted(with_images))


def _refuse_unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); its images would be missing")


def _image_size(path: str, name: str) -> int | None:
    """Bytes of an image file; None for what is none."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        if is_named_image(name):
            return status.st_size
        with open(path, "rb") as file:
            return status.st_size if is_image(file.read(HEAD)) else None
    except FileNotFoundError:
        raise InputError(f"{path}: a link to a file that is not there; remove it or bring the file back") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def litter(name: str) -> str:
    """Why a path is not even looked at: the system's own folder that it lies in, or "hidden files"; else ""."""
    *folders, last = name.split("/")
    for folder in folders:
        if folder.startswith(SYSTEMS_FOLDERS) and folder not in (".", ".."):
            return f"in {folder}/"
    return "hidden files" if last.startswith(".") else ""


def _kind(name: str) -> str:
    """What to count a file under that is no image."""
    suffix = posixpath.splitext(name)[1].lower()
    return f"{suffix[:20]} files" if suffix.isprintable() and len(suffix) > 1 else "files without suffix"


def in_words(ignored: Counter[str]) -> str:
    """What was passed over: "4 in @eaDir/, 3 .txt files"; most first."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(ignored.items(), key=lambda one: (-one[1], one[0])))
