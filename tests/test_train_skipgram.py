import json
import re
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pydantic
import pytest
from gensim.models import KeyedVectors

from stages import train_skipgram
from stages.train_skipgram import Params, line_ends, slices_of
from tests.processes import ended, run_apart, started_process
from zeroshot.console.errors import InputError
from zeroshot.terms.vectors import read_term_vectors
from zeroshot.terms.vocabulary import write_counts

SETTINGS = {"dim": 8, "window": 3, "hierarchical_softmax": True, "negative": 0, "subsample": 1e-2, "epochs": 3,
            "min_count": 1, "alpha": 0.05, "min_alpha": 0.001, "workers": 1, "seed": 3, "export": "none"}

STAGE = """
import sys
from stages import run_stage, train_skipgram
sys.argv = {}
train_skipgram.SLICE, train_skipgram.CHECKPOINT_SECONDS = {}, {}
run_stage(train_skipgram.main)
"""


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))
    for name, words in (("SLICE", 300), ("ROUND", 100)):
        monkeypatch.setattr(train_skipgram, name, words)
    random = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(30)])
    lines = [" ".join(words[random.integers(30, size=8) // (1 + i % 3)]) for i in range(150)]
    (tmp_path / "sentences.txt").write_text("\n".join(lines) + "\n")
    terms, counts = np.unique(" ".join(lines).split(), return_counts=True)
    order = sorted(range(len(terms)), key=lambda i: (-counts[i], terms[i]))
    write_counts(tmp_path / "lexicon.tsv", {str(terms[i]): int(counts[i]) for i in order})
    return tmp_path


def write_text(corpus, lines):
    """Sentences and the lexicon of their terms."""
    (corpus / "sentences.txt").write_text("\n".join(lines) + "\n")
    counts = Counter(" ".join(lines).split())
    write_counts(corpus / "lexicon.tsv", dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))))


def train(corpus, name="terms", **settings):
    params = Params(**{**SETTINGS, **settings})
    train_skipgram.main(params, corpus=corpus, out=corpus / name, metrics=corpus / "metrics.json")
    return read_term_vectors(corpus / name)


KINDS = [{}, {"hierarchical_softmax": False, "negative": 5}, {"workers": 3}, {"workers": 2, "negative": 5}]


@pytest.mark.parametrize("settings", KINDS)
def test_two_trainings_are_equal_bit_for_bit(corpus, settings):
    first, second = train(corpus, **settings), train(corpus, "again", **settings)
    assert np.array_equal(first.vectors, second.vectors) and first.terms == second.terms
    assert (corpus / "terms" / "sha256.txt").read_text() == (corpus / "again" / "sha256.txt").read_text()
    assert not np.array_equal(first.vectors, train(corpus, "other", **settings, seed=4).vectors)
    assert not list(corpus.glob("scratch/train_skipgram/*"))


