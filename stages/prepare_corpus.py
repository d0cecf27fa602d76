"""Text -> corpus: a tokenised sentence a line, against a lexicon of single- and multi-word terms (DeViSE section 3.1).

First pass: articles are read from the dump, cut into sentences and folded into words (the rule of
zeroshot.terms.spelling: runs of letters and digits; digits stay as they are, all else only separates), and terms
are counted: runs of words that are noun lemmas of WordNet (or phrases) are one term, the longest first. Then the
lexicon is chosen: every label lemma that occurs, and the most frequent other terms; a multi-word term that is left out,
being too rare or cut by `lexicon_size`, counts as the shorter terms and words in it, which may bring them in. Second
pass: words are merged into the lexicon's multi-word terms alone, what is outside it is dropped, and sentences of more
than LONGEST_SENTENCE terms (text8 is a single line) are cut, and counted. Both passes use `workers` processes; the
output does not depend on their number, nor memory on the text's length.

Up to four sources make one corpus: `text`, a second one (`also`), WordNet's glosses and hypernym chains (a noun and its
nearest hypernyms, by their first lemmas, as a sentence), each read so many times. Their sentences are spread evenly
over each other (zeroshot.text.mixing says how and why); the lexicon is chosen by the counts of the whole.

Inputs: `prepare_corpus.text` and `also.text`; data/taxonomy. Outputs: data/corpus/sentences.txt and lexicon.tsv
(term, count); metrics of what was kept and dropped. Cost: a second for a million words on a core, thrice that for a
MediaWiki dump; disk for the text twice over.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydantic

from stages import run_stage
from zeroshot.base.files import atomic_write, write_json
from zeroshot.base.ordered_pool import in_order
from zeroshot.base.params import StageParams
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.taxonomy import Taxonomy, read_taxonomy
from zeroshot.terms.spelling import JOINER, term_of
from zeroshot.terms.vocabulary import write_counts
from zeroshot.text.encoded import EncodedText, encode, write_encoded
from zeroshot.text.lexicon import MultiwordTerms, settled_lexicon
from zeroshot.text.mixing import Part, Words, in_step, merged, texts_of
from zeroshot.text.phrases import find_phrases
from zeroshot.text.pieces import Piece, text_pieces
from zeroshot.text.sentences import LONGEST_SENTENCE, SENTENCE_END
from zeroshot.text.sources import Source
from zeroshot.text.tallies import say_what_was_passed_over, shares, summary

CHAINS = "chains"  # the source that WordNet's graph is
NO_TEXT = "presets/no-text.txt"  # is there for DVC, which wants a file, where there is no second text
MAX_DISTINCT = 10_000_000  # distinct terms counted at a time, about 1 GB; beyond, the rarest are forgotten


class Also(StageParams):
    source: Source
    text: str = pydantic.Field(min_length=1)
    times: int = pydantic.Field(ge=0)


class Chains(StageParams):
    length: int = pydantic.Field(ge=1)
    times: int = pydantic.Field(ge=0)


class Params(StageParams):
    source: Source
    text: str = pydantic.Field(min_length=1)
    times: int = pydantic.Field(ge=0)
    also: Also
    glosses: int = pydantic.Field(ge=0)
    chains: Chains
    lexicon_size: int = pydantic.Field(ge=1)
    min_count: int = pydantic.Field(ge=1)
    label_min_count: int = pydantic.Field(ge=1)
    multiword: bool
    phrase_threshold: float = pydantic.Field(ge=0)
    min_article_words: int = pydantic.Field(ge=0)
    workers: int = pydantic.Field(ge=1)

    @pydantic.model_validator(mode="after")
    def _something_is_read(self) -> "Params":
        if not (self.times or self.also.times or self.glosses or self.chains.times):
            raise ValueError("times, also.times, glosses or chains.times above 0: else there is no text")
        return self


def main(params: Params, *, text: Path, also: Path, taxonomy: Path, out: Path, metrics: Path) -> None:
    nouns = read_taxonomy(taxonomy)
    labels = label_terms(nouns.lemmas)
    sources, folder = sources_of(params, text, also, taxonomy), out / ".words.partial"
    try:  # inside the out, which DVC clears: a killed run leaves nothing behind
        multiword, phrases = MultiwordTerms(labels if params.multiword else ()), set()
        words, counts, tallies = read_all(folder, sources, nouns, labels, params, multiword)
        tally = sum(tallies.values(), Counter())
        if params.phrase_threshold:
            phrases = find_phrases(sentences_of(words), params.min_count, params.phrase_threshold)
        if phrases:
            multiword = MultiwordTerms(multiword.terms | phrases)
            counts = count_merged(words, labels, params, multiword)
        merged_terms = {term for term in counts if JOINER in term}
        lexicon = settled_lexicon(counts, labels, multiword, size=params.lexicon_size, min_count=params.min_count,
                                  label_min_count=params.label_min_count)
        again = bool(phrases or tally["forgotten"] or not merged_terms.issubset(lexicon))
        recounted, written = write_sentences(out / "sentences.txt", words, lexicon, tally["words"], params.workers,
                                             again=again)
        kept = sorted_counts(recounted if again else {term: counts[term] for term in lexicon})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    write_counts(out / "lexicon.tsv", kept)
    by_source = {name: tallies[name] + written[name] for name in tallies}
    write_json(metrics, summary(sum(by_source.values(), Counter()), kept, labels) | shares(by_source))
    say_what_was_passed_over(tally)


class TextSource(NamedTuple):
    """A source of sentences that is read `times` times, as `setting` says; of kind CHAINS there is no file."""

    setting: str
    kind: str
    place: Path
    times: int

    @property
    def name(self) -> str:
        return self.setting.split(".")[0]


def sources_of(params: Params, text: Path, also: Path, taxonomy: Path) -> list[TextSource]:
    """All that are read at all, in the order in which they are named in params.yaml.

    Raises:
        InputError: a second text is to be read, and none is named.
    """
    if params.also.times and params.also.text == NO_TEXT:
        raise InputError(f"params.yaml: `prepare_corpus.also.text` is {NO_TEXT}, which stands for no text, and "
                         f"`also.times` {params.also.times}; expected the second text's file or folder, or 0 times")
    sources = [TextSource("text", params.source, text, params.times),
               TextSource("also.text", params.also.source, also, params.also.times),
               TextSource("glosses", "wordnet", taxonomy / "glosses.txt", params.glosses),
               TextSource(CHAINS, CHAINS, taxonomy, params.chains.times)]
    return [source for source in sources if source.times]


def label_terms(lemmas: Iterable[list[str]]) -> set[str]:
    """The terms of all labels' lemmas."""
    return {term for synonyms in lemmas for lemma in synonyms if (term := term_of(lemma))}


