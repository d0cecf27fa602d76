from hypothesis import example, given
from hypothesis import strategies as st

from zeroshot.terms.spelling import words_of
from zeroshot.text.sentences import SENTENCE_END, tokens_of

TRICKY = st.text(st.sampled_from("aZ9éßİſΣς½–’…\u00ad\u0301\u200b_-'.,;!? \n\t\x1c\x85\u2028ﬁ漢ก\u0e33"))


@given(st.one_of(st.text(), TRICKY))
@example("Façade\u0301 of the ﬁsh – ½ STRASSE, straße")
def test_the_fast_way_finds_the_words_that_the_rule_finds(text):
    assert [token for token in tokens_of(text) if token != SENTENCE_END] == words_of(text)


def test_sentences_end_at_full_stops_and_lines_but_not_at_initials():
    text = 'A dog. The St. Bernard of J. R. Smith.\nU.S. dogs bark! "Why?" No. 3.5 dogs e.g. one'
    assert " ".join(tokens_of(text)) == (
        "a dog ; the st bernard of j r smith ; u s dogs bark ; why ; no 3 5 dogs e g one ;")


def test_text_without_words():
    assert [token for token in tokens_of(" --- ") if token != SENTENCE_END] == []
    assert tokens_of("") == []
