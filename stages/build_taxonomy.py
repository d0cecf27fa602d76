"""WordNet 3.0 -> noun graph, lemmas, glosses.

Reads data/wordnet.zip once and writes data/taxonomy: `nouns.tsv` (82,115 noun synsets with their 75,850 hypernym and
8,577 instance edges) for every later stage, and `glosses.txt`, the definitions, each after its lemmas, and example
sentences of nouns, verbs, adjectives and adverbs, which are the demo's text. 2 s on one core. The files are read by
wndb(5WN), as NLTK reads them (the tests compare); its reader, which links every sense and verb frame, takes six times
as long.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stages import run_stage
from zeroshot.base.files import atomic_write
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.taxonomy import WNID, make_taxonomy, write_taxonomy

FILES = ("data.noun", "data.verb", "data.adj", "data.adv")
KIND, INSTANCE = "@", "@i"  # symbols of pointers to a hypernym, to what a noun is an instance of
_MARKER = re.compile(r"\([^()]*\)$")  # of where an adjective may stand: "galore(ip)"
_EXAMPLE = re.compile(r'"([^"]*)"')
_QUOTED = re.compile(r'".*?"')  # what no definition holds


class Synset(NamedTuple):
    """A line of a data file.

    Attributes:
        wnid: "n" and its offset in data.noun; for other parts of speech it means nothing.
        kinds, instances: wnids of its hypernyms, and of what it is an instance of.
    """

    wnid: str
    lemmas: list[str]
    kinds: list[str]
    instances: list[str]
    definition: str
    examples: list[str]


def main(*, wordnet: Path, out: Path) -> None:
    nouns, glosses = read_synsets(wordnet)
    taxonomy = make_taxonomy(nouns)
    write_taxonomy(out, taxonomy)
    with atomic_write(out / "glosses.txt") as file:
        file.writelines(gloss + "\n" for gloss in glosses)
    print(f"{len(nouns):,} noun synsets, {len(taxonomy.kinds):,} hypernym and {len(taxonomy.instances):,} instance "
          f"edges, {len(glosses):,} glosses")


def read_synsets(wordnet: Path) -> tuple[dict[str, tuple], list[str]]:
    """The nouns, as `make_taxonomy` takes them, and the glosses of all parts of speech in WordNet's order."""
    nouns, glosses = {}, []
    for name, text in read_texts(wordnet).items():
        for synset in progress(synsets_of(text, f"{wordnet}: {name}"), total=text.count("\n"), unit="synsets",
                               desc=f"reading {name}", scale=True):
            glosses += [f"{', '.join(synset.lemmas)}: {synset.definition}", *synset.examples]  # as dictionaries do
            if name == "data.noun":
                nouns[synset.wnid] = (synset.lemmas, synset.kinds, synset.instances, synset.definition)
    return nouns, glosses


def read_texts(path: Path) -> dict[str, str]:
    """The texts of FILES, which lie at any depth in the zip `path`.

    Raises:
        InputError: not there, damaged, or without one of them.
    """
    remedy = "delete it and `dvc repro fetch_wordnet`"
    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(member.filename).name: member for member in archive.infolist()}
            missing = [name for name in FILES if name not in members]
            if missing:
                raise InputError(f"{path}: holds no {', '.join(missing)}; {remedy}")
            return {name: archive.read(members[name]).decode() for name in FILES}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; `dvc repro fetch_wordnet` makes it") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; {remedy}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:  # the last: encrypted
        raise InputError(f"{path}: no whole zip file ({error}); {remedy}") from None


def synsets_of(text: str, where: str) -> Iterator[Synset]:
    """The synsets of a data file; its licence stands in lines that begin with a space.

    Raises:
        InputError: a line that is no synset, named after `where`.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line and not line[0].isspace():
            try:
                yield synset_of(line)
            except (ValueError, IndexError):
                raise InputError(f"{where}: line {number} is {line[:40]!r}; expected a synset as in wndb(5WN); delete "
                                 "the zip and `dvc repro fetch_wordnet`") from None


def synset_of(line: str) -> Synset:
    """wndb(5WN): offset, lexicographer file, type, number of words in hex, (word, id) pairs, number of pointers,
    (symbol, offset, type, source/target) each, verb frames, "|", definition and examples in quotes.

    Raises:
        ValueError, IndexError: no such line.
    """
    columns, gloss = line.split("|")
    fields = columns.split()
    names = 4 + 2 * int(fields[3], 16)
    end = names + 1 + 4 * int(fields[names])
    symbols, targets = fields[names + 1:end:4], fields[names + 2:end:4]
    kinds, instances = ([f"n{target}" for symbol, target in zip(symbols, targets, strict=True) if symbol == wanted]
                        if wanted in symbols else [] for wanted in (KIND, INSTANCE))
    if not WNID.fullmatch(f"n{fields[0]}") or names == 4 or end > len(fields):
        raise ValueError(line)
    return Synset(f"n{fields[0]}", [_MARKER.sub("", word).replace("_", " ") for word in fields[4:names:2]],
                  kinds, instances, _one_line(_QUOTED.sub("", gloss).strip().strip("; ")),
                  [example for quoted in _EXAMPLE.findall(gloss) if (example := _one_line(quoted))])


def _one_line(text: str) -> str:
    """Words a space apart, no tabs."""
    return " ".join(text.split())


if __name__ == "__main__":
    run_stage(main)
