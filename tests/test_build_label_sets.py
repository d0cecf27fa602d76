import json
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.build_label_sets import (
    ANIMAL,
    Params,
    Populated,
    Tree,
    below,
    distance_counts,
    hop_distances,
    main,
    published_sets,
    read_lists,
    tree_sets,
    universe_distances,
)
from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import read_label_sets, read_wnids, write_wnids
from zeroshot.taxonomy import Taxonomy, make_taxonomy, read_taxonomy, write_taxonomy

LISTS = Path(__file__).resolve().parent.parent / "presets" / "lists"
PLAIN = Tree(hops=[2, 3], directed=False, instances=True)


def wnid(number: int) -> str:
    return f"n{number:08d}"


def taxonomy(kinds: dict[int, list[int]], instances: dict[int, list[int]] | None = None) -> Taxonomy:
    """child -> parents, by number; parents that are nobody's child are nouns too."""
    instances = instances or {}
    numbers = {number for edges in (kinds, instances) for child in edges for number in (child, *edges[child])}
    return make_taxonomy({wnid(n): ([f"noun {n}"], [wnid(p) for p in kinds.get(n, [])],
                                    [wnid(p) for p in instances.get(n, [])], "") for n in numbers})


def hops(nouns: Taxonomy, start: list[int], **how) -> dict[int, int]:
    distances = hop_distances(nouns, [wnid(n) for n in start], **how)
    return {int(name[1:]): int(hop) for name, hop in zip(nouns.wnids, distances, strict=True)}


#        1
#       / \
#      2   3      7 is an instance of 5; 8 stands alone, above 9
#     / \ / \
#    4   5   6
FAMILY = taxonomy({2: [1], 3: [1], 4: [2], 5: [2, 3], 6: [3], 9: [8]}, {7: [5]})


def test_walks_by_hand():
    assert hops(FAMILY, [4], instances=True, walk="any") == {4: 0, 2: 1, 1: 2, 5: 2, 3: 3, 7: 3, 6: 4, 8: -1, 9: -1}
    assert hops(FAMILY, [4], instances=False, walk="any") == {4: 0, 2: 1, 1: 2, 5: 2, 3: 3, 7: -1, 6: 4, 8: -1, 9: -1}
    nowhere = {8: -1, 9: -1}
    assert hops(FAMILY, [2], instances=True, walk="up-down") == {2: 0, 1: 1, 4: 1, 5: 1, 3: 2, 7: 2, 6: 3} | nowhere
    assert hops(FAMILY, [2], instances=True, walk="vertical") == {2: 0, 1: 1, 4: 1, 5: 1, 7: 2, 3: -1, 6: -1} | nowhere


def test_up_down_never_rises_again():
    nouns = taxonomy({3: [1, 2], 4: [2]})  # 3 is a child of both 1 and 2
    assert hops(nouns, [1], instances=True, walk="any") == {1: 0, 3: 1, 2: 2, 4: 3}
    assert hops(nouns, [1], instances=True, walk="up-down") == {1: 0, 3: 1, 2: -1, 4: -1}


@st.composite
def hierarchies(draw):
    size = draw(st.integers(2, 12))
    edges = [draw(st.lists(st.tuples(st.integers(1, size), st.integers(1, size)).filter(lambda e: e[0] > e[1]),
                           unique=True, max_size=15)) for _ in range(2)]
    kinds, instances = ({n: sorted(p for c, p in some if c == n) for n in range(1, size + 1)} for some in edges)
    return kinds, instances, draw(st.lists(st.integers(1, size), min_size=1, max_size=3, unique=True))


def climb(parents: dict[int, set[int]], start: int) -> dict[int, int]:
    """Edges to each ancestor (or, given children, each descendant), by a queue."""
    found, queue = {start: 0}, deque([start])
    while queue:
        noun = queue.popleft()
        for other in parents[noun] - found.keys():
            found[other] = found[noun] + 1
            queue.append(other)
    return found


@settings(deadline=None, max_examples=150)
@given(hierarchies(), st.booleans())
def test_walks_against_sets_and_queues(hierarchy, with_instances):
    kinds, instances, start = hierarchy
    nouns = taxonomy(kinds, instances)
    up = {n: set(kinds[n]) | (set(instances[n]) if with_instances else set()) for n in kinds}
    down = {n: {c for c in kinds if n in up[c]} for n in kinds}
    both = {n: up[n] | down[n] for n in kinds}
    heights = {n: climb(up, n) for n in kinds}

    def nearest(distance) -> dict[int, int]:
        return {n: min((d for s in start if (d := distance(s, n)) is not None), default=-1) for n in kinds}

    def by_ancestor(a: int, b: int) -> int | None:
        return min((heights[a][c] + heights[b][c] for c in heights[a].keys() & heights[b].keys()), default=None)

    expected = {"any": nearest(lambda s, n: climb(both, s).get(n)), "up-down": nearest(by_ancestor),
                "vertical": nearest(lambda s, n: climb(up, s).get(n, climb(down, s).get(n)))}
    for walk, distances in expected.items():
        assert hops(nouns, start, instances=with_instances, walk=walk) == distances


