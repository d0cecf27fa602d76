import numpy as np
import pytest
import torch

from stages import rank_devise
from tests.ranking_world import NOUNS, SETS, WNID, build
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.base.compute import pick_device
from zeroshot.console.errors import InputError
from zeroshot.images.index import ImageIndex
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.ranking.first_labels import CHUNK
from zeroshot.ranking.rankings import Rankings

PARAMS = rank_devise.Params(threads=1, any_processor=True)


def run(world, out="devise.safetensors", points="points.safetensors"):
    rank_devise.main(PARAMS, points=world / points, label_vectors=world / "lemmas.safetensors", index=world / "index",
                     label_sets=world / "label_sets", out=world / out)
    return Rankings(world / out, read_label_sets(world / "label_sets"))


def test_every_image_of_every_set_against_a_plain_loop(tmp_path):
    world = build(tmp_path)
    ranked, index = run(world), ImageIndex.read(world / "index")
    labels, source = read_label_vectors(world / "lemmas.safetensors"), Artifact(world / "points.safetensors")
    points = dict(zip(source["row"].tolist(), source["points"], strict=True))
    sets = read_label_sets(world / "label_sets")
    assert set(ranked.names) == {"seen", "unseen", "2-hops", "21k", "unseen+seen", "2-hops+seen", "21k+seen"}

    def order(row, name):
        cosine = labels.vectors @ points[row] / np.linalg.norm(points[row])
        best = {wnid: cosine[labels.row_label == labels.index[wnid]].max() for wnid in sets[name]}
        return sorted(best, key=lambda wnid: -best[wnid])

    for name in ranked.names:
        base = sets[name.removesuffix("+seen")]
        rows = [row for row in points if index.roles[row] == (1 if name == "seen" else 2)
                and index.wnids[index.labels[row]] in base]
        assert ranked[f"{name}/row"].tolist() == rows and ranked.about[name]["images"] == len(rows)
        for row, true, top, rank in zip(rows, ranked[f"{name}/true"], ranked[f"{name}/top"], ranked[f"{name}/rank"],
                                        strict=True):
            expected = order(row, name)
            assert labels.wnids[true] == index.wnids[index.labels[row]]
            assert [labels.wnids[label] for label in top if label >= 0] == expected
            assert rank == expected.index(labels.wnids[true]) + 1
    for row, rank in zip(ranked["seen/row"], ranked["21k+seen/val_rank"], strict=True):
        assert rank == order(row, "21k+seen").index(index.wnids[index.labels[row]]) + 1


def test_the_chunks_size_and_the_images_around_change_nothing(tmp_path, monkeypatch):
    world = build(tmp_path, images=30)
    run(world, "a/devise.safetensors")
    monkeypatch.setitem(CHUNK, pick_device().type, 16)
    run(world, "b/devise.safetensors")
    assert (world / "a/devise.safetensors").read_bytes() == (world / "b/devise.safetensors").read_bytes()


def test_a_label_without_vector_is_no_candidate_and_its_images_miss(tmp_path):
    rng = np.random.default_rng(0)
    world = build(tmp_path, {name: rng.normal(size=4) for name in NOUNS if name != "pug"})
    ranked = run(world)
    pug = ranked.wnids.index(WNID["pug"])
    assert (ranked["unseen/rank"][ranked["unseen/true"] == pug] == 0).all()
    assert (ranked["unseen/rank"][ranked["unseen/true"] != pug] == 1).all()
    assert ranked.about["unseen"]["candidates"] == 1 and ranked.about["unseen"]["labels"] == 2
    assert "2-hops" not in ranked.names and ranked.about["2-hops"]["candidates"] == 0  # pug alone was in it


def test_a_point_at_the_origin_ties_with_all_labels_and_comes_last(tmp_path):
    world = build(tmp_path)
    source = Artifact(world / "points.safetensors")
    write_artifact(world / "zero.safetensors", {}, {"points": 0 * source["points"], "row": source["row"]})
    ranked = run(world, points="zero.safetensors")
    assert (ranked["seen/rank"] == 3).all() and (ranked["21k+seen/rank"] == 10).all()


def test_refusals(tmp_path):
    world = build(tmp_path)
    source = Artifact(world / "points.safetensors")
    for name, points, expected in (("nan", source["points"] * np.nan, "NaN or infinity"),
                                   ("narrow", source["points"][:, :3], "3-D.*4-D")):
        write_artifact(world / f"{name}.safetensors", {}, {"points": points, "row": source["row"]})
        with pytest.raises(InputError, match=expected):
            run(world, points=f"{name}.safetensors")
    write_artifact(world / "far.safetensors", {}, {"points": source["points"], "row": source["row"] + 1000})
    with pytest.raises(InputError, match="another one"):
        run(world, points="far.safetensors")
    run(world)
    with pytest.raises(InputError, match="another label set `unseen`"):
        Rankings(world / "devise.safetensors", read_label_sets(world / "label_sets") | {"unseen": SETS["21k"]})
    with pytest.raises(InputError, match="expected rankings"):
        Rankings(world / "points.safetensors", {})
    (world / "label_sets" / "21k.txt").write_text(WNID["dog"] + "\nn99999999\n")
    with pytest.raises(InputError, match="other label sets"):
        run(world)


def test_threads_are_set(tmp_path):
    torch.set_num_threads(2)
    run(build(tmp_path))
    assert torch.get_num_threads() == 1
