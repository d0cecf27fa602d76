"""A text's files as pieces of tokenised text, each with its counts: what the first pass over a text makes."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from zeroshot.base.ordered_pool import in_order
from zeroshot.console.progress import progress
from zeroshot.text.encoded import EncodedText, encode
from zeroshot.text.files import Block, tasks_of
from zeroshot.text.lexicon import MultiwordTerms
from zeroshot.text.sentences import SENTENCE_END, tokens_of
from zeroshot.text.sources import BOUNDARY, HAS_ARTICLES, Source, articles_of, text_files


class Piece(NamedTuple):
    """A stretch of the corpus, its terms' counts, and the tally of what it was made from."""

    text: EncodedText
    counts: Counter
    tally: Counter


def text_pieces(text: Path, source: Source, setting: str, multiword: MultiwordTerms, *, min_words: int,
                workers: int) -> Iterator[Piece]:
    """The files of a text, tokenised, in their order; the first piece has no words, but a tally of the files.

    Args:
        setting: the param that names the text, for messages.
        min_words: shorter articles are left out.
        workers: processes; the pieces do not depend on it.
    """
    found = text_files(text, source, setting)
    passed_over = Counter(files=len(found.files), files_left=len(found.left))
    passed_over.update({("files_left", str(path)): 1 for path in found.left})
    yield Piece(encode([]), Counter(), passed_over)
    tasks, words = tasks_of(found.files, BOUNDARY[source]), 0
    size = sum(file.stat().st_size for file in found.files)
    with progress(total=size, unit="B", desc=f"reading {setting}", scale=True) as bar:
        for task, piece in in_order(words_of_task, tasks, workers, source, multiword, min_words):
            yield piece
            words += piece.tally["words"]
            bar.update(sum(block.packed for block in task))
            bar.set_postfix(words=f"{words / 1e6:.1f}M", refresh=False)


def words_of_task(task: list[Block], source: Source, multiword: MultiwordTerms, min_words: int) -> Piece:
    """The articles of a task, without those that are too short."""
    tally = Counter()
    text = multiword.merge(encode(long_articles(task, source, min_words, tally)))
    return Piece(text, text.counts(), tally)


def long_articles(task: list[Block], source: Source, min_words: int, tally: Counter) -> Iterator[list[str]]:
    """The tokens of each article that is long enough; counts articles, words and what is left out in `tally`."""
    for article in articles_of(task, source):
        tally["revisions_older"] += article.older
        if article.left_out:
            tally[article.left_out] += 1
            if article.file:
                tally[article.left_out, str(article.file)] += 1
            continue
        tokens = tokens_of(article.text)
        words = len(tokens) - tokens.count(SENTENCE_END)
        if source in HAS_ARTICLES:
            short = words < min_words
            tally["articles_short" if short else "articles"] += 1
            if short:
                continue
        tally["words"] += words
        yield tokens
