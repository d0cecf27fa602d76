"""Rankings of the test images by one model, for every label set that has test images and candidates.

A sealed artifact data/rankings/<model>.safetensors. Labels are indices into meta["wnids"], the union of all sets.

    <set>/row       int64 [images]      rows of the image index, ascending
    <set>/true      int32 [images]      true label
    <set>/top       int32 [images, 20]  first labels, best first; -1 where the set has fewer candidates
    <set>/rank      int32 [images]      the true label's rank, from 1; 0 if it is no candidate
    <set>/val_rank  int32 [val images]  `+seen` sets only: rank of the images of `seen/row` among these candidates

    bias            float32 [labels]    what was added to each label's score, if anything was

questions.py says which images are tested on which set.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from zeroshot.base.artifacts import Artifact, ArtifactWriter
from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import PLUS_SEEN, digest_of
from zeroshot.ranking.questions import Questions

TOP = 20  # labels kept per image and set
ROWS = 1 << 17  # images read at a time
Ranked = tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]  # rows of the index; by set their top and rank


def rankings_path(folder: Path, model: str) -> Path:
    """Where a model's rankings lie in data/rankings."""
    return folder / ("conse" if model.startswith("conse-") else ".") / f"{model}.safetensors"


def write_rankings(out: Path, meta: Mapping[str, Any], images: Mapping[str, int], ranked: Iterable[Ranked],
                   questions: Questions, bias: Float32[np.ndarray, "labels"] | None = None) -> None:
    """Write the artifact, chunk by chunk.

    Args:
        images: label set -> how many of all rows are its test images; sets without any are left out.
        ranked: the test images in the order of their rows.
        bias: see above.
    """
    done = dict.fromkeys(images, 0)
    biased = {} if bias is None else {"bias": (bias.shape, np.float32)}
    with ArtifactWriter(out, meta, _shapes(images) | biased) as writer:
        if bias is not None:
            writer.write("bias", 0, bias)
        for rows, by_set in ranked:
            true = questions.true_labels(rows)
            of_seen = questions.are_of("seen", rows)
            for name, (top, rank) in by_set.items():
                here = questions.are_of(name, rows)
                for key, column in (("row", rows), ("true", true), ("top", top), ("rank", rank)):
                    writer.write(f"{name}/{key}", done[name], column[here])
                if name.endswith(PLUS_SEEN) and "seen" in images:
                    writer.write(f"{name}/val_rank", done["seen"], rank[of_seen])
            for name in images:
                done[name] += int(questions.are_of(name, rows).sum())


def _shapes(images: Mapping[str, int]) -> dict[str, tuple[tuple[int, ...], Any]]:
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {}
    for name, count in images.items():
        shapes |= {f"{name}/row": ((count,), np.int64), f"{name}/true": ((count,), np.int32),
                   f"{name}/top": ((count, TOP), np.int32), f"{name}/rank": ((count,), np.int32)}
        if name.endswith(PLUS_SEEN) and "seen" in images:
            shapes[f"{name}/val_rank"] = ((images["seen"],), np.int32)
    return shapes


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
            if made_for.get("digest") != digest_of(wnids):
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
