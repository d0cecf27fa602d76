import csv
import io
import json
import os
import shutil
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

import zeroshot
from tests.model_world import SIDE, WNID, picture
from zeroshot.__main__ import main
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.console.errors import InputError
from zeroshot.images.index import write_index
from zeroshot.naming import search
from zeroshot.naming.own_labels import own_label
from zeroshot.naming.pictures import find_pictures
from zeroshot.naming.points_cache import PointsCache, _find
from zeroshot.naming.search import Search, parts_of


@pytest.fixture
def model(model_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))
    return zeroshot.load_model(model_folder)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(6):
        picture(number).save(tmp_path / "in" / f"{number}.png")
    return tmp_path / "in"


@pytest.fixture
def computed(monkeypatch):
    """How many pictures went through the network, search by search."""
    counts = []
    points = zeroshot.naming.model.Model.points

    def counted(self, pictures, *rest):
        counts.append(len(pictures))
        return points(self, pictures, *rest)

    monkeypatch.setattr(zeroshot.naming.model.Model, "points", counted)
    return counts


def test_the_nearest_to_a_labels_name_are_those_with_the_highest_cosine(model, folder):
    for name in ("conse-2", "exemplars"):
        (place,) = model.embed_labels([WNID["dog"]], name)
        cosines = model.embed(folder, name) @ place
        found = model.search("dog", folder, 4, name)
        assert [one.number for one in found] == np.argsort(-cosines)[:4].tolist()
        assert np.allclose([one.score for one in found], np.sort(cosines)[::-1][:4], atol=1e-5)
        assert found[0].picture == str(folder / f"{found[0].number}.png")


def test_words_are_mixed_by_mean_the_longest_terms_first(model):
    query = Search(model, "striped animal", "conse-2")
    rows = [model.words.vectors("lemmas", "striped", None)[0], model.words.vectors("lemmas", "", WNID["animal"])[0]]
    mean = np.mean(rows, axis=0)
    assert np.allclose(query.query, mean / np.linalg.norm(mean), atol=1e-6)
    assert query.said == f"striped + animal ({WNID['animal']}: what animal means)" and query.notes == []
    assert Search(model, "crane").notes == [own_label(model.words, "crane").note] != [""]
    assert Search(model, f"crane={WNID['crane bird']}, dog").notes == []
    assert parts_of(model.words, f"{WNID['pug']}") == [("pug", WNID["pug"])]
    both = Search(model, f"striped, {WNID['animal']}", "conse-2")
    assert np.allclose(both.query, query.query)


@pytest.mark.parametrize("words, said", [("", "no word"), (",,", "no word"), ("a strped dog", "'a' is no word"),
                                         ("strped", "spelt like it: striped"), ("n99999999", "no noun synset")])
def test_unknown_words_are_refused(model, words, said):
    with pytest.raises(InputError, match=said):
        Search(model, words)


def test_points_are_kept_by_content(model, folder, tmp_path, computed, monkeypatch):
    first = model.search("dog", folder)
    assert model.search("dog", folder) == first and computed == [6]
    os.utime(folder / "0.png", ns=(1, 1))  # touched
    os.rename(folder / "1.png", folder / "9.png")
    assert [one.score for one in model.search("dog", folder)] == [one.score for one in first] and computed == [6]
    picture(77).save(folder / "2.png")  # changed
    model.search("dog", folder)
    assert computed == [6, 1]
    shutil.copytree(folder, tmp_path / "copy")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(folder / "3.png", "x.png")
    model.search("car", [tmp_path / "copy", tmp_path / "a.tar"])
    assert computed == [6, 1]
    model.search("car", folder, model="ridge")  # another space
    assert computed == [6, 1, 6]
    shutil.rmtree(tmp_path / "scratch")
    assert len(model.search("dog", folder)) == 6 and computed == [6, 1, 6, 6]
    monkeypatch.setattr(search, "_made_by", lambda: "by other code, or another torch")
    assert len(model.search("dog", folder)) == 6 and computed == [6, 1, 6, 6, 6]


def test_a_damaged_cache_is_made_anew(model, folder, tmp_path, computed):
    first = model.search("dog", folder)
    (kept,) = (tmp_path / "scratch").rglob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-4])
    assert model.search("dog", folder) == first and computed == [6, 6]
    kept.write_bytes(b"")
    assert model.search("dog", folder) == first


def test_a_second_search_tells_the_same_faults(model, folder):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (folder / "empty.png").touch()
    search, pictures = Search(model, "dog"), find_pictures([folder])
    _, first = search.nearest(pictures, 3)
    _, second = search.nearest(pictures, 3)
    assert first == second and {pictures[number].name for number in first} == {
        str(folder / "broken.jpg"), str(folder / "empty.png")}
    assert not any("earlier" in fault for fault in second.values())


