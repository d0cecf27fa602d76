"""What users do that nobody meant: odd names, pipes, places that cannot be written to, other libraries' arrays."""

import contextlib
import csv
import fcntl
import io
import json
import multiprocessing
import os
import re
import shlex
import struct
import subprocess
import sys
import termios
import threading

import numpy as np
import pytest
import torch
from PIL import Image

import zeroshot
from tests.model_world import WNID, picture, png
from zeroshot.__main__ import main
from zeroshot.console.errors import InputError
from zeroshot.naming.pictures import find_pictures
from zeroshot.naming.points_cache import PointsCache
from zeroshot.naming.search import search
from zeroshot.naming.sheet import MOST, write_sheet
from zeroshot.naming.words import singulars
from zeroshot.running.scratch import PROJECT
from zeroshot.taxonomy import read_taxonomy
from zeroshot.terms.spelling import term_of

LATIN = os.fsdecode(b"caf\xe9.png")


@pytest.fixture
def model(model_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))
    return zeroshot.load_model(model_folder)


@pytest.fixture(scope="module")
def all_nouns(taxonomy_folder):
    return {term_of(lemma) for lemmas in read_taxonomy(taxonomy_folder).lemmas for lemma in lemmas}


@pytest.fixture
def command(model, model_folder, monkeypatch):
    """Run `python -m zeroshot ...` before a terminal that takes UTF-8 and nothing else."""
    def run(*arguments, stdin=b""):
        streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True, errors=errors)
                   for name, errors in (("stdout", "strict"), ("stderr", "backslashreplace"))}
        for name, stream in streams.items():
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr(sys, "argv", ["zeroshot", *map(str, arguments), "--from", str(model_folder)])
        return main(), *(stream.buffer.getvalue().decode() for stream in streams.values())
    return run


# --- what a terminal shows

def screen(written: str) -> list[str]:
    """The lines that stay on a terminal: what follows a carriage return stands over what was there."""
    lines = []
    for line in written.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part):]
        lines.append(shown.rstrip())
    return lines


def test_no_bar_stays_among_answers(model_folder, tmp_path):
    for name in ("a.png", "b.png"):
        picture(1).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 70, 0, 0))
    command = [sys.executable, "-m", "zeroshot", "name", str(tmp_path), "--from", str(model_folder), "--top", "1"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=end, stderr=end) as process:
        os.close(end)
        written = b""
        with contextlib.suppress(OSError):  # which Linux says at a terminal's end
            while some := os.read(terminal, 1 << 16):
                written += some
    os.close(terminal)
    assert process.returncode == 0 and b"naming:" in written  # a bar was drawn
    lines = screen(written.decode())
    assert not [line for line in lines if "naming" in line or "img/s" in line or "%|" in line]
    assert [line for line in lines if line.endswith((".png", "read; 2 named"))] == [
        f"{tmp_path}/a.png", f"{tmp_path}/b.png", "1 of 3 could not be read; 2 named"]


@pytest.mark.parametrize("columns", [60, 70, 80, 120, 200])
def test_an_answer_stays_within_a_line(command, tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    picture(1).save(tmp_path / "a.png")
    status, out, _ = command("name", tmp_path / "a.png", "--labels", "2-hops+seen")
    answers = [line for line in out.splitlines() if re.match(r" +-?\d\.\d{3} ", line)]
    assert status == 0 and answers and max(map(len, answers)) <= columns
    assert any(" < " in line for line in answers) == (columns >= 70)


# --- names of files

def test_names_that_are_no_utf8_or_would_rule_a_terminal(command, tmp_path):
    names = [LATIN, "two\nlines.png", "red\x1b[31m.png", 'a "b", c\r.png']
    for name in names:
        picture(1).save(tmp_path / name)
    paths = [str(tmp_path / name) for name in names]
    status, out, _ = command("name", *paths, "--top", 1)
    assert status == 0 and "\x1b" not in out and r"caf\udce9.png" in out and r"two\nlines.png" in out
    assert [one["picture"] for one in json.loads(command("name", *paths, "--json")[1])] == paths
    rows = list(csv.DictReader(io.StringIO(command("name", *paths, "--csv", "--top", 1)[1], newline="")))
    assert [row["picture"] for row in rows] == [paths[0].replace(LATIN, r"caf\udce9.png"), *paths[1:]]
    assert command("search", "dog", "--in", *paths)[0] == 0
    assert command("embed", *paths, "--out", tmp_path / "points.csv")[0] == 0
    with open(tmp_path / "points.csv", encoding="utf-8", newline="") as file:
        assert [row["picture"] for row in csv.DictReader(file)] == [row["picture"] for row in rows]


# --- pictures

def test_pipes_are_read_once_and_never_waited_for_in_a_folder(model, tmp_path):
    picture(2).save(tmp_path / "b.png")
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    assert [one.name for one in find_pictures(tmp_path)] == [str(tmp_path / "b.png")]
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(png(picture(2)),))
    writer.start()
    (piped, whole) = model.search("dog", [tmp_path / "pipe", tmp_path / "b.png"])
    writer.join()
    assert piped.score == whole.score
    (device,) = model.name("/dev/zero")
    assert "a device" in device.error


