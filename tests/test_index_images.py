import io
import multiprocessing
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from stages import index_images
from stages.index_images import Params, take_rows
from tests.image_sets import CAT, DOG, HORSE, WOLF, colour_of, jpeg, put_folder, small_set, tar_of
from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError
from zeroshot.image_sets.demo import read_demo_classes
from zeroshot.images.index import INDEX_FILE, PIXELS_FILE, TRAIN, UNSEEN, VAL, ImageIndex
from zeroshot.images.pixels import PackedPixels, open_pixels
from zeroshot.taxonomy import make_taxonomy, read_taxonomy, write_taxonomy

SETTINGS = {
    "source": "folders", "images": "unused", "roles": {"train": "train", "val": "val", "unseen": "unseen"},
    "seen": "unused", "ground_truth": None, "names": "unused", "split": {"list": "unused", "drawn": 0, "seed": 1},
    "seen_among_unseen": "error", "pack": 8, "check": "header",
    "max_unreadable": 0.0, "workers": 1,
    "demo": {"classes": "unused", "seed": 1, "train": 4, "val": 2, "unseen": 3, "likeness": 0.8, "variation": 0.3},
    "cifar": {"md5": "published", "fetch": False},
}
ANIMAL = "n00015388"


@pytest.fixture
def taxonomy(tmp_path):
    nouns = {wnid: ([wnid], [ANIMAL], [], "") for wnid in (DOG, CAT, WOLF, HORSE)}
    write_taxonomy(tmp_path / "taxonomy", make_taxonomy({ANIMAL: (["animal"], [], [], ""), **nouns}))
    return tmp_path / "taxonomy"


@pytest.fixture
def run(tmp_path, taxonomy):
    def run(images, name="index", **changes) -> ImageIndex:
        params = Params.model_validate({**SETTINGS, **changes})
        (tmp_path / "names.tsv").touch()
        (tmp_path / "unseen.txt").touch()
        (tmp_path / "seen.txt").touch()
        index_images.main(params, images=images, names=tmp_path / "names.tsv", seen_list=tmp_path / "seen.txt",
                          unseen_list=tmp_path / "unseen.txt", demo_classes=images, taxonomy=taxonomy,
                          out=tmp_path / name, metrics=tmp_path / f"{name}.json")
        return ImageIndex.read(tmp_path / name)
    return run


@pytest.fixture
def images(tmp_path):
    return small_set(tmp_path / "images")


