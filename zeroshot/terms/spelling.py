"""One rule for both sides: how running text and WordNet's lemmas become terms.

A *word* is a maximal run of letters and digits after case-folding and Unicode normalisation (NFKD, accents
dropped: "façade" and WordNet's "facade" are one). Everything else (spaces, underscores, hyphens, apostrophes, dots,
other characters) only separates words; soft hyphens and zero-width characters vanish. Digits stay. A *term* is
one or more words joined by "_", so that "St. Bernard's-lily", "st bernard s lily" and "st_bernard_s_lily"
are the same term. A term's term is itself.
"""

import re
import unicodedata

JOINER = "_"
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_ASCII_TERM = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")
_WORD = re.compile(r"[^\W_]+")
_VANISHING = re.compile("[\u00ad\u0300-\u036f\u200b-\u200d\u2060\ufeff]+")  # soft hyphen, accents, zero-width


def words_of(text: str) -> list[str]:
    """The words of `text` in order, folded; [] if it holds no letter or digit."""
    if text.isascii():  # the same result, several times faster
        return _ASCII_WORD.findall(text.lower())
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return _WORD.findall(_VANISHING.sub("", unicodedata.normalize("NFKD", decomposed)))


def term_of(lemma: str) -> str:
    """The term of a lemma (or of a term): its words joined by "_"; "" if it has none. Idempotent."""
    return lemma if _ASCII_TERM.fullmatch(lemma) else JOINER.join(words_of(lemma))
