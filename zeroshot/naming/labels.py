"""Which labels are candidates: a label set of the run, or labels of one's own."""

import difflib
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from zeroshot.console.errors import InputError, quoted
from zeroshot.labels.label_sets import ALL_LABEL_SETS
from zeroshot.naming.own_labels import OwnLabel, UnknownLabel, own_label, unknown
from zeroshot.naming.pictures import STDIN
from zeroshot.naming.words import Words
from zeroshot.terms.spelling import term_of

OWN = "your labels"
SHOWN = 3  # faults told at once
ALIKE = 0.8  # of names of label sets, as difflib measures it
COMMENT, SEPARATOR = re.compile(r"(^|\s)#.*"), re.compile("[,;]")
LISTS = (".txt", ".csv", ".tsv", ".lst", ".list", ".names", ".json")  # what files of labels are called


@dataclass(frozen=True)
class Labels:
    """The candidates of an answer; made by `Model.labels`.

    Attributes:
        name: of the label set, or OWN.
        own: one's own labels, each once, in the order given; empty for a label set.
        places: of each label given its place in `own`.
        notes: what was decided, a sentence each: which of a word's meanings was taken, what stood twice.
    """

    name: str
    own: tuple[OwnLabel, ...] = ()
    places: tuple[int, ...] = field(default=(), compare=False)
    notes: list[str] = field(default_factory=list, compare=False)


class Vectors(NamedTuple):
    """Label vectors of one's own labels; row_label counts them."""

    rows: Float32[np.ndarray, "rows dim"]
    row_label: Int32[np.ndarray, "rows"]


def choose_labels(words: Words, sets: Iterable[str], given: str | os.PathLike | Iterable[str]) -> Labels:
    """The labels that are meant.

    Args:
        sets: names of the run's label sets.
        given: a set's name; a file's path, "-" for standard input, or a text, see `listed`; or a list of labels. A
            label is a word, a wnid, `word=wnid`, a wnid and a word, or a synset's name in NLTK.

    Raises:
        InputError: no label, an unknown one, what is no text, or a file that cannot be read.
    """
    is_text = isinstance(given, str)
    is_file = isinstance(given, os.PathLike) or is_text and (given == STDIN or _is_file(given))
    if is_text and (name := _set_of(given, sets)):
        return Labels(name)
    if is_file:
        labels = listed(_text_of(given))
    else:
        labels = listed(given) if is_text else _texts(given)
    if not labels:
        raise InputError(f"{given if is_file else 'labels'}: no label; expected at least one, or a label set: "
                         f"{', '.join(sets)}")
    if is_text and not is_file:
        _refuse_slips(given)
    if len(labels) == 1 and (name := _set_of(labels[0], sets)):
        return Labels(name)
    _refuse_sets(words, labels, sets)
    return _own(words, labels, sets)


def listed(text: str) -> list[str]:
    """The labels of a text: between line ends, commas or semicolons, quoted or not; `#` begins a comment.

    Or of a text in JSON: a list of labels, or an object with them as its values (ImageNet's class index, whose values
    are a wnid and a word each) or, where its values are numbers, as its keys (torchvision's class_to_idx).

    Raises:
        InputError: JSON that holds other things than labels.
    """
    if (labels := _of_json(text)) is not None:
        return labels
    parts = (_unquoted(part) for line in text.splitlines() for part in SEPARATOR.split(COMMENT.sub("", line)))
    return [part for part in parts if part]


def _of_json(text: str) -> list[str] | None:
    """None if it is no JSON."""
    try:
        found = json.loads(text) if text.lstrip()[:1] in ("[", "{") else None
    except (ValueError, RecursionError):
        return None
    if not found:
        return None
    if isinstance(found, dict):
        found = list(found if all(isinstance(value, int) for value in found.values()) else found.values())
    found = [" ".join(map(str, label)) if isinstance(label, list) else label for label in found]
    if other := [label for label in found if not isinstance(label, str)]:
        raise InputError(f"labels in JSON: {quoted(json.dumps(other[0]), 30)} is among them; expected a list of texts, "
                         "or an object of them")
    return [label.strip() for label in found if label.strip()]


def _unquoted(label: str) -> str:
    label = label.strip().strip('"“”').strip()
    return label[1:-1].strip() if len(label) > 1 and label[0] == label[-1] == "'" else label


def _texts(given: Any) -> list[str]:
    """Labels from a list of them; what is none, as a missing value is, must not pass for its name."""
    if not isinstance(given, Iterable) or isinstance(given, (bytes, bytearray)):
        raise InputError(f"labels are a {type(given).__name__}; expected a label set's name, a text with commas "
                         "between labels, a file's path, or a list of labels")
    labels = list(given)
    for number, label in enumerate(labels, 1):
        if not isinstance(label, str):
            raise InputError(f"label {number} is {quoted(str(label), 30)}, a {type(label).__name__}; expected a text")
    found = [label.strip() for label in labels]
    while found and not found[-1]:  # as where a file was split at its line ends
        found.pop()
    if "" in found:
        raise InputError(f"label {found.index('') + 1} is empty; expected a text, or one label less")
    return found


