"""Nearest 20 of 21,841 labels, 500-D, 20,000 images, nine label sets: against the bare product and faiss.

python -m benchmarks.bench_ranking [--threads 2] [--any-processor]
Time is given as elapsed and as CPU time of all threads, which other programs disturb less.
faiss is optional: `pip install faiss-cpu`. It finds the first 20 of one set; we, the true label's rank too.
"""

import argparse
import time

import numpy as np
import torch

from zeroshot.base.compute import pick_device
from zeroshot.base.processor import settle_products
from zeroshot.ranking.first_labels import CHUNK, TOP, CosineScores, lay_out, rank_chunk

LABELS, DIM, IMAGES = 21841, 500, 20000


def members() -> dict[str, np.ndarray]:
    """The papers' sets by size."""
    label = np.random.default_rng(0).permutation(LABELS)
    unseen = label >= 1000
    sets = {"seen": ~unseen, "2-hops": unseen & (label < 2549), "3-hops": unseen & (label < 8860), "21k": unseen,
            "unseen": unseen & (label % 400 == 0)}
    return sets | {name + "+seen": member | sets["seen"] for name, member in sets.items() if name != "seen"}


def seconds(work) -> np.ndarray:
    """Elapsed, and of CPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elapsed, used = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return np.array([time.perf_counter() - elapsed, time.process_time() - used])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--images", type=int, default=IMAGES)
    arguments.add_argument("--any-processor", action="store_true", help="as the stages' param of that name")
    options = arguments.parse_args()
    settle_products(options.any_processor)
    torch.set_num_threads(options.threads)
    device = pick_device()
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(LABELS, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    points = torch.tensor(rng.normal(size=(options.images, DIM)), dtype=torch.float32, device=device)
    true = torch.tensor(rng.integers(0, LABELS, options.images), device=device)
    everything = np.ones(LABELS, bool)
    one, nine = lay_out({"21k+seen": everything}, everything, device), lay_out(members(), everything, device)
    scores = {id(layout): CosineScores(vectors, np.arange(LABELS), layout) for layout in (one, nine)}
    matrix, chunk = torch.tensor(vectors, device=device), CHUNK[device.type]
    starts = range(0, options.images - chunk + 1, chunk)
    some = starts[:max(1, len(starts) // 10)]

    def ours(layout) -> None:
        for start in starts:
            rank_chunk(scores[id(layout)](points[start:start + chunk]), true[start:start + chunk], layout)

    def bare() -> None:
        for start in starts:
            torch.mm(matrix, points[start:start + chunk].T)

    def sort() -> None:
        for start in some:
            torch.mm(points[start:start + chunk], matrix.T).argsort(dim=1, descending=True)

    work = {"bare matrix product": bare, "ours, one set: first 20 and ranks": lambda: ours(one),
            "ours, nine sets: first 20 and ranks": lambda: ours(nine)}
    try:
        import faiss

        faiss.omp_set_num_threads(options.threads)
        index, queries = faiss.IndexFlatIP(DIM), points[:len(starts) * chunk].cpu().numpy()
        index.add(vectors)
        work["faiss IndexFlatIP, one set, first 20"] = lambda: index.search(queries, TOP)
    except ImportError:
        print("faiss: not installed (pip install faiss-cpu)")
    bare()
    ours(nine)
    rounds = [[seconds(job) for job in work.values()] for _ in range(options.repeats)]  # they take turns
    taken = dict(zip(work, np.min(rounds, axis=0), strict=True))
    taken["full sort (of a tenth, scaled up)"] = seconds(sort) * len(starts) / len(some)
    print(f"{len(starts) * chunk} images, {LABELS} labels, {DIM}-D, {device}, {options.threads} threads, "
          f"torch {torch.__version__}")
    for name, took in taken.items():
        times = took / taken["bare matrix product"]
        print(f"{name:40s} {took[0]:7.2f} s  {times[0]:5.2f} x   {took[1]:7.2f} s of CPU  {times[1]:5.2f} x")


if __name__ == "__main__":
    main()
