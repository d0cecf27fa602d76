import json

import networkx
import numpy as np
import pytest

from stages import evaluate_terms
from stages.evaluate_terms import Params, analogies, path_similarities, share_near, word_similarity
from zeroshot.taxonomy import make_taxonomy, write_taxonomy
from zeroshot.terms.vectors import TermVectors, write_term_vectors

SETTINGS = {"analogy_terms": 100, "label_pairs": 200, "neighbours": 2, "hops": 2, "nearest_of": ["cat", "unicorn"],
            "nearest": 2, "seed": 1}
#        1 entity
#      2       3
#    4   5   6   7      and 5 is also below 3, 8 stands alone
PARENTS = {2: [1], 3: [1], 4: [2], 5: [2, 3], 6: [3], 7: [3], 1: [], 8: []}
NAMES = ["entity", "animal", "artifact", "cat", "toy dog", "car", "bus", "void"]


def wnid(number):
    return f"n{number:08d}"


@pytest.fixture
def taxonomy():
    return make_taxonomy({wnid(n): ([NAMES[n - 1]], [*map(wnid, parents)], [], "") for n, parents in PARENTS.items()})


def units(*rows):
    rows = np.array(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_path_similarity_by_hand(taxonomy):
    pairs = np.array([[4, 4], [4, 2], [4, 5], [4, 6], [5, 6], [1, 8]]) - 1
    assert path_similarities(taxonomy, pairs).tolist() == [1, 1 / 2, 1 / 3, 1 / 5, 1 / 3, 0]


def test_path_similarity_takes_the_shortest_way_over_a_common_hypernym():
    random = np.random.default_rng(0)
    nouns = {wnid(n): (["x"], [wnid(p) for p in {*random.integers(1, n, size=2).tolist()}] if n > 1 else [], [], "")
             for n in range(1, 40)}
    taxonomy = make_taxonomy(nouns)
    up = networkx.DiGraph(taxonomy.hypernyms().tolist())
    ways = dict(networkx.all_pairs_shortest_path_length(up))
    pairs = random.integers(39, size=(200, 2))
    edges = [min(ways[a][c] + ways[b][c] for c in ways[a].keys() & ways[b].keys()) for a, b in pairs.tolist()]
    assert path_similarities(taxonomy, pairs).tolist() == [1 / (1 + count) for count in edges]
    found = {taxonomy.index[above]: edges for above, edges in taxonomy.ancestors(wnid(39)).items()}
    assert {38: 0, **found} == ways[38]


def test_share_of_near_neighbours_by_hand(taxonomy):
    nouns = np.array([4, 5, 6, 7]) - 1
    vectors = units([1, 0], [1, 0.1], [0.1, 1], [0, 1])  # 4 next to 5, 6 next to 7: two edges each
    assert share_near(vectors, nouns, taxonomy.graph(), neighbours=1, hops=2) == 1.0
    assert share_near(vectors, nouns, taxonomy.graph(), neighbours=1, hops=1) == 0.0
    # further 5-6 and 5-7, both ways, and 4 reaches neither 6 nor 7: of 12 ordered pairs 8 are near
    assert share_near(vectors, nouns, taxonomy.graph(), neighbours=3, hops=2) == round(8 / 12, 6)


def test_word_similarity_by_hand(tmp_path):
    gold = tmp_path / "gold.tsv"
    gold.write_text("# comment\nCat\tdog\t9\ncat\tcar\t1\ndog\tcar\t3\ncat\tunicorn\t5\n")
    rows, vectors = {"cat": 0, "dog": 1, "car": 2}, units([1, 0], [1, 1], [-1, 1])
    found = word_similarity("gold", gold, rows, vectors)  # cosines 0.7, -0.7, 0.0: the order of 9, 1, 3
    assert found == {"gold_spearman": 1.0, "gold_oov": 0.25}
    assert word_similarity("gold", gold, {"cat": 0}, vectors) == {"gold_oov": 1.0}


def test_analogies_by_hand(tmp_path):
    gold = tmp_path / "gold.txt"
    gold.write_text(": capitals\nAthens Greece Oslo Norway\nOslo Norway Athens Greece\nAthens Greece Oslo Sweden\n"
                    ": family\nboy girl king queen\n")
    rows = {"athens": 0, "greece": 1, "oslo": 2, "norway": 3, "sweden": 4}
    vectors = units([1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1], [-1, -1, 0])
    assert analogies(gold, rows, vectors) == {
        "analogies": round(2 / 3, 6), "analogies_oov": 0.25, "analogies_capitals": round(2 / 3, 6)}
    assert analogies(gold, rows, vectors[:3]) == {"analogies_oov": 1.0}  # only the first three may answer


def run(tmp_path, taxonomy, terms, vectors):
    write_taxonomy(tmp_path / "taxonomy", taxonomy)
    (tmp_path / "label_sets").mkdir()
    (tmp_path / "label_sets" / "21k+seen.txt").write_text("".join(wnid(n) + "\n" for n in (4, 5, 6, 7)))
    write_term_vectors(tmp_path / "terms", TermVectors(terms, np.ones(len(terms), int), np.array(vectors, np.float32)))
    evaluate_terms.main(Params(**SETTINGS), term_vectors=tmp_path / "terms", taxonomy=tmp_path / "taxonomy",
                        label_sets=tmp_path / "label_sets", metrics=tmp_path / "metrics.json",
                        headline=tmp_path / "headline.json", nearest=tmp_path / "nearest.md")
    return json.loads((tmp_path / "metrics.json").read_text()), (tmp_path / "nearest.md").read_text()


def test_the_stage(tmp_path, taxonomy):
    metrics, nearest = run(tmp_path, taxonomy, ["cat", "toy_dog", "car", "bus", "a"],
                           [[2, 0, 0.1], [1, 0.1, 0], [0.1, 1, 0], [0, 1, 0.1], [0, 0, -1]])
    assert metrics["labels"] == 4 and metrics["labels_oov"] == 0
    assert metrics["labels_near"] == 7 / 8  # all but cat's second nearest: car, four edges away
    assert 0.5 < metrics["labels_spearman"] <= 1
    assert json.loads((tmp_path / "headline.json").read_text()) == {"near": 0.875}
    assert "| cat | 1 | toy dog (0.99), car (0.10) |" in nearest
    assert "| unicorn | 0 | not in the vocabulary |" in nearest


def test_without_differences_between_labels_there_is_no_correlation(tmp_path, taxonomy):
    metrics, _ = run(tmp_path, taxonomy, ["cat", "toy_dog", "car", "bus"], [[1, 0]] * 4)
    assert metrics["labels"] == 4 and metrics["labels_oov"] == 0
    assert "labels_near" in metrics and "labels_spearman" not in metrics


def test_a_vocabulary_without_the_words_leaves_figures_out(tmp_path, taxonomy):
    metrics, _ = run(tmp_path, taxonomy, ["zzz", "cat"], [[1, 0], [0, 1]])
    assert metrics == {"terms": 2, "wordsim353_oov": 1.0, "simlex999_oov": 1.0, "analogies_oov": 1.0, "labels": 4,
                       "labels_oov": 0.75}
    assert json.loads((tmp_path / "headline.json").read_text()) == {}


def test_a_table_of_no_terms_is_refused():
    with pytest.raises(ValueError, match="nearest_of"):
        Params(**{**SETTINGS, "nearest_of": []})
