"""Text -> corpus: a tokenised sentence a line, against a lexicon of single- and multi-word terms (DeViSE section 3.1).

First pass: articles are read from the dump, cut into sentences and folded into words (the rule of
zeroshot.terms.spelling: runs of letters and digits; digits stay as they are, all other signs only separate), and terms
are counted: runs of words that are noun lemmas of WordNet (or phrases) are one term, the longest first. Then the
lexicon is chosen: every label lemma that occurs, and the most frequent other terms; a multi-word term that is left out,
being too rare or cut by `lexicon_size`, counts as the shorter terms and words in it, which may bring them in. Second
pass: words are merged into the lexicon's multi-word terms alone, what is outside it is dropped, and sentences of more
than LONGEST_SENTENCE terms (text8 is a single line) are cut, and counted. Both passes use `workers` processes; the
output does not depend on their number, nor memory on the text's length.

Inputs: `prepare_corpus.text`, of kind `source`; data/taxonomy. Outputs: data/corpus/sentences.txt and lexicon.tsv
(term, count); metrics of what was kept and dropped. Cost: a second for a million words on a core, thrice that for a
MediaWiki dump; disk for the text twice over.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
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
from zeroshot.taxonomy import read_taxonomy
from zeroshot.terms.spelling import JOINER, term_of
from zeroshot.terms.vocabulary import write_counts
from zeroshot.text.encoded import EncodedText, encode, read_encoded, write_encoded
from zeroshot.text.files import Block, tasks_of
from zeroshot.text.lexicon import MultiwordTerms, choose_lexicon
from zeroshot.text.phrases import find_phrases
from zeroshot.text.sentences import LONGEST_SENTENCE, SENTENCE_END, tokens_of
from zeroshot.text.sources import BOUNDARY, HAS_ARTICLES, Source, articles_of, text_files

MAX_DISTINCT = 10_000_000  # distinct terms counted at a time, about 1 GB; beyond, the rarest are forgotten


class Params(StageParams):
    source: Source
    text: str = pydantic.Field(min_length=1)
    lexicon_size: int = pydantic.Field(ge=1)
    min_count: int = pydantic.Field(ge=1)
    label_min_count: int = pydantic.Field(ge=1)
    multiword: bool
    phrase_threshold: float = pydantic.Field(ge=0)
    min_article_words: int = pydantic.Field(ge=0)
    workers: int = pydantic.Field(ge=1)


def main(params: Params, *, text: Path, taxonomy: Path, out: Path, metrics: Path) -> None:
    labels = label_terms(read_taxonomy(taxonomy).lemmas)
    files = text_files(text, params.source)
    words = out / ".words.partial"  # inside the out, which DVC clears: a killed run leaves nothing behind
    try:
        multiword, phrases = MultiwordTerms(labels if params.multiword else ()), set()
        counts, tally = write_words(words, files, labels, params, multiword)
        if not counts:
            raise nothing_left(text, tally, params)
        if params.phrase_threshold:
            phrases = find_phrases(sentences_of(words), params.min_count, params.phrase_threshold)
        if phrases:
            multiword = MultiwordTerms(multiword.terms | phrases)
            counts = count_merged(words, labels, params, multiword)
        merged = {term for term in counts if JOINER in term}
        lexicon = lexicon_of(counts, labels, params, multiword)
        again = bool(phrases or tally["forgotten"] or not merged.issubset(lexicon))
        recounted, written = write_sentences(out / "sentences.txt", words, lexicon, tally["words"], params.workers,
                                             again=again)
        kept = sorted_counts(recounted if again else {term: counts[term] for term in lexicon})
    finally:
        words.unlink(missing_ok=True)
    write_counts(out / "lexicon.tsv", kept)
    write_json(metrics, summary(tally + written, kept, labels))


def label_terms(lemmas: Iterable[list[str]]) -> set[str]:
    """The terms of all labels' lemmas."""
    return {term for synonyms in lemmas for lemma in synonyms if (term := term_of(lemma))}


def nothing_left(text: Path, tally: Counter, params: Params) -> InputError:
    if short := tally["articles_short"]:
        return InputError(f"{text}: no word is left of {short} articles shorter than "
                          f"`prepare_corpus.min_article_words` = {params.min_article_words} words; lower it")
    return InputError(f"{text}: the text holds no words; expected some, of letters or digits, as "
                      f"`prepare_corpus.source` = {params.source!r} has them")


class Piece(NamedTuple):
    """A stretch of the corpus, its terms' counts, and the tally of what it was made from."""

    text: EncodedText
    counts: Counter
    tally: Counter


def write_words(path: Path, files: list[Path], labels: set[str], params: Params,
                multiword: MultiwordTerms) -> tuple[Counter, Counter]:
    """First pass: the terms of every sentence, to `path`; returns their counts and the tally of articles and words."""
    counts, tally = Counter(), Counter()
    tasks = tasks_of(files, BOUNDARY[params.source])
    size = sum(file.stat().st_size for file in files)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file, progress(total=size, unit="B", desc="reading text", scale=True) as bar:
        for task, piece in in_order(words_of_task, tasks, params.workers, params, multiword):
            write_encoded(file, piece.text)
            counts.update(piece.counts)
            tally.update(piece.tally)
            if len(counts) > MAX_DISTINCT:
                counts, tally["forgotten"] = forget_rarest(counts, labels), 1
            bar.update(sum(block.packed for block in task))
            bar.set_postfix(words=f"{tally['words'] / 1e6:.1f}M", refresh=False)
    return counts, tally


def words_of_task(task: list[Block], params: Params, multiword: MultiwordTerms) -> Piece:
    """The articles of a task, without those that are too short."""
    tally = Counter()
    text = multiword.merge(encode(long_articles(task, params, tally)))
    return Piece(text, text.counts(), tally)


