"""Every layout of docs/data.md, each on a tiny set made here: read as it is, or refused with what to do."""

import json
import os

import numpy as np
import pytest

from stages import index_images
from tests.image_sets import CAT, DOG, HORSE, WOLF, jpeg, put_folder, tar_of
from tests.test_index_images import SETTINGS, devkit
from zeroshot.console.errors import InputError
from zeroshot.images.index import TRAIN, UNSEEN, VAL, ImageIndex
from zeroshot.images.pixels import open_pixels
from zeroshot.taxonomy import make_taxonomy, write_taxonomy

MAN, ENTITY = "n10287213", "n00001740"
NOUNS = {ENTITY: (["entity"], [], [], "that which is"), DOG: (["dog", "domestic dog"], [ENTITY], [], "it barks"),
         CAT: (["cat", "true cat"], [ENTITY], [], "it purrs"), WOLF: (["wolf"], [ENTITY], [], "a wild dog"),
         HORSE: (["horse"], [ENTITY], [], "it neighs"), MAN: (["man", "cat", "wolf"], [ENTITY], [], "an adult person")}


@pytest.fixture
def run(tmp_path):
    write_taxonomy(tmp_path / "taxonomy", make_taxonomy(NOUNS))

    def run(images, *, train="train", val="val", unseen="unseen", names="", listed="", seen="", drawn=0, **changes):
        settings = {**SETTINGS, "roles": {"train": train, "val": val, "unseen": unseen}, **changes,
                    "split": {"list": "unused", "drawn": drawn, "seed": 1}}
        (tmp_path / "names.tsv").write_text(names)
        (tmp_path / "unseen.txt").write_text(listed)
        (tmp_path / "seen.txt").write_text(seen)
        index_images.main(index_images.Params.model_validate(settings), images=images, names=tmp_path / "names.tsv",
                          seen_list=tmp_path / "seen.txt", unseen_list=tmp_path / "unseen.txt",
                          demo_classes=images, taxonomy=tmp_path / "taxonomy", out=tmp_path / "index",
                          metrics=tmp_path / "metrics.json")
        return ImageIndex.read(tmp_path / "index")
    return run


def shown(index: ImageIndex, role: int) -> list[str]:
    """The class of each image of a role."""
    return [index.wnids[label] for label in index.labels[index.rows(role)]]


def metrics(tmp_path) -> dict:
    return json.loads((tmp_path / "metrics.json").read_text())


# --- Tiny ImageNet as distributed

@pytest.fixture
def tiny(tmp_path):
    """tiny-imagenet-200 with four classes: two training images each, val images 0 to 4 in one folder."""
    root = tmp_path / "tiny-imagenet-200"
    for number, wnid in enumerate((DOG, CAT, WOLF, HORSE)):
        images = {f"images/{wnid}_{i}.JPEG": jpeg((50 * number, 10 * i, 0)) for i in range(2)}
        put_folder(root / "train" / wnid, {**images, f"{wnid}_boxes.txt": b"0 0 62 57"})
    put_folder(root / "val", {f"images/val_{i}.JPEG": jpeg((0, 0, 50 * i)) for i in range(5)})
    lines = [f"val_{i}.JPEG\t{wnid}\t0\t32\t44\t62\n" for i, wnid in enumerate((CAT, DOG, HORSE, WOLF, DOG))]
    put_folder(root, {"val/val_annotations.txt": "".join(lines).encode(), "test/images/test_0.JPEG": jpeg((0, 0, 0)),
                      "wnids.txt": f"{DOG}\n{CAT}\n{WOLF}\n{HORSE}\n".encode()})
    return root


def test_tiny_imagenet_as_distributed_without_unseen(run, tiny, tmp_path, capsys):
    index = run(tiny, unseen=None)
    assert shown(index, TRAIN) == [DOG, DOG, WOLF, WOLF, CAT, CAT, HORSE, HORSE]  # by wnid
    assert shown(index, VAL) == [DOG, DOG, WOLF, CAT, HORSE]
    blue = [int(np.asarray(open_pixels(tmp_path / "index", tiny).image(row))[..., 2].mean().round(-1)) for row in
            index.rows(VAL)]
    assert blue == [50, 200, 150, 0, 100]
    said = capsys.readouterr().out
    assert "train: class folders named by wnid (4)" in said
    assert "val: images in a folder whose classes val/val_annotations.txt tells (1)" in said
    assert "passed over 5 entries that are no images: 5 .txt files" in said
    assert metrics(tmp_path)["entries_ignored"] == 5


