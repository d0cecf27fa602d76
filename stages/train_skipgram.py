"""Sentences -> term vectors: the skip-gram language model of DeViSE section 3.1, by gensim.

Each term's vector learns to predict the terms within `window` of it, through hierarchical softmax (the paper's way) or
negative sampling. The corpus is trained on in slices of a few million words; after some minutes of slices, and after
each epoch, the state is kept, so that a killed training goes on from there and ends bit for bit where an uninterrupted
one does: a slice's random numbers depend on seed, epoch, slice and worker alone. Several workers train on a slice's
parts side by side, and bring together what they changed after each (zeroshot.skipgram.team): the bits depend on
`workers`, not on how the threads run.

Input: data/corpus. Outputs: data/term_vectors (zeroshot.terms.vectors says what it holds) with an optional export to
word2vec's format. Metrics: the words that gensim says it trained on, beside those that subsampling should leave it.
Cost: about 60,000 words/s a core at the paper's setting (500-D, window 20); memory 8 * dim * terms bytes, and with
several workers as much again for each.

gensim reads a file in batches: lines until they hold more than BATCH words, of which it trains on the first BATCH and
forgets the rest. So the batches are made here: lines of at most BATCH words together, and a line of words without a
vector (FILLER), which takes the batch over the bar. Nothing is forgotten then, at no cost in time.
"""

import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pydantic
from gensim.models import Word2Vec
from gensim.models.word2vec_corpusfile import CythonVocab, train_epoch_sg

from stages import run_stage
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.base.files import sha256_of, write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.running.scratch import scratch_folder
from zeroshot.skipgram.team import Team, weights
from zeroshot.terms.vectors import TermVectors, write_term_vectors
from zeroshot.terms.vocabulary import read_counts

SLICE = 2_000_000  # words one worker trains on between two looks at the clock: half a minute at the paper's setting
ROUND = 50_000  # words of each of several workers, before they bring together what they learnt
CHECKPOINT_SECONDS = 300  # how much work a kill can cost, besides the slice in hand
BATCH = 10_000  # gensim's MAX_SENTENCE_LEN: words of a batch that it trains on
FILLER = b"~"  # a word of no lexicon
CERTAIN = 2.0**32  # gensim's `sample_int` of a term that is never skipped, and one more
TOLERANCE = 0.01  # share by which the words trained on may differ from those expected


class Params(StageParams):
    dim: int = pydantic.Field(ge=1)
    window: int = pydantic.Field(ge=1)
    hierarchical_softmax: bool
    negative: int = pydantic.Field(ge=0)
    subsample: float = pydantic.Field(ge=0)
    epochs: int = pydantic.Field(ge=1)
    min_count: int = pydantic.Field(ge=1)
    alpha: float = pydantic.Field(gt=0)
    min_alpha: float = pydantic.Field(ge=0)
    workers: int = pydantic.Field(ge=1)
    seed: Seed
    export: Literal["none", "word2vec-text", "word2vec-binary"]

    @pydantic.field_validator("min_alpha")
    @classmethod
    def _rate_falls(cls, min_alpha: float, info: pydantic.ValidationInfo) -> float:
        if min_alpha > info.data.get("alpha", math.inf):
            raise ValueError(f"at most `alpha` = {info.data['alpha']}, from which the learning rate falls to it")
        return min_alpha

    @pydantic.model_validator(mode="after")
    def _something_trains(self) -> "Params":
        if not self.hierarchical_softmax and not self.negative:
            raise ValueError("hierarchical_softmax: true, or negative: at least 1 (5 to 20 are usual)")
        return self


