"""From a class folder's name to its wnid: a wnid, perhaps with words behind it, or words that WordNet knows."""

import difflib
import unicodedata
from functools import cached_property
from pathlib import Path

from zeroshot.base.lists import text_lines
from zeroshot.console.errors import InputError, quoted
from zeroshot.image_sets.truths import LEADING
from zeroshot.taxonomy import WNID, Taxonomy

SHOWN = 20  # names in a refusal
SENSES = 6  # of a name there


class ClassNames:
    """Resolves names; what cannot be is kept, to be refused all at once.

    Attributes:
        faults: a line each, in the order in which the names were asked for.
    """

    def __init__(self, nouns: Taxonomy, table: Path | None = None):
        """`table`: lines of name, tab, wnid, that go before WordNet. Raises InputError if it is malformed."""
        self._nouns, self.table = nouns, table
        self._given = read_table(table, nouns) if table is not None else {}
        self.faults: dict[str, str] = {}

    def wnid(self, name: str, place: str) -> str | None:
        """The wnid of the class `name` in `place`, or None if it is not known: then a fault is kept."""
        if found := LEADING.match(name):
            return found[1].lower()
        plain = plainly(name)
        if plain in self._given:
            return self._given[plain]
        senses = self._by_lemma.get(plain, [])
        if len(senses) == 1 and not plain.isdecimal():
            return senses[0]
        said = self._senses(senses) if senses else self._nearest(plain)
        counts = "a number, which may count classes or be WordNet's noun; " if plain.isdecimal() else ""
        self.faults.setdefault(name, f"  {quoted(name)} in {place}: {counts}{said}")
        return None

    def is_noun(self, name: str) -> bool:
        """Whether a name is one that WordNet knows, once, in so far as other classes were named by words before."""
        return "_by_lemma" in self.__dict__ and len(self._by_lemma.get(plainly(name), ())) == 1

    def add_hint(self, name: str, hint: str) -> None:
        """Say more of a name that could not be resolved."""
        self.faults[name] += hint if hint not in self.faults[name] else ""

    def refuse(self) -> None:
        """Raise InputError if a name could not be resolved, with all that could not, a line each."""
        if self.faults:
            shown = list(self.faults.values())[:SHOWN]
            more = [f"and {len(self.faults) - SHOWN} more"] if len(self.faults) > SHOWN else []
            raise InputError("\n".join([
                f"{len(self.faults)} class name{'s have' if len(self.faults) > 1 else ' has'} no wnid of "
                f"{'their' if len(self.faults) > 1 else 'its'} own; add a line of name, tab and wnid to "
                f"{self.table or 'the table'} (params.yaml: index_images.names), or rename the folder:",
                *shown, *more]))

    @cached_property
    def _by_lemma(self) -> dict[str, list[str]]:
        by_lemma: dict[str, list[str]] = {}
        for wnid, lemmas in zip(self._nouns.wnids, self._nouns.lemmas, strict=True):
            for lemma in {plainly(lemma) for lemma in lemmas}:
                by_lemma.setdefault(lemma, []).append(wnid)
        return by_lemma

    def _senses(self, senses: list[str]) -> str:
        said = "; ".join(f"{wnid} {self._nouns.definitions[self._nouns.index[wnid]][:60]}" for wnid in senses[:SENSES])
        return f"{len(senses)} sense{'s' if len(senses) > 1 else ''}: {said}"

    def _nearest(self, plain: str) -> str:
        near = [lemma for lemma in self._by_lemma if abs(len(lemma) - len(plain)) <= 2]
        spelt = difflib.get_close_matches(plain, near, 3) if len(self.faults) < SHOWN else []
        return f"no noun of WordNet 3.0; nearest: {', '.join(spelt) or 'none'}"


def plainly(name: str) -> str:
    """In lower case, with single spaces for underscores and runs of spaces; letters with accents as one character.

    (macOS takes them apart in files' names.)
    """
    return " ".join(unicodedata.normalize("NFC", name.replace("_", " ")).casefold().split())


def read_table(path: Path, nouns: Taxonomy) -> dict[str, str]:
    """Name -> wnid, of lines `name<TAB>wnid`; empty ones and those that begin with # are left out.

    What follows the wnid after another tab is for people.

    Raises:
        InputError: missing, no text, a line of another form, a wnid that is no noun, a name with two.
    """
    given: dict[str, str] = {}
    for number, line in text_lines(path, "lines of name, tab and wnid (params.yaml: index_images.names)"):
        name, wnid = (part.strip() for part in (line + "\t").split("\t")[:2])
        wnid = wnid.lower()
        if not WNID.fullmatch(wnid) or wnid not in nouns.index:
            raise InputError(f"{path}: line {number} is {quoted(line)}; expected a name, a tab, and a noun's wnid")
        if given.setdefault(plainly(name), wnid) != wnid:
            raise InputError(f"{path}: line {number}: {quoted(name, 40)} is there twice, with different wnids")
    return given
