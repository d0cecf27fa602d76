"""Does this processor compute what others do? One digest per kind of computation, beside those that are recorded.

    python -m tools.probe_processor [--write]

A probe is a small piece of a stage, on inputs that are exact on every processor, and its digest the first 16 digits of
the SHA-256 of what comes out. Where results differ from another machine's, the probes that do tell whose fault it is.
`--write` records this processor's digests instead: after a library's new version, or a change of what is computed.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from gensim.models.word2vec_corpusfile import CythonVocab

from stages.draw_label_map import Params as MapParams
from stages.draw_label_map import place_labels
from stages.evaluate_terms import cosines, solved
from stages.train_devise import measure_scaling
from stages.train_skipgram import Params as SkipgramParams
from stages.train_skipgram import new_model, slices_of, train_slice
from zeroshot.base.compute import set_up
from zeroshot.closed_form.models import ClassSums, eszsl, exemplars, ridge
from zeroshot.devise.hinge import rank_loss
from zeroshot.evaluation.metrics import bootstrap_interval
from zeroshot.image_sets.renderer import class_looks, draw_images, random_of
from zeroshot.networks.visual_model import build_visual
from zeroshot.ranking.conse import conse_mixture
from zeroshot.ranking.first_labels import CosineScores, lay_out, rank_chunk
from zeroshot.skipgram.team import Team, weights
from zeroshot.training.loop import make_optimiser, set_rate

RECORDED = Path(__file__).with_name("processor_digests.json")
CNN_SHAPES = {"resnet8": ("strided", 32), "torchvision/resnet18": ("standard", 32)}


def exact(*shape: int, seed: int = 0) -> np.ndarray:
    """float32 in -1..1, multiples of 2^-20: drawn as integers, which every processor draws alike."""
    drawn = np.random.default_rng(seed).integers(-2**20, 2**20, shape)
    return (drawn / 2**20).astype(np.float32)


def units(rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.from_numpy(exact(rows, dim, seed=seed)))


def numpy_functions() -> list[np.ndarray]:
    x = 4 * exact(20_011)
    functions = (np.exp, np.sin, np.cos, np.tanh, np.arctan, lambda v: np.log(np.abs(v) + 1), lambda v: np.hypot(v, 1))
    return [function(values) for values in (x, x.astype(np.float64)) for function in functions] + [x.sum(), x.std()]


def numpy_random() -> list[np.ndarray]:
    random = np.random.default_rng(3)
    shares = random.integers(1, 100, 50).astype(np.float64)
    return [random.standard_normal(5000), random.standard_normal(5000, np.float32), random.uniform(-1, 1, 5000),
            random.permutation(5000), random.multinomial(10_000, shares / shares.sum(), 20),
            np.array(bootstrap_interval(np.array([0.0, 1.0]), np.array([700, 300]), 1000, 0))]


def numpy_sorting() -> list[np.ndarray]:
    x = np.round(exact(200, 1001), 2)  # many are equal
    return [np.argsort(-x, axis=1), np.argpartition(-x, 9, axis=1)[:, :10], np.sort(x, axis=1)]


def numpy_products() -> list[np.ndarray]:
    vectors = exact(5003, 100)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    questions = np.random.default_rng(1).integers(0, 5003, (600, 4))
    return [vectors[:512] @ vectors.T, vectors @ vectors[7], cosines(vectors, questions[:, :2]),
            np.array(solved(questions, vectors))]


def renderer() -> list[np.ndarray]:
    looks = class_looks(["a", "b"], {"a": ["top"], "b": ["top"]}, seed=1, likeness=0.85)
    return [looks, *(draw_images(look, 30, random_of(1, "train"), size=32, variation=0.7) for look in looks)]


def skipgram() -> list[np.ndarray]:
    drawn = np.random.default_rng(0).integers(0, 2**16, (300, 20))
    text = [[f"w{int(word * word) >> 24}" for word in line] for line in drawn]  # the lower, the more frequent
    found = {word: sum(line.count(word) for line in text) for word in {word for line in text for word in line}}
    counts = dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
    params = SkipgramParams(dim=100, window=10, hierarchical_softmax=True, negative=2, subsample=0.01, epochs=2,
                            min_count=1, alpha=0.1, min_alpha=0.001, workers=1, seed=1, export="none")
    model = new_model(counts, params)
    with tempfile.TemporaryDirectory() as folder:
        sentences = Path(folder) / "sentences.txt"
        sentences.write_text("".join(" ".join(line) + "\n" for line in text))
        for part in slices_of(sentences, 6000, params):
            train_slice(Team(model, 1), CythonVocab(model.wv, hs=model.hs), sentences, part, Path(folder))
    return list(weights(model).values())


def torch_functions() -> list[torch.Tensor]:
    x = 4 * torch.from_numpy(exact(33, 1013))
    functions = (torch.exp, torch.sigmoid, torch.tanh, F.gelu, F.normalize, lambda v: v.softmax(1),
                 lambda v: v.log_softmax(1), lambda v: v.logsumexp(1), lambda v: v.sum(1), lambda v: v.mean(),
                 lambda v: v.var(0), lambda v: torch.linalg.vector_norm(v, dim=1))
    return [function(values) for values in (x, x.double()) for function in functions]


def torch_random() -> list[torch.Tensor]:
    torch.manual_seed(1)
    beta = torch.distributions.Beta(0.2, 0.2)
    return [torch.randn(5000), torch.rand(5000), torch.randperm(5000), F.dropout(torch.ones(5000)),
            torch.empty(64, 65).uniform_(-1, 1), torch.stack([beta.sample() for _ in range(20)])]


def cnn() -> list[torch.Tensor]:
    """Two training steps and a pass in evaluation of each network, with its initialisation."""
    results = []
    for arch, (stem, size) in CNN_SHAPES.items():
        torch.manual_seed(1)
        network = build_visual(arch, classes=10, stem=stem, dropout=0.1).to(memory_format=torch.channels_last).train()
        optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
        images = torch.from_numpy(exact(8, 3, size, size)).contiguous(memory_format=torch.channels_last)
        for _ in range(2):
            loss = F.cross_entropy(network(images), torch.arange(8))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            results += [loss, *network.state_dict().values(), *network.eval().features_and_logits(images, "pooled")]
    return results


def devise_map() -> list[torch.Tensor]:
    torch.manual_seed(1)
    features, vectors = torch.from_numpy(exact(128, 512)), units(300, 100, seed=1)
    linear = torch.nn.Linear(512, 100)
    results = list(measure_scaling("rms", exact(500, 64), np.arange(500), torch.device("cpu")))
    results += measure_scaling("standardise", exact(500, 64), np.arange(500), torch.device("cpu"))
    for name, loss in (("sgd", "hinge_rank"), ("adagrad", "hinge_rank"), ("adamw", "hinge_rank_euclidean")):
        optimiser = make_optimiser(name, linear, momentum=0.9, weight_decay=0.001)
        set_rate(optimiser, 0.01)
        for _ in range(3):
            terms = rank_loss(linear(features), torch.arange(128), vectors, loss=loss, margin=0.1,
                              false_labels="truncated", samples=5)
            optimiser.zero_grad()
            terms.mean().backward()
            optimiser.step()
        results += [terms, *(parameter.detach().clone() for parameter in linear.parameters())]
    return results


def closed_form() -> list[torch.Tensor]:
    features, vectors = torch.from_numpy(exact(1200, 128)).double(), units(60, 50, seed=1).double()
    images = ClassSums(features.T @ features, features.view(60, 20, 128).sum(1),
                       torch.full((60,), 20, dtype=torch.float64))
    fits = [ridge(images, vectors)(0.3), eszsl(images, vectors)(0.3, 1.0), exemplars(images, vectors)(0.3, 1.0, 3.0)]
    # What stages write is float32 and of float64, in which rounding stays below.
    return [value for fit in fits for value in vars(fit).values() if isinstance(value, torch.Tensor)]


def ranking() -> list[torch.Tensor]:
    everything = np.ones(3003, bool)
    layout = lay_out({"seen": np.arange(3003) < 300, "all": everything}, everything)
    scores = CosineScores(units(3003, 100).numpy(), np.arange(3003), layout)(torch.from_numpy(exact(256, 100, seed=1)))
    ranked = rank_chunk(scores.clone(), torch.arange(256), layout)
    return [scores, *(part for pair in ranked.values() for part in pair)]


def conse() -> list[torch.Tensor]:
    logits, vectors = 8 * torch.from_numpy(exact(256, 300)), units(300, 100, seed=1)
    return [conse_mixture(logits.softmax(1), vectors, t) for t in (1, 10, 1000)]


def label_map() -> list[np.ndarray]:
    return [place_labels(units(40, 30).numpy(), MapParams(labels=40, perplexity=10, seed=0))]


PROBES: tuple[Callable[[], list], ...] = (
    numpy_functions, numpy_random, numpy_sorting, numpy_products, renderer, skipgram, torch_functions, torch_random,
    cnn, devise_map, closed_form, ranking, conse, label_map)


def digest(results: list) -> str:
    sha256 = hashlib.sha256()
    for result in results:
        array = np.ascontiguousarray(result.detach().numpy() if isinstance(result, torch.Tensor) else result)
        sha256.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return sha256.hexdigest()[:16]


def main() -> None:
    """Print every probe's digest; exit with status 1 if one is not what is recorded."""
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    set_up(threads=2, any_processor=True)
    found = {}
    for probe in PROBES:
        name = probe.__name__
        found[name] = digest(probe())
        print(f"{name:16s} {found[name]} {'same' if recorded.get(name) == found[name] else 'DIFFERS'}", flush=True)
    if sys.argv[1:] == ["--write"]:
        RECORDED.write_text(json.dumps(found, indent=2) + "\n")
    elif found != recorded:
        sys.exit(1)


if __name__ == "__main__":
    main()