def read_all(folder: Path, sources: list[TextSource], nouns: Taxonomy, labels: set[str], params: Params,
             multiword: MultiwordTerms) -> tuple[list[Words], Counter, dict[str, Counter]]:
    """First pass: the terms of every sentence of each source, to a file in `folder`.

    Returns:
        These files; the counts of their terms, a source's as often as it is read; and its tally of articles and words.
    """
    words, counts, tallies = [], Counter(), {}
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        path = folder / source.name
        pieces = chain_pieces(nouns, params) if source.kind == CHAINS else text_pieces(
            source.place, source.kind, source.setting, multiword, min_words=params.min_article_words,
            workers=params.workers)
        own, tally, tokens = write_words(path, pieces, labels)
        if not own:
            raise nothing_left(source, tally, params)
        for term, count in own.items() if counts or source.times > 1 else ():
            counts[term] += count * source.times
        counts = counts or own
        if len(counts) > MAX_DISTINCT:
            counts, tally["forgotten"] = forget_rarest(counts, labels), 1
        words.append(Words(path, source.times, tokens))
        tally["times"], tally["words"] = source.times, tally["words"] * source.times
        tallies[source.name] = tally
    return words, counts, tallies


def nothing_left(source: TextSource, tally: Counter, params: Params) -> InputError:
    if short := tally["articles_short"]:
        return InputError(f"{source.place}: no word is left of {short} articles shorter than "
                          f"`prepare_corpus.min_article_words` = {params.min_article_words} words; lower it")
    empty = "the file is empty" if tally["files"] == tally["files_empty"] == 1 else "the text holds no words"
    return InputError(f"{source.place}: {empty}; expected words, of letters or digits, since "
                      f"`prepare_corpus.{source.setting}` is {source.kind!r} text")


def write_words(path: Path, pieces: Iterable[Piece], labels: set[str]) -> tuple[Counter, Counter, int]:
    """Write a source's pieces to `path`; returns the counts of its terms, its tally, and the number of its tokens."""
    counts, tally, tokens = Counter(), Counter(), 0
    with open(path, "wb") as file:
        for piece in pieces:
            write_encoded(file, piece.text)
            counts.update(piece.counts)
            tally.update(piece.tally)
            tokens += len(piece.text.ids)
            if len(counts) > MAX_DISTINCT:
                counts, tally["forgotten"] = forget_rarest(counts, labels), 1
    return counts, tally, tokens