def in_another_process(function, *arguments):
    """What `function` returns there; the arguments travel as they would to a worker."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def colours(reader, rows):
    return [colour_of(np.asarray(reader.image(row))) for row in rows]


def test_rows_are_sorted_by_role_and_wnid_and_show_the_right_image(run, images, tmp_path):
    index = run(images)
    assert index.wnids == [DOG, WOLF, CAT]
    assert (index.seen, index.unseen, index.packed) == ([DOG, CAT], [WOLF], True)
    assert index.roles.tolist() == [TRAIN] * 5 + [VAL] * 2 + [UNSEEN] * 2
    assert index.labels.tolist() == [0, 0, 0, 2, 2, 0, 2, 1, 1]
    assert index.numbered(index.seen).tolist() == [0, 0, 0, 1, 1, 0, 1, -1, -1]
    pixels = open_pixels(tmp_path / "index", images).read(np.arange(9))
    assert pixels.shape == (9, 8, 8, 3)
    assert [colour_of(image) for image in pixels] == [  # the tar's own order within a class; files by name
        [200, 20, 0], [200, 10, 0], [200, 0, 0], [0, 200, 0], [0, 200, 10], [200, 100, 0], [0, 200, 100],
        [0, 0, 200], [10, 0, 200]]
    assert (tmp_path / "index/seen.txt").read_text() == f"{DOG}\n{CAT}\n"
    assert (tmp_path / "index/unseen.txt").read_text() == f"{WOLF}\n"


def test_unpacked_images_are_read_in_place_also_by_another_process(run, images, tmp_path):
    assert not run(images, pack=None).packed
    assert not (tmp_path / "index" / PIXELS_FILE).exists()
    reader = open_pixels(tmp_path / "index", images)
    assert in_another_process(colours, reader, (0, 4, 8)) == [[200, 20, 0], [0, 200, 10], [10, 0, 200]]
    assert [reader.name(row) for row in (0, 4, 8)] == ["d2.JPEG", "c1.JPEG", "w1.JPEG"]
    assert reader.where(4) == f"{images}/train/{CAT}/c1.JPEG"
    assert reader.file_bytes(5) == jpeg((200, 100, 0))
    file, data = Path(reader.where(4)), reader.file_bytes(4)
    for changed, said in ((data + b"x", "longer"), (data[:-1], f"cut short to {len(data) - 1} bytes")):
        file.write_bytes(changed)
        with pytest.raises(InputError, match=f"c1.JPEG: {said}, {len(data)} bytes when it was indexed"):
            reader.file_bytes(4)


@pytest.mark.parametrize("source", ["folders", "demo"])
def test_the_result_depends_on_neither_workers_nor_the_run(run, images, tmp_path, source):
    listed = demo_classes(tmp_path) if source == "demo" else images
    seals = {run(listed, f"index{workers}", source=source, workers=workers).sha256 for workers in (1, 2)}
    assert len(seals) == 1
    assert not list(tmp_path.glob("index1/.candidates*"))


def demo_classes(folder, text=f"role\twnid\tname\nseen\t{DOG}\tdog\nseen\t{CAT}\tcat\nunseen\t{WOLF}\twolf\n"):
    (folder / "classes.tsv").write_text(text)
    return folder / "classes.tsv"


def test_the_demo_draws_as_many_images_as_asked(run, tmp_path):
    index = run(demo_classes(tmp_path), source="demo", pack=16)
    assert [len(index.rows(role)) for role in (TRAIN, VAL, UNSEEN)] == [8, 4, 3]
    assert (index.seen, index.unseen) == ([DOG, CAT], [WOLF])
    assert open_pixels(tmp_path / "index", tmp_path).size == (16, 16)


@pytest.mark.parametrize("text", ["role\twnid\n", f"role\twnid\nseen\t{DOG}\n", f"h\nseen\t{DOG}\nunseen\t{DOG}\n",
                                  "h\nseen\tn99999999\n", f"h\nother\t{DOG}\n", f"h\nseen {DOG}\n"])
def test_a_bad_list_of_demo_classes_is_refused(run, tmp_path, text):
    with pytest.raises(InputError, match="classes.tsv"):
        run(demo_classes(tmp_path, text), source="demo")


def test_a_binary_list_of_demo_classes_is_refused(run, tmp_path):
    (tmp_path / "classes.tsv").write_bytes(b"role\xff\xfe\x00")
    with pytest.raises(InputError, match="classes.tsv: cannot be read .*expected a table in UTF-8"):
        run(tmp_path / "classes.tsv", source="demo")


@pytest.mark.parametrize("changed", [{"seed": -1}, {"seed": 2**32}, {"likeness": 1.1}, {"variation": -0.1},
                                     {"variation": 11.0}])
def test_ranges_of_the_demo(changed):
    with pytest.raises(ValueError, match=f"demo.{next(iter(changed))}"):
        Params.model_validate({**SETTINGS, "demo": {**SETTINGS["demo"], **changed}})


def test_a_class_that_is_a_link_to_nothing_is_refused(run, images):
    (images / "train" / HORSE).symlink_to("nowhere")
    with pytest.raises(InputError, match=f"train/{HORSE}: neither a folder nor a file"):
        run(images)


def test_the_committed_demo_classes_are_nouns_and_single_words(taxonomy_folder):
    nouns = read_taxonomy(taxonomy_folder)
    path = Path(__file__).parent.parent / "presets/lists/demo-classes.tsv"
    seen, unseen = read_demo_classes(path, nouns)
    assert len(seen) >= 60 and len(unseen) >= 20
    names = dict(line.split("\t")[1:] for line in path.read_text().splitlines()[1:])
    assert all(nouns.lemmas[nouns.index[wnid]][0] == name and " " not in name for wnid, name in names.items())


def test_unreadable_images_are_skipped_listed_and_capped(run, images, tmp_path):
    put_folder(images / "train" / CAT, {"b.JPEG": b"<html>", "cut.JPEG": jpeg((0, 0, 0))[:200]})
    with pytest.raises(InputError, match=r"2 of 11 images.*b.JPEG.*at most 1 .*max_unreadable"):
        run(images, max_unreadable=0.1)
    index = run(images, max_unreadable=0.2)
    assert len(index.rows(TRAIN)) == 5
    pixels = open_pixels(tmp_path / "index", images).read(index.rows(TRAIN))
    assert [colour_of(image) for image in pixels[3:]] == [[0, 200, 0], [0, 200, 10]]
    skipped = [line.split("\t") for line in (tmp_path / "index/skipped.tsv").read_text().splitlines()]
    assert [row[:3] for row in skipped] == [["role", "wnid", "file"]] + [
        ["train", CAT, f"{images}/train/{CAT}/{name}"] for name in ("b.JPEG", "cut.JPEG")]


def test_a_class_without_a_readable_image_is_an_error(run, images):
    put_folder(images / "train" / HORSE, {"b.JPEG": b"<html>"})
    with pytest.raises(InputError, match=f"none of the train images of class {HORSE}"):
        run(images, max_unreadable=0.9)


@pytest.mark.parametrize(("check", "found"), [("none", 7), ("header", 6), ("decode", 5)])
def test_unpacked_sets_are_checked_as_closely_as_asked(run, images, check, found):
    put_folder(images / "train" / CAT, {"b.JPEG": b"<html>", "cut.JPEG": jpeg((0, 0, 0), (200, 200))[:-50]})
    assert len(run(images, pack=None, check=check, max_unreadable=0.5).rows(TRAIN)) == found


@pytest.mark.parametrize(("break_it", "message"), [
    (lambda root: shutil.rmtree(root / "val"), "val: no such folder"),
    (lambda root: (shutil.rmtree(root / "unseen"), (root / "unseen").mkdir()), "unseen: empty"),
    (lambda root: put_folder(root / "train" / "cats", {"a.JPEG": b""}), "'cats' in train: no noun of WordNet 3.0"),
    (lambda root: put_folder(root / "train" / "n00000001", {"a.JPEG": b""}), "n00000001 is no noun synset"),
    (lambda root: put_folder(root / "train", {f"{HORSE}.tar": tar_of({})}), f"{HORSE}.tar: holds no image"),
    (lambda root: (root / "train" / HORSE).mkdir(), f"{HORSE}: holds no image"),
    (lambda root: put_folder(root / "train", {f"{HORSE}.tar": tar_of({"a": b"x"})[:1024]}), f"{HORSE}.tar: truncated"),
    (lambda root: put_folder(root / "unseen" / DOG, {"a.JPEG": jpeg((0, 0, 0))}), f"unseen: {DOG} is also in"),
    (lambda root: put_folder(root / "val" / HORSE, {"a.JPEG": b""}), f"{HORSE} has no training images"),
    (lambda root: put_folder(root / "train" / DOG, {"a.JPEG": b""}), f"{DOG} is there twice"),
], ids=["missing role", "empty role", "no wnid", "no noun", "empty tar", "empty folder", "truncated", "both",
        "val only", "twice"])
def test_what_is_wrong_is_named(run, images, break_it, message):
    break_it(images)
    with pytest.raises(InputError, match=message):
        run(images)


def test_seen_classes_among_the_unseen_can_be_left_out(run, images, tmp_path):
    put_folder(images / "unseen" / DOG, {"a.JPEG": jpeg((0, 0, 0))})
    assert run(images, seen_among_unseen="skip").unseen == [WOLF]
    assert '"unseen_classes_left_out_as_seen": 1' in (tmp_path / "index.json").read_text()


def test_no_unseen_role_and_the_same_folder_twice_can_be_asked_for(run, images):
    index = run(images, roles={"train": "val", "val": "val", "unseen": None})
    assert (index.unseen, len(index.rows(TRAIN)), len(index.rows(VAL))) == ([], 2, 2)
    assert index.val_also_train() == 2


def test_images_that_serve_one_role_each_are_told_from_those_that_serve_two(run, images):
    assert run(images).val_also_train() == 0


def devkit(truth: list[int]) -> bytes:
    synsets = np.array([(1, CAT), (2, DOG), (3, "n99999999")], [("ILSVRC2012_ID", "O"), ("WNID", "O")])
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": synsets.reshape(-1, 1)})
    data = "ILSVRC2012_devkit_t12/data/"
    numbers = "".join(f"{number}\n" for number in truth).encode()
    return tar_of({data + "meta.mat": meta.getvalue(),
                   data + "ILSVRC2012_validation_ground_truth.txt": numbers}, "w:gz")


@pytest.fixture
def ilsvrc(tmp_path):
    """ILSVRC2012's archives as they are distributed, and the 2011 release, which also holds the seen classes."""
    root = tmp_path / "ilsvrc"
    train = {f"{wnid}.tar": tar_of({f"{wnid}_{i}.JPEG": jpeg((40 * i, red, 0)) for i in range(2)})
             for wnid, red in ((CAT, 50), (DOG, 150))}
    val = {f"ILSVRC2012_val_{i:08}.JPEG": jpeg((0, 0, 50 * i)) for i in (1, 2, 3)}
    put_folder(root, {"ILSVRC2012_img_train.tar": tar_of(train), "ILSVRC2012_img_val.tar": tar_of(val),
                      "ILSVRC2012_devkit_t12.tar.gz": devkit([1, 2, 1])})
    fall11 = {f"{wnid}.tar": tar_of({f"{wnid}_1.JPEG": jpeg((0, 100, 100))}) for wnid in (DOG, WOLF)}
    put_folder(root / "fall11", fall11)
    return root


