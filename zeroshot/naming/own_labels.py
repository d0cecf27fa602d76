"""A label that a user gives: which noun it stands for, and why it cannot be used."""

import collections
import itertools
import re
from typing import NamedTuple

from zeroshot.console.errors import InputError, quoted
from zeroshot.naming.words import Words
from zeroshot.taxonomy import WNID
from zeroshot.terms.spelling import words_of

OTHERS, GLOSS = 2, 40  # other meanings shown of a word; characters of each
NLTK = re.compile(r"(.+)\.([nvasrNVASR])\.(\d{1,3})")  # a synset: a lemma, its kind, which of its meanings
NEARLY = re.compile(r"[a-z]?\d{6,}")  # no wnid, and no word either


class UnknownLabel(InputError):
    """A label of which nothing is known."""


class OwnLabel(NamedTuple):
    """A label that a user gave.

    Attributes:
        words: what it is called in answers.
        wnid: of the noun that it stands for, if it is one.
        note: what was decided for it, to be told; "" for nothing.
    """

    words: str
    wnid: str | None
    note: str = ""


def own_label(words: Words, given: str) -> OwnLabel:
    """What a word, a wnid, `word=wnid`, a wnid and a word (as ImageNet's own lists have them), or NLTK's name of a
    synset (zebra.n.01) stand for.

    Raises:
        UnknownLabel: no noun of that number or name.
    """
    word, wnid = _word_and_wnid(given)
    if not wnid and (name := NLTK.fullmatch(word)):
        wnid = _named(words, name[1], name[2].lower(), name[3])
        word = name[1].replace("_", " ")
    if wnid or NEARLY.fullmatch(word.lower()) and not words.senses(word) and not words.parts(word):
        if not is_wnid(wnid) or words.noun(wnid) is None:
            raise UnknownLabel(f"label {quoted(given)}: {quoted(wnid or word, 20)} is no noun synset of WordNet 3.0; "
                               "expected a wnid, n and eight digits")
        return OwnLabel(word or words.name(wnid), wnid)
    senses = words.senses(word) or _senses_of_synonyms(words, word)
    other = bool(senses) and not words.is_noun(word)  # a plural, behind an article, or several names
    if len(senses) > 1 or other:
        others = ", ".join(f"{word}={wnid} ({meaning(words, wnid)})" for wnid in senses[1:1 + OTHERS])
        more = f" and {len(senses) - 1 - OTHERS} more" if len(senses) > 1 + OTHERS else ""
        taken = f"{words.name(senses[0])}, {senses[0]}" if other else senses[0]
        return OwnLabel(word, senses[0], f"{word}: taken as {taken} ({meaning(words, senses[0])})" + (
            f"; for others write {others}{more}" if others else ""))
    if senses:
        return OwnLabel(word, senses[0])
    parts = words.parts(word)
    mean = f"{word}: no noun of WordNet; taken as the mean of {', '.join(parts)}" if len(parts) > 1 else ""
    return OwnLabel(word, None, mean)


def _senses_of_synonyms(words: Words, several: str) -> list[str]:
    """Of names with commas between, as lists of classes have them: meanings that two share or more, most first."""
    meanings = [words.senses(name) for name in several.split(",")] if "," in several else []
    shared = collections.Counter(itertools.chain(*meanings))
    return [wnid for wnid, count in shared.most_common() if count > 1]


def says_which(phrase: str) -> bool:
    """Whether a phrase tells a synset, by wnid or by name, and not by its words."""
    return "=" in phrase or is_wnid(phrase.strip()) or NLTK.fullmatch(phrase.strip()) is not None


def is_wnid(text: str) -> bool:
    return WNID.fullmatch(text.lower()) is not None


def _word_and_wnid(given: str) -> tuple[str, str]:
    """"" for what is not given; the wnid in lower case. `wnid=word`, the wrong way round, can mean but one thing."""
    word, _, wnid = (part.strip() for part in given.partition("="))
    if wnid and is_wnid(word) and not is_wnid(wnid):
        word, wnid = wnid, word
    first, *rest = word.split(maxsplit=1) or [""]
    if not wnid and is_wnid(first):
        word, wnid = "".join(rest), first
    return word, wnid.lower() if is_wnid(wnid) else wnid


def _named(words: Words, lemma: str, kind: str, number: str) -> str:
    """The wnid of NLTK's `lemma.kind.number`: a meaning of the lemma, in WordNet's order."""
    senses = words.senses(lemma) if kind == "n" else []
    if not 1 <= int(number) <= len(senses):
        last = f" to {lemma}.n.{len(senses):02}" if len(senses) > 1 else ""
        expected = f"{lemma}.n.01{last}" if senses else "the name of a noun's, as dog.n.01"
        raise UnknownLabel(f"label {quoted(f'{lemma}.{kind}.{number}')}: no noun synset of WordNet 3.0; expected "
                           f"{expected}")
    return senses[int(number) - 1]


def meaning(words: Words, wnid: str) -> str:
    gloss = words.noun(wnid).gloss
    return gloss if len(gloss) <= GLOSS else gloss[:GLOSS].rsplit(" ", 1)[0].rstrip(" ,;.") + " ..."


def unknown(words: Words, label: str) -> str:
    """Why a label cannot be used, with what is spelt like it."""
    if words.by_class:
        near = words.near(label)
        return (f"{quoted(label)} is no noun of WordNet, and this model has vectors by class alone, no word's; "
                "expected nouns or wnids" + (f"; spelt like it: {', '.join(near)}" if near else ""))
    missing = [word for word in words_of(label) if word not in words.terms and not words.senses(word)]
    parts = [label] if len(missing) == len(words_of(label)) or not missing else missing
    said = []
    for part in parts:
        near = words.near(part)
        said.append(f"{quoted(part)} is no word that the model has read" + (
            f"; spelt like it: {', '.join(near)}" if near else ""))
    return "; ".join(said)
