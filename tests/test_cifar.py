"""index_images on CIFAR's archives: every published form, roles, names, and what is refused."""

import os
import pickle
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from stages import index_images
from stages.index_images import Params
from tests.cifar_archives import (
    COLOURS,
    SEEN,
    UNSEEN,
    binary_files,
    put_archives,
    put_unpacked,
    python2_pickle,
    python_files,
    stored,
)
from tests.image_sets import put_folder, tar_of
from tests.processes import run_command
from tests.test_fuzz_images import damaged, fuzzed, read_or_refused
from tests.test_index_images import SETTINGS
from tools import check_data, check_params
from tools.stage_deps import PROJECT
from zeroshot.console.errors import InputError
from zeroshot.image_sets.cifar_files import MD5S, VERSIONS, read_part
from zeroshot.image_sets.class_names import read_table
from zeroshot.images.index import TRAIN, VAL, ImageIndex
from zeroshot.images.index import UNSEEN as UNSEEN_ROLE
from zeroshot.images.pixels import open_pixels
from zeroshot.labels.label_sets import read_wnids
from zeroshot.taxonomy import make_taxonomy, read_taxonomy, write_taxonomy

NAMES = PROJECT / "presets" / "lists" / "cifar-names.tsv"
SPLIT = PROJECT / "presets" / "lists" / "cifar100-unseen.txt"
CIFAR = {**SETTINGS, "source": "cifar", "pack": 32, "cifar": {"md5": "any", "fetch": False},
         "roles": {"train": "cifar-100/train", "val": "cifar-100/test", "unseen": "cifar-10/test"}}
SUPERCLASSES = {  # of CIFAR-100 -> a synset that all of its labels are kinds of
    ("beaver", "dolphin", "otter", "seal", "whale"): "mammal",
    ("aquarium_fish", "flatfish", "ray", "shark", "trout"): "fish",
    ("orchid", "poppy", "rose", "sunflower", "tulip"): "vascular plant",
    ("bottle", "bowl", "can", "cup", "plate"): "artifact",
    ("apple", "mushroom", "orange", "pear", "sweet_pepper"): "food",
    ("clock", "keyboard", "lamp", "telephone", "television"): "instrumentality",
    ("bed", "chair", "couch", "table", "wardrobe"): "furniture",
    ("bee", "beetle", "butterfly", "caterpillar", "cockroach"): "animal",
    ("bear", "leopard", "lion", "tiger", "wolf"): "carnivore",
    ("bridge", "castle", "house", "road", "skyscraper"): "artifact",
    ("cloud", "forest", "mountain", "plain", "sea"): "physical entity",
    ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"): "mammal",
    ("fox", "porcupine", "possum", "raccoon", "skunk"): "mammal",
    ("crab", "lobster", "snail", "spider", "worm"): "invertebrate", ("baby", "boy", "girl", "man", "woman"): "person",
    ("crocodile", "dinosaur", "lizard", "snake", "turtle"): "reptile",
    ("hamster", "mouse", "rabbit", "shrew", "squirrel"): "mammal",
    ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"): "tree",
    ("bicycle", "bus", "motorcycle", "pickup_truck", "train"): "conveyance",
    ("lawn_mower", "rocket", "streetcar", "tank", "tractor"): "instrumentality"}
CIFAR10 = {"airplane": "vehicle", "automobile": "vehicle", "bird": "animal", "cat": "feline", "deer": "mammal",
           "dog": "canine", "frog": "amphibian", "horse": "mammal", "ship": "vehicle", "truck": "vehicle"}


@pytest.fixture
def run(tmp_path):
    """Runs the stage on a folder of archives; names' wnids are n00000001 and so on, in the order SEEN + UNSEEN."""
    wnids = [f"n{number:08d}" for number in range(1, 7)]
    write_taxonomy(tmp_path / "taxonomy", make_taxonomy({wnid: ([wnid], [], [], "") for wnid in wnids}))
    (tmp_path / "names.tsv").write_text("".join(f"{name}\t{wnid}\tremark\n" for name, wnid in
                                                zip(SEEN + UNSEEN, wnids, strict=True)))
    for name in ("seen.txt", "unseen.txt"):
        (tmp_path / name).touch()

    def run(images, **changes) -> ImageIndex:
        index_images.main(Params.model_validate({**CIFAR, **changes}), images=images, names=tmp_path / "names.tsv",
                          seen_list=tmp_path / "seen.txt", unseen_list=tmp_path / "unseen.txt", demo_classes=images,
                          taxonomy=tmp_path / "taxonomy", out=tmp_path / "index", metrics=tmp_path / "index.json")
        return ImageIndex.read(tmp_path / "index")

    return run


