"""Folders of classes that lie otherwise than they seem, and tables, lists and counts as tools leave them."""

import unicodedata

import pytest

from stages.build_label_sets import read_counts
from tests.image_sets import CAT, DOG, WOLF, jpeg, put_folder, tar_of
from tests.test_layouts import metrics, shown
from tests.test_layouts import run as run  # a fixture
from zeroshot.base.lists import read_wnid_list
from zeroshot.console.errors import InputError
from zeroshot.image_sets.class_names import ClassNames, plainly
from zeroshot.image_sets.demo import read_demo_classes
from zeroshot.images.index import TRAIN, UNSEEN, VAL
from zeroshot.taxonomy import make_taxonomy

IMAGE = jpeg((200, 0, 0))


@pytest.fixture
def train(run, tmp_path):
    def train(files, **settings):
        """The classes of the training images of a folder."""
        put_folder(tmp_path / "images", dict.fromkeys(files, IMAGE) if isinstance(files, list) else files)
        return shown(run(tmp_path / "images", **{"val": None, "unseen": None, **settings}), TRAIN)
    return train


@pytest.mark.parametrize(("files", "inner"), [
    ([f"train/entity/{DOG}/a.jpg", f"train/entity/{CAT}/b.jpg"], DOG), ([f"train/{DOG}/puppies/{WOLF}-x/a.jpg"], WOLF),
    ({f"train/{DOG}.tar": tar_of({f"{DOG}/a.jpg": IMAGE, f"x/{CAT}/b.jpg": IMAGE})}, CAT)],
    ids=["a folder around the classes", "a class in a class", "a tar"])
def test_a_class_inside_another_is_not_taken_for_it(train, files, inner):
    with pytest.raises(InputError, match=rf"images of another class in its folder '.*{inner}.*if this is a folder of "
                                         "classes, name it in index_images.roles"):
        train(files)


def test_a_class_may_lie_deep_in_its_own_folder(train):
    assert train([f"train/{DOG}/{DOG}/images/a.jpg", f"train/{DOG}/b.jpg", f"train/{CAT}/x/b.jpg"]) == [DOG, DOG, CAT]


def test_words_inside_words_are_said(train, capsys):
    assert train(["train/horse/dog/a.jpg", "train/horse/left/b.jpg"]) == ["n02374451"] * 2
    assert "1 folders inside classes are named as classes themselves (train/horse/dog); " in capsys.readouterr().out


def test_a_folder_around_the_classes_is_told_where_its_name_is_none(train):
    with pytest.raises(InputError, match=rf"'images' in train: no noun.* \(it holds {DOG}: .*roles to train/images\)"):
        train([f"train/images/{DOG}/a.jpg"])


def test_numbers_are_no_nouns_but_where_a_table_says_so(tmp_path):
    nouns = make_taxonomy({DOG: (["0", "zero"], [], [], "nothing"), CAT: (["cat"], [], [], "it purrs")})
    names = ClassNames(nouns)
    assert [names.wnid(name, "train") for name in ("zero", "cat", "0")] == [DOG, CAT, None]
    with pytest.raises(InputError, match=f"'0' in train: a number, which may count classes .*; 1 sense: {DOG} nothing"):
        names.refuse()
    (tmp_path / "names.tsv").write_text(f"0\t{CAT}\n")
    assert ClassNames(nouns, tmp_path / "names.tsv").wnid("0", "train") == CAT


@pytest.mark.parametrize("place", ["train/", "./train", "x/../train", "train//."])
def test_a_place_that_is_written_otherwise_is_the_same(run, tmp_path, place):
    put_folder(tmp_path / "images", {f"train/{DOG}/a.jpg": IMAGE})
    if ".." in place:
        with pytest.raises(InputError, match="does not lie below index_images.images"):
            run(tmp_path / "images", val=place, unseen=None)
        return
    assert shown(run(tmp_path / "images", val=place, unseen=None), VAL) == [DOG]
    assert metrics(tmp_path)["val_images_also_train"] == 1


def test_a_pattern_fits_no_hidden_files(train, tmp_path):
    archive = tar_of({f"{DOG}_1.JPEG": IMAGE})
    assert train({"data/a.tar": archive, "data/._a.tar": b"\0\5\x16\7" + bytes(99)}, train="data/*.tar") == [DOG]
    assert metrics(tmp_path)["entries_ignored"] == 1


@pytest.mark.parametrize(("files", "place"), [
    ({"t/a.txt": b"x", "t/.b": b"x", f"t/{DOG}_1.jpg": IMAGE}, "t"),
    ({"t.tar": tar_of({"a.txt": b"x", ".b": b"x", f"{DOG}_1.jpg": IMAGE})}, "t.tar"),
    ({"t/a.txt": b"x", "t/.b": b"x", f"t/{DOG}/1.jpg": IMAGE}, "t")])
def test_what_is_no_image_is_counted_once(train, tmp_path, files, place):
    assert train(files, train=place) == [DOG]
    assert metrics(tmp_path)["entries_ignored"] == 2


def test_what_a_place_without_images_holds_is_said(train):
    with pytest.raises(InputError, match="train: holds no image and no class, but 2 .parquet files; expected a folder"):
        train({"train/0.parquet": b"PAR1", "train/1.parquet": b"PAR1"})


def test_a_letter_with_an_accent_is_one_however_it_is_written(train):
    assert plainly(unicodedata.normalize("NFD", "Café_Noir")) == plainly("café noir")
    folder = unicodedata.normalize("NFD", "café")
    assert train([f"train/{folder}/a.jpg"], names=f"café\t{DOG}\n") == [DOG]


