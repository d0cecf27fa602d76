"""What the page shows and asks for, in plain values: the model's answers are turned into these."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.datastructures import FormData

from zeroshot.console.errors import quoted
from zeroshot.naming.labels import listed
from zeroshot.serving.limits import LABELS, TOP, Refusal


@dataclass(frozen=True)
class Choice:
    """Something that can be chosen: `key` is sent, `name` is read."""

    key: str
    name: str


@dataclass(frozen=True)
class Line:
    """An answer.

    Attributes:
        score: as it is shown.
        wnid: "" where it is no noun of WordNet.
        path: hypernyms, in words; "" where there are none.
        gloss: what it means.
    """

    words: str
    score: str
    wnid: str
    seen: bool
    path: str
    gloss: str


@dataclass(frozen=True)
class Column:
    """A model's answers, best first, or why it has none."""

    name: str
    lines: Sequence[Line]
    refused: str = ""


@dataclass(frozen=True)
class Asked:
    """What a form asks for.

    Attributes:
        labels: of the asker's own; empty: those of label set `set`.
        note: how it was taken, where that could surprise.
    """

    models: tuple[str, ...]
    set: str
    top: int = 5
    labels: tuple[str, ...] = ()
    note: str = ""


class Namer(Protocol):
    """What the page needs of the models.

    Attributes:
        about: a sentence: what they know.
        own_labels_note: a sentence: how labels of one's own are written.
        default: what is asked for where the asker chose nothing.
    """

    about: str
    own_labels_note: str
    models: Sequence[Choice]
    label_sets: Sequence[Choice]
    default: Asked

    def name(self, data: bytes, asked: Asked) -> tuple[list[str], list[Column]]:
        """Of an image file's bytes: notes on the labels, and one column per model.

        Raises:
            InputError: a label of which nothing is known.
            Refusal: the picture cannot be read.
        """


class Searched(Protocol):
    """What the page needs of a folder of photographs.

    Attributes:
        name: what the folder is called.
    """

    name: str

    def __len__(self) -> int: ...

    def search(self, words: str) -> dict:
        """`said`, a heading, and `images`, the nearest first: their `row`, `name` and `score`.

        Raises:
            InputError: words of which nothing is known.
        """

    def thumbnail(self, row: int) -> bytes:
        """A small JPEG of photograph `row`. Raises Refusal if it cannot be read."""


def split_labels(text: str) -> tuple[str, ...]:
    """Labels as typed, repeated ones too: the model tells of those.

    Raises:
        Refusal: something was typed, but no label; or too many.
    """
    labels = tuple(" ".join(label.split()) for label in listed(text))
    if text.strip() and not labels:
        raise Refusal(400, f"There is no label in {quoted(text.strip())}; expected at least one, or nothing, which "
                           "takes those of the set.")
    if len(labels) > LABELS:
        raise Refusal(413, f"{len(labels):,} labels; the page takes {LABELS:,} at a time, `python -m zeroshot name "
                           "--labels FILE` any number.")
    return labels


def asked_of(form: FormData, namer: Namer) -> Asked:
    """What a form asks for.

    Raises:
        Refusal: a model or label set that is not there, no number of answers between 1 and TOP, or what split_labels
            refuses.
    """
    ticked = form.getlist("model")
    models = ticked or namer.default.models
    label_set = form.get("set") or namer.default.set
    for value, known in [(model, namer.models) for model in models] + [(label_set, namer.label_sets)]:
        if value not in [choice.key for choice in known]:
            raise Refusal(400, f"There is no {quoted(value)} here; known: {', '.join(choice.key for choice in known)}.")
    top = form.get("top") or str(namer.default.top)
    if not (top.isascii() and top.isdigit() and len(top) < 4 and 1 <= int(top) <= TOP):
        raise Refusal(400, f"{quoted(top)} answers cannot be given; ask for 1 to {TOP}.")
    kept = tuple(choice.key for choice in namer.models if choice.key in models)
    note = "" if ticked else "No model was ticked; those ticked at the start answer."
    return Asked(kept, label_set, int(top), split_labels(form.get("labels", "")), note)