@pytest.mark.parametrize("settings", KINDS)
@pytest.mark.parametrize("killed_after", [1, 4, 7])
def test_a_killed_training_goes_on_and_ends_the_same(corpus, monkeypatch, settings, killed_after):
    whole = train(corpus, "whole", **settings)
    trained = []

    def counting(*arguments, of=train_skipgram.train_slice):
        if len(trained) == killed_after:
            raise KeyboardInterrupt
        trained.append(arguments)
        return of(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(train_skipgram, "CHECKPOINT_SECONDS", -1)
        patch.setattr(train_skipgram, "train_slice", counting)
        with pytest.raises(KeyboardInterrupt):
            train(corpus, **settings)
        total = len(list(slices_of(corpus / "sentences.txt", 1200, Params(**{**SETTINGS, **settings}))))
        killed_after = total  # from now on none
        assert np.array_equal(train(corpus, **settings).vectors, whole.vectors)
    assert len(trained) == total  # none was trained on twice


@pytest.mark.parametrize(("killed_after", "trained_twice"), [(4, 0), (9, 1), (12, 0)])  # an epoch has 4 slices
def test_the_end_of_an_epoch_is_a_checkpoint(corpus, monkeypatch, killed_after, trained_twice):
    trained = []

    def counting(*arguments, of=train_skipgram.train_slice):
        if len(trained) == killed_after:
            raise KeyboardInterrupt
        trained.append(arguments[3].seed)
        return of(*arguments)

    monkeypatch.setattr(train_skipgram, "train_slice", counting)
    with monkeypatch.context() as patch:
        patch.setattr(train_skipgram, "export", None)  # the training of 12 slices fails here
        with pytest.raises((KeyboardInterrupt, TypeError)):
            train(corpus)
    killed_after = -1
    train(corpus)
    assert len(trained) == 12 + trained_twice
    assert not list(corpus.glob("scratch/train_skipgram/*"))


@pytest.mark.parametrize(("epochs", "slice_words", "seconds"), [(60, 1200, 300), (1, 10, -1)])  # between epochs; in one
def test_a_stage_that_is_killed_says_that_it_goes_on_and_ends_the_same(corpus, monkeypatch, epochs, slice_words,
                                                                      seconds):
    monkeypatch.chdir(corpus)
    monkeypatch.setattr(train_skipgram, "SLICE", slice_words)
    train(corpus, "whole", epochs=epochs)
    Path("params.yaml").write_text(json.dumps({"train_skipgram": {**SETTINGS, "epochs": epochs}}))  # JSON is YAML
    stage = STAGE.format(["stage", "--corpus", ".", "--out", "cut", "--metrics", "m.json"], slice_words, seconds)
    with started_process(stage) as (process, *said):
        while process.is_alive() and not list(Path("scratch").glob("train_skipgram/*/checkpoint.safetensors")):
            time.sleep(0.001)
        process.kill()
        killed = ended(process, *said)
    assert killed.returncode == -signal.SIGKILL and not list(Path("cut").glob("*")), killed.stderr
    resumed = run_apart(stage)
    assert resumed.returncode == 0, resumed.stderr
    behind = int(re.search(r"resuming after ([\d,]+) words", resumed.stdout)[1].replace(",", ""))
    assert 0 < behind < epochs * 1200 and (epochs == 1 or behind % 1200 == 0)
    for file in Path("whole").iterdir():
        assert file.read_bytes() == Path("cut", file.name).read_bytes()


def test_a_damaged_checkpoint_means_a_new_start(corpus, monkeypatch, capsys):
    whole = train(corpus, "whole")
    monkeypatch.setattr(train_skipgram, "CHECKPOINT_SECONDS", -1)
    with monkeypatch.context() as patch:
        patch.setattr(train_skipgram, "write_term_vectors", None)
        with pytest.raises(TypeError):
            train(corpus)
    checkpoint = next(corpus.glob("scratch/train_skipgram/*/checkpoint.safetensors"))
    content = bytearray(checkpoint.read_bytes())
    content[-5] ^= 1
    checkpoint.write_bytes(content)
    assert np.array_equal(train(corpus).vectors, whole.vectors)
    assert "starts from the beginning" in capsys.readouterr().err


def test_slices_cover_every_epoch_and_the_rate_falls_in_a_line(corpus):
    sentences = corpus / "sentences.txt"
    slices = list(slices_of(sentences, 1200, Params(**SETTINGS)))
    size, text = sentences.stat().st_size, sentences.read_bytes()
    assert len(slices) == 12
    assert [part.start for part in slices[:4]] + [size] == line_ends(sentences, 4, 0, size)
    assert all(text[part.stop - 1:part.stop] == b"\n" for part in slices)
    assert slices[0].alpha == 0.05 and slices[-1].end_alpha == pytest.approx(0.001)
    assert [part.alpha for part in slices[1:]] == pytest.approx([part.end_alpha for part in slices[:-1]])
    assert slices[4].alpha == pytest.approx(0.05 - 0.049 / 3)
    assert len({part.seed for part in slices}) == 12


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 20, 3333, 5000, 5001, 10_000])
def test_every_word_is_trained_on_whatever_the_lines_lengths(corpus, monkeypatch, length, workers):
    """gensim alone forgets what goes beyond 10,000 words a batch: a third of lines of 5,001, half of one long line."""
    for name in ("SLICE", "ROUND"):
        monkeypatch.setattr(train_skipgram, name, 15_000)
    lines = 40_000 // length
    write_text(corpus, [" ".join(f"w{(row + place) % 7}" for place in range(length)) for row in range(lines)])
    train(corpus, subsample=0, epochs=2, dim=2, window=1, workers=workers)
    metrics = json.loads((corpus / "metrics.json").read_text())
    assert metrics["words_trained"] == metrics["words_expected"] == 2 * lines * length


def test_every_word_of_mixed_lines_is_trained_on_and_rare_ones_are_none(corpus, monkeypatch):
    monkeypatch.setattr(train_skipgram, "SLICE", 30_000)
    random = np.random.default_rng(1)
    lengths = random.integers(1, 900, size=200).tolist() + [1] * 12_000  # more lines than a batch may have
    write_text(corpus, [" ".join(f"w{number}" for number in random.integers(5, size=length)) for length in lengths]
               + ["once"])
    train(corpus, subsample=0, min_count=2, epochs=1, dim=2, window=1)
    metrics = json.loads((corpus / "metrics.json").read_text())
    assert metrics["words_trained"] == metrics["words_expected"] == sum(lengths)
    assert metrics["words_in_corpus"] == sum(lengths) + 1 and metrics["words_too_rare"] == 1


