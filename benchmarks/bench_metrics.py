"""Hierarchical precision at ImageNet's size: correct sets of 21,842 labels, then 1,000,000 rankings of 20.

python -m benchmarks.bench_metrics [--taxonomy data/taxonomy]
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from zeroshot.evaluation.hierarchy import FAR, hops_and_radii
from zeroshot.evaluation.metrics import KS, class_counts, correct_counts, precision_values, rank_counts, weighted_mean
from zeroshot.labels.label_sets import read_wnids
from zeroshot.taxonomy import read_taxonomy

IMAGES, CHUNK = 1_000_000, 1 << 17


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--taxonomy", type=Path, default=Path("data/taxonomy"))
    options = arguments.parse_args()
    taxonomy = read_taxonomy(options.taxonomy)
    seen = set(read_wnids(Path("presets/lists/imagenet-1k.txt")))
    wnids = sorted(seen | set(read_wnids(Path("presets/lists/imagenet-2011.txt"))))
    nodes = np.array([taxonomy.index.get(wnid, -1) for wnid in wnids])
    members, everything = np.ones(len(wnids), bool), np.arange(len(wnids))
    rng = np.random.default_rng(0)

    start, used = time.perf_counter(), time.process_time()
    hops, radii = hops_and_radii(taxonomy.graph(), nodes, everything, {"all": members}, KS)
    report(f"correct sets of {len(wnids):,} labels, k = {KS}", start, used)

    start, used = time.perf_counter(), time.process_time()
    correct = np.zeros((len(wnids), len(KS), KS[-1] + 1), np.int64)
    for at in range(0, IMAGES, CHUNK):
        images = min(CHUNK, IMAGES - at)
        top = rng.integers(0, len(wnids), (images, 20), dtype=np.int32)
        true, rank = rng.integers(0, len(wnids), images), rng.integers(0, len(wnids), images)
        correct += correct_counts(top, true, hops, radii["all"])
        rank_counts(rank, len(wnids))
        class_counts(rank, true, len(wnids))
    reachable = (hops < FAR).sum(1)
    hp = [weighted_mean(*precision_values(correct, reachable, k)) for k in KS]
    report(f"scoring {IMAGES:,} rankings of 20", start, used)
    print("hp@k of random rankings:", *(f"{value:.4f}" for value in hp))


def report(what: str, start: float, used: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    taken, cpu = time.perf_counter() - start, time.process_time() - used
    print(f"{what:58s} {taken:6.1f} s, {cpu:6.1f} s of CPU, peak {peak:.2f} GB")


if __name__ == "__main__":
    main()