def long_articles(task: list[Block], params: Params, tally: Counter) -> Iterator[list[str]]:
    """The tokens of each article that is long enough; counts articles and words in `tally`."""
    for article in articles_of(task, params.source):
        if article.dropped:
            tally[f"pages_{article.dropped}"] += 1
            continue
        tokens = tokens_of(article.text)
        words = len(tokens) - tokens.count(SENTENCE_END)
        if params.source in HAS_ARTICLES:
            short = words < params.min_article_words
            tally["articles_short" if short else "articles"] += 1
            if short:
                continue
        tally["words"] += words
        yield tokens


def forget_rarest(counts: Counter, labels: set[str]) -> Counter:
    """`counts` without the terms that occur least, of labels all; at most half of MAX_DISTINCT others."""
    rare = sorted((count for term, count in counts.items() if term not in labels), reverse=True)
    bar = rare[min(len(rare), MAX_DISTINCT // 2) - 1]
    return Counter({term: count for term, count in counts.items() if count > bar or term in labels})


def sentences_of(words: Path) -> Iterator[list[str]]:
    """The sentences of the first pass."""
    for text in read_encoded(words):
        for words_follow, sentence in groupby(text.tokens(), SENTENCE_END.__ne__):
            if words_follow:
                yield list(sentence)


def count_merged(words: Path, labels: set[str], params: Params, multiword: MultiwordTerms) -> Counter:
    """Counts of the terms as `multiword` merges them; beyond MAX_DISTINCT the rarest are forgotten."""
    counts = Counter()
    for _, piece in in_order(counts_of_text, read_encoded(words), params.workers, multiword):
        counts.update(piece)
        if len(counts) > MAX_DISTINCT:
            counts = forget_rarest(counts, labels)
    return counts


def counts_of_text(text: EncodedText, multiword: MultiwordTerms) -> Counter:
    return multiword.merge(text.separated()).counts()


def lexicon_of(counts: Counter, labels: set[str], params: Params, multiword: MultiwordTerms) -> list[str]:
    """The lexicon by `counts`, from which multi-word terms that are left out vanish.

    The longest of those count as the shorter terms and words that they fall back to, and the choice is made anew, until
    no multi-word term is left out. What is given stays as it is.
    """
    counts, multiword = counts.copy(), MultiwordTerms(multiword.terms)
    while True:
        lexicon = choose_lexicon(counts, labels, size=params.lexicon_size, min_count=params.min_count,
                                 label_min_count=params.label_min_count)
        left_out = [term for term in counts.keys() - set(lexicon) if JOINER in term]
        longest = max((term.count(JOINER) for term in left_out), default=0)
        if not longest:
            return lexicon
        falling = {term: counts.pop(term) for term in left_out if term.count(JOINER) == longest}
        multiword.terms -= falling.keys()
        for term, count in falling.items():
            for shorter in multiword.merge_words(term.split(JOINER)):
                counts[shorter] += count


def write_sentences(path: Path, words: Path, lexicon: list[str], total: int, workers: int, *,
                    again: bool) -> tuple[Counter, Counter]:
    """Second pass: the `total` words in terms of the lexicon; returns its terms' counts and the tally of sentences.

    Args:
        again: merge and count anew, since the lexicon's multi-word terms are others than the words were merged by;
            without, the counts stay empty: they are those of the first pass.
    """
    counts, tally = Counter(), Counter()
    shared = frozenset(lexicon), MultiwordTerms(lexicon) if again else None
    with atomic_write(path, "wb") as file, \
            progress(total=total, unit="words", desc="writing sentences", scale=True) as bar:
        for text, (lines, cut, recounted) in in_order(known_of_text, read_encoded(words), workers, *shared):
            file.write(lines)
            counts.update(recounted)
            tally.update(sentences=lines.count(b"\n"), sentences_cut=cut)
            bar.update(int(np.count_nonzero(text.ids)))
    return counts, tally


def known_of_text(text: EncodedText, known: frozenset[str],
                  multiword: MultiwordTerms | None) -> tuple[bytes, int, Counter]:
    """The lines of a text in `known` terms; how many were cut; with `multiword` the counts of what it merged anew."""
    if multiword:
        text = multiword.merge(text.separated())
    text, cut = text.restricted(known).cut(LONGEST_SENTENCE)
    return text.lines(), cut, text.counts() if multiword else Counter()


def sorted_counts(counts: Mapping[str, int]) -> Counter:
    """The same counts, most frequent term first, equals by name."""
    return Counter({term: counts[term] for term in sorted(counts, key=lambda term: (-counts[term], term))})


def summary(tally: Counter, kept: Counter, labels: set[str]) -> dict[str, float]:
    """What the text held and what became of it."""
    terms = kept.total()
    words = sum(count * (term.count(JOINER) + 1) for term, count in kept.items())
    return {
        "articles": tally["articles"],
        "articles_too_short": tally["articles_short"],
        "pages_redirect": tally["pages_redirect"],
        "pages_other_namespace": tally["pages_namespace"],
        "words_read": tally["words"],
        "words_kept": words,
        "words_outside_lexicon": tally["words"] - words,
        "sentences": tally["sentences"],
        "sentences_cut": tally["sentences_cut"],
        "terms": terms,
        "terms_multiword": sum(count for term, count in kept.items() if JOINER in term),
        "lexicon": len(kept),
        "lexicon_multiword": sum(JOINER in term for term in kept),
        "label_lemmas": len(labels),
        "label_lemmas_in_lexicon": len(labels & kept.keys()),
    }


if __name__ == "__main__":
    run_stage(main, check_all_params=True)
