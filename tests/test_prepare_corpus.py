import bz2
import json
from pathlib import Path

import pytest

from stages import prepare_corpus, train_skipgram
from stages.prepare_corpus import Params
from zeroshot.console.errors import InputError
from zeroshot.taxonomy import make_taxonomy, write_taxonomy
from zeroshot.text import files as text_files
from zeroshot.text.encoded import encode, write_encoded
from zeroshot.text.lexicon import MultiwordTerms
from zeroshot.text.mixing import Words
from zeroshot.text.sentences import LONGEST_SENTENCE

NOUNS = {"n00000001": (["shark"], [], [], "a fish"),
         "n00000002": (["great white shark", "white shark"], ["n00000001"], [], "a large shark"),
         "n00000003": (["okapi"], [], [], "never in the text")}
SETTINGS = {"source": "plain", "text": "unused", "times": 1, "glosses": 0, "chains": {"length": 4, "times": 0},
            "also": {"source": "plain", "text": "unused", "times": 0}, "lexicon_size": 100, "min_count": 1,
            "label_min_count": 1, "multiword": True, "phrase_threshold": 0, "min_article_words": 0, "workers": 1}


@pytest.fixture
def taxonomy(tmp_path):
    write_taxonomy(tmp_path / "taxonomy", make_taxonomy(NOUNS))
    return tmp_path / "taxonomy"


def prepare(tmp_path, taxonomy, text, **settings):
    """Sentences, lexicon and metrics of a text (or a path)."""
    path = tmp_path / "text.txt"
    if isinstance(text, str):
        path.write_text(text)
    else:
        path = text
    out = tmp_path / "corpus"
    params = Params(**{**SETTINGS, **settings})
    prepare_corpus.main(params, text=path, also=Path(params.also.text), taxonomy=taxonomy, out=out,
                        metrics=tmp_path / "metrics.json")
    assert sorted(file.name for file in out.iterdir()) == ["lexicon.tsv", "sentences.txt"]
    return ((out / "sentences.txt").read_text().splitlines(), (out / "lexicon.tsv").read_text().split("\n")[:-1],
            json.loads((tmp_path / "metrics.json").read_text()))


def test_a_text_becomes_sentences_of_terms(tmp_path, taxonomy):
    text = "The Great White Shark is a shark.  It swims!\n\nSharks.\n"
    sentences, lexicon, metrics = prepare(tmp_path, taxonomy, text)
    assert sentences == ["the great_white_shark is a shark", "it swims", "sharks"]
    assert lexicon == [f"{term}\t1" for term in "a great_white_shark is it shark sharks swims the".split()]
    assert metrics["words_read"] == metrics["words_kept"] == 10 and metrics["terms"] == 8
    assert metrics["sentences"] == 3 and metrics["terms_multiword"] == 1
    assert (metrics["label_lemmas"], metrics["label_lemmas_in_lexicon"]) == (4, 2)


def test_terms_outside_the_lexicon_are_dropped_and_counted(tmp_path, taxonomy):
    text = "the shark\nthe sea\nthe sea\nseldom\n"
    sentences, lexicon, metrics = prepare(tmp_path, taxonomy, text, min_count=2)
    assert sentences == ["the shark", "the sea", "the sea"]
    assert lexicon == ["the\t3", "sea\t2", "shark\t1"]
    assert (metrics["words_read"], metrics["words_outside_lexicon"]) == (7, 1)


def test_a_rare_multiword_lemma_falls_back_to_its_words(tmp_path, taxonomy):
    text = "great white shark\nwhite shark\nwhite shark\nshark shark\ngreat great\nwhite white\n"
    sentences, _, _ = prepare(tmp_path, taxonomy, text, label_min_count=2)
    assert sentences[:3] == ["great white_shark", "white_shark", "white_shark"]


def test_the_words_of_rare_multiword_lemmas_count_as_words(tmp_path, taxonomy):
    sentences, lexicon, _ = prepare(tmp_path, taxonomy, "white shark\n" * 4, min_count=3, label_min_count=5)
    assert sentences == ["white"] * 4 and lexicon == ["white\t4"]  # "shark" is a label itself, and too rare
    text = "great white shark\n" * 2 + "white shark\n" * 3
    sentences, lexicon, _ = prepare(tmp_path, taxonomy, text, min_count=2, label_min_count=4)
    assert sentences == ["great white_shark"] * 2 + ["white_shark"] * 3
    assert lexicon == ["white_shark\t5", "great\t2"]


