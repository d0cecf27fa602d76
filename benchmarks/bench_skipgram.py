"""How fast train_skipgram trains, beside gensim called directly on the same file, in words/s.

    python -m benchmarks.bench_skipgram [--corpus data/corpus] [--words 2000000] [--dim 500] [--window 20] [--workers 1]

Hierarchical softmax, one epoch, over the corpus's first words. gensim's own pass over the file that counts the words is
left out of its time (our stage takes the counts from the lexicon), the copies that several workers of ours train are
not. Time is given as elapsed and as CPU time, which other programs on the machine disturb less; the two take turns,
twice, and the better of each counts. Ours holds one checkpoint, as every epoch does; what that takes is told beside it.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from gensim.models import Word2Vec

from stages import train_skipgram
from zeroshot.base.artifacts import write_artifact
from zeroshot.skipgram.team import weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("data/corpus"))
    parser.add_argument("--words", type=int, default=2_000_000)
    parser.add_argument("--dim", type=int, default=500)
    parser.add_argument("--window", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    params = train_skipgram.Params(dim=given.dim, window=given.window, hierarchical_softmax=True, negative=0,
                                   subsample=1e-3, epochs=1, min_count=1, alpha=0.025, min_alpha=0.0001,
                                   workers=given.workers, seed=1, export="none")
    with tempfile.TemporaryDirectory() as folder:
        sentences, counts = first_words(given.corpus / "sentences.txt", given.words, Path(folder) / "sentences.txt")
        times = [[timed(work, sentences, counts, params) for work in (by_stage, by_gensim)] for _ in range(2)]
        checkpoint = seconds_of_a_checkpoint(train_skipgram.new_model(counts, params), Path(folder))
    ours, direct = zip(*times, strict=True)
    (elapsed, cpu), (gensim_elapsed, gensim_cpu) = map(min, *ours), map(min, *direct)
    words = counts.total()
    print(f"{words:,} words, {len(counts):,} terms, {given.dim}-D, window {given.window}, workers {given.workers}: "
          "words/s (per CPU s)")
    print(f"train_skipgram       {words / elapsed:10,.0f} ({words / cpu:,.0f})")
    print(f"gensim called directly {words / gensim_elapsed:8,.0f} ({words / gensim_cpu:,.0f})")
    print(f"ratio                {gensim_elapsed / elapsed:10.3f} ({gensim_cpu / cpu:.3f}); the checkpoint "
          f"{checkpoint:.1f} s of {elapsed:.1f}, without it {gensim_elapsed / (elapsed - checkpoint):.3f}")


def first_words(corpus: Path, words: int, path: Path) -> tuple[Path, Counter]:
    """The corpus's first sentences, to `path`, and the counts of their terms, most frequent first."""
    counts, taken = Counter(), 0
    with open(corpus, encoding="utf-8") as source, open(path, "w", encoding="utf-8") as file:
        for line in source:
            file.write(line)
            counts.update(terms := line.split())
            taken += len(terms)
            if taken >= words:
                break
    return path, Counter({term: counts[term] for term in sorted(counts, key=lambda term: (-counts[term], term))})


def timed(work: Callable, sentences: Path, counts: Counter, params: train_skipgram.Params) -> tuple[float, float]:
    """Seconds elapsed and of CPU that `work` trains for; making the model is not counted, it is the same for both."""
    model = train_skipgram.new_model(counts, params)
    elapsed, cpu = time.perf_counter(), time.process_time()
    work(model, sentences, counts.total(), params)
    return time.perf_counter() - elapsed, time.process_time() - cpu


def seconds_of_a_checkpoint(model: Word2Vec, folder: Path) -> float:
    begun = time.perf_counter()
    write_artifact(folder / "checkpoint.safetensors", {}, weights(model))
    return time.perf_counter() - begun


def by_stage(model: Word2Vec, sentences: Path, words: int, params: train_skipgram.Params) -> None:
    slices = list(train_skipgram.slices_of(sentences, words, params))
    with tempfile.TemporaryDirectory() as scratch:  # of its own, else the second turn would resume after the first
        train_skipgram.train(model, params.workers, sentences, slices, words, Path(scratch))


def by_gensim(model: Word2Vec, sentences: Path, words: int, params: train_skipgram.Params) -> None:
    model.workers = params.workers
    model.train(corpus_file=str(sentences), total_words=words, epochs=params.epochs)


if __name__ == "__main__":
    main()