def _set_of(given: str, sets: Iterable[str]) -> str:
    """The label set of that name, in whatever case and with whatever blanks; "" if there is none."""
    return {_folded(name): name for name in sets}.get(_folded(given), "")


def _folded(name: str) -> str:
    return "".join(name.split()).casefold()


def _refuse_slips(given: str) -> None:
    """Of what would pass for words: a file that is not there."""
    is_folder = os.path.isdir(given) and os.sep in given
    if given.strip().lower().endswith(LISTS) or is_folder:
        raise InputError(f"{given}: {'a folder' if is_folder else 'no such file'}; expected one of labels, one a line, "
                         "or labels themselves")


def _refuse_sets(words: Words, labels: Sequence[str], sets: Iterable[str]) -> None:
    """Label sets among labels; and the name of one that is none of this run's, or nearly right: unseen, 3-hop."""
    names = set(map(_folded, sets))
    if among := [label for label in labels if _folded(label) in names]:
        raise InputError(f"labels: {quoted(among[0])} is a label set, which cannot be mixed with others; expected one "
                         "set alone, or labels of your own")
    if len(labels) > 1:
        return
    if _set_of(labels[0], ALL_LABEL_SETS):
        raise InputError(f"labels: {quoted(labels[0])} is a label set, of which this run has no class; there are "
                         f"{', '.join(sets)}")
    near = difflib.get_close_matches(_folded(labels[0]), list(sets), 1, ALIKE)
    if near and not words.senses(labels[0]):
        raise InputError(f"labels: {quoted(labels[0])} is no label set; did you mean {near[0]}? There are "
                         f"{', '.join(sets)}")


def _is_file(given: str) -> bool:
    """A file, or a pipe, as a shell's `<(...)` is one."""
    try:
        mode = os.stat(given).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISFIFO(mode)


def _text_of(given: str | os.PathLike) -> str:
    try:
        if given == STDIN:
            return (sys.stdin.buffer.read() if sys.stdin else b"").decode("utf-8-sig")
        return Path(given).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise InputError(f"{given}: {why}; expected a file of labels, one a line") from None


def _own(words: Words, labels: list[str], sets: Iterable[str]) -> Labels:
    kept: dict[str, OwnLabel] = {}
    keys, notes, faults, twice = [], [], [], []
    for given in labels:
        try:
            label = own_label(words, given)
            if label.wnid is None and not words.parts(label.words):
                raise UnknownLabel(unknown(words, label.words) if len(faults) < SHOWN else "")
        except UnknownLabel as error:
            faults.append(str(error))
            continue
        key = label.wnid or term_of(label.words)
        keys.append(key)
        if key in kept:
            twice.append(f"{label.words} is {kept[key].words}" if label.words != kept[key].words else label.words)
        else:
            kept[key] = label
            notes += [label.note] if label.note else []
    if faults:
        more = f"; and {len(faults) - SHOWN:,} more labels" if len(faults) > SHOWN else ""
        near = f"; or a label set: {', '.join(sets)}" if len(labels) == 1 else ""
        raise InputError("; ".join(faults[:SHOWN]) + more + near)
    if twice:
        shown = ", ".join(twice[:SHOWN]) + (", ..." if len(twice) > SHOWN else "")
        notes.append(f"{len(twice):,} of {len(labels):,} labels stand for one that is there already: {shown}")
    if len(kept) == 1:
        notes.append(f"{next(iter(kept.values())).words} is the only candidate, so every picture is called that; label "
                     f"sets are {', '.join(sets)}")
    place = {key: number for number, key in enumerate(kept)}
    return Labels(OWN, tuple(kept.values()), tuple(place[key] for key in keys), notes)


def own_vectors(words: Words, kind: str, own: Iterable[OwnLabel]) -> Vectors:
    """Label vectors of one's own labels.

    Args:
        kind: lemmas or hypernyms.

    Raises:
        InputError: nouns that no text has named.
    """
    rows = words.vectors_of(kind, [(label.words, label.wnid) for label in own])
    if lost := [label for label, found in zip(own, rows, strict=True) if not len(found)]:
        shown = ", ".join(f"{label.words} ({label.wnid})" for label in lost[:SHOWN])
        why = ("the vectors that the model was made of, by class, have none of them" if words.by_class else
               "no text that the model has read names them")
        raise InputError(f"{len(lost):,} of the labels have no vector, since {why}: {shown}"
                         f"{', ...' if len(lost) > SHOWN else ''}; leave them out, or use other words")
    return Vectors(np.concatenate(rows), np.repeat(np.arange(len(rows), dtype=np.int32), list(map(len, rows))))