@pytest.mark.parametrize(("place", "tested"), [("val", [WOLF, HORSE]), ("train", [WOLF, WOLF, HORSE, HORSE])])
def test_tiny_imagenet_is_split_by_a_list(run, tiny, place, tested):
    index = run(tiny, unseen=place, listed=f"# held out\n{HORSE} horse\n\n{WOLF}\n")
    assert (index.seen, index.unseen) == ([DOG, CAT], [WOLF, HORSE])
    assert shown(index, VAL) == [DOG, DOG, CAT] and shown(index, UNSEEN) == tested


def test_a_split_by_a_seed_repeats_and_no_class_is_both(run, tiny):
    first, again = (run(tiny, unseen="train", drawn=2) for _ in range(2))
    assert first.unseen == again.unseen and len(first.unseen) == 2
    assert sorted(first.seen + first.unseen) == sorted([DOG, CAT, WOLF, HORSE])


@pytest.mark.parametrize(("changes", "message"), [
    ({"listed": HORSE, "drawn": 1}, "use one of them"), ({"drawn": 5}, "drawn is 5, of 4 classes"),
    ({"listed": "n99999999"}, "1 of its 1 classes have no images in the unseen role"),
    ({"listed": "horse"}, "line 1 begins 'horse'; expected a wnid")])
def test_a_split_that_cannot_be_is_refused(run, tiny, changes, message):
    with pytest.raises(InputError, match=message):
        run(tiny, unseen="train", **changes)


@pytest.mark.parametrize(("line", "message"), [
    ("val_0.JPEG\n", "line 1 names the image 'val_0.JPEG' and the class ''"),
    ("\n", "names no image"), ("", "names no image"),
    (f"val_0.JPEG {DOG}\nval_0.JPEG {CAT}\n", "line 2: 'val_0.JPEG' is there twice"),
    (f"val_0.JPEG {DOG}\n", r"holds 'val_1.JPEG', whose class is not known: the ground truth \(1 images\)")])
def test_annotations_that_do_not_fit_are_refused(run, tiny, line, message):
    (tiny / "val/val_annotations.txt").write_text(line)
    with pytest.raises(InputError, match=message):
        run(tiny, unseen=None)


# --- Kaggle's ImageNet

@pytest.fixture
def kaggle(tmp_path):
    root = tmp_path / "kaggle"
    data = "ILSVRC/Data/CLS-LOC"
    put_folder(root / data, {f"train/{wnid}/{wnid}_{i}.JPEG": jpeg((0, 0, 0)) for wnid in (DOG, CAT) for i in range(2)})
    put_folder(root / data, {f"val/ILSVRC2012_val_{i:08}.JPEG": jpeg((0, 0, 0)) for i in (1, 2, 3)})
    table = ("ImageId,PredictionString\n" f"ILSVRC2012_val_00000002,{CAT} 1 2 3 4 {CAT} 5 6 7 8 \n"
             f"ILSVRC2012_val_00000001,{DOG} 1 2 3 4 \nILSVRC2012_val_00000003,{DOG} 1 2 3 4\n")
    put_folder(root, {"LOC_val_solution.csv": table.encode(), "LOC_synset_mapping.txt": b"n02084071 dog\n"})
    return root


KAGGLE = {"train": "ILSVRC/Data/CLS-LOC/train", "val": "ILSVRC/Data/CLS-LOC/val", "unseen": None}


@pytest.mark.parametrize("ground_truth", [None, "LOC_val_solution.csv"])
def test_kaggles_imagenet_as_unpacked(run, kaggle, capsys, ground_truth):
    index = run(kaggle, **KAGGLE, ground_truth=ground_truth)
    assert (shown(index, TRAIN), shown(index, VAL)) == ([DOG] * 2 + [CAT] * 2, [DOG, DOG, CAT])
    assert "whose classes LOC_val_solution.csv tells" in capsys.readouterr().out


