"""How fast prepare_corpus reads: words/s a core on WikiExtractor text; on a MediaWiki dump beside gensim's WikiCorpus.

    python -m benchmarks.bench_corpus --wikiextractor FOLDER [--dump FILE] [--workers N]

Without --dump, the small dump in gensim's package is used, its pages repeated. Time is given as elapsed and as CPU time
of all processes (which other programs on the machine disturb less).
"""

import argparse
import bz2
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gensim.corpora import WikiCorpus
from gensim.test.utils import datapath

from stages import prepare_corpus

DUMP = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
REPEATS = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wikiextractor", type=Path, required=True)
    parser.add_argument("--dump", type=Path)
    parser.add_argument("--taxonomy", type=Path, default=Path("data/taxonomy"))
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    print(f"{'':44}   M words   elapsed s   CPU s   M words/s   M words/CPU s")
    with tempfile.TemporaryDirectory() as folder:
        dump = given.dump or repeated_dump(Path(folder))
        for source, text in (("wikiextractor", given.wikiextractor), ("mediawiki", dump)):
            for workers in sorted({1, given.workers}):
                report(f"prepare_corpus, {source}, workers={workers}", prepare, source, text, workers, given.taxonomy,
                       Path(folder))
        for workers in sorted({1, given.workers}):
            report(f"gensim WikiCorpus, processes={workers}", wikicorpus, dump, workers)


def repeated_dump(folder: Path) -> Path:
    """gensim's dump with its pages several times over."""
    head, page, rest = bz2.open(datapath(DUMP)).read().partition(b"<page>")
    pages, end, tail = (page + rest).rpartition(b"</page>")
    path = folder / "pages-articles.xml.bz2"
    path.write_bytes(bz2.compress(head + (pages + end) * REPEATS + tail))
    return path


def prepare(source: str, text: Path, workers: int, taxonomy: Path, folder: Path) -> int:
    """Words of the articles, by our stage in full: read, tokenise, merge, count, choose the lexicon, write."""
    params = prepare_corpus.Params(source=source, text="-", times=1, glosses=0, lexicon_size=155_000, min_count=5,
                                   label_min_count=1, multiword=True, phrase_threshold=0, min_article_words=50,
                                   workers=workers, also=prepare_corpus.Also(source="plain", text="-", times=0),
                                   chains=prepare_corpus.Chains(length=1, times=0))
    prepare_corpus.main(params, text=text, also=text, taxonomy=taxonomy, out=folder / "corpus",
                        metrics=folder / "metrics.json")
    return json.loads((folder / "metrics.json").read_text())["words_read"]


def wikicorpus(dump: Path, workers: int) -> int:
    """Words of the articles, by gensim: read and tokenise (neither merged, counted nor written)."""
    corpus = WikiCorpus(str(dump), processes=workers, dictionary={})
    return sum(map(len, corpus.get_texts()))


def report(what: str, work: Callable[..., int], *arguments) -> None:
    elapsed, cpu = time.perf_counter(), cpu_seconds()
    words = work(*arguments) / 1e6
    elapsed, cpu = time.perf_counter() - elapsed, cpu_seconds() - cpu
    print(f"{what:44} {words:9.1f} {elapsed:11.1f} {cpu:7.1f} {words / elapsed:11.2f} {words / cpu:15.2f}")


def cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