def main(params: Params, *, corpus: Path, out: Path, metrics: Path) -> None:
    sentences, lexicon = corpus / "sentences.txt", read_counts(corpus / "lexicon.tsv")
    if not sentences.is_file() or not sentences.stat().st_size:
        raise InputError(f"{sentences}: missing or empty; `dvc repro prepare_corpus` makes it")
    counts = {term: count for term, count in lexicon.items() if count >= params.min_count}
    if len(counts) < 2:
        raise InputError(f"params.yaml: `train_skipgram.min_count` = {params.min_count} leaves {len(counts)} of "
                         f"{len(lexicon)} terms; lower it")
    model = new_model(counts, params)
    slices = list(slices_of(sentences, sum(lexicon.values()), params))
    with scratch_folder("train_skipgram", params=params, sentences=sha256_of(sentences),
                        lexicon=sha256_of(corpus / "lexicon.tsv")) as scratch:
        trained = train(model, params.workers, sentences, slices, sum(lexicon.values()) * params.epochs, scratch)
        expected = check_all_trained(trained, list(counts.values()), model, params.epochs)
        write_term_vectors(out, TermVectors(list(counts), np.array(list(counts.values())), model.wv.vectors))
        export(out, model, params)
        write_json(metrics, {"terms": len(counts), "terms_too_rare": len(lexicon) - len(counts), "dim": params.dim,
                             "epochs": params.epochs, "words_in_corpus": sum(lexicon.values()),
                             "words_too_rare": sum(lexicon.values()) - sum(counts.values()),
                             "words_expected": expected, "words_trained": trained})


def new_model(counts: dict[str, int], params: Params) -> Word2Vec:
    """An untrained model whose rows are the terms of `counts` in their order."""
    model = Word2Vec(sg=1, vector_size=params.dim, window=params.window, hs=int(params.hierarchical_softmax),
                     negative=params.negative, sample=params.subsample, min_count=1, workers=1, seed=params.seed,
                     alpha=params.alpha, min_alpha=params.min_alpha,
                     sorted_vocab=0)  # they are sorted already, and numpy's sort breaks ties as the processor likes
    model.build_vocab_from_freq(counts)
    model.sample = params.subsample or 1.0  # 0 skips no term still, but lets gensim draw windows without a seed
    return model


class Slice(NamedTuple):
    """Bytes start..stop-1 of the sentences, to be trained on while the rate falls from `alpha` to `end_alpha`."""

    start: int
    stop: int
    alpha: float
    end_alpha: float
    seed: tuple[int, int, int]  # of the pipeline, epoch, slice


def slices_of(sentences: Path, words: int, params: Params) -> Iterator[Slice]:
    """The whole training in order: every epoch's slices, cut at line ends. The rate falls with the bytes trained on."""
    size, most = sentences.stat().st_size, SLICE if params.workers == 1 else ROUND * params.workers
    cuts = line_ends(sentences, math.ceil(words / most), 0, size)
    for epoch in range(params.epochs):
        for number, (start, stop) in enumerate(zip(cuts, cuts[1:], strict=False)):
            begun, done = ((epoch * size + position) / (params.epochs * size) for position in (start, stop))
            alpha, end_alpha = (params.alpha + (params.min_alpha - params.alpha) * share for share in (begun, done))
            yield Slice(start, stop, alpha, end_alpha, (params.seed, epoch, number))


