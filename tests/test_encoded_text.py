from hypothesis import given
from hypothesis import strategies as st

from zeroshot.text.encoded import encode, read_encoded, write_encoded
from zeroshot.text.sentences import SENTENCE_END

SENTENCES = st.lists(st.lists(st.sampled_from(["a", "b", "c_d", "\u00e9\U00010400"]), max_size=4), max_size=5)


def tokens_of(sentences):
    return [token for sentence in sentences for token in [*sentence, SENTENCE_END]]


@given(st.lists(SENTENCES, max_size=3), st.sets(st.sampled_from(["a", "c_d", "\u00e9\U00010400"])))
def test_lines_and_counts_of_known_terms(texts, known):
    text = encode(map(tokens_of, texts))
    assert text.tokens() == [token for sentences in texts for token in tokens_of(sentences)]
    kept = [[term for term in sentence if term in known] for sentences in texts for sentence in sentences]
    restricted = text.restricted(frozenset(known))
    assert restricted.lines().decode() == "".join(" ".join(sentence) + "\n" for sentence in kept if sentence)
    assert restricted.counts() == {term: n for term in known if (n := sum(kept, []).count(term))}


def test_texts_come_back_in_order_and_terms_come_apart(tmp_path):
    texts = [encode([["a", "c_d", ";"]]), encode([]), encode([["\u00e9", ";", "a", ";"], ["a", ";"]])]
    with open(tmp_path / "texts", "wb") as file:
        for text in texts:
            write_encoded(file, text)
    assert [(text.terms, text.ids.tolist()) for text in read_encoded(tmp_path / "texts")] == [
        ([";", "a", "c_d"], [1, 2, 0]), ([";"], []), ([";", "\u00e9", "a"], [1, 0, 2, 0, 2, 0])]
    assert texts[0].separated().tokens() == ["a", "c", "d", ";"]


@given(SENTENCES, st.integers(1, 3))
def test_long_sentences_are_cut(sentences, longest):
    text, cut = encode([tokens_of(sentences)]).cut(longest)
    pieces = [sentence[start:start + longest] for sentence in sentences
              for start in range(0, len(sentence) or 1, longest)]
    assert text.tokens() == tokens_of(pieces) and cut == sum(len(sentence) > longest for sentence in sentences)
