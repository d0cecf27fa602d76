"""Search by words: the pictures whose points are nearest to the mean of the words' vectors."""

import functools
import hashlib
import importlib.metadata
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from zeroshot.console.errors import InputError
from zeroshot.images.decoding import UnreadableImage
from zeroshot.labels.embedding import unit
from zeroshot.naming.answers import Found
from zeroshot.naming.model import Model, checked
from zeroshot.naming.own_labels import meaning, own_label, says_which, unknown
from zeroshot.naming.pictures import Picture
from zeroshot.naming.points_cache import PointsCache
from zeroshot.naming.reading import Reader
from zeroshot.naming.words import Words
from zeroshot.terms.spelling import term_of, words_of

CHUNK = 1 << 14  # pictures at a time
MAKERS = ("images", "networks", "closed_form", "ranking", "naming")  # packages whose code decides a picture's points
LIBRARIES = ("torch", "torchvision", "pillow")
LONGEST = 6  # words of a term
SIDE = 32  # pixels, of a picture that is read only to see whether it can be
MINUS = re.compile(r"(?:^|[\s,])[-−]\s*\w+")  # as in "dog -cat"


class Search:
    """Words, as a model takes them.

    Attributes:
        model_name: in whose space.
        said: how the words were taken, each noun with its meaning.
        notes: what else they may mean, a sentence each.
        query: float32 [dim], unit length, where they lie.
        cache: where pictures' points are kept.

    Raises:
        InputError: no words, one that the model has never read, or one that is to be taken away.
    """

    def __init__(self, model: Model, words: str, model_name: str | None = None):
        self._model, self.model_name = model, model.with_space(model_name)
        if not isinstance(words, str):
            raise InputError(f"search for a {type(words).__name__}; expected words, as one text")
        if taken := MINUS.search(words):
            raise InputError(f"search for {words!r}: words are added up, and none can be taken away; leave out "
                             f"{taken[0].strip()}, or its sign")
        parts, self.notes = [], []
        for phrase in words.split(","):
            found = parts_of(model.words, phrase)
            parts += found
            if not says_which(phrase):
                self.notes += [note for part, wnid in found if wnid and (note := own_label(model.words, part).note)]
        if not parts:
            raise InputError(f"search for {words!r}: no word; expected terms or names of labels")
        about = model.folder.about["models"][self.model_name]
        found = model.words.vectors_of(about["labels"], parts)
        if lost := [part for (part, _), rows in zip(parts, found, strict=True) if not len(rows)]:
            raise InputError(f"search for {words!r}: no text that the model has read names {', '.join(lost)}")
        rows = [rows[0] for rows in found]
        mean = unit(np.mean(rows, axis=0))
        if not mean.any():
            raise InputError(f"search for {words!r}: these words' vectors cancel each other")
        # Only exemplars lie elsewhere than at their vectors; all others do without loading torch.
        self.query = model.space(self.model_name).places(mean[None])[0] if about["moved"] else mean
        self.said = " + ".join(part + (f" ({wnid}: {meaning(model.words, wnid)})" if wnid else "")
                               for part, wnid in parts)
        self.cache: Path = cache_of(model, self.model_name).folder

    def nearest(self, pictures: Sequence[Picture], top: int, progress: str | None = None
                ) -> tuple[list[Found], dict[int, str]]:
        """The `top` nearest pictures, and number -> fault of those that cannot be read.

        Raises:
            InputError: `top` is below 1, or the cache's folder cannot be made.
        """
        top = checked("top", top, "1 picture or more")
        points, faults = placed(self._model, self.model_name, pictures, progress)
        found = first_of(points, self.query, top)
        return [Found(pictures[number].name, score, number) for number, score in found], faults


def placed(model: Model, model_name: str, pictures: Sequence[Picture], progress: str | None
           ) -> tuple[Float32[np.ndarray, "pictures dim"], dict[int, str]]:
    """Pictures' points, NaN for the unreadable, kept for the next time; and number -> fault of these."""
    found_now: dict[str, str] = {}  # name -> fault

    def place(some: list[Picture]) -> Float32[np.ndarray, "pictures dim"]:
        found = []
        for part, points, lost in model.points(some, model_name, progress):
            points[list(lost)] = np.nan
            found_now.update((part[number].name, fault) for number, fault in lost.items())
            found.append(points)
        return np.concatenate(found)

    if not pictures:
        return np.zeros((0, 0), np.float32), {}
    points = cache_of(model, model_name).points(pictures, place)
    lost = [(number, pictures[number]) for number in np.flatnonzero(np.isnan(points).any(1)).tolist()]
    return points, {number: picture.fault or found_now.get(picture.name) or fault_of(picture)
                    for number, picture in lost}


def fault_of(picture: Picture) -> str:
    """Why it could not be read in an earlier search, of which only points are kept: it is tried once more."""
    try:
        Reader([picture], None).square(0, SIDE)
    except UnreadableImage as error:
        return str(error)
    return "could not be read in an earlier search"


def cache_of(model: Model, model_name: str) -> PointsCache:
    """Of points that this model, this code and these libraries made."""
    return PointsCache(f"{model.folder.sha256} {model_name} {_made_by()}")


@functools.cache
def _made_by() -> str:
    """Digest of what turns a picture into points beside the model: the code of MAKERS, and the libraries' versions."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256(" ".join(map(importlib.metadata.version, LIBRARIES)).encode())
    for file in sorted(file for maker in MAKERS for file in (package / maker).glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def first_of(points: Float32[np.ndarray, "pictures dim"], query: Float32[np.ndarray, "dim"], top: int
             ) -> list[tuple[int, float]]:
    """(number, cosine) of the `top` nearest, best first; of equals the first."""
    scores = np.nan_to_num(_products(points, query), nan=-np.inf)
    order = np.argsort(-scores, kind="stable")[:top]
    return [(int(number), float(scores[number])) for number in order if np.isfinite(scores[number])]


def _products(points: Float32[np.ndarray, "pictures dim"], query: Float32[np.ndarray, "dim"]
              ) -> Float32[np.ndarray, "pictures"]:
    """A matrix product, but for the last bit, which does not depend on where a picture stands."""
    parts = [(points[start:start + CHUNK] * query).sum(axis=1) for start in range(0, len(points), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def parts_of(words: Words, phrase: str) -> list[tuple[str, str | None]]:
    """What a phrase is made of: (words, its noun's wnid or None), greedily from the left, the longest term first.

    Raises:
        InputError: a word that is neither a noun nor a term.
    """
    if says_which(phrase):
        label = own_label(words, phrase)
        return [(label.words, label.wnid)]
    parts, rest = [], words_of(phrase)
    while rest:
        for length in range(min(LONGEST, len(rest)), 0, -1):
            if (part := _known(words, " ".join(rest[:length]))) is not None:
                parts.append(part)
                rest = rest[length:]
                break
        else:
            raise InputError(unknown(words, rest[0]))
    return parts


def _known(words: Words, part: str) -> tuple[str, str | None] | None:
    """A label's name, whose vector is the label's; or a term, by its own."""
    for wnid in words.senses(part)[:1]:
        if len(words.vectors("lemmas", "", wnid)):
            return part, wnid
    return (part, None) if term_of(part) in words.terms else None


def search(model: Model, words: str, pictures: Sequence[Picture], top: int, model_name: str | None) -> list[Found]:
    """As `Model.search` says."""
    return Search(model, words, model_name).nearest(pictures, top)[0]