def line_ends(path: Path, parts: int, start: int, stop: int) -> list[int]:
    """Offsets start < ... < stop that cut these bytes of a text file at line ends into about `parts` equal parts."""
    cuts = {start}
    with open(path, "rb") as file:
        for part in range(1, parts):
            file.seek(start + (stop - start) * part // parts)
            file.readline()
            cuts.add(file.tell())
    return sorted({cut for cut in cuts if cut < stop} | {stop})


def train(model: Word2Vec, workers: int, sentences: Path, slices: list[Slice], words: int, scratch: Path) -> int:
    """Train on all slices, `words` words, from the last checkpoint on; the end of every epoch is one.

    Returns:
        How many words gensim says that it trained on, subsampling's not among them.
    """
    checkpoint, vocabulary = scratch / "checkpoint.safetensors", CythonVocab(model.wv, hs=model.hs)
    state, saved = restore(model, checkpoint), time.monotonic()
    team = Team(model, workers)
    with progress(total=words, unit="words", desc="skip-gram", scale=True, initial=state["words"]) as bar:
        for part in slices[state["slices"]:]:
            read, trained = train_slice(team, vocabulary, sentences, part, scratch)
            state = {"slices": state["slices"] + 1, "words": state["words"] + read,
                     "trained": state["trained"] + trained}
            bar.update(read)
            following = slices[state["slices"]:state["slices"] + 1]
            epoch_ends = not following or following[0].start == 0
            if epoch_ends or time.monotonic() - saved > CHECKPOINT_SECONDS:
                write_artifact(checkpoint, state, weights(model))
                saved = time.monotonic()
    return state["trained"]


def train_slice(team: Team, vocabulary: CythonVocab, sentences: Path, part: Slice, scratch: Path) -> tuple[int, int]:
    """Train on one slice, a part of it a worker, by way of files in `scratch`.

    Returns:
        Its number of words, and of those that were trained on.
    """
    cuts = line_ends(sentences, len(team.members), part.start, part.stop)
    with open(sentences, "rb") as corpus:
        corpus.seek(part.start)
        texts = [corpus.read(stop - start) for start, stop in zip(cuts, cuts[1:], strict=False)]

    def work(model: Word2Vec, worker: int, text: bytes) -> tuple[int, int]:
        file = scratch / f"worker{worker}.txt"
        read, padded = write_batches(file, text)
        model.random = np.random.RandomState((*part.seed, worker) if worker else part.seed)
        model.alpha, model.min_alpha, model.epochs = part.alpha, part.end_alpha, 1
        return read, train_file(model, vocabulary, file, padded)

    read, trained = zip(*team.train(work, texts), strict=True)
    return sum(read), sum(trained)


def train_file(model: Word2Vec, vocabulary: CythonVocab, file: Path, length: int) -> int:
    """Train on a file of batches, `length` words with the fillers; returns the number of words trained on."""
    work = np.zeros(model.vector_size, np.float32)
    return train_epoch_sg(model, str(file), 0, vocabulary, 0, None, length, work, None, False)[1]


def write_batches(path: Path, text: bytes) -> tuple[int, int]:
    """Write whole lines, with fillers such that gensim forgets no word; returns the words without and with fillers.

    A batch has fewer than BATCH lines, since gensim's table of lines has no room for one more.
    """
    letters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(letters == ord("\n")) + 1
    behind = np.searchsorted(np.flatnonzero((letters == ord(" ")) | (letters == ord("\n"))), ends)  # words up to there
    pieces, begun, line = [], 0, 0
    while line < len(ends):
        full = int(np.searchsorted(behind, (behind[line - 1] if line else 0) + BATCH, side="right"))
        if full == line:
            raise InputError(f"a sentence of the corpus has more than {BATCH:,} words; `dvc repro -f prepare_corpus` "
                             "makes it anew, and cuts such")
        full = min(full, line + BATCH - 1)
        filled = int(behind[full - 1] - (behind[line - 1] if line else 0))
        pieces += [text[begun:ends[full - 1]], (FILLER + b" ") * (BATCH - filled), FILLER + b"\n"]
        begun, line = ends[full - 1], full
    path.write_bytes(b"".join(pieces))
    return int(behind[-1]), len(pieces) // 3 * (BATCH + 1)


def check_all_trained(trained: int, counts: list[int], model: Word2Vec, epochs: int) -> int:
    """Compare the words trained on with those that subsampling should leave of the terms' counts, which are returned.

    Raises:
        InputError: they differ by more than TOLERANCE, or, in a small text, six standard deviations.
    """
    counts = epochs * np.array(counts, np.float64)
    kept = (model.wv.expandos["sample_int"] + 1.0) / CERTAIN
    expected, deviation = counts @ kept, math.sqrt(counts @ (kept * (1 - kept)))
    if abs(trained - expected) > max(TOLERANCE * expected, 6 * deviation):
        raise InputError(f"gensim trained on {trained:,} words; expected about {expected:,.0f} by the corpus's counts; "
                         "is it another version of gensim than constraints.txt's, or does lexicon.tsv not belong to "
                         "sentences.txt? (`dvc repro -f prepare_corpus`)")
    return round(expected)


def restore(model: Word2Vec, checkpoint: Path) -> dict[str, int]:
    """Put the checkpoint's weights into the model; returns how many slices and words are behind them, or zeros."""
    nothing = {"slices": 0, "words": 0, "trained": 0}
    if not checkpoint.exists():
        return nothing
    try:
        saved = Artifact(checkpoint)
    except InputError as error:
        print(f"{error}\ntraining starts from the beginning", file=sys.stderr)
        return nothing
    for name, array in weights(model).items():
        array[:] = saved[name]
    print(f"resuming after {saved.meta['words']:,} words")
    return saved.meta


def export(out: Path, model: Word2Vec, params: Params) -> None:
    """Write the vectors as other tools read them, if asked to."""
    if params.export != "none":
        binary = params.export == "word2vec-binary"
        model.wv.save_word2vec_format(str(out / f"word2vec.{'bin' if binary else 'txt'}"), binary=binary)


if __name__ == "__main__":
    run_stage(main)
