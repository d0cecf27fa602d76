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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeroshot.base.artifacts import Artifact, ArtifactWriter
from zeroshot.base.errors import InputError
from zeroshot.base.progress import progress
from zeroshot.images import UNSEEN, VAL, ImageIndex
from zeroshot.label_sets import PLUS_SEEN
from zeroshot.ranking import CHUNK, TOP, Layout, rank_chunk

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


def write_rankings(out: Path, source: Artifact, array: str, score: Callable[[Tensor], Tensor], layout: Layout, *,
                   index: ImageIndex, label_sets: Mapping[str, list[str]], model: str,
                   counts: Mapping[str, int], made_from: Mapping[str, str]) -> None:
    """Rank the test images of `source` and write the artifact, in constant memory.

    Args:
        source: holds `array` float [test images, width] and `row`, their rows of the image index, ascending.
        score: rows of `array` [images, width] -> scores [slots, images].
        counts: what the model left out, to be published beside its metrics.
        made_from: seals of the inputs.

    Raises:
        InputError: made from another index, or values that are no finite numbers.
    """
    if source.meta.get("index", index.sha256) != index.sha256:
        raise InputError(f"{source.path}: made from another image index than the one given; `dvc repro`")
    labels = all_labels(label_sets)
    if not layout.atoms:
        raise InputError(f"{source.path}: no label of any label set can be scored by `{model}`; expected at least one "
                         "with a vector or a softmax output")
    asked = _asked(index, label_sets, layout)
    images = _count_images(source, index, asked)
    names = [name for name in asked if images[name]]
    meta = {"model": model, "wnids": labels, "counts": dict(counts), "made_from": dict(made_from), "label_sets": {
        name: {"digest": digest(wnids), "labels": len(wnids), "candidates": layout.candidates[name],
               "images": images.get(name, 0)} for name, wnids in label_sets.items()}}
    number = {wnid: label for label, wnid in enumerate(labels)}
    label_of = np.array([number.get(wnid, -1) for wnid in index.wnids], np.int64)
    done = dict.fromkeys(asked, 0)
    with ArtifactWriter(out, meta, _shapes(names, images)) as writer:
        for rows, scores in _chunks(source, array, score, layout):
            true = label_of[index.labels[rows]]
            ranked = rank_chunk(scores, torch.tensor(_pad(true, scores.shape[1], -1)).to(scores.device), layout)
            here = {name: asked[name][index.roles[rows], index.labels[rows]] for name in asked}
            for name in names:
                top, rank = (part.cpu().numpy()[:len(rows)] for part in ranked[name])
                picked = here[name]
                for key, values in (("row", rows), ("true", true), ("top", top), ("rank", rank)):
                    writer.write(f"{name}/{key}", done[name], values[picked])
                if name.endswith(PLUS_SEEN) and images.get("seen"):
                    writer.write(f"{name}/val_rank", done["seen"], rank[here["seen"]])
            for name in names:
                done[name] += int(here[name].sum())


def _asked(index: ImageIndex, label_sets: Mapping[str, list[str]], layout: Layout) -> dict[str, np.ndarray]:
    """Sets that have candidates -> bool [roles, classes of the index]: whose images are asked about."""
    asked = {}
    for name in label_sets:
        if layout.candidates[name]:
            asked[name] = np.zeros((3, len(index.wnids)), bool)
            base = label_sets[name.removesuffix(PLUS_SEEN)]
            asked[name][VAL if name == "seen" else UNSEEN] = np.isin(index.wnids, base)
    return asked


def _count_images(source: Artifact, index: ImageIndex, asked: Mapping[str, np.ndarray]) -> dict[str, int]:
    images = dict.fromkeys(asked, 0)
    for start in range(0, source.shape("row")[0], ROWS):
        rows = source.rows("row", start, start + ROWS)
        if rows.size and rows.max() >= len(index):
            raise InputError(f"{source.path}: row {rows.max()} is asked of an image index of {len(index)}; "
                             "it was made from another one: `dvc repro`")
        for name, wanted in asked.items():
            images[name] += int(wanted[index.roles[rows], index.labels[rows]].sum())
    return images


def _shapes(names: list[str], images: Mapping[str, int]) -> dict[str, tuple[tuple[int, ...], Any]]:
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {}
    for name in names:
        count = images[name]
        shapes |= {f"{name}/row": ((count,), np.int64), f"{name}/true": ((count,), np.int32),
                   f"{name}/top": ((count, TOP), np.int32), f"{name}/rank": ((count,), np.int32)}
        if name.endswith(PLUS_SEEN) and images.get("seen"):
            shapes[f"{name}/val_rank"] = ((images["seen"],), np.int32)
    return shapes


def _chunks(source: Artifact, array: str, score: Callable, layout: Layout) -> Iterator[tuple[np.ndarray, Tensor]]:
    """(rows of the index, scores of as many images as CHUNK says): the last chunk is filled up with zeros."""
    device = layout.slot_of.device
    size = CHUNK[device.type]
    with progress(total=source.shape(array)[0], unit="img", desc="ranking", scale=True) as bar:
        for start in range(0, source.shape(array)[0], size):
            values = source.rows(array, start, start + size).astype(np.float32)
            if not np.isfinite(values).all():
                raise InputError(f"{source.path}: `{array}` holds NaN or infinity from row {start} on; expected finite "
                                 "numbers. Did the training before it diverge?")
            yield source.rows("row", start, start + size), score(torch.tensor(_pad(values, size, 0)).to(device))
            bar.update(len(values))


def _pad(values: np.ndarray, size: int, fill: int) -> np.ndarray:
    return np.concatenate([values, np.full((size - len(values), *values.shape[1:]), fill, values.dtype)])


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

    def chunks(self, *arrays: str) -> Iterator[tuple[np.ndarray, ...]]:
        """Some arrays of equal length side by side, a piece at a time."""
        for start in range(0, self._artifact.shape(arrays[0])[0], ROWS):
            yield tuple(self._artifact.rows(array, start, start + ROWS) for array in arrays)
