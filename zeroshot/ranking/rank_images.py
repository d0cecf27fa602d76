"""Rank the test images by one model in every label set, and write it down: rankings.py says in what form."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from zeroshot.base.artifacts import Artifact, ArtifactWriter
from zeroshot.base.processes import gather_to_first, rank_and_size
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.images.index import UNSEEN, VAL, ImageIndex
from zeroshot.labels.label_sets import PLUS_SEEN
from zeroshot.ranking.first_labels import CHUNK, TOP, Layout, rank_chunk
from zeroshot.ranking.rankings import ROWS, all_labels, digest


class ImageValues(NamedTuple):
    """What a model goes by: some numbers of each test image.

    Attributes:
        source: the file, for messages, and the index that it was made from.
        array: name of float [images, width].
        rows: int64 [test images], rows of the image index, ascending.
        first: row of `array` that belongs to rows[0]; the others follow.
    """

    source: Artifact
    array: str
    rows: Int[np.ndarray, "images"]
    first: int = 0

    @classmethod
    def beside_rows(cls, source: Artifact, array: str) -> "ImageValues":
        """`array` holds test images alone, and `row` their rows."""
        return cls(source, array, source.memmap("row"))

    @classmethod
    def of_all(cls, source: Artifact, array: str, index: ImageIndex) -> "ImageValues":
        """`array` holds every image of the index, in its order: training images come first."""
        rows = np.concatenate([index.rows(VAL), index.rows(UNSEEN)])
        return cls(source, array, rows, int(rows[0]) if len(rows) else 0)

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "some width"]:
        """Test images start..stop-1. Raises InputError if a number is not finite."""
        values = self.source.rows(self.array, self.first + start, self.first + min(stop, len(self.rows)))
        values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise InputError(f"{self.source.path}: `{self.array}` holds NaN or infinity from row {self.first + start} "
                             "on; expected finite numbers. Did the training before it diverge?")
        return values


def write_rankings(out: Path, values: ImageValues, score: Callable[[Tensor], Tensor], layout: Layout, *,
                   index: ImageIndex, label_sets: Mapping[str, list[str]], counts: Mapping[str, int],
                   made_from: Mapping[str, str]) -> None:
    """Rank the test images and write the artifact, in constant memory; the model is named as the file.

    Processes that torchrun started share the images out; the file is the same to the bit.

    Args:
        score: values [images, width] -> scores [slots, images].
        counts: what the model left out, to be published beside its metrics.
        made_from: seals of the inputs; the values' own is added.

    Raises:
        InputError: made from another index, or values that are no finite numbers.
    """
    source, model = values.source, out.stem
    if source.meta.get("index", index.sha256) != index.sha256:
        raise InputError(f"{source.path}: made from another image index than the one given; `dvc repro`")
    if len(values.rows) and values.rows.max() >= len(index):
        raise InputError(f"{source.path}: row {values.rows.max()} is asked of an image index of {len(index)}; "
                         "it was made from another one: `dvc repro`")
    labels = all_labels(label_sets)
    if not layout.atoms:
        raise InputError(f"{source.path}: no label of any label set can be scored by `{model}`; expected at least one "
                         "with a vector or a softmax output")
    asked = _asked(index, label_sets, layout)
    images = _count_images(values.rows, index, asked)
    in_some_set = _count_images(values.rows, index, {"": np.any(list(_wanted(index, label_sets).values()), axis=0)})[""]
    names = [name for name in asked if images[name]]
    meta = {"model": model, "wnids": labels,
            "counts": {**counts, "images_in_no_label_set": len(values.rows) - in_some_set,
                       "val_images_also_train": index.val_also_train()},
            "made_from": {values.array: source.sha256, "index": index.sha256, **made_from},
            "label_sets": {name: {"digest": digest(wnids), "labels": len(wnids),
                                  "candidates": layout.candidates[name], "images": images.get(name, 0)}
                           for name, wnids in label_sets.items()}}
    number = {wnid: label for label, wnid in enumerate(labels)}
    label_of = np.array([number.get(wnid, -1) for wnid in index.wnids], np.int64)
    done = dict.fromkeys(asked, 0)
    chunks = _ranked(values, score, layout, names, lambda rows: label_of[index.labels[rows]])
    if rank_and_size()[0]:
        for _ in chunks:
            pass
        return
    with ArtifactWriter(out, meta, _shapes(names, images)) as writer:
        for rows, ranked in chunks:
            true = label_of[index.labels[rows]]
            here = {name: asked[name][index.roles[rows], index.labels[rows]] for name in asked}
            for name, (top, rank) in zip(names, ranked, strict=True):
                picked = here[name]
                for key, column in (("row", rows), ("true", true), ("top", top), ("rank", rank)):
                    writer.write(f"{name}/{key}", done[name], column[picked])
                if name.endswith(PLUS_SEEN) and images.get("seen"):
                    writer.write(f"{name}/val_rank", done["seen"], rank[here["seen"]])
            for name in names:
                done[name] += int(here[name].sum())


def _asked(index: ImageIndex, label_sets: Mapping[str, list[str]], layout: Layout) -> dict[str, np.ndarray]:
    """As `_wanted`, for the sets that have candidates."""
    return {name: wanted for name, wanted in _wanted(index, label_sets).items() if layout.candidates[name]}


def _wanted(index: ImageIndex, label_sets: Mapping[str, list[str]]) -> dict[str, np.ndarray]:
    """Set -> bool [roles, classes of the index]: whose images are asked about."""
    wanted = {}
    for name in label_sets:
        wanted[name] = np.zeros((3, len(index.wnids)), bool)
        base = label_sets[name.removesuffix(PLUS_SEEN)]
        wanted[name][VAL if name == "seen" else UNSEEN] = np.isin(index.wnids, base)
    return wanted


def _count_images(rows: Int[np.ndarray, "images"], index: ImageIndex, asked: Mapping[str, np.ndarray]
                  ) -> dict[str, int]:
    images = dict.fromkeys(asked, 0)
    for start in range(0, len(rows), ROWS):
        some = rows[start:start + ROWS]
        for name, wanted in asked.items():
            images[name] += int(wanted[index.roles[some], index.labels[some]].sum())
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


def _ranked(values: ImageValues, score: Callable, layout: Layout, names: list[str], label_of_rows: Callable
            ) -> Iterator[tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]]:
    """(rows of the index, top and rank of each set), as many images at a time as CHUNK says, in order.

    In each round every process takes one chunk, the last filled up with zeros; only the first process gets results.
    """
    device, (rank, size), count = layout.slot_of.device, rank_and_size(), len(values.rows)
    chunk = CHUNK[device.type]
    with progress(total=count, unit="img", desc="ranking", scale=True) as bar:
        for start in range(0, count, size * chunk):
            mine = start + rank * chunk
            packed = torch.zeros(chunk, len(names), TOP + 1, dtype=torch.int32, device=device)
            if mine < count:
                scores = score(torch.tensor(_pad(values.read(mine, mine + chunk), chunk, 0)).to(device))
                true = torch.tensor(_pad(label_of_rows(values.rows[mine:mine + chunk]), chunk, -1)).to(device)
                ranked = rank_chunk(scores, true, layout)
                for place, name in enumerate(names):
                    packed[:, place, :TOP], packed[:, place, TOP] = ranked[name]
            for other, part in enumerate(gather_to_first(packed)):
                rows = values.rows[start + other * chunk:start + (other + 1) * chunk]
                if len(rows):
                    part = part[:len(rows)].cpu().numpy()
                    yield rows, [(part[:, place, :TOP], part[:, place, TOP]) for place in range(len(names))]
            bar.update(min(size * chunk, count - start))


def _pad(values: np.ndarray, size: int, fill: int) -> np.ndarray:
    return np.concatenate([values, np.full((size - len(values), *values.shape[1:]), fill, values.dtype)])