ILSVRC = {"roles": {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar", "unseen": "fall11"},
          "ground_truth": "ILSVRC2012_devkit_t12.tar.gz", "seen_among_unseen": "skip"}


@pytest.mark.parametrize("pack", [8, None])
def test_ilsvrcs_archives_are_read_as_distributed(run, ilsvrc, tmp_path, pack):
    index = run(ilsvrc, pack=pack, **ILSVRC)
    assert [index.wnids[label] for label in index.labels] == [DOG, DOG, CAT, CAT, DOG, CAT, CAT, WOLF]
    reader = open_pixels(tmp_path / "index", ilsvrc)
    shown = reader.read(np.arange(8)) if pack else [np.asarray(reader.image(row)) for row in range(8)]
    assert [colour_of(image) for image in shown] == [
        [0, 150, 0], [40, 150, 0], [0, 50, 0], [40, 50, 0], [0, 0, 100], [0, 0, 50], [0, 0, 150], [0, 100, 100]]


def test_an_unpacked_val_set_and_devkit_give_the_same_index_rows(run, ilsvrc):
    packed = run(ilsvrc, **ILSVRC)
    put_folder(ilsvrc / "val", {f"ILSVRC2012_val_{i:08}.JPEG": jpeg((0, 0, 50 * i)) for i in (1, 2, 3)})
    unpacked = run(ilsvrc, "again", **{**ILSVRC, "roles": {**ILSVRC["roles"], "val": "val"}})
    assert np.array_equal(packed.labels, unpacked.labels)


@pytest.mark.parametrize(("changes", "truth", "message"), [
    ({"ground_truth": "gone.tar.gz"}, [1, 2, 1], "gone.tar.gz: cannot be read"),
    ({}, [1, 2], r"val_00000003.*the ground truth \(2 images\) lacks it"),
    ({}, [1, 2, 7], "devkit_t12.tar.gz: cannot be read"), ({}, [1, 2, 3], "devkit|n99999999"),
], ids=["missing", "too short", "unknown number", "no noun"])
def test_a_wrong_ground_truth_is_named(run, ilsvrc, changes, truth, message):
    put_folder(ilsvrc, {"ILSVRC2012_devkit_t12.tar.gz": devkit(truth)})
    with pytest.raises(InputError, match=message):
        run(ilsvrc, **{**ILSVRC, **changes})


def test_take_rows_reorders_names_too():
    names = [b"a", b"", b"ccc", b"dd"]
    arrays = {"label": np.arange(4), "names": np.frombuffer(b"".join(names), np.uint8),
              "name_end": np.cumsum([len(name) for name in names])}
    taken = take_rows(arrays, np.array([3, 2, 1]))
    assert bytes(taken["names"]) == b"ddccc"
    assert (taken["name_end"].tolist(), taken["label"].tolist()) == ([2, 5, 5], [3, 2, 1])


def test_a_file_that_has_gone_since_is_an_error_with_its_name(run, images, tmp_path):
    run(images, pack=None)
    reader = open_pixels(tmp_path / "index", images)
    (images / "train" / CAT / "c0.JPEG").unlink()
    with pytest.raises(InputError, match="c0.JPEG: cannot be read"):
        reader.image(3)
    (images / "train" / f"{DOG}.tar").write_bytes(b"short")
    with pytest.raises(InputError, match="cut short"):
        reader.image(0)


def test_pixels_of_another_index_are_refused(run, images, tmp_path):
    run(images)
    run(images, "other", pack=9)
    shutil.copy(tmp_path / "other" / PIXELS_FILE, tmp_path / "index" / PIXELS_FILE)
    with pytest.raises(InputError, match="another index"):
        open_pixels(tmp_path / "index", images)


def test_packed_pixels_travel_to_workers_as_a_path(run, images, tmp_path):
    run(images)
    reader = open_pixels(tmp_path / "index", images)
    assert len(pickle.dumps(reader)) < 500
    assert isinstance(reader, PackedPixels)
    assert in_another_process(len, reader) == len(Artifact(tmp_path / "index" / INDEX_FILE)["label"])
    there = in_another_process(PackedPixels.read, reader, np.array([7, 1]))
    assert np.array_equal(there, reader.read(np.array([7, 1])))


def test_the_demo_needs_a_side_in_pixels():
    with pytest.raises(ValueError, match="`pack` must be"):
        Params.model_validate({**SETTINGS, "source": "demo", "pack": None})