def test_kaggles_folders_are_hinted_at(run, kaggle):
    with pytest.raises(InputError, match="train: no such folder or tar.*Kaggle's ImageNet is here: set index"):
        run(kaggle)


@pytest.mark.parametrize(("text", "message"), [
    (b"name,class\n", "expected Kaggle's table"), (b"ImageId,PredictionString\nx,dog 1 2\n", "line 2.*class 'dog'"),
    (b"\xff\xfe", "not UTF-8")])
def test_a_solution_of_another_form_is_refused(run, kaggle, text, message):
    (kaggle / "LOC_val_solution.csv").write_bytes(text)
    with pytest.raises(InputError, match=f"LOC_val_solution.csv: .*{message}"):
        run(kaggle, **KAGGLE)


def test_a_flat_val_without_a_table_is_refused(run, kaggle):
    (kaggle / "LOC_val_solution.csv").unlink()
    with pytest.raises(InputError, match="ILSVRC2012_val_00000001.JPEG', whose class nothing tells; .*ground_truth"):
        run(kaggle, **KAGGLE)
    put_folder(kaggle, {"ILSVRC2012_devkit_t12.tar.gz": devkit([1, 2, 2])})  # found beside them, if above
    assert shown(run(kaggle, **KAGGLE), VAL) == [DOG, DOG, CAT]


# --- Hugging Face's archives

def hugging_face(root, suffix=""):
    pack = {"": lambda files: tar_of(files), ".gz": lambda files: tar_of(files, "w:gz")}[suffix]
    train = {f"{wnid}_{i}_{wnid}.JPEG": jpeg((0, 0, 0)) for wnid in (DOG, CAT) for i in (10, 20)}
    names = list(train)
    put_folder(root / "data", {
        f"train_images_0.tar{suffix}": pack({name: train[name] for name in names[::2]}),
        f"train_images_1.tar{suffix}": pack({name: train[name] for name in names[1::2]}),
        f"val_images.tar{suffix}": pack({f"ILSVRC2012_val_0000000{i}_{wnid}.JPEG": jpeg((0, 0, 0))
                                         for i, wnid in ((1, CAT), (2, DOG))})})
    return root


HUGGING = {"train": "data/train_images_*.tar", "val": "data/val_images.tar", "unseen": None}


@pytest.mark.parametrize("pack", [8, None])
def test_hugging_faces_tars_tell_classes_by_their_images_names(run, tmp_path, capsys, pack):
    index = run(hugging_face(tmp_path / "hf"), **HUGGING, pack=pack)
    assert (shown(index, TRAIN), shown(index, VAL)) == ([DOG] * 2 + [CAT] * 2, [DOG, CAT])
    assert "train: images in a tar whose names tell their classes (2)" in capsys.readouterr().out


def test_hugging_faces_compressed_archives_are_to_be_gunzipped(run, tmp_path):
    root = hugging_face(tmp_path / "hf", ".gz")
    with pytest.raises(InputError, match="gunzip data/.*, since compressed images cannot be read in place"):
        run(root, **HUGGING)
    with pytest.raises(InputError, match="train_images_0.tar.gz: gzip-compressed, expected a plain tar .*gunzip"):
        run(root, **{**HUGGING, "train": "data/train_images_*.tar.gz"})
    with pytest.raises(InputError, match="data/train_images_0.tar.gz: compressed, so that images"):
        run(root, **{**HUGGING, "train": "data"})


def test_a_tar_of_class_folders_and_an_image_without_class(run, tmp_path):
    files = {f"train/{wnid}/images/{i}.JPEG": jpeg((0, 0, 0)) for wnid in (DOG, CAT) for i in range(2)}
    put_folder(tmp_path / "set", {"train.tar": tar_of(files), "val.tar": tar_of(dict(list(files.items())[1:3]))})
    assert shown(run(tmp_path / "set", train="train.tar", val="val.tar", unseen=None), VAL) == [DOG, CAT]
    put_folder(tmp_path / "set", {"train.tar": tar_of({**files, "train/stray.JPEG": jpeg((0, 0, 0))})})
    with pytest.raises(InputError, match="train.tar: holds 'train/stray.JPEG', whose class is not known: its name"):
        run(tmp_path / "set", train="train.tar", val="val.tar", unseen=None)


