"""Which labels are candidates: a label set of the run, or labels of one's own."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from zeroshot.console.errors import InputError, quoted
from zeroshot.naming.words import OwnLabel, UnknownLabel, Words, own_label, unknown

OWN = "your labels"
SHOWN = 3  # faults told at once
COMMENT, SEPARATOR = re.compile(r"(^|\s)#.*"), re.compile("[,;]")
LISTS = (".txt", ".csv", ".tsv", ".lst", ".list", ".names", ".json")  # what files of labels are called


@dataclass(frozen=True)
class Labels:
    """The candidates of an answer; made by `Model.labels`.

    Attributes:
        name: of the label set, or OWN.
        own: one's own labels, each once, in the order given; empty for a label set.
        notes: what was decided, a sentence each: which of a word's meanings was taken, what stood twice.
    """

    name: str
    own: tuple[OwnLabel, ...] = ()
    notes: list[str] = field(default_factory=list, compare=False)


class Vectors(NamedTuple):
    """Label vectors of one's own labels; row_label counts them."""

    rows: Float32[np.ndarray, "rows dim"]
    row_label: Int32[np.ndarray, "rows"]


def choose_labels(words: Words, sets: Iterable[str], given: str | os.PathLike | Iterable[str]) -> Labels:
    """The labels that are meant.

    Args:
        sets: names of the run's label sets.
        given: a set's name; a file's path or a text, see `listed`; or a list of labels. A label is a word, a wnid,
            `word=wnid`, or a wnid and a word.

    Raises:
        InputError: no label, an unknown one, or a file that cannot be read.
    """
    if isinstance(given, str) and given.strip() in sets:
        return Labels(given.strip())
    is_file = isinstance(given, os.PathLike) or isinstance(given, str) and "\n" not in given and os.path.isfile(given)
    if is_file:
        labels = _of_file(Path(given))
    else:
        labels = listed(given) if isinstance(given, str) else [str(label).strip() for label in given]
        labels = list(filter(None, labels))
    if not labels:
        raise InputError(f"{given if is_file else 'labels'}: no label; expected at least one, or a label set: "
                         f"{', '.join(sets)}")
    if isinstance(given, str) and not is_file:
        _refuse_slips(given, labels, sets)
    return _own(words, labels, sets)


def listed(text: str) -> list[str]:
    """The labels of a text: between line ends, commas or semicolons; `#` begins a comment."""
    parts = (part.strip() for line in text.splitlines() for part in SEPARATOR.split(COMMENT.sub("", line)))
    return [part for part in parts if part]


def _refuse_slips(given: str, labels: list[str], sets: Iterable[str]) -> None:
    """Of what would pass for words: a file that is not there, and label sets among labels."""
    if given.strip().lower().endswith(LISTS) or os.path.isdir(given) and os.sep in given:
        raise InputError(f"{given}: no such file; expected one of labels, one a line, or labels themselves")
    if among := [label for label in labels if label in sets]:
        raise InputError(f"labels: {quoted(among[0])} is a label set, which cannot be mixed with others; expected one "
                         "set alone, or labels of your own")


def _of_file(path: Path) -> list[str]:
    try:
        return listed(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise InputError(f"{path}: {why}; expected a file of labels, one a line") from None


def _own(words: Words, labels: list[str], sets: Iterable[str]) -> Labels:
    kept: dict[str, OwnLabel] = {}
    notes, faults, twice = [], [], []
    for given in labels:
        try:
            label = own_label(words, given)
            if label.wnid is None and not words.parts(label.words):
                raise UnknownLabel(unknown(words, label.words) if len(faults) < SHOWN else "")
        except UnknownLabel as error:
            faults.append(str(error))
            continue
        key = label.wnid or label.words.casefold()
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
    return Labels(OWN, tuple(kept.values()), notes)


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
