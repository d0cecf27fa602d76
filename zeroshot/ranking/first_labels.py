"""The first 20 labels of every label set, and the true label's rank in each, from one matrix of scores.

Order of labels: by score, the highest first. **Ties count against us**: every label with the very score of
the true one comes before it; other equals stand in the order of their wnids. So hit@1 and hp@1 are one number.

Labels that are members of the same sets form an *atom*. Scores are laid out atom by atom in blocks of 16 labels, so
that one matrix product serves all sets: a set's first 20 are among its atoms' first 20, and ranks add up over atoms.
Scores stand as [slots, images], label by label: then maxima of blocks and counts run along contiguous memory,
and all of it costs a fraction of the matrix product (benchmarks/bench_ranking.py).
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor

from zeroshot.ranking.products import product_with
from zeroshot.ranking.rankings import TOP

BLOCK = 16  # slots per block
TILE = 128  # blocks at a time; with 256 images 2 MB, which stay in a core's cache while they are compared and maximised
ROWS = 64  # the product's rows are a multiple of it: oneDNN takes up to a half longer for some other numbers
CHUNK = {"cpu": 256, "cuda": 4096}  # images at a time; fixed, for another shape may round products differently
LAST_LABEL = 2**31 - 1
NO_SCORE = -float("inf")  # of empty slots: never a candidate
NO_SCORE_KEY = -0x7F800001  # upper half of the sort key of minus infinity


@dataclass(frozen=True)
class Layout:
    """Where each label's score stands.

    Attributes:
        label_of: int64 [slots], the slot's label; 0 in empty slots, which fill each atom's last block.
        slot_of: int64 [labels], -1 for a label that is no candidate.
        empty: int64 [empty slots].
        atoms: first and last-plus-one block of each atom; within an atom labels ascend.
        sets: set name -> numbers of its atoms.
        candidates: set name -> number of its labels that have a score.
    """

    label_of: Int[Tensor, "slots"]
    slot_of: Int[Tensor, "labels"]
    empty: Int[Tensor, "empty"]
    atoms: list[tuple[int, int]]
    sets: dict[str, list[int]]
    candidates: dict[str, int]

    @functools.cached_property
    def ranked(self) -> list[str]:
        """The sets that have any candidate."""
        return [name for name, atoms in self.sets.items() if atoms]

    @functools.cached_property
    def has(self) -> Bool[Tensor, "sets atoms"]:
        """Whether each of the `ranked` sets has each atom."""
        has = torch.zeros(len(self.ranked), len(self.atoms), dtype=torch.bool)
        for number, name in enumerate(self.ranked):
            has[number, self.sets[name]] = True
        return has.to(self.slot_of.device)

    @functools.cached_property
    def stops(self) -> Int[Tensor, "atoms"]:
        """Last-plus-one block of each atom."""
        return torch.tensor([stop for _, stop in self.atoms], device=self.slot_of.device)


def lay_out(members: Mapping[str, Bool[np.ndarray, "labels"]], scored: Bool[np.ndarray, "labels"],
            device: torch.device | str = "cpu") -> Layout:
    """Lay out the labels that are `scored` and member of a set.

    Args:
        members: set name -> whether each label is in it.
        scored: whether a label gets a score (has a vector or a softmax output).
    """
    table = np.stack(list(members.values())) & scored  # [sets, labels]
    used = np.flatnonzero(table.any(0))
    signatures, atom_of = np.unique(table[:, used], axis=1, return_inverse=True)
    label_of, atoms = [], []
    for atom in range(signatures.shape[1]):
        labels = used[atom_of == atom]
        padded = np.full(-(-len(labels) // BLOCK) * BLOCK, -1)
        padded[:len(labels)] = labels
        start = atoms[-1][1] if atoms else 0
        atoms.append((start, start + len(padded) // BLOCK))
        label_of.append(padded)
    slots = np.concatenate(label_of) if label_of else np.zeros(0, np.int64)
    slot_of = np.full(len(scored), -1)
    slot_of[slots[slots >= 0]] = np.flatnonzero(slots >= 0)
    return Layout(torch.tensor(slots.clip(0), device=device), torch.tensor(slot_of, device=device),
                  torch.tensor(np.flatnonzero(slots < 0), device=device), atoms,
                  {name: np.flatnonzero(signatures[i]).tolist() for i, name in enumerate(members)},
                  {name: int(table[i].sum()) for i, name in enumerate(members)})


class CosineScores:
    """Cosine similarity of points to label vectors, [slots, images].

    Args:
        vectors: float32 [rows, dim], unit length.
        row_label: int [rows], ascending: the label of each row. A label with several rows (one a synonym) scores
            by its nearest row, so it counts once, at its best rank.
        layout: where scores go; its labels all have a row.
        bias: float32 [labels], added to each label's score, if given (calibrated stacking, hubness corrections).
    """

    def __init__(self, vectors: Float32[np.ndarray, "rows dim"], row_label: Int[np.ndarray, "rows"], layout: Layout,
                 bias: Float32[np.ndarray, "labels"] | None = None):
        device = layout.slot_of.device
        slot = layout.slot_of.cpu().numpy()[row_label]
        ordinal = np.arange(len(row_label)) - np.searchsorted(row_label, row_label)  # 0 for a label's first row
        first = (slot >= 0) & (ordinal == 0)
        self._slots = len(layout.label_of)
        matrix = np.zeros((self._slots, vectors.shape[1]), np.float32)
        matrix[slot[first]] = vectors[first]
        # Further rows join the same product: equal vectors get equal scores to the bit only within one product.
        parts, self._further, start = [matrix], [], self._slots
        for number in range(1, ordinal.max(initial=0) + 1):
            rows = np.flatnonzero((slot >= 0) & (ordinal == number))
            parts.append(vectors[rows])
            self._further.append((torch.tensor(slot[rows], device=device), start, start + len(rows)))
            start += len(rows)
        parts.append(np.zeros((-start % ROWS, vectors.shape[1]), np.float32))
        self._product = product_with(torch.tensor(np.concatenate(parts), device=device))
        self._bias = None if bias is None else torch.tensor(bias, device=device)[layout.label_of][:, None]
        self._empty = layout.empty

    def __call__(self, points: Float32[Tensor, "images dim"]) -> Float32[Tensor, "slots images"]:
        products = self._product(torch.nn.functional.normalize(points))
        scores = products[:self._slots]
        for slots, start, stop in self._further:
            scores[slots] = torch.maximum(scores[slots], products[start:stop])
        if self._bias is not None:
            scores += self._bias
        scores[self._empty] = NO_SCORE
        return scores


class OutputScores:
    """A classifier's own outputs as scores, [slots, images].

    Args:
        output_label: int [outputs], the label that each output names.
    """

    def __init__(self, output_label: Int[np.ndarray, "outputs"], layout: Layout):
        output_of = np.zeros(len(layout.slot_of), np.int64)
        output_of[output_label] = np.arange(len(output_label))
        self._output = torch.tensor(output_of, device=layout.slot_of.device)[layout.label_of]
        self._empty = layout.empty

    def __call__(self, outputs: Float32[Tensor, "images outputs"]) -> Float32[Tensor, "slots images"]:
        scores = outputs.T[self._output]
        scores[self._empty] = NO_SCORE
        return scores


def rank_chunk(scores: Float32[Tensor, "slots images"], true: Int[Tensor, "images"], layout: Layout, top: int = TOP
               ) -> dict[str, tuple[Int[Tensor, "images top"], Int[Tensor, "images"]]]:
    """Set name -> (first labels, rank of the true label).

    Args:
        scores: finite but in empty slots; overwritten.
        true: label of each image, -1 if it is none of ours.
        top: how many first labels.

    Returns:
        Labels best first, -1 where the set has fewer candidates; rank from 1, 0 where the true label is no candidate.
    """
    if not len(scores):
        return {}  # no label of any set can be scored
    slot = torch.where(true >= 0, layout.slot_of[true.clamp(min=0)], -1)
    image = torch.arange(len(true), device=true.device)
    own = torch.where(slot >= 0, scores[slot.clamp(min=0), image], torch.inf)
    scores[slot[slot >= 0], image[slot >= 0]] = NO_SCORE  # the others in their order; the true one goes in by its rank
    not_below, highest = _sweep(scores, own)
    not_below = torch.stack([not_below[start:stop].sum(0) for start, stop in layout.atoms]).long()
    own_atom = torch.bucketize(slot.clamp(min=0) // BLOCK, layout.stops, right=True)
    among = layout.has[:, own_atom] & (slot >= 0)
    ranks = torch.where(among, (layout.has[:, :, None] * not_below).sum(1) + 1, 0)
    tops = _insert(_merge(_first_of_atoms(scores, highest, layout, top), layout.has, top), true, ranks)
    return {name: (tops[number], ranks[number]) for number, name in enumerate(layout.ranked)}


def _sweep(scores: Float32[Tensor, "slots images"], own: Float32[Tensor, "images"]
           ) -> tuple[Float32[Tensor, "blocks images"], Float32[Tensor, "blocks images"]]:
    """Of each block: how many scores are at least `own`, and the highest; each score is read from memory once."""
    blocks, images = len(scores) // BLOCK, scores.shape[1]
    not_below, highest = scores.new_empty(2, blocks, images)
    flags = scores.new_empty(TILE * BLOCK, images)  # torch compares faster into floats than into bool
    for start in range(0, blocks, TILE):
        tile, stop = scores[start * BLOCK:(start + TILE) * BLOCK], min(start + TILE, blocks)
        is_not_below = torch.ge(tile, own, out=flags[:len(tile)])
        torch.sum(is_not_below.view(-1, BLOCK, images), 1, out=not_below[start:stop])
        torch.amax(tile.view(-1, BLOCK, images), 1, out=highest[start:stop])
    return not_below, highest


def _first_of_atoms(scores: Tensor, highest: Tensor, layout: Layout, top: int) -> list[Int[Tensor, "images first"]]:
    """Sort keys of each atom's `top` first, in no order.

    They lie in as many blocks, those with the highest maxima (of equal ones the first): each of these blocks holds a
    label that comes before all labels of any other block.
    """
    keys = _sort_keys(highest.T.contiguous(), torch.arange(len(highest), device=scores.device))
    within = torch.arange(BLOCK, device=scores.device)
    tops = []
    for start, stop in layout.atoms:
        blocks = _order(_largest(keys[:, start:stop], top))
        slots = (blocks[:, :, None] * BLOCK + within).view(len(blocks), -1)
        tops.append(_largest(_sort_keys(scores.T.gather(1, slots), layout.label_of[slots]), top))
    return tops


def _largest(keys: Int[Tensor, "*images n"], count: int) -> Int[Tensor, "*images some"]:
    """Each image's `count` largest keys (all, if fewer), in no order. numpy takes a quarter of torch's time."""
    if keys.shape[-1] <= count:
        return keys
    if keys.device.type != "cpu":
        return keys.topk(count, sorted=False).values
    return torch.from_numpy(np.partition(keys.numpy(), -count)[..., -count:])


def _sort_keys(scores: Tensor, order: Tensor) -> Tensor:
    """One int64 per score, all distinct: the score's bits, made to sort as integers, then `order`, the lowest first."""
    bits = (scores + 0.0).view(torch.int32)  # + 0.0 makes minus zero zero
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (bits.long() << 32) | (LAST_LABEL - order)


