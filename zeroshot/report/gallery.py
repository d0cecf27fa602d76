"""Test images to look at, with each model's first answers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from PIL import Image

from zeroshot.console.errors import InputError
from zeroshot.images.decoding import UnreadableImage
from zeroshot.images.files import ImageFiles
from zeroshot.images.pixels import PackedPixels
from zeroshot.ranking.rankings import Rankings
from zeroshot.taxonomy import Taxonomy


@dataclass(frozen=True)
class Answer:
    """A label that a model gave: whether it is the true one, and whether images of it were trained on."""

    wnid: str
    right: bool
    seen: bool


def pick_images(ranked: Rankings, label_set: str, images: int, seed: int) -> Int[np.ndarray, "images"]:
    """Rows of the index, ascending: an image each of so many of the label set's classes, drawn at random.

    Where there are fewer classes than images, each class gives one image.
    """
    counts = np.zeros(len(ranked.wnids), np.int64)
    for (true,) in ranked.chunks(f"{label_set}/true"):
        counts += np.bincount(true, minlength=len(counts))
    random = np.random.default_rng(seed)
    classes = np.flatnonzero(counts)
    chosen = np.sort(random.choice(classes, min(images, len(classes)), replace=False))
    first = np.cumsum(counts) - counts  # images lie class by class, in the order of their numbers
    return ranked.at(f"{label_set}/row", first[chosen] + random.integers(counts[chosen]))


def answers_of(ranked: Rankings, label_set: str, rows: Int[np.ndarray, "images"], answers: int, seen: set[str]
               ) -> list[list[Answer]]:
    """Each image's first labels, best first; fewer where the label set has fewer candidates."""
    places = _places(ranked, label_set, rows)
    true, top = ranked.at(f"{label_set}/true", places), ranked.at(f"{label_set}/top", places)[:, :answers]
    return [[Answer(ranked.wnids[label], bool(label == right), ranked.wnids[label] in seen)
             for label in labels if label >= 0] for labels, right in zip(top, true, strict=True)]


def true_wnids(ranked: Rankings, label_set: str, rows: Int[np.ndarray, "images"]) -> list[str]:
    """What each image shows."""
    return [ranked.wnids[label] for label in ranked.at(f"{label_set}/true", _places(ranked, label_set, rows))]


def _places(ranked: Rankings, label_set: str, rows: Int[np.ndarray, "images"]) -> Int[np.ndarray, "images"]:
    """Where these rows of the index, ascending, lie among the label set's images."""
    start, places = 0, []
    for (here,) in ranked.chunks(f"{label_set}/row"):
        places.append(start + np.flatnonzero(np.isin(here, rows)))
        start += len(here)
    found = np.concatenate(places)
    if len(found) != len(rows):
        raise InputError(f"rankings of `{ranked.model}` hold {len(found)} of {len(rows)} images that others hold; "
                         "all must come from one run: `dvc repro`")
    return found


def small(reader: PackedPixels | ImageFiles, row: int, side: int) -> Image.Image:
    """One image, RGB, no larger than `side` pixels either way; grey if it cannot be read."""
    try:
        image = reader.image(row)
    except UnreadableImage:
        return Image.new("RGB", (side, side), (128, 128, 128))
    image.thumbnail((side, side))
    return image


def name_of(wnid: str, nouns: Taxonomy, longest: int = 1000) -> str:
    """The synset's first lemma, cut to `longest` characters; a wnid that is no noun's is its own name."""
    return _cut(nouns.name(wnid), longest)


def names_of(wnids: Sequence[str], true: str, nouns: Taxonomy, longest: int = 1000) -> list[str]:
    """Answers' names; one that another or the true label has too, with its hypernym's: "lamp (furniture)"."""
    names = [name_of(wnid, nouns) for wnid in wnids]
    shared = {name for name, times in Counter(name_of(wnid, nouns) for wnid in {*wnids, true}).items() if times > 1}
    names = [f"{name} ({name_of(above[0], nouns)})" if name in shared and (above := nouns.parents.get(wnid)) else name
             for wnid, name in zip(wnids, names, strict=True)]
    return [_cut(name, longest) for name in names]


def _cut(name: str, longest: int) -> str:
    return name if len(name) <= longest else name[:longest - 1] + "…"