def test_the_words_of_a_rare_lemma_without_labels_among_them(tmp_path):
    write_taxonomy(tmp_path / "taxonomy", make_taxonomy({"n00000001": (["sea cow", "chow chow"], [], [], "")}))
    _, lexicon, _ = prepare(tmp_path, tmp_path / "taxonomy", "sea cow\nchow chow\n" * 4, min_count=3, label_min_count=5)
    assert lexicon == ["chow\t8", "cow\t4", "sea\t4"]


def test_a_rare_lemma_inside_a_rare_lemma_falls_to_its_words_too(tmp_path):
    write_taxonomy(tmp_path / "taxonomy", make_taxonomy({"n00000001": (["big sea cow shed", "sea cow"], [], [], "")}))
    _, lexicon, _ = prepare(tmp_path, tmp_path / "taxonomy", "big sea cow shed\n" * 4, min_count=3, label_min_count=5)
    assert lexicon == ["big\t4", "cow\t4", "sea\t4", "shed\t4"]


def test_single_words_only(tmp_path, taxonomy):
    sentences, _, _ = prepare(tmp_path, taxonomy, "great white shark\n", multiword=False)
    assert sentences == ["great white shark"]


def test_phrases_by_statistics(tmp_path, taxonomy):
    text = "".join(f"the prime minister of w{i} met a white shark\n" for i in range(20)) + "the of a met\n" * 20
    sentences, lexicon, _ = prepare(tmp_path, taxonomy, text, phrase_threshold=1.0, min_count=2)
    assert "prime_minister\t20" in lexicon and "white_shark\t20" in lexicon
    assert sentences[0] == "the prime_minister of met a white_shark"


def test_counting_with_phrases_is_bounded_too(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_corpus, "MAX_DISTINCT", 4)
    with open(tmp_path / "words", "wb") as file:
        for i in range(30):
            write_encoded(file, encode([["prime", "minister", ";", f"w{i}", "shark", ";"]]))
    counts = prepare_corpus.count_merged([Words(tmp_path / "words", 1, 180)], {"shark"}, Params(**SETTINGS),
                                         MultiwordTerms({"prime_minister"}))
    assert len(counts) <= 4 and counts["prime_minister"] == counts["shark"] == 30


PHRASES = "prime minister\n" * 3 + "new prime minister\n" * 2 + "shark\n" * 4 + "prime shark\nsea\nsea\n"


def test_a_phrase_cut_by_the_lexicons_size_counts_and_stays_as_words(tmp_path, taxonomy, monkeypatch):
    monkeypatch.setattr(prepare_corpus, "find_phrases", lambda *_: {"prime_minister", "new_prime_minister"})
    whole, lexicon, _ = prepare(tmp_path, taxonomy, PHRASES, phrase_threshold=1)
    assert whole[2:4] == ["prime_minister", "new_prime_minister"]
    assert lexicon == ["shark\t5", "prime_minister\t3", "new_prime_minister\t2", "sea\t2", "prime\t1"]
    # The longest falls first: its two make prime_minister five, which stays; "new" comes in with two, before "sea".
    sentences, lexicon, _ = prepare(tmp_path, taxonomy, PHRASES, phrase_threshold=1, lexicon_size=2)
    assert lexicon == ["prime_minister\t5", "shark\t5"]
    assert sentences == ["prime_minister"] * 5 + ["shark"] * 5
    # With six of "sea" both phrases fall, and "prime", seven then, takes the place of "sea".
    text = PHRASES + "sea\n" * 4 + "prime\n"
    sentences, lexicon, metrics = prepare(tmp_path, taxonomy, text, phrase_threshold=1, lexicon_size=2)
    assert lexicon == ["prime\t7", "shark\t5"]
    assert sentences == ["prime"] * 5 + ["shark"] * 4 + ["prime shark", "prime"]
    assert metrics["words_kept"] == 12 == metrics["words_read"] - 6 - 5 - 2  # sea, minister, new