def test_one_array_of_any_library_is_one_picture(model):
    pixels = np.asarray(picture(1))
    expected = model.name(pixels)[0].answers
    assert [one.answers for one in model.name(torch.from_numpy(pixels.copy()))] == [expected]
    with pytest.raises(InputError, match=r"array of uint8 \[3, "):
        model.name(torch.from_numpy(pixels.copy()).permute(2, 0, 1))


def test_a_file_that_is_open_is_one_picture(model, tmp_path):
    picture(1).save(tmp_path / "a.png")
    expected = model.name(tmp_path / "a.png")[0].answers
    with open(tmp_path / "a.png", "rb") as file:
        assert [one.answers for one in model.name(file)] == [expected]
    assert model.name([io.BytesIO(png(picture(1)))])[0].answers == expected
    with pytest.raises(InputError, match="opened as text"):
        model.name(io.StringIO("x"))


@pytest.mark.parametrize("given", [None, 3, bytearray(b"x"), [None]])
def test_what_is_no_picture_at_all_is_refused(model, given):
    with pytest.raises(InputError, match="expected a path, bytes"):
        model.name(given)


def test_an_image_without_pixels_cannot_be_read(model):
    assert model.name(Image.new("RGB", (0, 5)))[0].error == "an image without pixels"


@pytest.mark.parametrize("top", [15, 10**12, 10**30])
def test_more_answers_than_there_are_labels(model, top):
    assert len(model.name(picture(1), "dog, cat, ship", top)[0].answers[model.default_model]) == 3


# --- labels

@pytest.mark.parametrize("given", ["dog\ncat\r\nship", "dog; cat, ship", "dogs, cats, ships"])
def test_labels_are_separated_by_line_ends_and_semicolons_too_and_may_be_plurals(model, given):
    assert [label.wnid for label in model.labels(given).own] == [WNID["dog"], WNID["cat"], WNID["ship"]]


def test_files_of_labels_may_have_comments_and_synonyms(model, tmp_path):
    (tmp_path / "labels").write_bytes(b"\xef\xbb\xbf# mine\r\ndog, dogs # barks\r\n\r\ncat\r\n")
    chosen = model.labels(tmp_path / "labels")
    assert [(label.words, label.wnid) for label in chosen.own] == [("dog", WNID["dog"]), ("cat", WNID["cat"])]
    assert "1 of 3 labels stand for one that is there already: dogs is dog" in chosen.notes


def test_imagenets_own_lists_are_lists_of_labels(model, tmp_path):
    (tmp_path / "synsets").write_text(f"{WNID['dog']} hound, dog\n{WNID['cat']}\tcat\n")
    chosen = model.labels(tmp_path / "synsets")
    assert [(label.words, label.wnid) for label in chosen.own] == [("hound", WNID["dog"]), ("cat", WNID["cat"])]


def test_a_plural_is_its_singular_and_that_is_told(model):
    (cranes, cats) = model.labels("cranes, cats").own
    assert cats.note == f"cats: taken as cat, {WNID['cat']} (what cat means)"
    assert "for others write cranes=" in cranes.note
    named = model.name(picture(1), "cats, dogs")[0].answers[model.default_model]
    assert {answer.words: answer.seen for answer in named} == {"cats": True, "dogs": False}
    assert [one.picture for one in model.search("cats", picture(1))] == ["picture 1"]


