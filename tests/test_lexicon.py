import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroshot.console.errors import InputError
from zeroshot.text.encoded import encode
from zeroshot.text.lexicon import MultiwordTerms, choose_lexicon

SHARKS = MultiwordTerms(["white_shark", "great_white_shark", "great_white_way", "shark", "great_white"])


@pytest.mark.parametrize(("text", "merged"), [
    ("a great white shark swims", "a great_white_shark swims"),
    ("the great white shark", "the great_white_shark"),
    ("great great white way", "great great_white_way"),
    ("great white whale", "great_white whale"),
    ("white shark white shark", "white_shark white_shark"),
    ("great ; white shark", "great ; white_shark"),
    ("shark", "shark"),
    ("", ""),
])
def test_runs_of_words_merge_longest_first(text, merged):
    assert " ".join(merge(SHARKS, text)) == merged
    assert " ".join(SHARKS.merge_words(text.split())) == merged


def merge(multiword, text):
    return multiword.merge(encode([[*text.split(), ";"]])).tokens()[:-1]


def naive_merge(words, terms):
    merged, start = [], 0
    while start < len(words):
        for length in range(len(words) - start, 0, -1):
            term = "_".join(words[start:start + length])
            if length == 1 or term in terms:
                merged.append(term)
                start += length
                break
    return merged


words = st.lists(st.sampled_from("abc"), max_size=12)


@given(words, st.sets(st.lists(st.sampled_from("abc"), min_size=2, max_size=4).map("_".join)))
def test_merging_agrees_with_trying_every_run(text, terms):
    expected = naive_merge(text, terms)
    assert merge(MultiwordTerms(terms), " ".join(text)) == MultiwordTerms(terms).merge_words(text) == expected


COUNTS = {"the": 9, "of": 7, "dog": 2, "tiger_shark": 1, "zebra": 1, "rare": 1, "ant": 2}


def test_the_lexicon_holds_the_labels_then_the_most_frequent_others():
    labels = {"dog", "tiger_shark", "zebra", "absent"}
    chosen = choose_lexicon(COUNTS, labels, size=5, min_count=1, label_min_count=1)
    assert chosen == ["the", "of", "dog", "tiger_shark", "zebra"]
    assert choose_lexicon(COUNTS, labels, size=9, min_count=2, label_min_count=2) == ["the", "of", "ant", "dog"]


def test_a_lexicon_too_small_for_its_labels_is_refused():
    with pytest.raises(InputError, match="lexicon_size` is 2, but 3 label lemmas"):
        choose_lexicon(COUNTS, {"dog", "tiger_shark", "zebra"}, size=2, min_count=1, label_min_count=1)