def test_short_articles_are_dropped_and_counted(tmp_path, taxonomy):
    path = tmp_path / "wiki_00.bz2"
    doc = '<doc id="1">\n{}\n</doc>\n'
    path.write_bytes(bz2.compress((doc.format("A shark swims") + doc.format("Short")).encode()))
    sentences, _, metrics = prepare(tmp_path, taxonomy, path, source="wikiextractor", min_article_words=2)
    assert sentences == ["a shark swims"]
    assert (metrics["articles"], metrics["articles_too_short"]) == (1, 1)
    with pytest.raises(InputError, match="no word is left of 2 articles"):
        prepare(tmp_path, taxonomy, path, source="wikiextractor", min_article_words=9)


def test_a_text_without_words_is_refused_for_what_it_is(tmp_path, taxonomy):
    with pytest.raises(InputError, match="text.txt: the text holds no words; .*`prepare_corpus.text` is 'plain' text"):
        prepare(tmp_path, taxonomy, "... !\n")


def test_the_output_does_not_depend_on_the_number_of_workers(tmp_path, taxonomy, monkeypatch):
    monkeypatch.setattr(text_files, "SMALL", 2_000)
    monkeypatch.setattr(text_files, "TASK", 3_000)
    monkeypatch.setattr(text_files, "BLOCK", 1_000)
    folder = tmp_path / "text"
    folder.mkdir()
    for number in range(8):
        text = "".join(f"The white shark {i % 13} of file {number}, word{i % 7}.\n" for i in range(40 * number + 1))
        (folder / f"{number}.txt").write_text(text)
    alone = prepare(tmp_path, taxonomy, folder, min_count=3, label_min_count=2, workers=1)
    assert prepare(tmp_path, taxonomy, folder, min_count=3, label_min_count=2, workers=3) == alone


def test_a_truncated_archive_leaves_no_corpus(tmp_path, taxonomy):
    path = tmp_path / "text.txt.bz2"
    path.write_bytes(bz2.compress(b"a white shark\n" * 1000)[:-20])
    with pytest.raises(InputError, match="truncated or corrupt"):
        prepare(tmp_path, taxonomy, path, workers=2)
    assert list((tmp_path / "corpus").iterdir()) == []


def test_counts_are_exact_even_of_terms_that_were_forgotten_on_the_way(tmp_path, taxonomy, monkeypatch):
    monkeypatch.setattr(text_files, "SMALL", 10)
    monkeypatch.setattr(text_files, "TASK", 300)
    monkeypatch.setattr(text_files, "BLOCK", 200)
    monkeypatch.setattr(prepare_corpus, "MAX_DISTINCT", 20)
    text = "often\n" + "".join(f"w{i} a white shark often\n" for i in range(50)) + "w0 often\n" * 5
    _, lexicon, _ = prepare(tmp_path, taxonomy, text, min_count=2)
    assert lexicon == ["often\t56", "a\t50", "white_shark\t50", "w0\t6"]


def test_memory_is_bounded_by_forgetting_the_rarest(monkeypatch):
    monkeypatch.setattr(prepare_corpus, "MAX_DISTINCT", 4)
    counts = prepare_corpus.Counter({"a": 5, "b": 4, "c": 2, "d": 2, "shark": 1})
    assert prepare_corpus.forget_rarest(counts, {"shark"}) == {"a": 5, "shark": 1}


@pytest.mark.parametrize("again", [False, True])
def test_one_long_line_is_cut_and_counted(tmp_path, taxonomy, again):
    """text8 is a single line of 17 million words, of which gensim would train on half."""
    text = "a white shark swims\n" + "the shark swims here " * 6_000 + ("zzz" if again else "") + "\n"
    sentences, _, metrics = prepare(tmp_path, taxonomy, text, min_count=2, lexicon_size=6)
    assert [len(line.split()) for line in sentences] == [2, 10_000, 10_000, 4_000]
    assert " ".join(sentences[1:]) == "the shark swims here " * 5_999 + "the shark swims here"
    assert (metrics["sentences"], metrics["sentences_cut"]) == (4, 1)
    assert LONGEST_SENTENCE <= train_skipgram.BATCH  # what gensim takes whole