@pytest.mark.parametrize("plural, one", [
    ("zebras", ["zebra"]), ("berries", ["berry", "berrie"]), ("foxes", ["fox", "foxe"]), ("firemen", ["fireman"]),
    ("was", []), ("glass", []), ("churches", ["church", "churche"]), ("sea_lions", ["sea_lion"]), ("dog", []),
    ("school_buses", ["school_buse", "school_busis", "school_bus"]), ("wolves", ["wolf", "wolve", "wolfe"]),
    ("tomatoes", ["tomatoe", "tomato"]), ("field_mice", ["field_mouse"]), ("cacti", ["cactus"])])
def test_singulars(plural, one):
    assert singulars(plural) == one


@pytest.mark.parametrize("plural, one", [
    ("school buses", "school bus"), ("octopuses", "octopus"), ("wolves", "wolf"), ("knives", "knife"),
    ("leaves", "leaf"), ("caves", "cave"), ("gloves", "glove"), ("bees", "bee"), ("shoes", "shoe"),
    ("tomatoes", "tomato"), ("geese", "goose"), ("children", "child"), ("feet", "foot"),
    ("hippopotami", "hippopotamus"), ("bacteria", "bacterium"),
    ("larvae", "larva"), ("vertices", "vertex"), ("vices", "vice"), ("analyses", "analysis"), ("bases", "base"),
    ("plateaux", "plateau"), ("houses", "house"), ("sea anemones", "sea anemone"), ("women", "woman")])
def test_among_all_nouns_a_plural_finds_its_singular(all_nouns, plural, one):
    assert next(form for form in singulars(term_of(plural)) if form in all_nouns) == term_of(one)


@pytest.mark.parametrize("given, said", [
    ("labels.txt", "labels.txt: no such file"), ("3-hops", "'3-hops' is a label set, of which this run"),
    ("unseen, dog", "'unseen' is a label set, which cannot be mixed"),
    ("2-hops,3-hops", "'2-hops' is a label set")])
def test_files_that_are_not_there_and_sets_among_labels_are_no_words(model, given, said):
    with pytest.raises(InputError, match=said):
        model.labels(given)


def test_a_damaged_folder_is_no_fault_of_the_labels(model, monkeypatch):
    def damaged(word):
        raise InputError("senses.tsv: damaged")
    monkeypatch.setattr(model.words, "senses", damaged)
    with pytest.raises(InputError, match="^senses.tsv: damaged$"):
        model.labels("dog, cat")


# --- models

def test_all_models_are_those_that_can(command, tmp_path):
    picture(1).save(tmp_path / "a.png")
    status, out, err = command("name", tmp_path / "a.png", "--model", "all", "--labels", "dog, ship")
    assert status == 0 and "softmax: no candidate" in err and "left out" in err
    assert "softmax" not in out and "hierse" in out and "devise" in out
    assert command("name", tmp_path / "a.png", "--model", "softmax", "--labels", "dog")[0] == 1


def test_as_many_judges_are_kept_as_there_are_models(model, monkeypatch):
    monkeypatch.setattr("zeroshot.naming.model.JUDGES", 2)
    again, made, of_sets = zeroshot.load_model(model.folder.path), [], zeroshot.naming.spaces.Space.of_sets
    monkeypatch.setattr(zeroshot.naming.spaces.Space, "of_sets", lambda space: made.append(space) or of_sets(space))
    again.name(picture(1), models=again.models)
    assert len(made) == len(again.models) - 1  # softmax has no space


def test_one_space_at_a_time(model):
    with pytest.raises(InputError, match="expected one, in whose space"):
        model.embed(picture(1), "hierse,ridge")


# --- what is written

@pytest.mark.parametrize("shell, said", [
    ("> /dev/full", "zeroshot: standard output: No space left on device"),
    (">&-", "none.jpg: no such file or folder")])
def test_an_output_that_takes_nothing(model_folder, shell, said):
    command = f"{shlex.quote(sys.executable)} -m zeroshot name none.jpg --from {shlex.quote(str(model_folder))} {shell}"
    ended = subprocess.run(["bash", "-c", command], cwd=PROJECT, capture_output=True, text=True)
    assert ended.returncode == 1 and said in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("place", ["file/x", "folder", "/proc/x"])
def test_places_that_cannot_be_written_to_are_told_first(command, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zeroshot.naming.model.Model, "points", None)  # nothing may be computed
    (tmp_path / "file").write_text("")
    for option, suffix, arguments in (("--out", ".csv", ["embed", "in"]),
                                      ("--sheet", ".png", ["search", "dog", "--in", "in"])):
        if place == "folder":
            (tmp_path / f"folder{suffix}").mkdir()
        status, _, err = command(*arguments, option, place + suffix)
        assert status == 1 and err.startswith(f"zeroshot: {option} {place}{suffix}: ") and err.count("\n") == 1