@pytest.mark.parametrize(("table", "text"), [
    ("t.txt", "my dog.JPEG\t{DOG}\t0\t0\n\n"), ("t.TSV", "my dog.JPEG\t{DOG} \r\n"),
    ("t.CSV", "ImageId,PredictionString\r\nmy dog,{DOG} 1 2 3 4\r\n\r\n")])
def test_tables_of_classes_with_spaces_and_empty_lines(run, tmp_path, capsys, table, text):
    put_folder(tmp_path / "images", {f"train/{DOG}/a.jpg": IMAGE, "val/my dog.JPEG": IMAGE,
                                     table: text.replace("{DOG}", DOG).encode()})
    assert shown(run(tmp_path / "images", unseen=None, ground_truth=table), VAL) == [DOG]
    assert "images_in_tables_only" not in metrics(tmp_path) and "of no use" not in capsys.readouterr().out


def test_a_table_that_nothing_needs_is_said(run, tmp_path, capsys):
    put_folder(tmp_path / "images", {f"{role}/{DOG}/a.jpg": IMAGE for role in ("train", "val")})
    run(tmp_path / "images", unseen=None, ground_truth="t.txt")
    assert "index_images: ground_truth (t.txt) is of no use: folders, tars or names tell" in capsys.readouterr().out


def test_images_that_only_the_table_knows_are_counted(run, tmp_path, capsys):
    put_folder(tmp_path / "images", {f"train/{DOG}/a.jpg": IMAGE, f"train/{CAT}/a.jpg": IMAGE, "val/v1.JPEG": IMAGE,
                                     "t.txt": f"v1.JPEG {DOG}\nv2.JPEG {DOG}\nv3.JPEG {CAT}\n".encode()})
    assert shown(run(tmp_path / "images", unseen=None, ground_truth="t.txt"), VAL) == [DOG]
    assert metrics(tmp_path)["images_in_tables_only"] == 2
    assert "the tables of classes name 2 images that are not there" in capsys.readouterr().out


def test_one_table_tells_the_classes_of_all_roles(run, tmp_path):
    put_folder(tmp_path / "images", {"train/a.jpg": IMAGE, "val/b.jpg": IMAGE, "unseen/c.jpg": IMAGE, "t.tsv": (
        f"a.jpg\t{DOG}\nb.jpg\t{DOG}\nc.jpg\t{CAT}\nnot_here.jpg\t{WOLF}\n").encode()})
    index = run(tmp_path / "images", ground_truth="t.tsv")
    assert (index.seen, index.unseen) == ([DOG], [CAT])
    assert [shown(index, role) for role in (TRAIN, VAL, UNSEEN)] == [[DOG], [DOG], [CAT]]
    assert metrics(tmp_path)["images_in_tables_only"] == 1


def test_a_class_that_only_the_table_puts_into_train_has_no_training_images(run, tmp_path):
    put_folder(tmp_path / "images", {"train/a.jpg": IMAGE, "val/b.jpg": IMAGE, "t.tsv": (
        f"a.jpg\t{DOG}\nb.jpg\t{CAT}\n").encode()})
    with pytest.raises(InputError, match=f"class {CAT} has no training images"):
        run(tmp_path / "images", unseen=None, ground_truth="t.tsv")


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\x1c"])
def test_a_line_ends_where_people_end_it(tmp_path, mark):
    (tmp_path / "l.txt").write_text(f"\ufeff{DOG} a dog{mark}{WOLF}\r\n\ufeff{CAT}\rn10287213", encoding="utf-8")
    assert read_wnid_list(tmp_path / "l.txt", "wnids") == [DOG, CAT, "n10287213"]


@pytest.mark.parametrize("line", [
    f"{DOG} 3", f"{DOG.upper()}\t3", f"{DOG};3;dog", f'"{DOG}","3"', f"{DOG}, 3 , a dog of 2", f"{DOG} 3,"])
def test_counts_are_parted_as_lists_are(tmp_path, line):
    (tmp_path / "c.txt").write_text(f"{line}\n{CAT} 0\n")
    assert read_counts(tmp_path / "c.txt") == {DOG: 3, CAT: 0}


@pytest.mark.parametrize("line", [
    f"{DOG} 1,300", f"{DOG},1,300", f"{DOG} 1 300", f"{DOG} 3.5", f"{DOG} -3", f"{DOG} 1e3", f"{DOG} 1_300",
    f"{DOG} {'9' * 5000}", f"{DOG} ٣", f"3 {DOG}", f"{CAT.upper()} 1"])
def test_what_may_be_another_count_is_refused(tmp_path, line):
    (tmp_path / "c.txt").write_text(f"{CAT} 1\n{line}\n")
    with pytest.raises(InputError, match="line 2 is .*; expected a wnid, once in the list, and its number of images"):
        read_counts(tmp_path / "c.txt")


@pytest.mark.parametrize("head", ["", "role\twnid\tname\n", "\ufeffRole\twnid\r\n"])
def test_the_first_of_the_demos_classes_is_not_lost_where_no_line_names_the_columns(tmp_path, head):
    nouns = make_taxonomy({wnid: (["x"], [], [], "") for wnid in (DOG, CAT, WOLF)})
    (tmp_path / "d.tsv").write_text(f"{head}seen\t{DOG}\tdog\nseen\t{CAT.upper()}\nUnseen \t{WOLF}\n", encoding="utf-8")
    assert read_demo_classes(tmp_path / "d.tsv", nouns) == ([DOG, CAT], [WOLF])
    (tmp_path / "d.tsv").write_text(f"{head}seen\t{DOG}\tdog\nrole\twnid\n")
    with pytest.raises(InputError, match=f"line {3 if head else 2} is 'role.wnid'; expected seen or unseen, a tab"):
        read_demo_classes(tmp_path / "d.tsv", nouns)
