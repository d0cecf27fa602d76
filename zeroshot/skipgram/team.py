"""Several workers train one skip-gram model at once, always to the same bits.

In a round each worker trains on words of its own, in a copy of the weights that nobody else touches. Then their changes
are brought together, in the workers' order. A term's vector takes them all, and so does its row of the output layer
where that is negative sampling's. A node of hierarchical softmax takes the mean over the workers whose terms lie below
it: near the root of the tree each changes a node thousands of times a round, towards the same end, which the sum
overshoots (with two workers already the vectors are worth nothing then).
"""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from gensim.models import Word2Vec
from jaxtyping import Bool, Float32, Int32, Int64

TERMS, NODES, NOISE = "vectors", "syn1", "syn1neg"  # gensim's names of what it trains
BLOCK = 256  # rows that are worked on at a time: few enough for a processor's cache

Mask = Bool[np.ndarray, "rows"]
Result = TypeVar("Result")


def weights(model: Word2Vec) -> dict[str, Float32[np.ndarray, "rows dim"]]:
    """All that training changes, by name: the terms' vectors, and the output layer's of either kind."""
    layers = {name: getattr(model, name, None) for name in (NODES, NOISE)}
    return {TERMS: model.wv.vectors, **{name: layer for name, layer in layers.items() if layer is not None}}


class Team:
    """The workers of one model.

    Attributes:
        members: a model per worker. A worker alone has the model itself; several have copies, each as large as it.
    """

    def __init__(self, model: Word2Vec, workers: int):
        self.members = [model] if workers == 1 else [_apart(model) for _ in range(workers)]
        self._common, self._copies = weights(model), [weights(member) for member in self.members]
        self._row, self._paths = model.wv.key_to_index, _paths(model) if workers > 1 else None
        self._pool = ThreadPoolExecutor(workers)

    def train(self, train: Callable[[Word2Vec, int, bytes], Result], texts: Sequence[bytes]) -> list[Result]:
        """One round: `train(member, number, text)` for each text, a thread each (gensim lets go of Python's lock).

        Args:
            texts: terms, spaces or line ends apart; at most one text a member.

        Returns:
            What `train` returned, by text. What it changed is in the model then.
        """
        results = list(self._pool.map(train, self.members, range(len(texts)), texts))
        if len(self.members) > 1:
            changed = list(self._pool.map(self._changed, self._copies, texts))
            for name in self._common:
                self._bring_together(name, [masks[name] for masks in changed])
        return results

    def _changed(self, copied: dict[str, np.ndarray], text: bytes) -> dict[str, Mask]:
        """Which rows training on a text can have changed."""
        terms = [self._row[term] for term in set(text.decode().split()) if term in self._row]
        changed = {name: np.zeros(len(rows), bool) for name, rows in copied.items()}
        changed[TERMS][terms] = True
        if NODES in changed:
            changed[NODES][self._paths[terms]] = True
        if NOISE in changed:  # drawn from all terms
            for start in range(0, len(changed[NOISE]), BLOCK):
                block = slice(start, start + BLOCK)
                changed[NOISE][block] = (copied[NOISE][block] != self._common[NOISE][block]).any(axis=1)
        return changed

    def _bring_together(self, name: str, changed: list[Mask]) -> None:
        """Put all changes into the common weights, and these into every copy."""
        common, copies = self._common[name], [copied[name] for copied in self._copies]
        by = np.sum(changed, axis=0, dtype=np.int64)  # workers that changed a row
        share = (1 / np.maximum(by, 1) if name == NODES else np.ones(len(by))).astype(np.float32)

        def merge(rows: Int64[np.ndarray, "changed"]) -> None:
            for start in range(0, len(rows), BLOCK):
                block = rows[start:start + BLOCK]
                before = common[block]
                merged = before.copy()
                for copied, mask in zip(copies, changed, strict=False):  # a round's end may leave some without a text
                    its = mask[block]
                    merged[its] += (copied[block[its]] - before[its]) * share[block[its], None]
                for rows_of in (common, *copies):
                    rows_of[block] = merged

        list(self._pool.map(merge, np.array_split(np.flatnonzero(by), len(copies))))


def _paths(model: Word2Vec) -> Int32[np.ndarray, "terms depth"]:
    """Each term's nodes from the root on, of a tree if there is one; shorter paths end with the root again."""
    paths = model.wv.expandos.get("point", [])
    padded = np.full((len(paths), max(map(len, paths), default=0)), paths[0][0] if len(paths) else 0, np.int32)
    for row, path in enumerate(paths):
        padded[row, :len(path)] = path
    return padded


def _apart(model: Word2Vec) -> Word2Vec:
    """The same model with weights of its own."""
    other = copy.copy(model)
    other.wv = copy.copy(model.wv)
    other.wv.vectors = model.wv.vectors.copy()
    for name in weights(model).keys() - {TERMS}:
        setattr(other, name, getattr(model, name).copy())
    return other
