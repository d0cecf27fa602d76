"""Phrases found by statistics: pairs of terms that stand together far more often than by chance (gensim's Phrases)."""

from collections.abc import Iterable

from zeroshot.terms.spelling import JOINER

MAX_PAIRS = 20_000_000  # distinct words and pairs counted at a time, about 2 GB; beyond, the rarest are forgotten


def find_phrases(sentences: Iterable[list[str]], min_count: int, threshold: float) -> set[str]:
    """Terms like "prime_minister" and "bank_of_england" from sentences, each a list of terms.

    "the", "of" and such stand within a phrase only, never at its ends.

    Args:
        min_count: occurrences a pair needs.
        threshold: of (pairs - min_count) * distinct terms / (count of first * count of second); higher means fewer.
    """
    from gensim.models.phrases import ENGLISH_CONNECTOR_WORDS, Phrases  # here, since few runs ask for it

    model = Phrases(sentences, min_count=min_count, threshold=threshold, delimiter=JOINER,
                    connector_words=ENGLISH_CONNECTOR_WORDS, max_vocab_size=MAX_PAIRS)
    return set(model.export_phrases())