def test_a_sheet_ends_where_no_more_can_be_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("zeroshot.naming.sheet.open_picture", lambda picture: Image.new("RGB", (2, 2)))
    found = [(zeroshot.naming.pictures.Picture("a"), zeroshot.naming.answers.Found("a", 0.5, 0))] * (MOST + 250)
    assert "the first 1,000 pictures of the 1,250 found" in write_sheet(tmp_path / "a.jpg", "many", found)
    with Image.open(tmp_path / "a.jpg") as sheet:
        assert sheet.size[1] < 65_500


def test_a_sheet_has_the_letters_of_names(monkeypatch):
    font = zeroshot.naming.sheet._font(13)
    assert len({bytes(font.getmask(letter)) for letter in "éüøЖλ☃"}) == 6  # one sign for all that it has not
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert zeroshot.naming.sheet._font(13).getlength("a") > 0


# --- the cache

def test_pictures_without_a_path_are_known_by_their_content(model, command):
    images = [picture(number) for number in range(3)]
    expected = [model.embed(image) @ model.embed_labels(["dog"]).T for image in images]
    for form in (lambda image: image, png, np.asarray):
        scores = [model.search("dog", [form(image)])[0].score for image in images]
        assert np.allclose(scores, np.ravel(expected), atol=1e-6)
    said = [json.loads(command("search", "dog", "--in", "-", "--json", stdin=png(image))[1])[0] for image in images]
    assert np.allclose([one["score"] for one in said], scores, atol=1e-6)


def test_a_picture_that_has_become_readable_is_read(model, tmp_path, monkeypatch):
    picture(1).save(tmp_path / "a.png")
    opened = open

    def forbidden(path, *rest):
        if path == str(tmp_path / "a.png"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest)
    pictures = find_pictures(tmp_path / "a.png")
    monkeypatch.setattr("zeroshot.naming.reading.open", forbidden, raising=False)
    assert not search(model, "dog", pictures, 1, None)
    monkeypatch.undo()
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))
    os.chmod(tmp_path / "a.png", 0o600)  # its content and its time stay the same
    assert len(model.search("dog", tmp_path / "a.png")) == 1


def test_the_same_broken_picture_twice_is_two_that_cannot_be_read(command, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    for _ in range(2):
        status, _, err = command("search", "dog", "--in", tmp_path / "a.png", tmp_path / "a.png")
        assert status == 1 and "2 of 2 could not be read" in err and "0 pictures" in err


def test_a_full_disk_costs_no_answer(model, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")
    picture(1).save(tmp_path / "a.png")
    monkeypatch.setattr("zeroshot.naming.points_cache.write_artifact", full)
    assert len(model.search("dog", tmp_path / "a.png")) == 1
    assert "points cannot be kept there (No space left on device)" in capsys.readouterr().err


def _keep(folder, start, size):
    os.environ["ZEROSHOT_SCRATCH"] = str(folder)
    pictures = find_pictures([str(folder / f"{number}.png") for number in range(3)])
    start.wait()
    PointsCache("a model").points(pictures, lambda some: np.ones((len(some), size), np.float32))


def test_equal_searches_at_once_keep_whole_files(tmp_path, capfd):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    searches = [context.Process(target=_keep, args=(tmp_path, start, 300_000)) for _ in range(4)]
    for one in searches:
        one.start()
    for one in searches:
        one.join()
    assert [one.exitcode for one in searches] == [0] * 4 and not capfd.readouterr().err
    assert len(list((tmp_path / "points").rglob("*.safetensors"))) == 1


# --- search

@pytest.mark.parametrize("top", [0, -1])
def test_a_search_for_nothing_is_refused(model, top):
    with pytest.raises(InputError, match="expected 1 picture or more"):
        model.search("dog", picture(1), top)


def test_a_search_may_say_which_meaning(model):
    (by_word,) = model.search(f"crane={WNID['crane bird']}", picture(1))
    (by_wnid,) = model.search(WNID["crane bird"], picture(1))
    assert by_word == by_wnid


def test_a_search_of_no_pictures_says_how_to_name_some(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = command("search", "dog")
    assert status == 1 and "name others, with --in" in err
