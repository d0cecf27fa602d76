"""Pictures to be named: files, folders, patterns, tars, standard input, or images that are decoded already."""

import codecs
import glob
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

from zeroshot.base.signatures import HEAD, is_image, is_named_image, said_of
from zeroshot.console.errors import InputError
from zeroshot.image_sets.archives import list_tar, litter
from zeroshot.images.files import ImageFiles
from zeroshot.images.index import INDEX_FILE, ImageIndex
from zeroshot.images.pixels import PackedPixels, open_pixels

URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
STDIN = "-"
Given = str | os.PathLike | bytes | IO[bytes] | Image.Image | np.ndarray
_ONE = (str, os.PathLike, bytes, Image.Image, np.ndarray)


class Row(NamedTuple):
    """An image of an image index; `seal`: the index's checksum."""

    images: PackedPixels | ImageFiles
    row: int
    seal: str


class Picture(NamedTuple):
    """One picture that is to be read, or why it cannot be.

    Attributes:
        name: path, or path of a tar, slash and name in it; "picture 1" of one that has none.
        content: the file; the tar; a row of an index; the file's bytes; or an image.
        offset, size: of its bytes in a tar.
        fault: why it cannot be read; "" if that is not known to be so.
    """

    name: str
    content: Given | Row | None = None
    offset: int = -1
    size: int = 0
    fault: str = ""


def find_pictures(given: Given | Iterable[Given], images: Path | None = None) -> list[Picture]:
    """All pictures that are meant, in the order given; those of a folder or pattern by name, of a tar as they lie.

    Args:
        given: one or several: paths of files, of folders (at any depth), of tars, of the pipeline's image index
            (data/index); patterns (`*`, `?`, `[`, `**`); "-" for standard input, an image or a list of paths, one a
            line; a file's bytes, or a file that is open; PIL images; uint8 arrays [height, width] or [height, width,
            1, 3 or 4].
        images: where an index's image files lie; None: where params.yaml says.

    Raises:
        InputError: an address, or what is nothing of these. What cannot be found or read is among the pictures, with
            its fault.
    """
    if _is_one(given):
        several = [given]
    elif isinstance(given, Iterable) and not isinstance(given, (bytearray, memoryview)):
        several = list(given)
    else:
        raise _unknown(1, given)
    pictures: list[Picture] = []
    for number, one in enumerate(several, 1):
        if isinstance(one, (str, os.PathLike)):
            pictures += _at(os.fspath(one), images)
        elif hasattr(one, "read"):
            pictures.append(_of_file(one, number))
        elif isinstance(one, (bytes, Image.Image)):
            pictures.append(Picture(f"picture {number}", one))
        elif hasattr(one, "__array__"):
            pictures.append(Picture(f"picture {number}", _checked(_array(one, number), number)))
        else:
            raise _unknown(number, one)
    return pictures


def _is_one(given) -> bool:
    """Not several: an array of any library is one picture, but for columns of paths."""
    if isinstance(given, np.ndarray):
        return given.ndim != 1 or given.dtype.kind not in "UO"
    return isinstance(given, _ONE) or hasattr(given, "read") or (
        hasattr(given, "__array__") and getattr(given, "ndim", 2) > 1)


def _of_file(file: IO[bytes], number: int) -> Picture:
    try:
        content = file.read()
    except (OSError, ValueError) as error:  # it is closed, or open to be written
        return Picture(f"picture {number}", fault=f"a file that cannot be read: {error}")
    if isinstance(content, bytes):
        return Picture(f"picture {number}", content)
    raise InputError(f"picture {number} is a file that was opened as text; open it with \"rb\"")


def _unknown(number: int, given) -> InputError:
    return InputError(f"picture {number} is a {type(given).__name__}; expected a path, bytes, a file opened with "
                      "\"rb\", a PIL image or a uint8 array")


def _array(given, number: int) -> np.ndarray:
    """Of any library's array; one on a GPU, say, gives none."""
    try:
        return np.asarray(given)
    except Exception as error:  # of that library
        raise InputError(f"picture {number} is a {type(given).__name__} that gives no array: {error}") from None


def _checked(pixels: np.ndarray, number: int) -> np.ndarray:
    fits = pixels.ndim == 2 or pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4)
    if pixels.dtype != np.uint8 or not fits or 0 in pixels.shape:
        raise InputError(f"picture {number} is an array of {pixels.dtype} {list(pixels.shape)}; expected uint8 "
                         "[height, width] or [height, width, 1, 3 or 4], values 0 to 255")
    return pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _at(path: str, images: Path | None) -> list[Picture]:
    if path == STDIN:
        return _of_stdin(sys.stdin.buffer.read() if sys.stdin else b"", images)  # there is none where it was closed
    if URL.match(path):
        raise InputError(f"{path}: addresses are not fetched; download the picture and give its path")
    if os.path.isfile(os.path.join(path, INDEX_FILE)):
        return _of_index(Path(path), images)
    if os.path.isdir(path):
        found = list(_below(path))
        return found or [Picture(path, fault=f"a folder without pictures{_but_tars(path)}")]
    if os.path.isfile(path):
        return _in_tar(path) if _is_tar(path) else [Picture(path, path)]
    if os.path.exists(path):
        return [_of_pipe(path)]
    if glob.has_magic(path):
        found = [picture for match in _matches(path) for picture in _at(match, images)]
        return found or [Picture(path, fault="a pattern that nothing fits")]
    return _member(path) or [Picture(path, fault="no such file or folder")]


