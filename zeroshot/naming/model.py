"""A trained model, loaded: names pictures, places pictures and words in the label space, searches."""

import contextlib
import gc
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from zeroshot.console.errors import InputError, quoted
from zeroshot.evaluation.model_names import display_name
from zeroshot.naming.answers import Answer, Found, Named
from zeroshot.naming.folder import ModelFolder
from zeroshot.naming.labels import OWN, Labels, choose_labels
from zeroshot.naming.pictures import Given, Picture, find_pictures
from zeroshot.naming.words import Words

if TYPE_CHECKING:
    from zeroshot.naming.network import Network
    from zeroshot.naming.spaces import Judge, Run, Space

FEATURES = "features"  # v(image), as a model whose points can be had
JUDGES = 8  # choices of model and labels that are kept ready, or one of every model


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Within, Python does not look for objects that hold on to each other only: of what libraries make all stays."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def checked(name: str, number: Any, expected: str) -> int:
    """A whole number, 1 or more. Raises InputError if it is none."""
    try:
        found = 0 if isinstance(number, bool) else operator.index(number)
    except TypeError:
        found = 0
    if found < 1:
        raise InputError(f"{name} is {number!r}; expected {expected}")
    return found


def checked_top(top: Any) -> int:
    """How many answers."""
    return checked("top", top, "1 answer a picture or more")