# --- class names

def test_wnids_with_words_behind_them_and_upper_case_tars(run, tmp_path, capsys):
    put_folder(tmp_path / "set", {f"train/{DOG}-dog/a.jpg": jpeg((0, 0, 0)),
                                  f"train/{CAT}_true cat/a.PNG": jpeg((0, 0, 0)),
                                  f"val/{DOG}.TAR": tar_of({"a.JPEG": jpeg((0, 0, 0))})})
    index = run(tmp_path / "set", unseen=None)
    assert (index.seen, shown(index, VAL)) == ([DOG, CAT], [DOG])
    assert "val: class tars named by wnid (1)" in capsys.readouterr().out


def test_folders_named_by_words_are_looked_up(run, tmp_path, capsys):
    put_folder(tmp_path / "set", {f"{role}/{name}/a.JPEG": jpeg((0, 0, 0)) for role, name in (
        ("train", "dog"), ("train", "True_Cat"), ("val", "domestic dog"), ("unseen", "horse"), ("unseen", "Wolf"))})
    index = run(tmp_path / "set", names=f"# mine\n\nwolf\t{WOLF}\n")
    assert (index.seen, shown(index, VAL), index.unseen) == ([DOG, CAT], [DOG], [WOLF, HORSE])
    assert "unseen: class folders named by words (2)" in capsys.readouterr().out


def test_names_that_are_ambiguous_or_no_nouns_are_listed_at_once(run, tmp_path):
    put_folder(tmp_path / "set", {f"{role}/{name}/a.JPEG": jpeg((0, 0, 0)) for role, name in (
        ("train", "dog"), ("train", "cat"), ("train", "hosre"), ("val", "dog"), ("unseen", "xylophone"))})
    with pytest.raises(InputError) as told:
        run(tmp_path / "set")
    head, *lines = str(told.value).split("\n")
    assert "3 class names have no wnid" in head and "names.tsv (params.yaml: index_images.names)" in head
    assert lines == [f"  'cat' in train: 2 senses: {CAT} it purrs; {MAN} an adult person",
                     "  'hosre' in train: no noun of WordNet 3.0; nearest: horse",
                     "  'xylophone' in unseen: no noun of WordNet 3.0; nearest: none"]


@pytest.mark.parametrize(("names", "message"), [
    ("cat n02121620\n", "line 1 is 'cat n02121620'; expected a name, a tab, and a noun's wnid"),
    ("cat\tn99999999\n", "line 1"),
    (f"cat\t{CAT}\nCat\t{MAN}\n", "line 2: 'Cat' is there twice")])
def test_a_table_of_names_that_does_not_fit_is_refused(run, tmp_path, names, message):
    put_folder(tmp_path / "set", {"train/cat/a.JPEG": jpeg((0, 0, 0))})
    with pytest.raises(InputError, match=f"names.tsv: {message}"):
        run(tmp_path / "set", names=names)


def test_two_folders_of_one_class_are_refused(run, tmp_path):
    put_folder(tmp_path / "set", {f"train/{name}/a.JPEG": jpeg((0, 0, 0)) for name in ("dog", DOG)})
    with pytest.raises(InputError, match=f"class {DOG} is there twice"):
        run(tmp_path / "set")


# --- what is in no class, or behind a link

def two_classes(root):
    put_folder(root, {f"{role}/{wnid}/a.JPEG": jpeg((0, 0, 0)) for role in ("train", "val") for wnid in (DOG, CAT)})
    return root


