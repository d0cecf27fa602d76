"""Rankings of the test images by one model, for every label set that has test images and candidates.

A sealed artifact data/rankings/<model>.safetensors. Labels are indices into meta["wnids"], the union of all sets.

    <set>/row       int64 [images]      rows of the image index, ascending
    <set>/true      int32 [images]      true label
    <set>/top       int32 [images, 20]  first labels, best first; -1 where the set has fewer candidates
    <set>/rank      int32 [images]      the true label's rank, from 1; 0 if it is no candidate
    <set>/val_rank  int32 [val images]  `+seen` sets only: rank of the images of `seen/row` among these candidates

`seen` is tested on the validation images of its classes, any other set on the unseen classes' images whose
wnid is in it without `+seen`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError

ROWS = 1 << 17  # images read at a time


def all_labels(label_sets: Mapping[str, list[str]]) -> list[str]:
    """Sorted wnids of all sets: what label numbers count."""
    return sorted(set().union(*label_sets.values()))


def memberships(label_sets: Mapping[str, list[str]]) -> dict[str, np.ndarray]:
    """Set name -> bool [labels]."""
    labels = np.array(all_labels(label_sets))
    return {name: np.isin(labels, wnids) for name, wnids in label_sets.items()}


def digest(wnids: list[str]) -> str:
    """What identifies a label set."""
    return hashlib.sha256("\n".join(wnids).encode()).hexdigest()


class Rankings:
    """Reader of one model's rankings.

    Attributes:
        model, wnids, counts: as written.
        names: label sets that are in it.
        about: set name -> {"labels", "candidates", "images"}, of all sets.

    Raises:
        InputError: missing, damaged, another kind of artifact, or made for label sets other than `label_sets`.
    """

    def __init__(self, path: Path, label_sets: Mapping[str, list[str]]):
        self._artifact = artifact = Artifact(path)
        if "label_sets" not in artifact.meta or "model" not in artifact.meta:
            raise InputError(f"{path}: holds {', '.join(artifact.names())}; expected rankings, as the rank stages "
                             "write them")
        self.model: str = artifact.meta["model"]
        self.wnids: list[str] = artifact.meta["wnids"]
        self.counts: dict[str, int] = artifact.meta["counts"]
        self.about: dict[str, dict[str, Any]] = artifact.meta["label_sets"]
        for name, wnids in label_sets.items():
            made_for = self.about.get(name, {})
            if made_for.get("digest") != digest(wnids):
                raise InputError(f"{path}: made for another label set `{name}` ({made_for.get('labels', 'no')} labels) "
                                 f"than the one given ({len(wnids)} labels); `dvc repro` ranks anew")
        self.names = [name for name in self.about if f"{name}/rank" in artifact]

    def __contains__(self, array: str) -> bool:
        return array in self._artifact

    def __getitem__(self, array: str) -> np.ndarray:
        """One whole array, "unseen/top" for example."""
        return self._artifact[array]

    def at(self, array: str, places: np.ndarray) -> np.ndarray:
        """Some rows of an array, without reading the others."""
        return np.asarray(self._artifact.memmap(array)[places])

    def chunks(self, *arrays: str) -> Iterator[tuple[np.ndarray, ...]]:
        """Some arrays of equal length side by side, a piece at a time."""
        for start in range(0, self._artifact.shape(arrays[0])[0], ROWS):
            yield tuple(self._artifact.rows(array, start, start + ROWS) for array in arrays)
