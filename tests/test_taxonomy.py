import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@st.composite
def nouns_of(draw):
    """wnid -> its row; hypernyms may be any, itself too, and stand twice."""
    wnids = draw(st.lists(st.integers(0, 99), min_size=1, max_size=9, unique=True).map(
        lambda numbers: [f"n{number:08}" for number in numbers]))
    text, above = st.text("ab \u00e9", max_size=4), st.lists(st.sampled_from(wnids), max_size=3)
    lemmas = st.lists(text, min_size=1, max_size=3)
    return {wnid: (draw(lemmas), draw(above), draw(above), draw(text)) for wnid in wnids}


@settings(max_examples=30)
@given(nouns_of())
def test_whatever_is_written_is_read_edge_by_edge(nouns):
    with tempfile.TemporaryDirectory() as folder:
        write_taxonomy(Path(folder), make_taxonomy(nouns))
        read = read_taxonomy(Path(folder))
    order = sorted(nouns)
    assert read.wnids == order
    assert read.lemmas == [nouns[wnid][0] for wnid in order] and read.definitions == [nouns[wnid][3] for wnid in order]
    for edges, column in ((read.kinds, 1), (read.instances, 2)):
        assert edges.dtype == np.int32 and edges.shape[1] == 2
        assert edges.tolist() == [[order.index(wnid), order.index(parent)]
                                  for wnid in order for parent in sorted(nouns[wnid][column])]
    assert read.parents == {wnid: sorted(nouns[wnid][1]) + sorted(nouns[wnid][2]) for wnid in order}
    for wnid in order:
        assert read.ancestors(wnid) == climbed(read.parents, wnid)


def climbed(parents, wnid):
    """Ancestors by walking over all edges as often as there are nouns."""
    degree = {wnid: 0}
    for _ in parents:
        for noun in list(degree):
            for above in parents[noun]:
                degree[above] = min(degree.get(above, degree[noun] + 1), degree[noun] + 1)
    return {above: steps for above, steps in degree.items() if steps}


def test_unknown_wnids_are_named():
    with pytest.raises(InputError, match="n99999999"):
        make_taxonomy(NOUNS).rows([A, "n99999999"])


@pytest.mark.parametrize("content, fault", [
    ("", "at least one"),
    (f"{A}\taye\t\t\n", "line 1 has 4 columns"),
    ("x\taye\t\t\tfirst\n", "expected 5 columns, the first a wnid"),
    (f"{A}\taye\t\t\tfir", "cut short in line 1"),
    (f"{A}\taye\t{B}\t\tfirst\n", f"{B} is named as a hypernym"),
    (f"{A}\taye\t\t\n{A}\tfirst\t\t\t\tsecond\n", "line 1 has 4 columns"),  # ten columns in all
    (f"{B}\tbee\t\t\t\n{A}\taye\t\t\t\n", f"{A} stands twice or out of order"),
    (f"{A}\taye\t\t\t\n{A}\taye\t\t\t\n", f"{A} stands twice or out of order"),
])
def test_refusals(tmp_path, content, fault):
    (tmp_path / "nouns.tsv").write_text(content)
    with pytest.raises(InputError, match=fault):
        read_taxonomy(tmp_path)


def test_missing(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_taxonomy(tmp_path)