def test_subsampling_is_allowed_for_and_a_difference_beyond_is_an_error(corpus, monkeypatch):
    monkeypatch.setattr(train_skipgram, "SLICE", 30_000)
    write_text(corpus, ["a a a a a a a a a b"] * 20_000)
    train(corpus, subsample=1e-2, dim=2, epochs=1)
    metrics = json.loads((corpus / "metrics.json").read_text())
    # word2vec keeps a term of share f with probability (sqrt(f / t) + 1) t / f
    expected = sum(200_000 * share * ((share / 0.01) ** 0.5 + 1) * 0.01 / share for share in (0.9, 0.1))
    assert metrics["words_expected"] == pytest.approx(expected, abs=2)
    assert metrics["words_trained"] == pytest.approx(expected, rel=0.02)
    half = train_skipgram.train_file
    monkeypatch.setattr(train_skipgram, "train_file", lambda *arguments: int(0.95 * half(*arguments)))
    with pytest.raises(InputError, match=r"gensim trained on [\d,]+ words; expected about"):
        train(corpus, subsample=1e-2, dim=2, epochs=1)


def test_longer_sentences_than_a_batch_are_refused(corpus):
    write_text(corpus, ["a b " * 5000 + "a"])
    with pytest.raises(InputError, match="more than 10,000 words"):
        train(corpus)


@pytest.mark.parametrize("length", [1, 7, 3333])
def test_batches_are_what_gensim_takes_whole(tmp_path, length):
    text = b"".join(b" ".join([b"w"] * length) + b"\n" for _ in range(25_000 // length))
    words, padded = train_skipgram.write_batches(tmp_path / "batches", text)
    lines = (tmp_path / "batches").read_bytes().splitlines()
    assert words == text.count(b"w") and b"".join(line + b"\n" for line in lines if b"~" not in line) == text
    batch, held, full = [], 0, 0
    for line in lines:  # as word2vec_corpusfile.pyx fills a batch: until it holds more than 10,000 words
        batch.append(line.split())
        held += len(batch[-1])
        if held > 10_000:
            assert sum(word != b"~" for line in batch for word in line) <= 10_000 and len(batch) <= 10_000
            batch, held, full = [], 0, full + 1
    assert not batch and padded == full * 10_001


def test_without_subsampling_two_trainings_are_equal_too(corpus):
    first, second = train(corpus, subsample=0), train(corpus, "again", subsample=0)
    assert np.array_equal(first.vectors, second.vectors)
    assert not np.array_equal(first.vectors, train(corpus, "other", subsample=0, seed=4).vectors)


@pytest.mark.parametrize("settings", [{}, {"workers": 4}])
def test_terms_of_one_topic_come_together(corpus, settings):
    lines = ["cat dog cow pig", "car bus van tram"] * 300
    (corpus / "sentences.txt").write_text("\n".join(lines) + "\n")
    write_counts(corpus / "lexicon.tsv", dict.fromkeys(sorted(" ".join(lines[:2]).split()), 300))
    terms = train(corpus, **{"epochs": 10, "subsample": 0, **settings})
    rows = {term: vector / np.linalg.norm(vector) for term, vector in zip(terms.terms, terms.vectors, strict=True)}
    assert rows["cat"] @ rows["dog"] > 0.5 + rows["cat"] @ rows["bus"]


def test_rare_terms_get_no_vector_and_are_counted(corpus):
    everything = train(corpus)
    terms = train(corpus, "frequent", min_count=20)
    metrics = json.loads((corpus / "metrics.json").read_text())
    assert set(terms.terms) == {t for t, c in zip(everything.terms, everything.counts, strict=True) if c >= 20}
    assert metrics["terms"] == len(terms.terms) and metrics["terms_too_rare"] == 30 - len(terms.terms) > 0


@pytest.mark.parametrize("form", ["word2vec-text", "word2vec-binary"])
def test_the_export_is_what_other_tools_read(corpus, form):
    terms = train(corpus, export=form)
    file = corpus / "terms" / {"word2vec-text": "word2vec.txt", "word2vec-binary": "word2vec.bin"}[form]
    exported = KeyedVectors.load_word2vec_format(str(file), binary=form.endswith("binary"))
    assert exported.index_to_key == terms.terms and np.allclose(exported.vectors, terms.vectors, atol=1e-6)
    again = read_term_vectors(file)
    assert again.terms == terms.terms and np.allclose(again.vectors, terms.vectors, atol=1e-6)


def test_settings_under_which_nothing_trains_are_refused(corpus):
    with pytest.raises(pydantic.ValidationError, match="hierarchical_softmax: true, or negative"):
        Params(**{**SETTINGS, "hierarchical_softmax": False})
    with pytest.raises(pydantic.ValidationError, match="at most `alpha` = 0.05, from which the learning rate falls"):
        Params(**{**SETTINGS, "min_alpha": 0.06})
    with pytest.raises(InputError, match="`train_skipgram.min_count` = 10000 leaves 0 of 30 terms"):
        train(corpus, min_count=10_000)
    (corpus / "sentences.txt").write_text("")
    with pytest.raises(InputError, match="missing or empty"):
        train(corpus)