@pytest.mark.parametrize("put", [put_archives, put_unpacked])
@pytest.mark.parametrize("version", ["python", "binary"])
def test_every_published_form_gives_the_same_index(run, tmp_path, put, version):
    index = run(put(tmp_path / "images", version))
    assert index.wnids == [f"n{number:08d}" for number in range(1, 7)] and index.packed
    assert (index.seen, index.unseen) == (index.wnids[:4], index.wnids[4:])
    assert index.roles.tolist() == [TRAIN] * 8 + [VAL] * 4 + [UNSEEN_ROLE] * 2
    assert index.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 0, 1, 2, 3, 4, 5]
    pixels = open_pixels(tmp_path / "index", tmp_path / "images").read(np.arange(14))
    assert pixels.shape == (14, 32, 32, 3)
    assert pixels[:, 5, 7].tolist() == [list(COLOURS[(SEEN + UNSEEN)[label]]) for label in index.labels]
    places = pixels[:8, 0, 0, 0]  # where each training image stood in its batch: by label, in the batch's own order
    assert sorted(places) == list(range(8)) and all(places[at] < places[at + 1] for at in range(0, 8, 2))


def test_an_archive_beside_what_it_unpacked_to_is_read_and_a_gunzipped_one_too(run, tmp_path):
    images = put_unpacked(put_archives(tmp_path / "images"))
    assert len(run(images)) == 14
    for dataset in ("cifar-100", "cifar-10"):
        (images / f"{dataset}-python.tar.gz").write_bytes(b"")
        (images / f"{dataset}-python.tar.gz").unlink()
        (images / f"{dataset}-python.tar").write_bytes(tar_of(python_files(dataset)))
    (images / "cifar-100-python" / "meta").write_bytes(b"not read")
    assert len(run(images)) == 14


def test_roles_decide_which_parts_are_read_and_a_split_takes_classes_out_of_all(run, tmp_path):
    images = put_archives(tmp_path / "images")
    (images / "cifar-10-python.tar.gz").unlink()
    assert run(images, roles={**CIFAR["roles"], "unseen": None}).unseen == []
    (tmp_path / "unseen.txt").write_text("n00000002  bear\n")
    index = run(images, roles={**CIFAR["roles"], "unseen": "cifar-100"})
    assert (index.unseen, index.seen) == (["n00000002"], ["n00000001", "n00000003", "n00000004"])
    assert [len(index.rows(role)) for role in (TRAIN, VAL, UNSEEN_ROLE)] == [6, 3, 3]  # train's and test's, unseen
    pixels = open_pixels(tmp_path / "index", images).read(index.rows(UNSEEN_ROLE))
    assert {tuple(pixel) for pixel in pixels[:, 3, 3].tolist()} == {COLOURS["bear"]}


def test_a_pickle_of_python_2_is_read(tmp_path):
    labels = [3, 0]
    put_folder(tmp_path, {**python_files("cifar-100"), "cifar-100-python/test": python2_pickle(
        labels, stored(SEEN, labels).tobytes())})
    part = read_part(tmp_path, "cifar-100", "test", published=False)
    assert part.labels.tolist() == labels and (part.stored == stored(SEEN, labels)).all()


def test_empty_bytes_are_let_in(tmp_path):
    """As Python 3 writes them for Python 2."""
    put_folder(tmp_path, {**python_files("cifar-100"), "cifar-100-python/test": batch(batch_label=b"")})
    assert read_part(tmp_path, "cifar-100", "test", published=False).labels.tolist() == [0, 1]


class Malicious:
    def __reduce__(self):
        return os.system, ("touch hacked",)


def batch(**changes) -> bytes:
    return pickle.dumps({"fine_labels": [0, 1], "data": stored(SEEN, [0, 1]), **changes}, protocol=2)


