"""Sentences -> term vectors: the skip-gram language model of DeViSE section 3.1, by gensim.

Each term's vector learns to predict the terms within `window` of it, through hierarchical softmax (the paper's way) or
negative sampling. The corpus is trained on in slices of a few million words; after some minutes of slices, and after
each epoch, the state is kept, so that a killed training goes on from there. With `workers: 1` a resumed training ends
bit for bit where an uninterrupted one does (a slice's random numbers depend on seed, epoch and slice alone); with more,
threads race for the same vectors, no two runs are equal, and a resumed one is as good as any other.

Input: data/corpus. Outputs: data/term_vectors (zeroshot.terms.vectors says what it holds) with an optional export to
word2vec's format. Cost: about 60,000 words/s a core at the paper's setting (500-D, window 20); memory
8 * dim * terms bytes.
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

from stages import run_stage
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.base.files import sha256_of, write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.running.scratch import scratch_folder
from zeroshot.terms.vectors import TermVectors, write_term_vectors
from zeroshot.terms.vocabulary import read_counts

SLICE = 2_000_000  # words a worker trains on between two looks at the clock: half a minute at the paper's setting
CHECKPOINT_SECONDS = 300  # how much work a kill can cost, besides the slice in hand


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
        train(model, sentences, slices, sum(lexicon.values()) * params.epochs, scratch)
        write_term_vectors(out, TermVectors(list(counts), np.array(list(counts.values())), model.wv.vectors))
        export(out, model, params)
        write_json(metrics, {"terms": len(counts), "terms_too_rare": len(lexicon) - len(counts), "dim": params.dim,
                             "epochs": params.epochs, "words_in_corpus": sum(lexicon.values()),
                             "words_too_rare": sum(lexicon.values()) - sum(counts.values())})


def new_model(counts: dict[str, int], params: Params) -> Word2Vec:
    """An untrained model whose rows are the terms of `counts` in their order."""
    model = Word2Vec(sg=1, vector_size=params.dim, window=params.window, hs=int(params.hierarchical_softmax),
                     negative=params.negative, sample=params.subsample, min_count=1, workers=params.workers,
                     seed=params.seed, alpha=params.alpha, min_alpha=params.min_alpha,
                     sorted_vocab=0)  # they are sorted already, and numpy's sort breaks ties as the processor likes
    model.build_vocab_from_freq(counts)
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
    size = sentences.stat().st_size
    cuts = line_ends(sentences, math.ceil(words / (SLICE * params.workers)))
    for epoch in range(params.epochs):
        for number, (start, stop) in enumerate(zip(cuts, cuts[1:], strict=False)):
            begun, done = ((epoch * size + position) / (params.epochs * size) for position in (start, stop))
            alpha, end_alpha = (params.alpha + (params.min_alpha - params.alpha) * share for share in (begun, done))
            yield Slice(start, stop, alpha, end_alpha, (params.seed, epoch, number))


def line_ends(path: Path, parts: int) -> list[int]:
    """Offsets 0 < ... < size that cut a text file at line ends into about `parts` equal parts."""
    size, cuts = path.stat().st_size, {0}
    with open(path, "rb") as file:
        for part in range(1, parts):
            file.seek(size * part // parts)
            file.readline()
            cuts.add(file.tell())
    return sorted(cuts | {size})


def train(model: Word2Vec, sentences: Path, slices: list[Slice], words: int, scratch: Path) -> None:
    """Train on all slices, `words` words, from the last checkpoint on; the end of every epoch is one."""
    checkpoint = scratch / "checkpoint.safetensors"
    state, saved = restore(model, checkpoint), time.monotonic()
    with progress(total=words, unit="words", desc="skip-gram", scale=True, initial=state["words"]) as bar:
        for part in slices[state["slices"]:]:
            trained = train_slice(model, sentences, part, scratch / "slice.txt")
            state = {"slices": state["slices"] + 1, "words": state["words"] + trained}
            bar.update(trained)
            following = slices[state["slices"]:state["slices"] + 1]
            epoch_ends = not following or following[0].start == 0
            if epoch_ends or time.monotonic() - saved > CHECKPOINT_SECONDS:
                write_artifact(checkpoint, state, weights(model))
                saved = time.monotonic()


def train_slice(model: Word2Vec, sentences: Path, part: Slice, file: Path) -> int:
    """Train on one slice, by way of `file`; returns its number of words."""
    with open(sentences, "rb") as corpus:
        corpus.seek(part.start)
        text = corpus.read(part.stop - part.start)
    file.write_bytes(text)
    words = text.count(b" ") + text.count(b"\n")  # single spaces between, and none at the ends
    model.random = np.random.RandomState(part.seed)
    model.min_alpha_yet_reached = part.alpha  # else gensim warns
    model.train(corpus_file=str(file), total_words=words, epochs=1, start_alpha=part.alpha, end_alpha=part.end_alpha)
    return words


def weights(model: Word2Vec) -> dict[str, np.ndarray]:
    """All that training changes: the terms' vectors, and the output layer's of either kind."""
    layers = {"syn1": getattr(model, "syn1", None), "syn1neg": getattr(model, "syn1neg", None)}
    return {"vectors": model.wv.vectors, **{name: layer for name, layer in layers.items() if layer is not None}}


def restore(model: Word2Vec, checkpoint: Path) -> dict[str, int]:
    """Put the checkpoint's weights into the model; returns how many slices and words are behind them, or zeros."""
    if not checkpoint.exists():
        return {"slices": 0, "words": 0}
    try:
        saved = Artifact(checkpoint)
    except InputError as error:
        print(f"{error}\ntraining starts from the beginning", file=sys.stderr)
        return {"slices": 0, "words": 0}
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
