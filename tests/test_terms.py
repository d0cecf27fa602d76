import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroshot.terms.spelling import term_of, words_of


@pytest.mark.parametrize("lemma, term", [
    ("great white shark", "great_white_shark"),
    ("great_white  shark", "great_white_shark"),
    ("T-shirt", "t_shirt"),
    ("bird's nest fern", "bird_s_nest_fern"),
    ("bird’s nest fern", "bird_s_nest_fern"),
    ("St. Bernard", "st_bernard"),
    ("9/11", "9_11"),
    ("Façade", "facade"),
    ("Straße", "strasse"),
    ("co\u00adoperate", "cooperate"),
    ("ﬁsh", "fish"),
    ("İzmir", "izmir"),
    ("½", "1_2"),
    ("_-'.", ""),
])
def test_examples(lemma, term):
    assert term_of(lemma) == term


def test_idempotent_on_every_character():
    """Of code points that Unicode has not assigned, leaves to others, or halves, some: they are all alike."""
    codes = [code for code in range(sys.maxunicode + 1)
             if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs") or code % 256 < 2]
    terms = {term_of("é" + chr(code) + "b") for code in codes}  # é keeps them off the ASCII path
    assert len(terms) > 120_000 and [term for term in terms if term_of(term) != term] == []


@given(st.text())
def test_idempotent_and_clean(text):
    once = term_of(text)
    assert term_of(once) == once
    assert not any(character.isspace() for character in once)
    assert words_of(once) == words_of(text)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_shortcut_changes_nothing(text):
    assert words_of(text) == words_of(text + " é")[:-1]
