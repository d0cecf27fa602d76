"""Running text -> words and sentence ends, by terms/spelling.py's rule, at several million words a second."""

import re
from functools import lru_cache

from zeroshot.terms.spelling import words_of

SENTENCE_END = ";"  # the token after each sentence; no word holds it
LONGEST_SENTENCE = 10_000  # terms: as many as gensim trains on at a time; text without line ends is cut after so many

# A full stop after at least two small letters or digits ("St." and "U.S." end nothing), before a capital or digit.
_FULL_STOP = re.compile(r"""[.!?](?<=[a-z0-9]{2}.)["')\]]*\s+(?=["'(\[]*[A-Z0-9])""")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
# Of ASCII, letters (lowered) and digits stay, a line ends a sentence, all else separates; UTF-8's other bytes stay.
# A line may end as on a Mac of old; of "\r\n" the second end ends an empty sentence, which is none.
_FOLD = bytes(c if c >= 128 else ord("\n" if chr(c) in "\r\n" else chr(c).lower() if chr(c).isalnum() else " ")
              for c in range(256))


def tokens_of(text: str) -> list[str]:
    """The words of `text`, folded, with SENTENCE_END after every sentence and every line.

    Sentence by sentence this is `words_of`; here a table does what a regular expression does there.
    """
    text = _FULL_STOP.sub("\n", text)
    if not text.isascii():
        # Line by line, since telling that one is ASCII takes no time, and most are.
        text = "\n".join([line if line.isascii() else _NOT_ASCII.sub(_folded, line) for line in text.split("\n")])
    folded = text.encode().translate(_FOLD).replace(b"\n", b" ; ")
    tokens = folded.decode().split()
    if tokens and tokens[-1] != SENTENCE_END:
        tokens.append(SENTENCE_END)
    return tokens


def _folded(match: re.Match) -> str:
    return _fold_run(match.group())


@lru_cache(maxsize=1 << 16)
def _fold_run(run: str) -> str:
    """A run of letters beyond ASCII as words_of folds it; what stands between its words becomes a space.

    A mark that vanishes must join what surrounds it, hence the letter "x" at both ends while folding.
    """
    return " ".join(words_of(f"x{run}x"))[1:-1]
