import numpy as np
import pytest
from gensim.models import Word2Vec

from zeroshot.skipgram.team import Team, weights

COUNTS = {"a": 9, "b": 5, "c": 3, "d": 2, "e": 1}  # rows 0 to 4


def model_of(**settings) -> Word2Vec:
    model = Word2Vec(sg=1, vector_size=7, min_count=1, sorted_vocab=0, **{"hs": 1, "negative": 0, **settings})
    model.build_vocab_from_freq(COUNTS)
    for name, rows in weights(model).items():
        rows[:] = np.random.default_rng(len(name)).normal(size=rows.shape)
    return model


def nodes_of(model, *terms) -> set[int]:
    return {int(node) for term in terms for node in model.wv.get_vecattr(term, "point")}


def add_to_what_may_change(model, number, text):
    """Adds 1, 10 or 100 to the terms' vectors, and to the nodes on their paths."""
    terms = [model.wv.key_to_index[term] for term in text.decode().split() if term in model.wv]
    weights(model)["vectors"][terms] += 10**number
    weights(model)["syn1"][sorted(nodes_of(model, *terms))] += 10**number
    return number, len(terms)


def test_a_vector_takes_all_changes_and_a_node_their_mean():
    model = model_of()
    before = {name: rows.copy() for name, rows in weights(model).items()}
    team = Team(model, 3)
    assert team.train(add_to_what_may_change, [b"a b\n", b"b unknown\n", b"e\n"]) == [(0, 2), (1, 1), (2, 1)]
    vectors, nodes = (weights(model)[name] - before[name] for name in ("vectors", "syn1"))
    assert np.allclose(vectors, np.array([1, 11, 0, 0, 100])[:, None], atol=1e-4)
    texts = (nodes_of(model, 0, 1), nodes_of(model, 1), nodes_of(model, 4))
    for node in range(5):
        by = [10**number for number, its in enumerate(texts) if node in its]
        assert np.allclose(nodes[node], np.mean(by) if by else 0, atol=1e-4)
    for name, rows in weights(model).items():
        assert all(np.array_equal(weights(member)[name], rows) for member in team.members)


def test_a_round_with_fewer_texts_than_members_leaves_none_behind():
    model = model_of()
    team = Team(model, 3)
    team.train(add_to_what_may_change, [b"c d"])
    assert all(np.array_equal(weights(member)["syn1"], model.syn1) for member in team.members)
    begun = model.wv.vectors.copy()
    team.train(add_to_what_may_change, [b"", b"", b"c"])
    assert np.allclose(model.wv.vectors - begun, np.array([0, 0, 100, 0, 0])[:, None], atol=1e-4)


def test_of_noise_the_rows_that_differ_have_changed():
    model = model_of(hs=0, negative=3)
    before = model.syn1neg.copy()

    def change(member, number, text):
        member.syn1neg[[3, number]] += 1 + number
        member.syn1neg[4, 6] += number  # one number of the row

    Team(model, 2).train(change, [b"a", b"a"])
    assert np.allclose((model.syn1neg - before)[:, 0], [1, 2, 0, 3, 0], atol=1e-5)
    assert (model.syn1neg - before)[4, 6] == pytest.approx(1)


def test_one_worker_trains_the_model_itself():
    model = model_of()
    assert Team(model, 1).members == [model]
