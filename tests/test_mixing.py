import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroshot.text.encoded import encode, write_encoded
from zeroshot.text.mixing import Words, in_step, merged


def written(folder, name, texts, times):
    """A source whose texts are lists of sentences, each sentence a list of words."""
    with open(folder / name, "wb") as file:
        for sentences in texts:
            write_encoded(file, encode([[*sentence, ";"] for sentence in sentences]))
    return Words(folder / name, times, sum(len(sentence) + 1 for sentences in texts for sentence in sentences))


def mixed(sources):
    parts = ((part, part.text.lines()) for part in in_step(sources))
    return b"".join(merged(parts, len(sources))).decode().splitlines()


def test_by_hand(tmp_path):
    """Places: of the text's two sentences 1/4 and 3/4, of the three readings of the note 1/6, 3/6, 5/6."""
    sources = [written(tmp_path, "text", [[["a"], ["b"]]], 1), written(tmp_path, "note", [[["n", "o"]]], 3)]
    assert mixed(sources) == ["n o", "a", "n o", "b", "n o"]


def test_one_source_stays_as_it_is(tmp_path):
    assert mixed([written(tmp_path, "text", [[["a"], ["b"]], [["c"]]], 2)]) == ["a", "b", "c"] * 2


SENTENCES = st.lists(st.lists(st.just("w"), min_size=1, max_size=9), min_size=1, max_size=30)


@pytest.mark.parametrize("times", [(1, 1), (1, 4), (3, 2)])
@given(st.data())
@settings(deadline=None)
def test_all_sentences_in_the_order_of_their_places(tmp_path_factory, times, data):
    folder, expected, sources = tmp_path_factory.mktemp("mixed"), [], []
    for number, often in enumerate(times):
        texts = [[[f"{number}x{text}x{row}", *sentence] for row, sentence in enumerate(sentences)]
                 for text, sentences in enumerate(data.draw(st.lists(SENTENCES, min_size=1, max_size=4)))]
        sources.append(written(folder, str(number), texts, often))
        done = 0
        for sentences in texts * often:
            size = sum(len(sentence) + 1 for sentence in sentences)
            expected += [((done + size * (row + 0.5) / len(sentences)) / (sources[-1].tokens * often), number,
                          " ".join(sentence)) for row, sentence in enumerate(sentences)]
            done += size
    found = mixed(sources)
    assert sorted(found) == sorted(line for _, _, line in expected)
    for number in range(len(times)):  # a source's own order stays
        own = [line for line in found if line.startswith(f"{number}x")]
        assert own == [line for _, source, line in expected if source == number]
    place = {}
    for at, _, line in expected:
        place.setdefault(line, []).append(at)
    places = [place[line].pop(0) for line in found]
    assert np.all(np.diff(places) > -1e-9)