def chain_pieces(nouns: Taxonomy, params: Params) -> Iterator[Piece]:
    """A sentence a noun that has hypernyms: its own term and those of the nearest `chains.length` of them."""
    main = dict(zip(nouns.wnids, [term_of(lemmas[0]) for lemmas in nouns.lemmas], strict=True))
    chains = ([wnid, *islice(nouns.ancestors(wnid), params.chains.length)]
              for wnid in progress(nouns.wnids, unit="nouns", desc="hypernyms", scale=True))
    terms = [[*filter(None, map(main.__getitem__, chain)), SENTENCE_END] for chain in chains if len(chain) > 1]
    text = encode(terms)
    counts = text.counts()
    tally = Counter(words=sum(count * (term.count(JOINER) + 1) for term, count in counts.items()))
    text = text if params.multiword else text.separated()
    yield Piece(text, counts if params.multiword else text.counts(), tally)


def forget_rarest(counts: Counter, labels: set[str]) -> Counter:
    """`counts` without the terms that occur least, of labels all; at most half of MAX_DISTINCT others."""
    rare = sorted((count for term, count in counts.items() if term not in labels), reverse=True)
    bar = rare[min(len(rare), MAX_DISTINCT // 2) - 1]
    return Counter({term: count for term, count in counts.items() if count > bar or term in labels})


def sentences_of(words: list[Words]) -> Iterator[list[str]]:
    """The sentences of the first pass, source after source."""
    for text in chain.from_iterable(map(texts_of, words)):
        for words_follow, sentence in groupby(text.tokens(), SENTENCE_END.__ne__):
            if words_follow:
                yield list(sentence)


def count_merged(words: list[Words], labels: set[str], params: Params, multiword: MultiwordTerms) -> Counter:
    """Counts of the terms as `multiword` merges them; beyond MAX_DISTINCT the rarest are forgotten."""
    counts = Counter()
    for _, piece in in_order(counts_of_text, chain.from_iterable(map(texts_of, words)), params.workers, multiword):
        counts.update(piece)
        if len(counts) > MAX_DISTINCT:
            counts = forget_rarest(counts, labels)
    return counts


def counts_of_text(text: EncodedText, multiword: MultiwordTerms) -> Counter:
    return multiword.merge(text.separated()).counts()


def write_sentences(path: Path, words: list[Words], lexicon: list[str], total: int, workers: int, *,
                    again: bool) -> tuple[Counter, dict[str, Counter]]:
    """Second pass: the `total` words in terms of the lexicon; returns its terms' counts and each source's sentences.

    Args:
        again: merge and count anew, since the lexicon's multi-word terms are others than the words were merged by;
            without, the counts stay empty: they are those of the first pass.
    """
    names = [source.path.name for source in words]
    counts, tallies = Counter(), {name: Counter() for name in names}
    shared = frozenset(lexicon), MultiwordTerms(lexicon) if again else None, names

    def written(bar) -> Iterator[tuple[Part, bytes]]:
        for part, (lines, cut, recounted) in in_order(known_of_part, in_step(words), workers, *shared):
            counts.update(recounted)
            tallies[names[part.source]].update(sentences=lines.count(b"\n"), sentences_cut=cut)
            bar.update(int(np.count_nonzero(part.text.ids)))
            yield part, lines

    with atomic_write(path, "wb") as file, \
            progress(total=total, unit="words", desc="writing sentences", scale=True) as bar:
        file.writelines(merged(written(bar), len(words)))
    return counts, tallies


def known_of_part(part: Part, known: frozenset[str], multiword: MultiwordTerms | None,
                  names: list[str]) -> tuple[bytes, int, Counter]:
    """The lines of a text in `known` terms; how many were cut; with `multiword` the counts of what it merged anew.

    Args:
        names: of the sources; a chain's terms do not merge with each other.
    """
    text = part.text
    if multiword:
        chained = names[part.source] == CHAINS
        text = multiword.fall_back(text, known) if chained else multiword.merge(text.separated())
    text, cut = text.restricted(known).cut(LONGEST_SENTENCE)
    return text.lines(), cut, text.counts() if multiword else Counter()


def sorted_counts(counts: Mapping[str, int]) -> Counter:
    """The same counts, most frequent term first, equals by name."""
    return Counter({term: counts[term] for term in sorted(counts, key=lambda term: (-counts[term], term))})


if __name__ == "__main__":
    run_stage(main, check_all_params=True)