def test_below():
    assert [FAMILY.wnids[row] for row in below(FAMILY, [wnid(3), wnid(99)]).nonzero()[0]] == [wnid(3), wnid(5), wnid(6)]


#  animal's children are 16000001 and 16000002; the seen 16000003 is two edges below; 20000000 and below are Misc
ANIMALS = {16000001: [15388], 16000002: [15388], 16000003: [16000004], 16000004: [16000001], 16000005: [16000003],
           16000006: [16000003, 16000007], 15388: [1], 20000001: [20000000], 20000002: [20000001], 20000003: [20000002]}


def published(seen: list[int], instances: dict[int, list[int]] | None = None) -> list[set[int]]:
    nouns = taxonomy(ANIMALS, instances)
    others = [name for name in nouns.wnids if int(name[1:]) not in seen]
    sets = published_sets(nouns, [wnid(n) for n in seen], others)
    return [{int(name[1:]) for name in sets[which]} for which in ("2-hops", "3-hops")]


def test_published_by_hand():
    near, middle = published([16000003])
    assert near == {16000004, 16000005, 16000006, 15388}
    assert middle == near | {16000001, 16000002}  # not 16000007, the other parent of a child: a tree has none
    near, middle = published([20000003])  # in Misc: all of it and no animal; 1 and 16000007 are below no branch either
    assert near == {20000002} and middle == {20000002, 20000001, 20000000, 1, 16000007}


def test_published_has_no_instance_edges():
    near, middle = published([16000003], {30000000: [16000003]})
    assert 30000000 not in near | middle
    assert 30000000 in published([20000003], {30000000: [16000003]})[1]  # so it is Misc


def test_tree_sets_by_hand():
    names = [name for name in FAMILY.wnids if name != wnid(4)]
    sets = tree_sets(FAMILY, [wnid(4)], names, PLAIN)
    assert sets == {"2-hops": [wnid(n) for n in (1, 2, 5)], "3-hops": [wnid(n) for n in (1, 2, 3, 5, 7)]}
    sets = tree_sets(FAMILY, [wnid(4)], names, Tree(hops=[1, 2], directed=True, instances=True))
    assert sets == {"2-hops": [wnid(2)], "3-hops": [wnid(1), wnid(2)]}


@pytest.fixture(scope="module")
def real(taxonomy_folder):
    return read_taxonomy(taxonomy_folder)


@pytest.fixture(scope="module")
def imagenet(real):
    return read_lists(real, LISTS / "imagenet-1k.txt", LISTS / "imagenet-2011.txt", LISTS / "imagenet-2011.txt")


def test_published_lists_of_imagenet(real, imagenet):
    sets = published_sets(real, imagenet["seen"], imagenet["21k"])
    assert [len(sets["2-hops"]), len(sets["3-hops"]), len(imagenet["21k"])] == [1_549, 7_860, 20_842]
    assert ANIMAL in sets["2-hops"] and set(sets["2-hops"]) < set(sets["3-hops"])
    assert set(imagenet["seen"]) - set(imagenet["universe"]) == {"n04399382"}  # teddy

    # The parts that counting from the circulated list files gave: 1,548 + animal; 5,982 + 1,831 of Misc + 47.
    distances = hop_distances(real, imagenet["seen"], instances=True, walk="any")
    edges = {name: distances[real.index[name]] for name in imagenet["21k"]}
    assert sum(edges[name] == 1 for name in sets["2-hops"]) == 1_548
    two = [name for name in sets["3-hops"] if edges[name] <= 2]
    assert len(two) == 5_982
    children = {name for name in real.wnids if ANIMAL in real.parents[name]}
    others = set(sets["3-hops"]) - set(two)
    assert len(others & children) == 42 and ANIMAL in others
    by_instance = {"n09450163", "n10994097", "n11196627", "n11318824"}  # sun, Genet, Munro, Stoker
    assert len(others - children - {ANIMAL} - by_instance) == 1_831


def test_plain_hops_of_imagenet(real, imagenet):
    counts = distance_counts(universe_distances(real, imagenet["seen"], imagenet["universe"], True))
    assert list(counts.items())[:4] == [("00", 999), ("01", 1_548), ("02", 4_442), ("03", 3_721)]
    sets = tree_sets(real, imagenet["seen"], imagenet["21k"], PLAIN)
    assert (len(sets["2-hops"]), len(sets["3-hops"])) == (5_990, 9_711)


@pytest.fixture
def small(tmp_path):
    """FAMILY on disk, with lists: 4 seen, 5 and 9 unseen, a universe with a class that WordNet lacks and without 5."""
    write_taxonomy(tmp_path / "taxonomy", FAMILY)
    write_wnids(tmp_path / "seen.txt", [wnid(4)])
    write_wnids(tmp_path / "unseen.txt", [wnid(5), wnid(9)])
    write_wnids(tmp_path / "universe.txt", [wnid(n) for n in (1, 2, 3, 4, 9, 77)])
    return tmp_path


