"""The image index: which images there are, what each shows, where its bytes lie; and their packed pixels.

    data/index/images.safetensors   one row an image, sorted by role, wnid, container and place therein
        role       uint8 [images]   0 train, 1 val, 2 unseen
        label      int32 [images]   index into meta["wnids"], the sorted wnids of all roles
      for sets made from files also
        container  int32 [images]   index into meta["containers"]: tars or folders, relative to the images' root
        offset     int64 [images]   first byte in the tar; -1 for a file of its own in a folder
        size       int64 [images]   bytes of the image file
        names, name_end             file names end to end (uint8), and where each ends (int64 [images])
    data/index/pixels.safetensors   only where small sets are packed
        pixels     uint8 [images, height, width, 3]   RGB, row i belongs to row i of the index
    data/index/seen.txt unseen.txt  seen wnids (with training images, or listed), wnids with unseen images
    data/index/unseen_counts.txt    wnid and how many unseen images it has, a line each
    data/index/skipped.tsv          images left out: role, wnid, file, reason

No Python object is held per image: 14 M rows are some 700 MB on disk, mapped rather than loaded.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.base.files import atomic_write

ROLES = ("train", "val", "unseen")
TRAIN, VAL, UNSEEN = range(3)
INDEX_FILE, PIXELS_FILE = "images.safetensors", "pixels.safetensors"


class ImageIndex:
    """What each image shows; made by `read`.

    Attributes:
        wnids: all classes, sorted, those without images too; labels are indices into it.
        roles: uint8 [images], TRAIN, VAL or UNSEEN.
        labels: int32 [images].
        seen: sorted wnids with training images, or in the list of seen classes; a seen class's softmax output is its
            position here.
        unseen: sorted wnids with unseen images; never one of `seen`.
        packed: whether `open_pixels` gives packed pixels or image files.
        sha256: checksum of the index, which also covers packed pixels.
    """

    def __init__(self, artifact: Artifact):
        self._artifact = artifact
        self.sha256 = artifact.sha256
        self.wnids: list[str] = artifact.meta["wnids"]
        self.packed: bool = artifact.meta["pixels"] is not None
        self.roles = artifact.memmap("role")
        self.labels = artifact.memmap("label")
        self.seen = sorted({*self._wnids_of(TRAIN), *artifact.meta.get("listed", [])})
        self.unseen = self._wnids_of(UNSEEN)

    @classmethod
    def read(cls, folder: Path) -> "ImageIndex":
        """Read the index in `folder` (data/index). Raises InputError if it is missing or damaged."""
        return cls(Artifact(folder / INDEX_FILE))

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, role: int) -> np.ndarray:
        """int64 [images of that role]: row numbers, ascending (and contiguous)."""
        return np.flatnonzero(self.roles == role)

    def test_rows(self) -> np.ndarray:
        """int64 [test images]: the validation images' rows, then the unseen classes'."""
        return np.concatenate([self.rows(VAL), self.rows(UNSEEN)])

    def numbered(self, wnids: Sequence[str], rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """int64 [rows]: the place of each row's class in `wnids`, -1 where it is not among them.

        Every other numbering of classes is made by this one: softmax outputs count `seen`, DeViSE's targets the seen
        labels that have a vector, rankings the labels of all label sets.
        """
        return self.classes_numbered(wnids)[self.labels[rows]]

    def classes_numbered(self, wnids: Sequence[str]) -> np.ndarray:
        """int64 [classes]: the same of each class, for whoever asks for rows again and again."""
        place = {wnid: number for number, wnid in enumerate(wnids)}
        return np.array([place.get(wnid, -1) for wnid in self.wnids], np.int64)

    def val_also_train(self) -> int:
        """How many validation images are training images too, as where one folder serves both roles."""
        if "container" not in self._artifact:
            return 0
        container, offset = self._artifact.memmap("container"), self._artifact.memmap("offset")
        train, val = map(self.rows, (TRAIN, VAL))
        shared = np.intersect1d(np.unique(container[train]), np.unique(container[val]))
        if not len(shared):  # as nearly always
            return 0
        span = int(offset.max(initial=0)) + 2
        # A folder's files all have offset -1: where it serves both roles, every one of them does.
        train, val = (container[rows].astype(np.int64) * span + offset[rows]
                      for rows in (train[np.isin(container[train], shared)], val))
        return int(np.isin(val, train).sum())

    def _wnids_of(self, role: int) -> list[str]:
        return [self.wnids[label] for label in np.unique(self.labels[self.rows(role)])]


def write_index(folder: Path, wnids: list[str], arrays: Mapping[str, np.ndarray], *, pixels: str | None,
                containers: list[str], made_from: Mapping[str, Any], listed: Sequence[str] = ()) -> None:
    """Write images.safetensors, seen.txt, unseen.txt and unseen_counts.txt; see this module's docstring for `arrays`.

    Args:
        pixels: checksum of pixels.safetensors, or None where the images stay in their files.
        made_from: settings to keep in the meta, for whoever finds the file.
        listed: classes that are seen, with training images or without; all in `wnids`.
    """
    write_artifact(folder / INDEX_FILE, {"wnids": wnids, "pixels": pixels, "containers": containers,
                                         "listed": sorted(listed), "made_from": dict(made_from)}, arrays)
    for name, role, others in (("seen.txt", TRAIN, listed), ("unseen.txt", UNSEEN, ())):
        labels = np.unique(arrays["label"][arrays["role"] == role])
        with atomic_write(folder / name) as file:
            file.writelines(wnid + "\n" for wnid in sorted({*(wnids[label] for label in labels), *others}))
    labels, images = np.unique(arrays["label"][arrays["role"] == UNSEEN], return_counts=True)
    with atomic_write(folder / "unseen_counts.txt") as file:
        file.writelines(f"{wnids[label]} {count}\n" for label, count in zip(labels, images, strict=True))
