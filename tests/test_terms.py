import sys

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
    for code in range(sys.maxunicode + 1):
        once = term_of("é" + chr(code) + "b")  # the accent keeps it off the ASCII path
        assert term_of(once) == once, hex(code)


@given(st.text())
def test_idempotent_and_clean(text):
    once = term_of(text)
    assert term_of(once) == once
    assert not any(character.isspace() for character in once)
    assert words_of(once) == words_of(text)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_shortcut_changes_nothing(text):
    assert words_of(text) == words_of(text + " é")[:-1]
