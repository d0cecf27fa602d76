"""What a text held and what became of it: the figures of prepare_corpus, from the tallies of its passes."""

from collections import Counter
from pathlib import Path

from zeroshot.terms.spelling import JOINER
from zeroshot.text.files import named

PASSED_OVER = {"files_left": "Files not read, by their names no such text", "files_empty": "Empty files",
               "files_with_trailing_bytes": "Packed files with bytes behind their end, which were not read"}


def summary(tally: Counter, kept: Counter, labels: set[str]) -> dict[str, float]:
    """What the text held and what became of it."""
    terms = kept.total()
    words = sum(count * (term.count(JOINER) + 1) for term, count in kept.items())
    return {
        "files": tally["files"],
        **{name: tally[name] for name in PASSED_OVER},
        "articles": tally["articles"],
        "articles_too_short": tally["articles_short"],
        "pages_redirect": tally["pages_redirect"],
        "pages_other_namespace": tally["pages_other_namespace"],
        **({"pages_without_wikitext": tally["pages_without_wikitext"]} if tally["pages_without_wikitext"] else {}),
        "revisions_older": tally["revisions_older"],
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


def shares(tallies: dict[str, Counter]) -> dict[str, int]:
    """`<source>/...`: how often it was read, and the words and sentences that the corpus has of it, all times."""
    return {f"{name}/{figure}": tally[figure] for name, tally in tallies.items()
            for figure in ("times", "words", "sentences")}


def say_what_was_passed_over(tally: Counter) -> None:
    """Print how many files were passed over, and the first of them by name."""
    for name, said in PASSED_OVER.items():
        if tally[name]:
            print(f"{said}: {tally[name]:,}, {named(sorted(Path(key[1]) for key in tally if key[0] == name))}")