def test_loose_images_and_compressed_classes_are_refused(run, tmp_path):
    root = two_classes(tmp_path / "set")
    put_folder(root, {"train/wnids.txt": b"x", "train/Thumbs.db": b"x"})  # counted only
    run(root, unseen=None)
    assert metrics(tmp_path)["entries_ignored"] == 2
    put_folder(root, {"train/loose.JPEG": jpeg((0, 0, 0))})
    with pytest.raises(InputError, match=r"train/loose.JPEG: an image in no class's folder \(1 such images beside 2"):
        run(root, unseen=None)
    (root / "train/loose.JPEG").unlink()
    put_folder(root, {f"train/{HORSE}.tar.gz": b""})
    with pytest.raises(InputError, match=f"{HORSE}.tar.gz: compressed, so that"):
        run(root, unseen=None)


def test_linked_classes_and_roles_are_read_said_and_counted(run, tmp_path, capsys):
    root = two_classes(tmp_path / "set")
    put_folder(tmp_path / "disk" / HORSE, {"a.JPEG": jpeg((0, 0, 0))})
    (root / "train" / HORSE).symlink_to(tmp_path / "disk" / HORSE)
    (root / "unseen").symlink_to(tmp_path / "disk")
    index = run(root, unseen=None)
    assert index.seen == [DOG, CAT, HORSE] and metrics(tmp_path)["linked_folders"] == 1
    assert f"1 links to folders ({root}/train/{HORSE}); DVC does not see changes behind them" in capsys.readouterr().out
    (root / "train" / HORSE).unlink()
    assert run(root).unseen == [HORSE]
    assert "unseen: 1 links to folders" in capsys.readouterr().out


def test_an_empty_class_says_what_it_holds_instead(run, tmp_path):
    root = two_classes(tmp_path / "set")
    put_folder(root / "train" / HORSE, {"@eaDir/a.jpg": jpeg((0, 0, 0)), "notes.txt": b"x"})
    with pytest.raises(InputError, match=f"{HORSE}: holds no image \\(but 1 .txt files, 1 in @eaDir/\\)"):
        run(root, unseen=None)


def test_lost_links_are_listed_and_capped(run, tmp_path):
    import io
    import tarfile

    root = two_classes(tmp_path / "set")
    data = io.BytesIO(tar_of({"a.JPEG": jpeg((0, 0, 0))}))
    with tarfile.open(fileobj=data, mode="a") as archive:
        member = tarfile.TarInfo("b.JPEG")
        member.type, member.linkname = tarfile.SYMTYPE, "../elsewhere.JPEG"
        archive.addfile(member)
    put_folder(root, {f"train/{HORSE}.tar": data.getvalue()})
    with pytest.raises(InputError, match=f"1 images cannot be read, the first .*{HORSE}.tar/b.JPEG .a link to"):
        run(root, unseen=None)
    run(root, unseen=None, max_unreadable=0.2)
    row = (tmp_path / "index/skipped.tsv").read_text().splitlines()[1].split("\t")
    assert row[:3] == ["train", HORSE, f"{root}/train/{HORSE}.tar/b.JPEG"] and "a link to" in row[3]
    assert metrics(tmp_path)["unreadable_skipped"] == 1
    put_folder(root, {f"train/{DOG}/broken.JPEG": b"<html>"})  # together with the lost one more than may be skipped
    with pytest.raises(InputError, match=r"2 of 7 images cannot be read, .*broken.JPEG.*at most 1 may be skipped"):
        run(root, unseen=None, max_unreadable=0.2)
    run(root, unseen=None, max_unreadable=0.3)
    assert metrics(tmp_path)["unreadable_skipped"] == 2


def test_file_names_that_are_no_utf8_are_written_everywhere(run, tmp_path):
    root = two_classes(tmp_path / "set")
    (root / "train" / DOG / os.fsdecode(b"caf\xe9.JPEG")).write_bytes(b"<html>")
    (root / "train" / DOG / os.fsdecode(b"caf\xe9.txt\xe9")).write_bytes(b"no image")
    put_folder(root, {f"train/{HORSE}.tar": tar_of({os.fsdecode(b"\xff.JPEG"): b"<html>", "a.JPEG": jpeg((0, 0, 0))})})
    run(root, unseen=None, max_unreadable=0.5)
    skipped = (tmp_path / "index/skipped.tsv").read_text(encoding="utf-8")
    assert "caf\\xe9.JPEG\tnot an image (HTML file)" in skipped and "\\xff.JPEG\t" in skipped
