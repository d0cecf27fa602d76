import numpy as np
import pytest

from zeroshot.console.errors import InputError
from zeroshot.taxonomy import make_taxonomy, read_taxonomy, write_taxonomy

A, B, C = "n00000001", "n00000002", "n00000003"
NOUNS = {C: (["see", "cee dee"], [B], [A], "third"), A: (["aye"], [], [], "first"), B: (["bee"], [A], [], "")}


def test_round_trip(tmp_path):
    write_taxonomy(tmp_path, make_taxonomy(NOUNS))
    nouns = read_taxonomy(tmp_path)
    assert nouns.wnids == [A, B, C] and nouns.index[C] == 2
    assert nouns.lemmas == [["aye"], ["bee"], ["see", "cee dee"]] and nouns.definitions == ["first", "", "third"]
    assert nouns.hypernyms().tolist() == [[1, 0], [2, 1], [2, 0]]
    assert nouns.hypernyms(instances=False).tolist() == [[1, 0], [2, 1]]
    assert nouns.parents == {A: [], B: [A], C: [B, A]}
    assert nouns.rows([C, A]).tolist() == [2, 0]


def test_graph():
    nouns = make_taxonomy(NOUNS)
    up = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]], bool)
    assert (nouns.graph(directed=True).toarray() == up).all()
    assert (nouns.graph().toarray() == up | up.T).all()
    up[2, 0] = False
    assert (nouns.graph(instances=False, directed=True).toarray() == up).all()


def test_ancestors_stand_nearest_first_with_the_fewest_edges():
    d, e = "n00000004", "n00000005"
    nouns = make_taxonomy({**NOUNS, e: (["e"], [d], [], ""), d: (["d"], [C], [B], "")})
    assert list(nouns.ancestors(e).items()) == [(d, 1), (B, 2), (C, 2), (A, 3)]  # an instance edge leads d to B
    assert nouns.ancestors(A) == {}


def test_unknown_wnids_are_named():
    with pytest.raises(InputError, match="n99999999"):
        make_taxonomy(NOUNS).rows([A, "n99999999"])


@pytest.mark.parametrize("content, fault", [
    ("", "at least one"),
    (f"{A}\taye\t\t\n", "line 1 has 4 columns"),
    ("x\taye\t\t\tfirst\n", "expected 5 columns, the first a wnid"),
    (f"{A}\taye\t\t\tfir", "cut short in line 1"),
    (f"{A}\taye\t{B}\t\tfirst\n", f"{B} is named as a hypernym"),
])
def test_refusals(tmp_path, content, fault):
    (tmp_path / "nouns.tsv").write_text(content)
    with pytest.raises(InputError, match=fault):
        read_taxonomy(tmp_path)


def test_missing(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_taxonomy(tmp_path)
