"""A GPU's rankings against the CPU's, at the papers' size: a step of `make check-gpu`."""

import os

import numpy as np
import torch
import torch.nn.functional as F

from tests.gpu_notes import Notes
from zeroshot.base.compute import set_up
from zeroshot.ranking.first_labels import CHUNK, CosineScores, lay_out, rank_chunk

LABELS, DIM, IMAGES = 21841, 500, 8192


def rankings(notes: Notes, small: bool) -> None:
    """Scores and what is ranked by them."""
    labels, images = (600, 256) if small else (LABELS, IMAGES)
    device = set_up(threads=os.cpu_count() or 1)
    notes.check("scores that are exact: the CPU's rankings, ties and all", lambda: ranked_alike(labels, images, device))
    notes.check("equal label vectors score equally, to the bit", lambda: equals_tie(labels, images, device))
    notes.check("the GPU's first 20 are the CPU's but for rounding", lambda: near_the_cpus(labels, images, device))
    notes.check("ranked twice, the same bits", lambda: ranked_twice(labels, images, device))


def rank_on(device: torch.device, vectors: np.ndarray, points: np.ndarray, true: np.ndarray) -> dict[str, tuple]:
    """Set -> first 20, ranks, in the chunks of that device."""
    label = np.arange(len(vectors))
    members = {"seen": label % 20 == 0, "unseen": label % 20 == 1, "21k": label % 20 > 0}
    members["21k+seen"] = members["21k"] | members["seen"]
    layout = lay_out(members, np.ones(len(vectors), bool), device)
    score, chunk, found = CosineScores(vectors, label, layout), CHUNK[device.type], []
    chunk = min(chunk, len(points))
    for start in range(0, len(points), chunk):
        here = slice(start, start + chunk)
        ranked = rank_chunk(score(torch.tensor(points[here], device=device)), torch.tensor(true[here], device=device),
                            layout)
        found.append({name: [part.cpu().numpy() for part in parts] for name, parts in ranked.items()})
    return {name: tuple(np.concatenate([part[name][which] for part in found]) for which in (0, 1)) for name in members}


def exact_world(labels: int, images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label vectors, points and true labels whose cosines every device computes without rounding, many of them equal.

    A point has 16 entries of +-1, so that its length is 4; a vector's entries are multiples of 1/8 up to 1.
    """
    rng = np.random.default_rng(0)
    vectors = (rng.integers(-8, 9, (labels, DIM)) / 8).astype(np.float32)
    points = np.zeros((images, DIM), np.float32)
    places = rng.random((images, DIM)).argpartition(16, axis=1)[:, :16]
    np.put_along_axis(points, places, rng.choice([-1.0, 1.0], (images, 16)).astype(np.float32), 1)
    return vectors, points, rng.integers(-1, labels, images)


def random_world(labels: int, images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((labels, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, rng.standard_normal((images, DIM)).astype(np.float32), rng.integers(0, labels, images)


def ranked_alike(labels: int, images: int, device: torch.device) -> str:
    world = exact_world(labels, images)
    ours, theirs = rank_on(device, *world), rank_on(torch.device("cpu"), *world)
    for name in theirs:
        for what, mine, other in zip(("first 20", "ranks"), ours[name], theirs[name], strict=True):
            differing = int((mine != other).sum())
            assert not differing, f"{name}: {differing} of {other.size} of the {what} are not the CPU's"
    return f"{images} images, {labels} labels, {len(theirs)} sets"


def equals_tie(labels: int, images: int, device: torch.device) -> str:
    vectors, points, _ = random_world(labels, images)
    vectors[labels // 2:2 * (labels // 2)] = vectors[:labels // 2]
    layout = lay_out({"all": np.ones(labels, bool)}, np.ones(labels, bool), device)
    scores = CosineScores(vectors, np.arange(labels), layout)(torch.tensor(points[:4096], device=device))
    first, second = scores[:labels // 2], scores[labels // 2:2 * (labels // 2)]
    differing = int((first != second).sum())
    assert not differing, f"{differing} of {first.numel()} scores of equal label vectors differ: ties are broken"
    return f"{first.numel():,} pairs"


def near_the_cpus(labels: int, images: int, device: torch.device) -> str:
    """Where labels stand otherwise, their scores on the CPU are within rounding of each other."""
    vectors, points, true = random_world(labels, min(images, 1024))
    ours, theirs = (rank_on(where, vectors, points, true)["21k+seen"][0] for where in (device, torch.device("cpu")))
    cosines = F.normalize(torch.from_numpy(points).double()) @ torch.from_numpy(vectors).double().T
    gaps = [cosines.gather(1, torch.from_numpy(first).long()) for first in (ours, theirs)]
    largest = (gaps[0] - gaps[1]).abs().max().item()
    assert largest < 1e-5, f"labels stand in each other's place whose cosines differ by {largest:.2g}; is it TF32?"
    return f"{(ours != theirs).mean():.1e} of the places differ, by {largest:.1e} at most"


def ranked_twice(labels: int, images: int, device: torch.device) -> str:
    world = random_world(labels, images)
    first, second = rank_on(device, *world), rank_on(device, *world)
    assert all(np.array_equal(one, other) for name in first for one, other in zip(first[name], second[name],
                                                                                 strict=True)), "two runs differ"
    return f"{images} images"
