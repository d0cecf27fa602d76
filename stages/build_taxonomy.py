"""WordNet 3.0 -> noun graph, lemmas, glosses.

Reads data/wordnet.zip once, through NLTK, and writes data/taxonomy: `nouns.tsv` (82,115 noun synsets with their
75,850 hypernym and 8,577 instance edges) for every later stage, and `glosses.txt`, the definitions, each after its
lemmas, and example sentences of nouns, verbs, adjectives and adverbs, which are the demo's text. 10 s on one core.
"""

import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import nltk
from nltk.corpus.reader.wordnet import WordNetCorpusReader, WordNetError

from stages import run_stage
from zeroshot.base.files import atomic_write
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.taxonomy import make_taxonomy, write_taxonomy

PARTS_OF_SPEECH = "nvar"  # nouns, verbs, adjectives, adverbs
REMEDY = "delete it and `dvc repro fetch_wordnet`"


def main(*, wordnet: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            reader = open_wordnet(wordnet, Path(folder).resolve())
            nouns, glosses = read_synsets(reader)
        except (WordNetError, AssertionError, ValueError, LookupError, OSError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{wordnet}: NLTK cannot read it as WordNet: {error}; {REMEDY}") from None
    taxonomy = make_taxonomy(nouns)
    write_taxonomy(out, taxonomy)
    with atomic_write(out / "glosses.txt") as file:
        file.writelines(gloss + "\n" for gloss in glosses)
    print(f"{len(nouns):,} noun synsets, {len(taxonomy.kinds):,} hypernym and {len(taxonomy.instances):,} instance "
          f"edges, {len(glosses):,} glosses")


class WordNet30(WordNetCorpusReader):
    """NLTK's reader without its table to other WordNets, which would want a second copy of WordNet."""

    def map_wn(self, version: str = "wordnet") -> None:
        return None


def open_wordnet(path: Path, folder: Path) -> WordNetCorpusReader:
    """NLTK's reader on the files of the zip `path`, unpacked into `folder` (it seeks, and a zip cannot)."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                (folder / Path(member.filename).name).write_bytes(archive.read(member))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; `dvc repro fetch_wordnet` makes it") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{path}: no whole zip file ({error}); {REMEDY}") from None
    if not (folder / "data.noun").exists():
        raise InputError(f"{path}: holds no data.noun; {REMEDY}")
    for part in ("noun", "verb", "adj", "adv"):
        (folder / f"{part}.exc").touch()  # irregular plurals and such: looked up by nobody here, but NLTK opens them
    nltk.data.path.append(str(folder))  # it refuses roots outside
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is no multilingual WordNet
        return WordNet30(nltk.data.FileSystemPathPointer(str(folder)), None)


def read_synsets(reader: WordNetCorpusReader) -> tuple[dict[str, tuple], list[str]]:
    """The nouns, as `make_taxonomy` takes them, and the glosses of all parts of speech in WordNet's order."""
    nouns, glosses = {}, []
    for synset in progress(_synsets(reader), total=117_659, unit="synsets", desc="reading WordNet", scale=True):
        lemmas = [name.replace("_", " ") for name in synset.lemma_names()]
        definition, *examples = [_clean(text) for text in (synset.definition(), *synset.examples())]
        glosses += [f"{', '.join(lemmas)}: {definition}", *filter(None, examples)]  # as a dictionary prints it
        if synset.pos() == "n":
            kinds = [_wnid(parent) for parent in synset.hypernyms()]
            instances = [_wnid(parent) for parent in synset.instance_hypernyms()]
            nouns[_wnid(synset)] = (lemmas, kinds, instances, definition)
    return nouns, glosses


def _synsets(reader: WordNetCorpusReader) -> Iterator:
    for part in PARTS_OF_SPEECH:
        yield from sorted(reader.all_synsets(part), key=lambda synset: synset.offset())


def _wnid(synset) -> str:
    return f"n{synset.offset():08d}"


def _clean(text: str) -> str:
    """One line, no tabs."""
    return " ".join(text.split())


if __name__ == "__main__":
    run_stage(main)