def test_nothing_is_written_beside_the_pictures(model, folder, tmp_path):
    before = sorted(folder.rglob("*"))
    model.search("dog", folder)
    assert sorted(folder.rglob("*")) == before and (tmp_path / "scratch" / "points").is_dir()


def test_where_points_cannot_be_kept_is_told(model, folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "file"))
    with pytest.raises(InputError, match="ZEROSHOT_SCRATCH"):
        model.search("dog", folder)


def test_digests_are_found_in_any_order():
    known = np.array([[5, 1], [2, 2], [9, 9]])
    assert _find(np.array([[9, 9], [5, 2], [2, 2], [1, 1], [10, 0]]), known).tolist() == [2, -1, 1, -1, -1]


def test_the_runs_own_index(model, tmp_path, monkeypatch):
    pixels = np.stack([np.asarray(picture(number, (SIDE, SIDE))) for number in range(3)])
    write_artifact(tmp_path / "index" / "pixels.safetensors", {}, {"pixels": pixels})
    seal = Artifact(tmp_path / "index" / "pixels.safetensors").sha256
    arrays = {"role": np.zeros(3, np.uint8), "label": np.zeros(3, np.int32)}
    write_index(tmp_path / "index", [WNID["cat"]], arrays, pixels=seal, containers=[], made_from={})
    found = model.search("dog", tmp_path / "index")
    assert found[0].picture == f"{tmp_path / 'index'} row {found[0].number} ({WNID['cat']})"
    images = [Image.fromarray(image) for image in pixels]
    assert np.allclose(model.embed(tmp_path / "index"), model.embed(images), atol=1e-6)
    arrays |= {"container": np.zeros(3, np.int32), "offset": np.full(3, -1), "size": np.array([1, 2, 3]),
               "names": np.frombuffer(b"abc", np.uint8), "name_end": np.array([1, 2, 3])}
    write_index(tmp_path / "index", [WNID["cat"]], arrays, pixels=None, containers=["x"], made_from={})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="give their folder .--images"):
        find_pictures("index")
    (tmp_path / "params.yaml").write_text("index_images: {images: pictures}")
    assert [one.name for one in find_pictures("index")] == ["pictures/x/a", "pictures/x/b", "pictures/x/c"]
    assert all("cannot be read" in one.error for one in model.name("index"))


@pytest.fixture
def command(model, model_folder, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["zeroshot", "search", *map(str, arguments), "--from", str(model_folder)])
        status = main()
        return status, *capsys.readouterr()
    return run


def test_the_command_and_its_contact_sheet(command, folder, tmp_path):
    (folder / "broken.jpg").write_bytes(b"no image")
    status, out, err = command("striped dog", "--in", folder, "--top", 3, "--sheet", tmp_path / "found.png")
    assert status == 0 and len(out.splitlines()) == 3 and "broken.jpg: not an image" in err
    assert "points are kept in" in " ".join(err.split()) and str(tmp_path / "scratch") in err
    assert "1 of 7 could not be read" in err
    with Image.open(tmp_path / "found.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))
        assert sheet.format == "PNG" and sheet.size[0] > 3 * 200
    captions = pixels[-45:]
    assert (pixels < 128).any() and (captions < 140).sum() > 100  # something is written below the pictures
    rows = list(csv.DictReader(io.StringIO(command("dog", "--in", folder, "--csv")[1])))
    assert [int(row["rank"]) for row in rows] == list(range(1, 7))
    found = json.loads(command("dog", "--in", folder, "--json", "--top", 2)[1])
    assert len(found) == 2 and set(found[0]) == {"picture", "score"}


@pytest.mark.parametrize("more, said", [
    (["--sheet", "found.pdf"], "ends in .png or .jpg"), (["--sheet", "none/found.png"], "no such folder"),
    (["--top", "0"], "expected 1 picture or more"), (["--model", "softmax"], "has no label space")])
def test_slips_are_told_before_anything_is_read(command, folder, computed, tmp_path, monkeypatch, more, said):
    monkeypatch.chdir(tmp_path)
    status, _, err = command("dog", "--in", folder, *more)
    assert status == 1 and said in err and err.count("\n") == 1 and not computed


def test_nothing_readable_is_status_1(command, tmp_path):
    (tmp_path / "none").mkdir()
    status, out, err = command("dog", "--in", tmp_path / "none")
    assert status == 1 and not out and "a folder without pictures" in err


def test_a_cache_of_many_lists_keeps_the_last(model, tmp_path):
    cache = PointsCache("some model")
    for number in range(40):
        pictures = find_pictures(str(tmp_path / f"{number}.png"))
        cache.points(pictures, lambda some: np.zeros((len(some), 2), np.float32))
    assert len(list(cache.folder.iterdir())) == 32
