"""What people type and scripts pass: other spellings, options twice, closed streams, values of odd types."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

import zeroshot
from tests.model_world import SEEN, SETS, WNID, picture, png
from tests.test_naming_slips import LATIN
from tests.test_naming_slips import model as model  # a fixture
from zeroshot.__main__ import main
from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError
from zeroshot.images.decoding import UnreadableImage
from zeroshot.naming.labels import listed
from zeroshot.naming.pictures import Picture, find_pictures
from zeroshot.naming.reading import open_picture
from zeroshot.naming.search import Search


@pytest.fixture
def run(model, model_folder, monkeypatch, capsys):
    """Run `python -m zeroshot --from <model> ...` in this process: exit status, standard output, standard error."""
    def typed(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["zeroshot", "--from", str(model_folder), *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        return main(), *capsys.readouterr()
    return typed


@pytest.fixture
def image(tmp_path):
    picture(1).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def named(out):
    """Model -> words of the answers, of the one picture in an output as JSON."""
    (one,) = json.loads(out)
    return {model: [answer["words"] for answer in answers] for model, answers in one["answers"].items()}


# --- labels

@pytest.mark.parametrize("given, name", [
    ("SEEN", "seen"), (" Unseen ", "unseen"), ("2-hops + Seen", "2-hops+seen"), ("21K", "21k"), (["seen"], "seen")])
def test_label_sets_in_any_spelling(model, given, name):
    assert model.labels(given).name == name and not model.labels(given).own


@pytest.mark.parametrize("given, near", [("2-hop", "2-hops"), ("21k+unseen", "21k.seen"), ("un-seen", "unseen")])
def test_what_is_nearly_a_label_set_is_no_word(model, given, near):
    with pytest.raises(InputError, match=f"is no label set; did you mean {near}[?]"):
        model.labels(given)
    with pytest.raises(InputError, match="'Seen' is a label set, which cannot be mixed"):
        model.labels(["dog", "Seen"])


@pytest.mark.parametrize("given, words, noun", [
    (WNID["dog"].upper(), "dog", "dog"), (f"hound={WNID['dog'].upper()}", "hound", "dog"),
    (f"{WNID['dog']}=hound", "hound", "dog"), ("dog.n.01", "dog", "dog"), ("crane.n.02", "crane", "crane bird"),
    ("a dog", "a dog", "dog"), ("the cats", "the cats", "cat"), ('"dog"', "dog", "dog"), ("'dog'", "dog", "dog"),
    ("“dog”", "dog", "dog"),
    (["dog, crane, crane"], "dog, crane, crane", "crane machine")])
def test_a_synset_in_any_spelling(model, given, words, noun):
    (label,) = model.labels(given).own
    assert (label.words, label.wnid) == (words, WNID[noun])
    assert bool(label.note) == (label.words not in ("dog", "hound", "crane"))  # told where it is not as it was given


@pytest.mark.parametrize("given, said", [
    ("dog.n.02", "'dog.n.02': no noun synset of WordNet 3.0; expected dog.n.01(?! to)"),
    ("dog.n.00", "no noun synset"), ("dog.v.01", "expected the name of a noun's"), ("zzz.n.01", "as dog.n.01"),
    ("00000002", "expected a wnid, n and eight digits"), ("n0000002", "expected a wnid, n and eight digits")])
def test_what_is_meant_as_a_synset_and_is_none(model, given, said):
    for refuse in (model.labels, lambda given: Search(model, given)):
        if refuse is model.labels or "." in given:
            with pytest.raises(InputError, match=said) as refusal:
                refuse(given)
            assert "\n" not in str(refusal.value)


def test_names_that_are_no_synonyms_are_the_mean_of_their_words(model):
    (label,) = model.labels(["pug, dog"]).own
    assert label == ("pug, dog", None, "pug, dog: no noun of WordNet; taken as the mean of pug, dog")
    assert np.array_equal(model.embed_labels([label.words]), model.embed_labels(["pug dog"]))


def test_other_spellings_of_one_term_are_one_label(model):
    chosen = model.labels("striped_animal, striped animal, Striped-Animal, dog")
    assert [label.words for label in chosen.own] == ["striped_animal", "dog"]
    assert "2 of 4 labels stand for one that is there already" in chosen.notes[-1]


def test_embed_labels_has_a_row_for_each_label_given(model):
    given = ["dog", "dogs", "striped animal", "cat", "striped_animal", WNID["dog"]]
    rows = model.embed_labels(given, "conse-2")
    alone = np.concatenate([model.embed_labels([label], "conse-2") for label in given])
    assert rows.shape == (6, 6) and np.array_equal(rows, alone)


@pytest.mark.parametrize("text, labels", [
    ('["dog", "pug, husky"]', ["dog", "pug, husky"]), ('{"0": ["n00000002", "dog"], "1": ["n00000003", "cat"]}', [
        "n00000002 dog", "n00000003 cat"]), ('{"dog": 0, "cat": 1}', ["dog", "cat"]),
    ('{"0": "dog"}', ["dog"]), ("[dog", ["[dog"]), ("[" * 100_000, ["[" * 100_000])])
def test_lists_in_json(text, labels):
    assert listed(text) == labels


@pytest.mark.parametrize("text, other", [('["dog", 3]', "3"), ('{"a": "dog", "b": null}', "null"),
                                         ('[{"name": "dog"}]', '{"name": "dog"}')])
def test_json_that_holds_other_things_than_labels_is_refused(text, other):
    with pytest.raises(InputError, match=re.escape(f"labels in JSON: '{other}' is among them; expected a list")):
        listed(text)


def test_labels_come_from_files_pipes_and_standard_input(run, image, tmp_path):
    (tmp_path / "labels.json").write_text('["dog", "pug"]')
    os.mkfifo(tmp_path / "pipe")
    ask = ["name", image, "--json", "--labels"]
    assert set(named(run(*ask, tmp_path / "labels.json")[1])["hierse"]) == {"dog", "pug"}
    assert set(named(run(*ask, "-", stdin=b"\xef\xbb\xbfdog\r\ncat\r\n")[1])["hierse"]) == {"dog", "cat"}
    assert run(*ask, "-")[2].startswith("zeroshot: -: no label; expected at least one, or a label set: seen, unseen")
    writer = subprocess.Popen(["bash", "-c", f"echo ship > {shlex.quote(str(tmp_path / 'pipe'))}"])
    assert named(run(*ask, tmp_path / "pipe")[1]) == {"hierse": ["ship"]}
    assert writer.wait() == 0


@pytest.mark.parametrize("given, said", [
    (b"dog", "labels are a bytes"), (5, "labels are a int"), (True, "labels are a bool"),
    (["dog", None], "label 2 is 'None', a NoneType"), ([float("nan")], "label 1 is 'nan', a float"),
    ([("n1", "dog")], "a tuple; expected a text"), (["dog", " ", "cat"], "label 2 is empty")])
def test_labels_of_other_types(model, given, said):
    for refuse in (model.labels, model.embed_labels):
        with pytest.raises(InputError, match=said):
            refuse(given)


def test_the_end_of_a_split_file_is_no_label(model):
    assert [label.words for label in model.labels("dog\ncat\n\n".split("\n")).own] == ["dog", "cat"]


# --- numbers, models, pictures

@pytest.mark.parametrize("top", ["5", None, 2.0, True, float("nan"), [1], 0])
def test_top_is_a_whole_number(model, top):
    with pytest.raises(InputError, match="^top is .*; expected 1 answer a picture or more"):
        model.name(picture(1), top=top)
    with pytest.raises(InputError, match="^top is .*; expected 1 picture or more"):
        model.search("dog", picture(1), top=top)


def test_other_numbers_and_types(model, model_folder):
    assert len(model.name(picture(1), top=np.int64(2))[0].answers["hierse"]) == 2
    for threads in (0, -1, "2", 1.5):
        with pytest.raises(InputError, match="^threads is .*; expected 1 or more"):
            zeroshot.load_model(model_folder, threads=threads)
    for models in (3, [None], b"hierse", True):
        with pytest.raises(InputError, match="none of that name"):
            model.name(picture(1), models=models)
    for words in (None, 5, ["dog"], b"dog"):
        with pytest.raises(InputError, match="expected words, as one text"):
            model.search(words, picture(1))


def test_pictures_that_give_nothing(model, tmp_path, image):
    class OnAnotherDevice:
        def __array__(self, *_, **__):
            raise TypeError("copy the tensor to host memory first")
    with pytest.raises(InputError, match="is a OnAnotherDevice that gives no array: copy the tensor to host"):
        model.name(OnAnotherDevice())
    closed = open(image, "rb")
    closed.close()
    with open(tmp_path / "b.png", "wb") as writing:
        faults = [one.error for one in model.name([closed, writing])]
    assert all(fault.startswith("a file that cannot be read: ") for fault in faults) and len(faults) == 2


@pytest.mark.parametrize("kind", [str, object])
def test_an_array_of_paths_is_several_pictures(model, image, kind):
    assert [one.name for one in find_pictures(np.array([str(image), "none.png"], kind))] == [str(image), "none.png"]


def test_links_in_a_circle_and_patterns(tmp_path, monkeypatch, image):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "again").symlink_to("..")
    picture(2).save("deep/b.png")
    assert [one.name for one in find_pictures("**/*.png")] == ["a.png", "deep/b.png"]
    os.symlink("a.png", "link.png")  # of another name: a picture of its own
    assert [one.name for one in find_pictures("**/*.png")] == ["a.png", "deep/b.png", "link.png"]


def test_a_folder_of_tars_says_that_they_are_to_be_named(tmp_path, image):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    with tarfile.open(tmp_path / "in" / "deep" / "x.tar", "w") as tar:
        tar.add(image)
    (found,) = find_pictures(tmp_path / "in")
    assert found.fault == ("a folder without pictures, but with 1 tar; name tars themselves: "
                           f"{tmp_path / 'in' / 'deep' / 'x.tar'}")


def test_what_is_no_image_cannot_be_opened_for_a_sheet(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UnreadableImage, match="UnidentifiedImageError"):
        open_picture(Picture("a", str(tmp_path / "a.png")))


def test_a_list_of_paths_may_be_of_other_letters_and_have_a_mark_at_its_begin(run, tmp_path):
    picture(1).save(tmp_path / LATIN)
    latin = os.fsencode(tmp_path / LATIN)
    for stdin in (latin, b"\xef\xbb\xbf" + latin + b"\r\n"):
        if stdin.startswith(b"\xef"):
            stdin = stdin.replace(LATIN.encode(errors="surrogateescape"), b"a.png")
            picture(1).save(tmp_path / "a.png")
        status, out, _ = run("name", "-", "--json", stdin=stdin)
        assert status == 0 and len(json.loads(out)) == 1
    assert "expected an image, or paths" in run("name", "-", stdin=b"\xff\xd8 a broken image")[2]


# --- the command line

def test_options_that_stand_twice_count_twice(run, image, tmp_path):
    ask = ["name", image, "--json", "--model", "ridge", "--labels", "dog", "--model", "hierse", "--labels", "cat,pug"]
    assert {model: set(words) for model, words in named(run(*ask)[1]).items()} == {
        "ridge": {"dog", "cat", "pug"}, "hierse": {"dog", "cat", "pug"}}
    picture(2).save(tmp_path / "b.png")
    _, out, _ = run("search", "dog", "--in", image, "--in", tmp_path / "b.png", "--json")
    assert {one["picture"] for one in json.loads(out)} == {str(image), str(tmp_path / "b.png")}


def test_the_model_may_be_named_behind_the_command(model_folder, image, monkeypatch, capsys, tmp_path):
    for order in (["--from", model_folder, "name", image], ["name", "--from", model_folder, image],
                  ["--from", tmp_path, "name", image, "--from", model_folder]):
        monkeypatch.setattr(sys, "argv", ["zeroshot", *map(str, order)])
        assert main() == 0 and str(image) in capsys.readouterr().out


def test_words_that_were_taken_for_places_are_asked_for(run, image):
    status, _, err = run("search", "--in", image, "striped animal")
    assert status == 1 and "no words, or --in took them" in err and err.count("\n") == 1


@pytest.mark.parametrize("words", ["dog -cat", "-cat", "dog, −cat", "king - man"])
def test_words_cannot_be_taken_away(model, words):
    with pytest.raises(InputError, match="none can be taken away"):
        Search(model, words)
    assert Search(model, "striped-animal").said == f"striped + animal ({WNID['animal']}: what animal means)"


def test_a_slip_is_told_before_anything_else(run, image):
    status, out, err = run("name", image, "--top", "-1")
    assert status == 1 and not out and err.count("\n") == 1


def test_the_space_of_points_is_its_models_name(run, image, tmp_path):
    for asked in (" ridge", "ridge,ridge"):
        _, out, _ = run("embed", image, "--out", tmp_path / "X.SAFETENSORS", "--model", asked)
        assert Artifact(tmp_path / "X.SAFETENSORS").meta["space"] == "ridge" and out.endswith("in the space of ridge\n")


def test_a_sheet_is_not_written_over_a_picture(run, image, tmp_path):
    content = image.read_bytes()
    status, _, err = run("search", "dog", "--in", tmp_path, "--sheet", tmp_path / "." / "a.png")
    assert status == 1 and "is one of the pictures that are searched" in err and image.read_bytes() == content
    assert run("search", "dog", "--in", tmp_path, "--sheet", tmp_path / "sheet.png")[0] == 0


def test_labels_cannot_rule_the_terminal(run, image):
    _, out, err = run("name", image, "--labels", f"re\x1b[31md={WNID['dog']}, \x1b cats, cat\x1b")
    assert "\x1b" not in out + err and r"re\x1b[31md" in out


@pytest.mark.parametrize("letters", ["ascii", "latin-1", "utf-8"])
def test_json_is_json_in_any_letters(run, image, monkeypatch, letters):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=letters, write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    assert run("name", image, "--json", "--labels", f"é 🦓 dog={WNID['dog']}")[0] == 0
    assert named(stream.buffer.getvalue().decode(letters)) == {"hierse": ["é 🦓 dog"]}


def test_notes_go_nowhere_where_standard_error_is_closed(run, image, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as Python has it then; print would turn to standard output
    status, out, _ = run("name", image, "none.png", "--labels", "crane,dog", "--json")
    assert status == 0 and [one["picture"] for one in json.loads(out)] == [str(image), "none.png"]


def test_a_standard_input_that_is_closed_holds_nothing(model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert find_pictures("-")[0].fault.startswith("empty file; expected an image, or paths")
    with pytest.raises(InputError, match="-: no label"):
        model.labels("-")


# --- the model's folder

def test_a_model_is_found_again_from_another_folder(model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(model_folder.parent)
    model = zeroshot.load_model(model_folder.name)
    monkeypatch.chdir(tmp_path)
    assert {answer.wnid for answer in model.name(picture(1), "seen")[0].answers["hierse"]} == set(SEEN) - set(
        SETS["unseen"])


def test_a_model_that_moves_while_it_is_open_or_cannot_be_read(model_folder, tmp_path, monkeypatch):
    shutil.copytree(model_folder, tmp_path / "model")
    model = zeroshot.load_model(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "moved")
    for use in (lambda: model.labels("dog"), lambda: model.name(png(picture(1))), lambda: model.search("dog", [])):
        with pytest.raises(InputError, match="no such file.*; copy the whole folder again"):
            use()

    def forbidden(path):
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr("pathlib.Path.read_bytes", forbidden)
    with pytest.raises(InputError, match="model.json: cannot be read .permission denied.; copy"):
        zeroshot.load_model(tmp_path / "moved")


def test_a_file_is_no_models_folder(model_folder):
    with pytest.raises(InputError, match="model.json: no folder, but a file; expected a model"):
        zeroshot.load_model(model_folder / "model.json")


def test_several_kinds_of_image_are_one_picture(model):
    image = picture(3)
    alone = [model.embed(form) for form in (image, np.asfortranarray(image), np.asarray(image)[::-1][::-1],
                                            Image.fromarray(np.asarray(image)))]
    assert all(np.array_equal(one, alone[0]) for one in alone)