def _member(path: str) -> list[Picture]:
    """The picture of a tar that is called so, as all that is said of it calls it: tar, slash, and name in it."""
    tar = next((str(above) for above in Path(path).parents if above.is_file()), None)
    return [picture for picture in _in_tar(tar) if picture.name == path] if tar and _is_tar(tar) else []


def _of_stdin(content: bytes, images: Path | None) -> list[Picture]:
    if is_image(content[:HEAD]):
        return [Picture("standard input", content)]
    names = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    lines = [os.fsdecode(name.removesuffix(b"\r")) for name in names if name.strip()]
    if not lines or STDIN in lines or b"\0" in content[:HEAD] or not (_is_utf8(content) or os.path.lexists(lines[0])):
        return [Picture("standard input", fault=f"{said_of(content[:HEAD])}; expected an image, or paths, one a line")]
    return [picture for line in lines for picture in _at(line, images)]


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _matches(pattern: str) -> list[str]:
    """What a pattern fits, by name; of `**` no folders, and each file once, by its shortest path of several."""
    found = sorted(glob.glob(pattern, recursive=True))
    if "**" not in pattern:
        return found
    once: dict[tuple[str, str], str] = {}
    for match in sorted(found, key=len):
        folder, name = os.path.split(match)
        if not os.path.isdir(match):
            once.setdefault((os.path.realpath(folder), name), match)
    return sorted(once.values())


def _of_pipe(path: str) -> Picture:
    """What can be read but once, and so is read now; of devices, which may have no end, nothing."""
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            return Picture(path, Path(path).read_bytes())
    except OSError as error:
        return Picture(path, fault=(error.strerror or "cannot be read").lower())
    return Picture(path, fault="no file, but a device or a socket")


def _of_index(folder: Path, images: Path | None) -> list[Picture]:
    """The images of an index, named by file, or by row and class where the index holds them itself."""
    index = ImageIndex.read(folder)
    if not index.packed and images is None:
        images = _images_in_params(folder)
    reader = open_pixels(folder, images or folder)
    return [Picture(f"{folder} row {row} ({index.wnids[index.labels[row]]})" if index.packed else reader.where(row),
                    Row(reader, row, index.sha256)) for row in range(len(index))]


def _images_in_params(folder: Path) -> Path:
    from zeroshot.base.params import read_yaml  # pydantic, which nothing else here needs

    try:
        return Path(read_yaml(Path("params.yaml"))["index_images"]["images"])
    except (InputError, KeyError, TypeError):
        raise InputError(f"{folder}: an index of image files, of which nothing here says where they lie; give their "
                         "folder (--images), or start in the project's folder") from None


def _below(folder: str) -> Iterator[Picture]:
    """Pictures at any depth, by name; links to folders are not followed, the systems' own folders left out.

    So are pipes and devices, which would be waited for without end.
    """
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not litter(f"{name}/x"))
        inside = os.path.join(parent, "")
        for name in sorted(files):
            path = inside + name
            if not litter(name) and _ends(path) and (is_named_image(name) or _begins_as_image(path)):
                yield Picture(path, path)


def _ends(path: str) -> bool:
    return os.path.isfile(path) or not os.path.exists(path)  # a link to nothing is to be told of


def _but_tars(folder: str) -> str:
    """What to say of tars in a folder, which are not looked for there."""
    tars = [os.path.join(parent, name) for parent, _, files in os.walk(folder) for name in files
            if name.lower().endswith(".tar")]
    return f", but with {len(tars)} tar{'s' * (len(tars) > 1)}; name tars themselves: {min(tars)}" if tars else ""


def _begins_as_image(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return is_image(file.read(HEAD))
    except OSError:
        return False


def _is_tar(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return said_of(head) == "tar file" or path.lower().endswith((".tar", ".tar.gz", ".tgz")) and not is_image(head)


def _in_tar(path: str) -> list[Picture]:
    try:
        listing = list_tar(Path(path))
    except InputError as error:
        return [Picture(path, fault=str(error).removeprefix(f"{path}: "))]
    found = [Picture(f"{path}/{os.fsdecode(name)}", path, int(offset), int(size))
             for name, offset, size in zip(listing.names, listing.offsets, listing.sizes, strict=True)]
    found += [Picture(f"{path}/{os.fsdecode(name)}", fault=reason) for name, reason in listing.lost]
    return found or [Picture(path, fault="a tar without pictures")]
