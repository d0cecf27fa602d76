import collections

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import zeroshot.evaluation.hierarchy
from zeroshot.evaluation.hierarchy import FAR, hops_and_radii
from zeroshot.evaluation.metrics import KS, correct_counts, precision_values, weighted_mean

# 0 entity, 1 animal, 2 dog, 3 cat, 4 husky, 5 pug, 6 artefact, 7 car, 8 ship, 9 Titanic (an instance of ship)
EDGES = [(1, 0), (6, 0), (2, 1), (3, 1), (4, 2), (5, 2), (7, 6), (8, 6), (9, 8)]


def graph_of(edges, nouns):
    child, parent = np.array(edges).reshape(-1, 2).T
    both = np.concatenate([child, parent]), np.concatenate([parent, child])
    return scipy.sparse.csr_matrix((np.ones(2 * len(edges), bool), both), (nouns, nouns))


def score(top, true, hops, radii, members):
    """hp@k for KS of rankings `top` of images with labels `true`; every label is a source."""
    counts = correct_counts(np.array(top), np.array(true), hops, radii)
    reachable = ((hops < FAR) & members).sum(1)
    return [weighted_mean(*precision_values(counts, reachable, k)) for k in KS]


def padded(labels):
    return [*labels, *[-1] * (20 - len(labels))]


def test_correct_sets_by_hand():
    labels = np.array([4, 5, 3, 7, 9])  # husky, pug, cat, car, Titanic
    hops, radii = hops_and_radii(graph_of(EDGES, 10), labels, np.arange(5), {"all": np.ones(5, bool)}, KS)
    assert hops[0].tolist() == [0, 2, 3, 5, 6]
    assert hops[4].tolist() == [6, 6, 5, 3, 0]
    assert radii["all"][0, :3].tolist() == [0, 2, 6]  # itself; and pug; all five
    assert radii["all"][2, :3].tolist() == [0, 3, 5]  # cat: husky and pug come together at 3 hops, three for k = 2


def test_hierarchical_precision_by_hand():
    labels = np.array([4, 5, 3, 7, 9])
    members = np.ones(5, bool)
    hops, radii = hops_and_radii(graph_of(EDGES, 10), labels, np.arange(5), {"all": members}, KS)
    # cat's correct set for k = 2 is {cat, husky, pug}: any two of them give 1
    assert score([padded([0, 1, 2, 3, 4])], [2], hops, radii["all"], members) == [0, 1, 1, 1, 1]
    # car: at 2 there is {car, Titanic}; first two predictions husky and Titanic
    assert score([padded([0, 4, 3, 1, 2])], [3], hops, radii["all"], members) == [0, 0.5, 1, 1, 1]
    assert score([padded([3])], [3], hops, radii["all"], members) == [1, 0.5, 0.2, 0.2, 0.2]  # of 5


def test_the_label_set_decides_the_radius():
    labels = np.array([4, 5, 3, 7, 9])
    members = {"all": np.ones(5, bool), "far": np.array([1, 0, 0, 1, 1], bool)}
    _, radii = hops_and_radii(graph_of(EDGES, 10), labels, np.array([0]), members, (1, 2))
    assert radii["all"][0].tolist() == [0, 2] and radii["far"][0].tolist() == [0, 5]


def test_a_label_outside_wordnet_reaches_itself_alone():
    labels = np.array([4, -1, 5, -1])
    members = np.ones(4, bool)
    hops, radii = hops_and_radii(graph_of(EDGES, 10), labels, np.arange(4), {"all": members}, KS)
    assert hops[1].tolist() == [FAR, 0, FAR, FAR]
    assert hops[0].tolist() == [0, FAR, 2, FAR]
    assert score([padded([1, 0])], [1], hops, radii["all"], members) == [1] * 5
    assert score([padded([0, 1])], [1], hops, radii["all"], members) == [0, 1, 1, 1, 1]


def naive_hp(neighbours, nodes, listed, true, predictions, k):
    """As the specification says it, with sets and queues."""
    distance, queue = {nodes[true]: 0}, collections.deque([nodes[true]])
    while queue:
        noun = queue.popleft()
        for other in neighbours[noun] - distance.keys():
            distance[other] = distance[noun] + 1
            queue.append(other)
    near = sorted((distance[nodes[label]], label) for label in listed if nodes[label] in distance)
    radius = near[min(k, len(near)) - 1][0]
    correct = {label for hops, label in near if hops <= radius}
    return len(correct & set(predictions[:k])) / min(k, len(near))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.booleans(), st.sampled_from([1, 3, 512]))
def test_agrees_with_sets_and_queues(seed, nouns, forest, chunk):
    rng = np.random.default_rng(seed)
    edges = [(child, int(rng.integers(child))) for child in range(1, nouns) if not forest or rng.random() < 0.8]
    edges += [tuple(rng.choice(nouns, 2, replace=False).tolist()) for _ in range(nouns // 5)]
    nodes = rng.permutation(nouns)[:rng.integers(1, nouns + 1)]
    count = len(nodes)
    listed = {"some": rng.random(count) < 0.6, "all": np.ones(count, bool)}
    listed["some"][rng.integers(count)] = True
    neighbours = collections.defaultdict(set)
    for a, b in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zeroshot.evaluation.hierarchy, "SOURCES", chunk)
        hops, radii = hops_and_radii(graph_of(edges, nouns), nodes, np.arange(count), listed, KS)
    for name, members in listed.items():
        labels = np.flatnonzero(members)
        true = labels[rng.integers(len(labels), size=4)]
        top = [padded(rng.permutation(labels)[:20].tolist()) for _ in true]
        expected = [np.mean([naive_hp(neighbours, nodes, labels, t, p, k) for t, p in zip(true, top, strict=True)])
                    for k in KS]
        np.testing.assert_allclose(score(top, true, hops, radii[name], members), expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_a_perfect_ranking_gives_1_and_only_the_true_label_counts_at_1(seed, nouns):
    rng = np.random.default_rng(seed)
    edges = [(child, int(rng.integers(child))) for child in range(1, nouns)]
    members = np.ones(nouns, bool)
    hops, radii = hops_and_radii(graph_of(edges, nouns), np.arange(nouns), np.arange(nouns), {"all": members}, KS)
    perfect = [padded(np.argsort(row, kind="stable")[:20].tolist()) for row in hops]
    assert score(perfect, np.arange(nouns), hops, radii["all"], members) == [1] * 5
    order = rng.permutation(nouns)
    first = [padded([label]) for label in order]
    assert score(first, np.arange(nouns), hops, radii["all"], members)[0] == np.mean(order == np.arange(nouns))


def test_more_sources_than_a_byte_and_many_labels_of_one_set():
    """600 children of one noun: pieces of 255 labels must not overflow, chunks of 512 sources must join."""
    edges = [(child, 0) for child in range(1, 601)]
    nodes = np.arange(1, 601)
    hops, radii = hops_and_radii(graph_of(edges, 601), nodes, np.arange(600), {"all": np.ones(600, bool)}, (1, 2, 300))
    assert (hops == 2 - 2 * np.eye(600)).all()
    assert (radii["all"] == [0, 2, 2]).all()