def _order(keys: Tensor) -> Tensor:
    """The `order` that went into the keys."""
    return LAST_LABEL - (keys & 0xFFFFFFFF)


def _merge(tops: list[Int[Tensor, "images first"]], has: Bool[Tensor, "sets atoms"], top: int
           ) -> Int[Tensor, "sets images top"]:
    """First labels of each set from the sort keys of its atoms' first; -1 where there are fewer."""
    atom = torch.repeat_interleave(torch.tensor([keys.shape[1] for keys in tops])).to(has.device)
    keys = torch.where(has[:, None, atom], torch.cat(tops, dim=1), NO_SCORE_KEY << 32)
    best = _largest(keys, top).sort(descending=True).values
    labels = torch.where(best >> 32 == NO_SCORE_KEY, -1, _order(best))
    return torch.nn.functional.pad(labels, (0, top - labels.shape[-1]), value=-1)


def _insert(others: Int[Tensor, "sets images top"], true: Int[Tensor, "images"], ranks: Int[Tensor, "sets images"]
            ) -> Int[Tensor, "sets images top"]:
    """`others` with the true label put in at its rank, where it has one."""
    place = torch.arange(others.shape[-1], device=others.device)
    at = torch.where(ranks > 0, ranks - 1, others.shape[-1])[..., None]
    return torch.where(place < at, others, torch.where(place == at, true[:, None], others.roll(1, dims=-1)))
