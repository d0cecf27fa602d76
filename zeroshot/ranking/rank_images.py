"""Rank the test images by one model in every label set, and write it down: rankings.py says in what form."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from zeroshot.base.artifacts import Artifact
from zeroshot.base.processes import gather_to_first, is_first, process_and_count
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.images.index import VAL, ImageIndex
from zeroshot.ranking.first_labels import CHUNK, TOP, Layout, rank_chunk
from zeroshot.ranking.questions import Questions
from zeroshot.ranking.rankings import Ranked, write_rankings

VAL_CHUNK = 1024  # validation images at a time; fixed, for the same bits in every run


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
        rows = index.test_rows()
        return cls(source, array, rows, int(rows[0]) if len(rows) else 0)

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "some width"]:
        """Test images start..stop-1. Raises InputError if a number is not finite."""
        values = self.source.rows(self.array, self.first + start, self.first + min(stop, len(self.rows)))
        values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise InputError(f"{self.source.path}: `{self.array}` holds NaN or infinity from row {self.first + start} "
                             "on; expected finite numbers. Did the training before it diverge?")
        return values

    def val_chunks(self, index: ImageIndex, desc: str) -> Iterator[tuple[int, int]]:
        """The validation images, which come first, some at a time: what `read` takes, start and stop."""
        images = int((index.roles[self.rows] == VAL).sum())
        for start in progress(range(0, images, VAL_CHUNK), unit="chunks", desc=desc):
            yield start, min(start + VAL_CHUNK, images)


class Scorer(NamedTuple):
    """A model, as far as ranking needs it.

    Attributes:
        score: values [images, width] -> scores [slots, images].
        layout: which label each slot is.
        made_from: checksums of what the model was made from.
        counts: what it left out, to be published beside its metrics.
        bias: what was added to each label's score, if anything was; order as in `Questions.wnids`.
        settings: of the model, beside its weights, for whoever names other images by it.
    """

    score: Callable[[Tensor], Tensor]
    layout: Layout
    made_from: Mapping[str, str]
    counts: Mapping[str, int]
    bias: Float32[np.ndarray, "labels"] | None = None
    settings: Mapping[str, int] = {}


def rank_images(out: Path, values: ImageValues, scorer: Scorer, questions: Questions) -> None:
    """Rank the test images and write the artifact, in constant memory; the model is named as the file.

    Processes that torchrun started share the images out; the file is the same to the bit.

    Raises:
        InputError: made from another index, or values that are no finite numbers.
    """
    _check(out.stem, values, scorer, questions)
    candidates, index = scorer.layout.candidates, questions.index
    images, outside = questions.counted(values.rows)
    meta = {"model": out.stem, "wnids": questions.wnids,
            "counts": {**scorer.counts, "images_in_no_label_set": outside,
                       "val_images_also_train": index.val_also_train()},
            "settings": dict(scorer.settings),
            "made_from": {values.array: values.source.sha256, "index": index.sha256, **scorer.made_from},
            "label_sets": questions.described(images, candidates)}
    images = {name: count for name, count in images.items() if count and candidates[name]}
    ranked = _ranked(values, scorer, list(images), questions)
    if is_first():
        write_rankings(out, meta, images, ranked, questions, scorer.bias)
    else:
        for _ in ranked:  # its chunks go to the first
            pass


def _check(model: str, values: ImageValues, scorer: Scorer, questions: Questions) -> None:
    source, index = values.source, questions.index
    if source.meta.get("index", index.sha256) != index.sha256:
        raise InputError(f"{source.path}: made from another image index than the one given; `dvc repro`")
    if len(values.rows) and values.rows.max() >= len(index):
        raise InputError(f"{source.path}: row {values.rows.max()} is asked of an image index of {len(index)}; "
                         "it was made from another one: `dvc repro`")
    if not scorer.layout.atoms:
        raise InputError(f"{source.path}: no label of any label set can be scored by `{model}`; expected at least one "
                         "with a vector or a softmax output")


def _ranked(values: ImageValues, scorer: Scorer, names: list[str], questions: Questions) -> Iterator[Ranked]:
    """Rows of the index with the top and rank of each set, as many images at a time as CHUNK says, in order.

    In each round every process takes one chunk, the last filled up with zeros; only the first process gets results.
    """
    device, (process, processes) = scorer.layout.slot_of.device, process_and_count()
    count, chunk = len(values.rows), CHUNK[device.type]
    with progress(total=count, unit="img", desc="ranking", scale=True) as bar:
        for start in range(0, count, processes * chunk):
            mine = start + process * chunk
            packed = torch.zeros(chunk, len(names), TOP + 1, dtype=torch.int32, device=device)
            if mine < count:
                scores = scorer.score(torch.tensor(_pad(values.read(mine, mine + chunk), chunk, 0)).to(device))
                true = questions.true_labels(values.rows[mine:mine + chunk])
                ranked = rank_chunk(scores, torch.tensor(_pad(true, chunk, -1)).to(device), scorer.layout)
                for place, name in enumerate(names):
                    packed[:, place, :TOP], packed[:, place, TOP] = ranked[name]
            for other, part in enumerate(gather_to_first(packed)):
                rows = values.rows[start + other * chunk:start + (other + 1) * chunk]
                if len(rows):
                    part = part[:len(rows)].cpu().numpy()
                    yield rows, {name: (part[:, place, :TOP], part[:, place, TOP]) for place, name in enumerate(names)}
            bar.update(min(processes * chunk, count - start))


def _pad(values: np.ndarray, size: int, fill: int) -> np.ndarray:
    return np.concatenate([values, np.full((size - len(values), *values.shape[1:]), fill, values.dtype)])
