import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from stages import explain_failures, rank_conse, rank_softmax
from stages.explain_failures import REASONS, Asked, Params, entropy, explained, name_told, report
from tests.ranking_world import WNID, build
from tests.vision import CLASSIFIERS
from zeroshot.console.errors import InputError
from zeroshot.labels.label_vectors import LabelVectors
from zeroshot.taxonomy import make_taxonomy

PARENTS = {"thing": "", "bird": "thing", "crane": "bird", "machine": "thing", "Crane": "machine", "metal": "thing",
           "wren": "bird", "heron": "bird", "ibis": "bird", "egret": "bird", "rail": "bird", "stork": "bird",
           "emu": "bird"}
IDS = {name: f"n{number:08d}" for number, name in enumerate(PARENTS)}
NOUNS = make_taxonomy({IDS[name]: ([name], [IDS[parent]] if parent else [], [], "")
                       for name, parent in PARENTS.items()})
SEEN = ("bird", "metal", "stork")
LIKE = {"crane": "machine", "wren": "metal", "heron": "bird", "ibis": "bird", "egret": "bird", "rail": "bird"}
EXPECTED = {"emu": "no vector", "crane": "another sense", "wren": "no near vector", "heron": "swallowed",
            "ibis": "CNN at a loss", "egret": "CNN at a loss", "rail": "none of these"}
WNIDS = sorted(IDS.values())


def label_vectors() -> LabelVectors:
    """One axis for each label; those of LIKE lean towards another's, so that it is their nearest: cosine 0.9."""
    vectors = np.eye(len(PARENTS), dtype=np.float32)
    for name, other in LIKE.items():
        vectors[WNIDS.index(IDS[name])] *= np.sqrt(0.19)
        vectors[WNIDS.index(IDS[name]), WNIDS.index(IDS[other])] = 0.9
    rows = np.array([row for row, wnid in enumerate(WNIDS) if wnid != IDS["emu"]], np.int32)
    return LabelVectors(WNIDS, vectors[rows], rows)


def test_each_class_gets_the_first_reason_that_holds():
    """Near is one edge. First answers: stork for 3 of 4 images of heron, for 2 of 4 of all others."""
    failed = np.sort([WNIDS.index(IDS[name]) for name in EXPECTED])
    answers = np.zeros((len(WNIDS), len(WNIDS)), np.int64)
    answers[failed, WNIDS.index(IDS["stork"])] = 2
    answers[failed, WNIDS.index(IDS["crane"])] = 2
    answers[WNIDS.index(IDS["heron"]), [WNIDS.index(IDS["stork"]), WNIDS.index(IDS["crane"])]] = 3, 1
    logits = {name: [9, 0, 0] for name in EXPECTED} | {"ibis": [1, 0, 0], "egret": [0, 9, 0]}  # of SEEN
    images = [(np.array([place]), np.array([logits[NOUNS.lemmas[label][0]]], np.float32), [IDS[name] for name in SEEN])
              for place, label in enumerate(failed) for _ in range(4)]
    asked = Asked(["devise"], np.full(len(WNIDS), 4), np.full(len(WNIDS), 21), scipy.sparse.csr_matrix(answers))
    params = Params(label_set="21k", neighbours=1, hops=1)
    table = explained(failed, asked, iter(images), label_vectors(), NOUNS, {IDS[name] for name in SEEN}, params)
    assert dict(zip(table["name"], table["reason"], strict=True)) == EXPECTED
    found = table.set_index("name")
    assert found.loc["crane", "nearest_label"] == "machine" and found.loc["emu", "nearest_label"] == ""
    assert found.loc["heron", ["first_answer", "first_answer_share"]].tolist() == ["stork", 0.75]
    assert found.loc["wren", "first_answer"] == "crane"  # of equals the first
    assert found.loc["wren", "first_answer_wnid"] == IDS["crane"] and found.loc["emu", "nearest_wnid"] == ""
    assert found.loc["egret", ["likeliest_seen", "likeliest_near"]].tolist() == ["metal", 0]
    text = report(table, asked, params).splitlines()
    assert text[2] == ("Of 13 classes tested in `21k`, never named right among the first 20 labels by any model "
                       "(DeViSE): 7.")
    assert any(line.startswith("| CNN at a loss | 2 |") for line in text)
    assert any("could mend the first three: 3 classes." in line for line in text)
    assert "| heron (n00000007) | 4 | bird | stork (75%) | bird |" in text


def test_a_namesake_is_told_by_wnid():
    """Another crane is not the class itself."""
    assert name_told("crane", "Crane", "n3") == "Crane (n3)"
    assert name_told("crane", "machine", "n4") == "machine" and name_told("crane", "", "") == "–"


def test_entropy_by_hand():
    assert entropy(np.array([[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]])) == pytest.approx([1, 0, 0.5])


def test_no_failure_is_a_table_too():
    asked = Asked([], np.zeros(13, np.int64), np.full(13, 21), scipy.sparse.csr_matrix((13, 13), dtype=np.int64))
    params = Params(label_set="21k", neighbours=3, hops=2)
    table = explained(np.zeros(0, np.int64), asked, iter(()), label_vectors(), NOUNS, set(), params)
    assert len(table) == 0
    assert [line for line in report(table, asked, params).splitlines() if line.startswith("| no vector | 0 |")]


def run(world, label_set="21k"):
    explain_failures.main(Params(label_set=label_set, neighbours=2, hops=2), rankings=world / "rankings",
                          features=world / "features", label_vectors=world / "lemmas.safetensors",
                          taxonomy=world / "taxonomy", label_sets=world / "label_sets", out=world / "tables")
    return pd.read_csv(world / "tables" / "failures.csv", keep_default_na=False)


def test_from_rankings_on_disk(tmp_path):
    """All candidates are among the first 20 of so few: who fails has no vector."""
    rng = np.random.default_rng(0)
    world = build(tmp_path, {name: rng.normal(size=4) for name in WNID if name != "canoe"})
    shared = {"features": world / "features", "index": world / "index", "label_sets": world / "label_sets"}
    rank_softmax.main(rank_softmax.Params(threads=1), **shared, out=world / "rankings" / "softmax.safetensors")
    rank_conse.main(rank_conse.Params(t=[1], hierse_t=1, hierse_temperature=1.0, hierse_csls_neighbours=0,
                                      hierse_hubs="val", hierse_classifiers=CLASSIFIERS, handicap=0,
                                      handicap_without_val=0.0, folds=2, seed=0, threads=1, any_processor=True),
                    **shared, cnn=world / "cnn.safetensors",
                    lemmas=world / "lemmas.safetensors",
                    hypernyms=world / "hypernyms.safetensors", out=world / "rankings" / "conse",
                    hierse=world / "rankings" / "hierse.safetensors",
                    hierse_classifiers=world / "classifiers.safetensors", metrics=world / "m.json")
    table = run(world)
    assert table[["name", "reason", "nearest_label"]].values.tolist() == [["canoe", "no vector", ""]]
    assert table["first_answer"][0] and table["likeliest_seen"][0] in ("cat", "husky", "car")
    assert "(ConSE(1), HierSE)" in (world / "tables" / "failures.md").read_text()
    with pytest.raises(InputError, match=r"label_set` is most-5, .* among `build_label_sets.populated.sizes`"):
        run(world, "most-5")


def test_reasons_are_told_in_order():
    assert list(REASONS) == list(dict.fromkeys(EXPECTED.values()))