class Model:
    """A folder that `export_model` wrote. It is read piece by piece, as it is needed; not for several threads at once.

    Attributes:
        models: names of the models in it, the default first.
        label_sets: name -> number of labels, of the run's label sets that hold any.
        default_model, why_default: the model that answers if none is asked for, and why it is that one.
        default_labels: the label set that is asked if none is given.
        seen: wnids of the labels that the network was trained on.
        words: what the model knows of words.
        figures: label set -> model -> figure -> value, as evaluated: hit@1, hit@5, images, candidates.
    """

    def __init__(self, folder: str | os.PathLike = "data/model", *, threads: int | None = None):
        """
        Args:
            folder: the model; it may lie anywhere.
            threads: CPU threads; another number than the run's, which is the default, may round differently.

        Raises:
            InputError: no model, one of another version, half copied or damaged.
        """
        self.folder = ModelFolder(Path(folder))
        about = self.folder.about
        self.words = Words(self.folder)
        self._threads = None if threads is None else checked("threads", threads, "1 or more")
        self.default_model: str = about["default"]["model"]
        self.why_default: str = about["default"]["why"]
        self.default_labels: str = about["default"]["labels"]
        self.models = sorted(about["models"], key=lambda name: name != self.default_model)  # stable
        self.label_sets: dict[str, int] = about["label_sets"]
        self.seen: list[str] = about["seen"]
        self.figures: dict[str, dict[str, dict[str, float]]] = about["figures"]
        self._judge = lru_cache(max(JUDGES, len(self.models)))(self._new_judge)
        self.space = lru_cache(None)(self._space)

    # --- naming

    def name(self, images: Given | Iterable[Given], labels: str | os.PathLike | Sequence[str] | Labels | None = None,
             top: int = 5, models: str | Sequence[str] | None = None) -> list[Named]:
        """Name pictures.

        Args:
            images: paths (of files, folders, tars, or patterns), PIL images, uint8 arrays [height, width, 3] or a
                file's bytes, or a file opened with "rb"; one or several.
            labels: the candidates: a label set's name, labels of your own ("zebra, okapi", or a list), or a file with
                one a line; None: `default_labels`.
            top: answers a picture.
            models: which answer, "hierse,devise" or a list; None: `default_model`.

        Returns:
            One a picture, in their order; unreadable ones with `error` in place of answers.

        Raises:
            InputError: an unknown model or label, no label, an address in place of a path.
        """
        return list(self.stream(find_pictures(images), labels, top, models))

    def stream(self, pictures: Sequence[Picture], labels: Any = None, top: int = 5,
               models: str | Sequence[str] | None = None, progress: str | None = None) -> Iterator[Named]:
        """The same, picture by picture as they are done, of pictures that were found.

        Args:
            progress: what the progress bar says; None: there is none.
        """
        chosen, asked = self.labels(labels), self.asked(models)
        top = checked_top(top)
        for model in asked:
            if why := self.why_not(model, chosen):
                raise InputError(why)
        judges = {model: self._judge(model, chosen) for model in asked}
        values_of = [self._values_of(model) for model in asked]
        for part, values, faults in self.network.values(pictures, values_of, progress):
            answers = {model: self._answers(judge, values, chosen, top) for model, judge in judges.items()}
            for number, picture in enumerate(part):
                if (fault := faults.get(number)) is not None:
                    yield Named(picture.name, error=fault)
                else:
                    yield Named(picture.name, {model: answers[model][number] for model in asked})

    def labels(self, given: str | os.PathLike | Sequence[str] | Labels | None) -> Labels:
        """The candidates that are meant, with what was decided for them in `notes`; see `name`."""
        if isinstance(given, Labels):
            return given
        return choose_labels(self.words, self.label_sets, self.default_labels if given is None else given)

    def asked(self, models: str | Sequence[str] | None, known: Sequence[str] | None = None) -> list[str]:
        """The models that are meant. Raises InputError if there is none of such a name."""
        if models is None:
            return [self.default_model]
        several = models.split(",") if isinstance(models, str) else models if isinstance(models, Iterable) else [models]
        asked = [name.strip() if isinstance(name, str) else repr(name) for name in several]
        asked = [self._spelt(name) for name in asked if name] or [""]
        for name in asked:
            if name not in (known or self.models):
                why = ("it has no label space, in which pictures and words could lie" if name in self.models else
                       "this folder has none of that name")
                raise InputError(f"model {quoted(name)}: {why}; there are {', '.join(known or self.models)}")
        return list(dict.fromkeys(asked))

    def _spelt(self, name: str) -> str:
        """A model's name as files have it: given so, or as tables have it, in any case; or what was given."""
        spelt = {spelling.casefold(): model for model in self.models for spelling in (model, display_name(model))}
        return spelt.get(name.casefold(), name)

    def why_not(self, model: str, chosen: Labels) -> str:
        """Why a model can name none of these labels; "" if it can. Raises InputError for some that have no vector."""
        if self._judge(model, chosen).scorer.layout.candidates[_asked_set(chosen)]:
            return ""
        why = "it can name seen labels alone" if model == "softmax" else "none has a vector"
        return f"model {model}: no candidate in {chosen.name}: {why}; take other labels, or another model"

    def _answers(self, judge: "Judge", values: dict, chosen: Labels, top: int) -> list[list[Answer]]:
        from zeroshot.naming.ranked import first_labels

        known = self._known(chosen)
        return [[known(label, score) for label, score in ranked]
                for ranked in first_labels(judge, values, _asked_set(chosen), top)]

    def _known(self, chosen: Labels):
        """(label number, score) -> Answer."""
        own, wnids = chosen.own, self.run.wnids
        if own:
            return lambda label, score: self._describe(own[label].wnid, own[label].words)._replace(score=score)
        return lambda label, score: self._describe(wnids[label])._replace(score=score)

    @cached_property
    def _described(self) -> dict[tuple[str | None, str], Answer]:
        return {}

    def _describe(self, wnid: str | None, words: str = "") -> Answer:
        if (wnid, words) not in self._described:
            noun = self.words.noun(wnid) if wnid else None
            path = tuple(self.words.name(above) for above in self.words.path(wnid)) if noun else ()
            called = words or (", ".join(noun.lemmas) if noun else wnid or "")
            gloss = noun.gloss if noun else ""
            self._described[wnid, words] = Answer(called, wnid, 0.0, wnid in self._seen, path, gloss)
        return self._described[wnid, words]

    @cached_property
    def _seen(self) -> set[str]:
        return set(self.seen)

    # --- vectors

    def embed(self, images: Given | Iterable[Given], model: str | None = None) -> Float32[np.ndarray, "images dim"]:
        """Where pictures lie in a model's space, unit length, so that products with `embed_labels` are cosines.

        Args:
            images: as in `name`.
            model: None: `default_model`; "features": v(image), the network's own, of any length.

        Raises:
            InputError: a picture that cannot be read, or a model without a space.
        """
        pictures = find_pictures(images)
        parts = []
        for part, points, faults in self.points(pictures, model):
            if faults:
                number, fault = next(iter(faults.items()))
                raise InputError(f"{part[number].name}: {fault}")
            parts.append(points)
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def points(self, pictures: Sequence[Picture], model: str | None = None, progress: str | None = None
               ) -> Iterator[tuple[Sequence[Picture], Float32[np.ndarray, "some dim"], dict[int, str]]]:
        """Some pictures at a time, in order: these, their points, and number -> fault of those that were unreadable."""
        name = self.with_space(model, (FEATURES,))
        for part, values, faults in self.network.values(pictures, [self._values_of(name)], progress):
            points = values["features"] if name == FEATURES else self.space(name).points(values)
            yield part, points.float().cpu().numpy(), faults

    def embed_labels(self, labels: str | os.PathLike | Sequence[str] | Labels, model: str | None = None
                     ) -> Float32[np.ndarray, "labels dim"]:
        """Where labels lie in a model's space, unit length: a row a label, in the order given; of a label set by wnid.

        A label for which several synonyms count has its main one's vector. One of a label set that has no vector
        is all zero.

        Args:
            labels, model: as in `name`.
        """
        from zeroshot.naming.labels import own_vectors

        chosen, space = self.labels(labels), self.space(self.with_space(model))
        if chosen.own:
            rows, row_label = own_vectors(self.words, space.kind, chosen.own)
            return space.places(rows[np.searchsorted(row_label, chosen.places)])
        wnids = [wnid for wnid, there in zip(self.run.wnids, self.run.members[chosen.name], strict=True) if there]
        vectors, has = self.words.label_vectors(space.kind).of(wnids)
        places = space.places(vectors)
        places[~has] = 0
        return places

    def with_space(self, model: str | None, others: tuple[str, ...] = ()) -> str:
        """The model that is meant, if it has a label space, or is one of `others`. Raises InputError if not."""
        known = [name for name in self.models if name != "softmax"] + list(others)
        if model is None and self.default_model not in known:
            raise InputError(f"this folder has no model with a label space, but {', '.join(self.models)}")
        asked = self.asked(model, known)
        if len(asked) > 1:
            raise InputError(f"models {', '.join(asked)}: expected one, in whose space the pictures are placed")
        return asked[0]

    # --- search

    def search(self, words: str, images: Given | Iterable[Given], top: int = 20, model: str | None = None
               ) -> list[Found]:
        """The pictures nearest to words, best first; their points are kept for the next search (see points_cache.py).

        Args:
            words: terms or names of labels; of several the mean.
            images: as in `name`, paths alone.
            top: how many.
        """
        from zeroshot.naming.search import search

        return search(self, words, find_pictures(images), top, model)

    # --- what is loaded at first use

    @cached_property
    def network(self) -> "Network":
        """The network, ready; loads torch."""
        with uncollected():
            from zeroshot.naming.network import Network

            return Network(self.folder, self._threads)

    @cached_property
    def run(self) -> "Run":
        from zeroshot.naming.spaces import Run

        labels = self.folder.artifact("labels.safetensors")
        members = dict(zip(labels.meta["sets"], labels["member"].astype(bool), strict=True))
        return Run(self.folder, self.words, labels.meta["wnids"], members, self.seen, self.network.device)

    def _space(self, name: str) -> "Space":
        from zeroshot.naming.spaces import Space

        return Space(self.run, name)

    def _new_judge(self, model: str, chosen: Labels) -> "Judge":
        from zeroshot.naming.spaces import Softmax

        space = Softmax(self.run) if model == "softmax" else self.space(model)
        return space.of_own(chosen.own) if chosen.own else space.of_sets()

    def _values_of(self, model: str) -> str:
        return FEATURES if model == FEATURES else self.folder.about["models"][model]["values"]


def _asked_set(chosen: Labels) -> str:
    return "own" if chosen.name == OWN else chosen.name