def run(folder: Path, convention: str = "tree", unseen: str = "unseen.txt", sizes: tuple[int, ...] = ()
        ) -> dict[str, int]:
    params = Params(seen="s", unseen="u", universe="all", convention=convention, tree=PLAIN,
                    populated=Populated(counts="c", sizes=list(sizes)))
    main(params, taxonomy=folder / "taxonomy", seen=folder / "seen.txt", unseen=folder / unseen,
         universe=folder / "universe.txt", counts=folder / "counts.txt", out=folder / "label_sets",
         metrics=folder / "m.json", report=folder / "r.md", histogram=folder / "h.csv")
    return json.loads((folder / "m.json").read_text())


def test_main(small):
    assert run(small) == {
        "seen": 1, "unseen": 2, "2-hops": 2, "3-hops": 3, "21k": 4, "universe": 5, "universe_not_in_wordnet": 1,
        "seen_not_in_universe": 0, "unseen_not_in_universe": 1, "disconnected": 1}
    sets = read_label_sets(small / "label_sets")
    assert sets["2-hops"] == [wnid(1), wnid(2)] and sets["3-hops+seen"] == [wnid(n) for n in (1, 2, 3, 4)]
    assert sets["21k"] == [wnid(n) for n in (1, 2, 3, 9)] and sets["unseen"] == [wnid(5), wnid(9)]
    assert (small / "h.csv").read_text() == "distance,classes\n00,1\n01,1\n02,1\n03,1\ndisconnected,1\n"
    report = (small / "r.md").read_text()
    for line in ("| 2-hops | 1 | 2 | 1 | 0 | 1 |",
                 f"- 1 of the universe, no nouns of WordNet 3.0: in no set: {wnid(77)}",
                 f"to a seen class: in `21k`; in `3-hops` only by way of Misc: {wnid(9)} (noun 9)"):
        assert line in report


def test_universe_as_unseen_means_its_rest(small):
    assert run(small, "published", unseen="universe.txt")["unseen"] == 4
    assert read_wnids(small / "label_sets" / "unseen.txt") == read_wnids(small / "label_sets" / "21k.txt")


def test_there_may_be_no_unseen_class(small):
    """As where index_images.roles.unseen is null."""
    write_wnids(small / "unseen.txt", [])
    assert run(small)["unseen"] == 0 and read_label_sets(small / "label_sets")["unseen+seen"] == [wnid(4)]


def test_populated_sets_by_hand(small):
    """Of 21k (1, 2, 3, 9); class 3 has no image, 4 is seen, 5 is not in the universe; 2 and 9 have equally many."""
    (small / "counts.txt").write_text("n00000002 7\nn00000009\t7\nn00000001,3\n\nn00000003 0\nn00000004 99\n"
                                      "n00000005 9\n")
    assert run(small, sizes=(1, 2))["most-2"] == 2
    sets = read_label_sets(small / "label_sets")
    assert list(sets)[9:] == ["most-1", "most-2", "least-1", "least-2", "most-1+seen", "most-2+seen", "least-1+seen",
                              "least-2+seen"]
    assert [sets[name] for name in ("most-1", "most-2", "least-1", "least-2", "least-1+seen")] == [
        [wnid(2)], [wnid(2), wnid(9)], [wnid(1)], [wnid(1), wnid(2)], [wnid(1), wnid(4)]]
    report = (small / "r.md").read_text()
    assert "`21k`, 3 have images by" in report
    assert "; 2 more there are seen, or not in the universe, and passed over: n00000004, n00000005. Of" in report
    for line in ("| most-1 | 7 | 7 | 1 | 2 |", "| most-2 | 7 | 7 | 2 | 2 |", "| least-1 | 3 | 3 | 1 | 1 |",
                 "| least-2 | 7 | 3 | 1 | 2 |"):
        assert line in report
    with pytest.raises(InputError, match=r"counts.txt: has images of 3 classes.*asks for the 4"):
        run(small, sizes=(1, 4))


@pytest.mark.parametrize("line", ["n00000002", "n2 5", "n00000002 many", "n00000002 -1", "n00000001 4"])
def test_counts_that_are_none(small, line):
    (small / "counts.txt").write_text(f"n00000001 3\n{line}\n")
    with pytest.raises(InputError, match=r"counts.txt: line 2 is .*; expected a wnid"):
        run(small, sizes=(1,))
    (small / "counts.txt").unlink()
    with pytest.raises(InputError, match=r"expected a wnid and its number of images a line .*populated.counts"):
        run(small, sizes=(1,))


def test_refusals(small):
    write_wnids(small / "unseen.txt", [wnid(5), wnid(4)])
    with pytest.raises(InputError, match="both hold n00000004"):
        run(small)
    write_wnids(small / "unseen.txt", [wnid(66)])
    with pytest.raises(InputError, match="unseen.txt: no noun synset of WordNet 3.0: n00000066"):
        run(small)
    for hops in ([0, 1], [3, 2]):
        with pytest.raises(ValueError, match="two numbers from 1 up"):
            Tree(hops=hops, directed=False, instances=True)