@pytest.mark.parametrize(("content", "said"), [
    (pickle.dumps(Malicious()), r"cannot be read safely: it refers to posix.system, which is not let in"),
    (b"cbuiltins\neval\n(S'1'\ntR.", r"it refers to builtins.eval"),
    (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.", r"it asks for the encoding 'hex'"),
    (b"r\xff\xff\xff\xff.", "cannot be read safely"), (b"", "cannot be read safely"),
    (pickle.dumps([1]), r"holds a list; expected CIFAR's dictionary"),
    (batch(data=np.zeros((2, 12288), np.uint8)), r"images have 12,288 bytes; expected 3,072, which are 32x32 pixels"),
    (batch(data=np.zeros((2, 3072), np.float32)), r"`data` is float32 \[2, 3072\]; expected uint8"),
    (batch(data=None), r"`data` is missing or no array"), (batch(data=np.zeros(3072, np.uint8)), r"uint8 \[3072\]"),
    (batch(fine_labels=[0, 4]), r"the label of image 1 is 4; expected 0 to 3, for meta has 4 names"),
    (batch(fine_labels=[-1, 0]), r"label of image 0 is -1"),
    (batch(fine_labels=[10**5000, 0]), r"label of image 0 is a huge number; expected 0 to 3"),
    (batch(fine_labels=[0]), r"its `fine_labels` are 1; expected a list of 2 whole numbers, one an image"),
    (batch(fine_labels=(0, 1)), r"its `fine_labels` are a tuple; expected"),
    (batch(fine_labels=[0, "a"]), r"its `fine_labels` hold a str, of image 1; expected"),
    (batch(fine_labels=[True, 1]), r"hold a bool, of image 0"),
    (batch(data=np.zeros((0, 3072), np.uint8), fine_labels=[]), r"`data` is uint8 \[0, 3072\]; expected uint8"),
    (pickle.dumps({"data": stored(SEEN, [0])}), r"its `fine_labels` are missing"),
    *[(f"c{module}\n{name}\n.".encode(), f"it refers to {module}.{name}, which is not let in") for module, name in (
        ("numpy.f2py.__main__", "dtype"), ("numpy.core.f2py", "dtype"), ("numpy.f2py", "_reconstruct"),
        ("numpy.core.multiarray", "dtype"), ("numpy._core", "ndarray"), ("numpy.testing", "ndarray"))],
    (b"c__builtin__\nbytes\n(I1000000000000\ntR.", r"it makes bytes of something")])
def test_a_batch_that_is_not_cifars_is_refused_and_runs_nothing(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    put_folder(tmp_path, {**python_files("cifar-100"), "cifar-100-python/test": content})
    with pytest.raises(InputError, match=said) as refused:
        read_part(tmp_path, "cifar-100", "test", published=False)
    assert "cifar-100-python/test: " in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(("change", "said"), [
    (lambda root: (root / "cifar-100-python.tar.gz").unlink(), r"holds no CIFAR-100; put cifar-100-python.tar.gz"),
    (lambda root: put_archives(root, "binary"), r"holds both cifar-100-python.tar.gz and cifar-100-binary.tar.gz"),
    (lambda root: cut(root / "cifar-100-python.tar.gz", 300), r"100-python.tar.gz: truncated or damaged archive"),
    (lambda root: (root / "cifar-100-python.tar.gz").write_bytes(b"no archive"), r"truncated or damaged archive"),
    (lambda root: without(root, "cifar-10", "test_batch"), r"holds no cifar-10-batches-py/test_batch; expected"),
    (lambda root: without(root, "cifar-100", "meta"), r"holds no cifar-100-python/meta"),
    (lambda root: renamed(root, ["apple", "apple", "wolf", "bear"]), r"cifar-100-python/meta: names a label twice"),
    (lambda root: renamed(root, ["apple", "aple", "wolf", "bear"]), r"'aple' in cifar-100-python.*: no noun"),
    (lambda root: renamed(root, []), r"meta: names no labels"), (lambda root: renamed(root, None), r"names no labels")])
def test_archives_that_are_not_whole_are_refused(run, tmp_path, change, said):
    images = put_archives(tmp_path / "images")
    change(images)
    with pytest.raises(InputError, match=said):
        run(images)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def without(root: Path, dataset: str, name: str) -> None:
    files = {path: data for path, data in python_files(dataset).items() if not path.endswith(f"/{name}")}
    (root / f"{dataset}-python.tar.gz").write_bytes(tar_of(files, "w:gz"))


def renamed(root: Path, names) -> None:
    files = python_files("cifar-100") | {"cifar-100-python/meta": pickle.dumps({"fine_label_names": names}, protocol=2)}
    (root / "cifar-100-python.tar.gz").write_bytes(tar_of(files, "w:gz"))


def test_a_missing_batch_and_a_binary_file_of_another_length_are_named(tmp_path):
    put_unpacked(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(InputError, match=r"batches-py/data_batch_3: cannot be read \(no such file or directory\)"):
        read_part(tmp_path, "cifar-10", "train", published=False)
    put_folder(tmp_path / "b", {**binary_files("cifar-10"), "cifar-10-batches-bin/test_batch.bin": b"x" * 3072})
    with pytest.raises(InputError, match=r"test_batch.bin: has 3,072 bytes; expected a multiple of 3,073"):
        read_part(tmp_path / "b", "cifar-10", "test", published=False)


@pytest.mark.parametrize("put", [put_archives, put_unpacked])
def test_another_md5_than_the_published_is_refused(run, tmp_path, put):
    images = put(tmp_path / "images")
    with pytest.raises(InputError, match=r"its MD5 is \w{32}, the published file's \w{32}: damaged.*md5` to any"):
        run(images, cifar={"md5": "published", "fetch": False})


def test_the_md5_sums_are_those_that_torchvision_knows():
    from torchvision.datasets import CIFAR10 as Ten
    from torchvision.datasets import CIFAR100 as Hundred

    import zeroshot.networks.torchvision_guard  # noqa: F401

    published = {}
    for dataset, known in (("cifar-100", Hundred), ("cifar-10", Ten)):
        python = VERSIONS[dataset][0]
        assert (python.archive, python.md5, python.folder) == (known.filename, known.tgz_md5, known.base_folder)
        listed = [*known.train_list, *known.test_list, [known.meta["filename"], known.meta["md5"]]]
        published |= {f"{python.folder}/{name}": md5 for name, md5 in listed}
    assert published == MD5S


@pytest.mark.parametrize(("changes", "said"), [
    ({"roles": {**CIFAR["roles"], "train": "train"}}, r"roles.train is 'train'; where `source` is cifar, expected one"),
    ({"roles": {**CIFAR["roles"], "val": "cifar-100"}}, r"train and val both take cifar-100/train"),
    ({"roles": {**CIFAR["roles"], "unseen": "cifar-100/test"}}, r"also in cifar-100/train in .* \(4 in all\)"),
    ({"roles": {**CIFAR["roles"], "val": "cifar-10/test"}}, r"cifar-10/test in .*: class n00000005 has no train"),
    ({"roles": {**CIFAR["roles"], "train": "cifar-100/test", "val": None, "unseen": "cifar-100/train"},
      "split": {"list": "", "drawn": 4, "seed": 0}}, r"no seen class: index_images.split takes all 4 classes")])
def test_roles_that_cannot_be_are_refused(run, tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        run(put_archives(tmp_path / "images"), **changes)
    with pytest.raises(ValueError, match=r"`pack` must be 32, its images' own size"):
        Params.model_validate({**CIFAR, "pack": 64})


def test_fetch_without_a_network_says_what_to_put_where(run, tmp_path, monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(subprocess, "run", run_command)
    with pytest.raises(InputError, match=r"put cifar-100-python.tar.gz there .*; its download failed") as refused:
        run(tmp_path / "images", cifar={"md5": "any", "fetch": True})
    assert "\n" not in str(refused.value)


def test_check_data_counts_what_will_be_indexed(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "taxonomy").rename("data/taxonomy")
    settings = {**CIFAR, "images": str(put_archives(tmp_path / "images")), "names": "names.tsv",
                "seen": "seen.txt", "split": {**CIFAR["split"], "list": "unseen.txt"}}
    found = check_data.look_at_images({"index_images": settings}, None)
    assert found.classes == {"train": 4, "val": 4, "unseen": 2, "seen": 4}
    assert found.images == {"train": 8, "val": 4, "unseen": 2}
    assert check_data.seen_classes({"index_images": settings}) == [f"n{number:08d}" for number in range(1, 5)]
    with pytest.raises(InputError, match="its MD5 is"):
        check_data.look_at_images({"index_images": {**settings, "cifar": {"md5": "published", "fetch": False}}}, None)


def test_check_data_counts_what_will_be_downloaded(tmp_path, capsys):
    settings = {**CIFAR, "images": str(tmp_path), "cifar": {"md5": "published", "fetch": True}}
    found = check_data.look_at_images({"index_images": settings}, None)
    assert found.classes == {"train": 100, "val": 100, "unseen": 10, "seen": 100}
    assert found.images == {"train": 50_000, "val": 10_000, "unseen": 10_000}
    assert "cifar-100 and cifar-10 will be downloaded by index_images" in capsys.readouterr().out
    whole = {**settings, "roles": {"train": "cifar-10/train", "val": None, "unseen": "cifar-100"}}
    found = check_data.look_at_images({"index_images": whole}, None)
    assert found.classes == {"train": 10, "val": 0, "unseen": 100, "seen": 10}
    assert found.images == {"train": 50_000, "val": 0, "unseen": 60_000}


def test_the_folder_of_a_download_is_made(tmp_path):
    """DVC starts no stage whose dependency is not there."""
    for fetch, there in ((False, False), (True, True)):
        check_params.make_download_folder({"index_images": {
            **CIFAR, "images": str(tmp_path / "a" / "b"), "cifar": {"md5": "any", "fetch": fetch}}})
        assert (tmp_path / "a" / "b").is_dir() == there
    check_params.make_download_folder({})


# --- names

def test_every_name_means_what_its_gloss_says(taxonomy_folder):
    nouns = read_taxonomy(taxonomy_folder)
    table = read_table(NAMES, nouns)
    lines = [line.split("\t") for line in NAMES.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(table) == len(set(table.values())) == 110
    kinds = {name: kind for names, kind in SUPERCLASSES.items() for name in names} | CIFAR10
    assert set(kinds) == {line[0] for line in lines} and len(kinds) == 110
    senses = {}
    for lemmas in nouns.lemmas:
        for lemma in {lemma.lower() for lemma in lemmas}:
            senses[lemma] = senses.get(lemma, 0) + 1
    for name, wnid, *remark in lines:
        row, plain = nouns.index[wnid], name.replace("_", " ")
        above = {lemma for ancestor in nouns.ancestors(wnid) for lemma in nouns.lemmas[nouns.index[ancestor]]}
        assert kinds[name] in above, (name, nouns.definitions[row])
        if remark:
            assert re.match(r'"([^"]+)"', remark[0])[1] in nouns.definitions[row], name
        else:
            assert senses[plain] == 1 and plain in map(str.lower, nouns.lemmas[row]), name


def test_the_split_takes_the_last_name_of_each_superclass(taxonomy_folder):
    table = read_table(NAMES, read_taxonomy(taxonomy_folder))
    assert read_wnids(SPLIT) == [table[max(names).replace("_", " ")] for names in sorted(
        SUPERCLASSES, key=lambda names: read_wnids(SPLIT).index(table[max(names).replace("_", " ")]))]
    assert len(read_wnids(SPLIT)) == len(SUPERCLASSES) == 20


# --- damaged files

SOUND = {"python": tar_of(python_files("cifar-100"), "w:gz"), "binary": tar_of(binary_files("cifar-100"), "w:gz")}


@pytest.mark.parametrize("version", ["python", "binary"])
def test_a_damaged_archive_is_read_right_or_refused(tmp_path, version):
    """gzip's checksum covers all of it."""
    expected = read_part(put_archives(tmp_path / "sound", version), "cifar-100", "train", published=False)

    @given(damaged(SOUND[version]))
    @fuzzed
    def check(data):
        part = read_or_refused(tmp_path / f"cifar-100-{version}.tar.gz", data,
                               lambda path: read_part(path.parent, "cifar-100", "train", published=False))
        assert part is None or (part.stored == expected.stored).all() and (part.labels == expected.labels).all()

    check()


@pytest.mark.parametrize("name", ["train", "meta"])
def test_a_damaged_pickle_gives_images_of_the_right_form_or_is_refused(tmp_path, name):
    put_unpacked(tmp_path)
    folder = tmp_path / "cifar-100-python"

    @given(damaged((folder / name).read_bytes()))
    @fuzzed
    def check(data):
        part = read_or_refused(folder / name, data,
                               lambda path: read_part(tmp_path, "cifar-100", "train", published=False))
        if part is not None:
            assert part.stored.shape == (len(part.labels), 3072) and part.stored.dtype == np.uint8
            assert ((part.labels >= 0) & (part.labels < len(part.names))).all()

    check()
