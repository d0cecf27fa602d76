"""Distances in WordNet between labels, and how far each label's correct set of hierarchical precision reaches.

Hops run over the whole noun graph, up and down, instance edges included. Many breadth-first searches run at once:
each noun holds a bit per source, and one hop is one OR over its neighbours' words. Nouns that lead to no label are cut
off first: two thirds of WordNet where ImageNet's 21,841 are the labels.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int, UInt8

from zeroshot.console.progress import progress

if TYPE_CHECKING:
    import scipy.sparse

SOURCES = 512  # searches at a time: 64 bytes a noun, 5 MB over WordNet, which stays near the cache
FAR = 255  # not reached, or farther than anybody asked


def hops_and_radii(graph: "scipy.sparse.csr_matrix", nodes: Int[np.ndarray, "labels"],
                   sources: Int[np.ndarray, "sources"], members: Mapping[str, Bool[np.ndarray, "labels"]],
                   ks: Sequence[int]
                   ) -> tuple[UInt8[np.ndarray, "sources labels"], dict[str, UInt8[np.ndarray, "sources ks"]]]:
    """How far every label is from each source, and the radius of each source's correct set for each k.

    The correct set of source c for k in a label set: its labels at most r hops from c, r the least number for which
    they are at least k. Where even all labels that c can reach are fewer, it is all of these.

    Args:
        graph: undirected adjacency [nouns, nouns].
        nodes: noun of each label, -1 for a label outside the graph: it reaches itself only.
        sources: labels (the distinct true ones).
        members: set name -> which labels it lists, with or without a vector: so models are comparable.
        ks: ascending.

    Returns:
        hops [sources, labels]: FAR beyond the largest radius and where there is no way;
        radius per set [sources, ks]: at most FAR - 1. A label is in the correct set when hops <= radius.
    """
    import scipy.sparse  # whoever only draws does without

    table = np.stack(list(members.values()))
    order, starts, set_of = _pieces(table)
    graph, nodes = _without_dead_ends(*_with_outsiders(graph, nodes))
    graph = (graph + scipy.sparse.eye(graph.shape[0], dtype=bool)).tocsr()  # a loop at each noun: the reached stay so
    hops = np.full((len(sources), len(nodes)), FAR, np.uint8)
    radii = np.full((len(sources), len(members), len(ks)), FAR - 1, np.uint8)
    with progress(total=len(sources), unit="labels", desc="hops between labels") as bar:
        for start in range(0, len(sources), SOURCES):
            chunk = slice(start, start + SOURCES)
            searched = _search(graph, nodes[sources[chunk]], nodes[order], starts, set_of, np.array(ks), radii[chunk])
            hops[chunk, order] = searched.T
            bar.update(searched.shape[1])
    return hops, {name: radii[:, number] for number, name in enumerate(members)}


def _pieces(table: Bool[np.ndarray, "sets labels"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the labels into pieces of at most 255 of equal membership, so that a byte counts a piece.

    Returns:
        order [labels], starts [pieces] within that order, float64 [sets, pieces]: 1 where the piece is in the set.
    """
    order = np.lexsort(table)
    ordered = table[:, order]
    ends = np.flatnonzero((ordered[:, 1:] != ordered[:, :-1]).any(0)) + 1
    bounds = [0, *ends.tolist(), table.shape[1]]
    starts = np.array([at for low, high in itertools.pairwise(bounds) for at in range(low, high, 255)])
    return order, starts, ordered[:, starts].astype(np.float64)


def _with_outsiders(graph: "scipy.sparse.csr_matrix", nodes: np.ndarray
                    ) -> tuple["scipy.sparse.csr_matrix", np.ndarray]:
    """The graph with a lonely noun for each label that it lacks."""
    outside = np.flatnonzero(nodes < 0)
    size = graph.shape[0]
    nodes = nodes.copy()
    nodes[outside] = size + np.arange(len(outside))
    graph = graph.copy()
    graph.resize((size + len(outside), size + len(outside)))
    return graph, nodes


def _without_dead_ends(graph: "scipy.sparse.csr_matrix", nodes: np.ndarray
                       ) -> tuple["scipy.sparse.csr_matrix", np.ndarray]:
    """The graph without nouns that are no label and have one neighbour at most: no way leads on from there."""
    is_label = np.zeros(graph.shape[0], bool)
    is_label[nodes] = True
    kept = np.ones(graph.shape[0], bool)
    while (dead := kept & ~is_label & (graph @ kept.astype(np.int32) < 2)).any():
        kept &= ~dead
    return graph[kept][:, kept], (np.cumsum(kept) - 1)[nodes]


def _search(graph, sources, labels, starts, set_of, ks, radii) -> UInt8[np.ndarray, "labels sources"]:
    """Breadth-first search from one chunk of sources (given as nouns); returns hops and fills `radii`."""
    number, columns = np.arange(len(sources)), slice(len(sources))
    reach = np.zeros((graph.shape[0], -(-len(sources) // 64) * 8), np.uint8)  # bit j: source j has come here
    np.bitwise_or.at(reach, (sources, number // 8), np.left_shift(1, number % 8).astype(np.uint8))
    reach = reach.view(np.uint64)
    hops = np.zeros((len(labels), 64 * reach.shape[1]), np.uint8)
    for radius in range(FAR - 1):
        reached = np.unpackbits(reach[labels].view(np.uint8), axis=1, bitorder="little")
        # eight sources a word, so that one addition counts for eight
        in_piece = np.add.reduceat(reached.view(np.uint64), starts, axis=0).view(np.uint8)
        counts = (set_of @ in_piece[:, columns]).T[:, :, None]  # [sources, sets, 1]
        radii[(counts >= ks) & (radii == FAR - 1)] = radius
        further = np.bitwise_or.reduceat(reach[graph.indices], graph.indptr[:-1], axis=0)
        if (radii < FAR - 1).all() or np.array_equal(further, reach):
            break
        hops += 1 - reached  # a hop more for all not reached yet
        reach = further
    hops[reached == 0] = FAR
    return hops[:, columns]
