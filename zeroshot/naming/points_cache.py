"""Pictures' points, kept for the next search: by content, and found again by size and time of the file.

    <cache>/points/<model>/<pictures>.safetensors    one file for each model and each list of pictures searched
        stamp    int64 [pictures, 2]   digest of path, place in it, size and times of change, the same if nothing
                                   changed; of what has no path, digest of its content
        content  int64 [pictures, 2]   digest of the picture's bytes
        points   float32 [pictures, dim], unit length; NaN for one that cannot be read

<cache> is $ZEROSHOT_SCRATCH, else ~/.cache/zeroshot; nothing is written anywhere else, and all of it may be removed at
any time. A picture that was moved, renamed or touched is known by its content, in whatever list it was before.
"""

import hashlib
import os
import struct
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import FileLock
from jaxtyping import Float32, Int64

from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.console.errors import InputError
from zeroshot.images.decoding import UnreadableImage
from zeroshot.naming.pictures import Picture, Row
from zeroshot.naming.reading import open_picture, read_bytes
from zeroshot.running.scratch import scratch_root

LISTS = 32  # of pictures searched, that are kept for a model; the oldest go
Digests = Int64[np.ndarray, "pictures 2"]
Place = Callable[[list[Picture]], Float32[np.ndarray, "pictures dim"]]


class PointsCache:
    """The points of one model's space.

    Attributes:
        folder: where they are kept.
    """

    def __init__(self, model: str):
        """`model`: identifies the model and its space."""
        self.folder = scratch_root() / "points" / _hex(model.encode())

    def points(self, pictures: Sequence[Picture], place: Place) -> Float32[np.ndarray, "pictures dim"]:
        """All pictures' points; those that are not known yet come from `place`, and are kept.

        Args:
            place: pictures -> their points, NaN for unreadable ones.

        Raises:
            InputError: the cache's folder cannot be made. That points cannot be kept later on is told, and the search
                goes on.
        """
        stamps = stamps_of(pictures)
        path = self.folder / f"{_hex(stamps.tobytes())}.safetensors"
        if kept := _read(path):
            return kept[2]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self._not_kept(error)}; let ZEROSHOT_SCRATCH name a folder that you may write to"
                             ) from None
        contents, points, missing = self._known(pictures, stamps)
        if len(missing):
            new = place([pictures[number] for number in missing])
            if not points.size:
                points = np.zeros((len(pictures), new.shape[1]), np.float32)
            points[missing] = new
        try:
            self._keep(path, {"stamp": stamps, "content": contents, "points": points})
        except (OSError, NotImplementedError) as error:  # a full disk, or a file system without locks
            print(self._not_kept(error), file=sys.stderr)
        return points

    def _not_kept(self, error: Exception) -> str:
        return f"{self.folder}: points cannot be kept there ({getattr(error, 'strerror', None) or error})"

    def _known(self, pictures: Sequence[Picture], stamps: Digests
               ) -> tuple[Digests, Float32[np.ndarray, "pictures dim"], np.ndarray]:
        """Contents, the points known from other lists, and which pictures have none."""
        kept = [found for path in sorted(self.folder.glob("*.safetensors")) if (found := _read(path))]
        if not kept:
            return contents_of(pictures), np.zeros((0, 0), np.float32), np.arange(len(pictures))
        old_stamps, old_contents, old_points = map(np.concatenate, zip(*kept, strict=True))
        at = _find(stamps, old_stamps)
        contents = old_contents[np.maximum(at, 0)]
        unknown = np.flatnonzero(at < 0)
        contents[unknown] = contents_of([pictures[number] for number in unknown])
        at[unknown] = _find(contents[unknown], old_contents)
        points = old_points[np.maximum(at, 0)]
        return contents, points, np.flatnonzero(at < 0)

    def _keep(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        with FileLock(self.folder.with_suffix(".lock"), fallback_to_soft=False):  # of two equal searches at once
            write_artifact(path, {}, arrays)
            for old in sorted(self.folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)[:-LISTS]:
                old.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Digests, Digests, Float32[np.ndarray, "pictures dim"]] | None:
    """What is kept; None for nothing, or for what is damaged."""
    try:
        artifact = Artifact(path)
        return artifact["stamp"], artifact["content"], artifact.memmap("points")
    except (InputError, KeyError, OSError):
        return None


def _find(wanted: Digests, known: Digests) -> np.ndarray:
    """int64 [wanted]: the row of each in `known`, -1 where it is none."""
    order = np.lexsort((known[:, 1], known[:, 0]))
    first = known[order, 0]
    at = np.searchsorted(first, wanted[:, 0]).clip(max=len(known) - 1)
    row = order[at]
    return np.where((known[row] == wanted).all(1), row, -1)


def stamps_of(pictures: Sequence[Picture]) -> Digests:
    """What tells without a look at its bytes whether a picture is the one that it was."""
    status, absolute = lru_cache(None)(_status), lru_cache(None)(_absolute)  # of a tar, of a folder once
    return _digests(_stamp(picture, status if picture.offset >= 0 else _status, absolute) for picture in pictures)


def _status(path: str) -> tuple[int, int, int]:
    """With the time of new rights, too, by which a file that could not be read may have become readable."""
    try:
        found = os.stat(path)
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns
    except OSError:
        return -1, -1, -1


def _absolute(folder: str) -> bytes:
    """Its path, with a slash at the end."""
    return os.fsencode(os.path.join(os.path.abspath(folder), ""))


def _stamp(picture: Picture, status: Callable[[str], tuple[int, int, int]], absolute: Callable[[str], bytes]) -> bytes:
    if isinstance(picture.content, Row):
        return f"{picture.content.seal} {picture.content.row}".encode()
    if isinstance(picture.content, str):
        folder, slash, file = picture.content.rpartition("/")
        return (struct.pack("5q", *status(picture.content), picture.offset, picture.size) +
                absolute(folder + slash) + os.fsencode(file))
    if picture.fault:
        return f"unreadable {picture.name} {picture.fault}".encode(errors="surrogateescape")
    return _content(picture)


def contents_of(pictures: Sequence[Picture]) -> Digests:
    """Digests of their bytes."""
    return _digests(map(_content, pictures))


def _content(picture: Picture) -> bytes:
    if isinstance(picture.content, Row) or picture.fault:
        return _stamp(picture, _status, _absolute)
    try:
        if isinstance(picture.content, (str, bytes)):
            return read_bytes(picture)
        image = open_picture(picture)
        return f"{image.size} ".encode() + image.tobytes()
    except UnreadableImage as error:
        return f"unreadable: {error}".encode()


def _digests(contents) -> Digests:
    joined = b"".join(hashlib.blake2b(content, digest_size=16).digest() for content in contents)
    return np.frombuffer(joined, np.int64).reshape(-1, 2)


def _hex(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=10).hexdigest()
