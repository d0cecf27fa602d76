import numpy as np
import pytest

from stages import rank_softmax
from tests.ranking_world import SEEN, SETS, WNID, build
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import read_label_sets, write_label_sets
from zeroshot.ranking.rankings import Rankings


def run(world):
    rank_softmax.main(rank_softmax.Params(threads=1), features=world / "features", index=world / "index",
                      label_sets=world / "label_sets", out=world / "softmax.safetensors")
    return Rankings(world / "softmax.safetensors", read_label_sets(world / "label_sets"))


def test_it_names_seen_labels_only(tmp_path):
    world = build(tmp_path)
    ranked = run(world)
    assert set(ranked.names) == {"seen", "unseen+seen", "2-hops+seen", "21k+seen"}
    seen = [ranked.wnids.index(wnid) for wnid in SEEN]
    logits = Artifact(world / "features" / "logits.safetensors")["logits"]
    np.testing.assert_array_equal(ranked["seen/top"][:, :3], np.array(seen)[np.argsort(-logits[:9], axis=1)])
    np.testing.assert_array_equal(ranked["unseen+seen/top"][:, :3], np.array(seen)[np.argsort(-logits[9:], axis=1)])
    assert (ranked["unseen+seen/rank"] == 0).all()
    np.testing.assert_array_equal(ranked["unseen+seen/val_rank"], ranked["seen/rank"])


@pytest.mark.parametrize("wnid", ["n99999999", WNID["canoe"]])  # of no label set; an unseen one
def test_a_trained_class_that_is_not_listed_as_seen_is_refused(tmp_path, wnid):
    world = build(tmp_path)
    path = world / "features" / "logits.safetensors"
    logits = Artifact(path)
    arrays = {"logits": logits["logits"], "row": logits["row"]}
    write_artifact(path, {"wnids": [*SEEN[:2], wnid]}, arrays)
    with pytest.raises(InputError, match=f"1 of the 3 classes with training images are not in .*seen.txt, {wnid}"):
        run(world)


def test_images_of_a_class_that_no_label_set_holds_are_counted(tmp_path):
    world = build(tmp_path)
    assert run(world).counts == {"images_in_no_label_set": 0, "val_images_also_train": 0}
    write_label_sets(world / "label_sets", {**SETS, "unseen": [WNID["pug"]], "21k": [WNID["pug"]]})
    # of the 9 unseen images every second shows a canoe
    assert run(world).counts == {"images_in_no_label_set": 4, "val_images_also_train": 0}
