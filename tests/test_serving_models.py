"""What the page makes of a model's answers, and the command that serves them."""

import importlib.util
import io
import os
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.serving_world import COLOURS, picture
from zeroshot.console.errors import InputError
from zeroshot.naming.answers import Answer, Named
from zeroshot.serving import command
from zeroshot.serving.answers import Asked, Column, Line
from zeroshot.serving.limits import Refusal
from zeroshot.serving.models import ServedModel
from zeroshot.serving.photographs import Photographs

FOX = Answer("kit fox, prairie fox, Vulpes velox, swift fox", "n02119789", 0.12345, True,
             ("fox", "canine", "carnivore", "placental"), "small grey fox")
OWN = Answer("zedonk", None, -0.5, False, (), "")


class Stub:
    """A model that answers FOX and OWN; `softmax` has no candidate among one's own labels."""

    models = ["hierse", "softmax", "conse-10"]
    label_sets = {"seen": 80, "21k+seen": 21841}
    default_model, default_labels, seen = "hierse", "21k+seen", ["n02119789"] * 80

    def __init__(self):
        self.asked = []

    def labels(self, given):
        self.asked.append(given)
        own = tuple(given) if isinstance(given, list) else ()
        return SimpleNamespace(name=given, own=own, notes=[f"note {n}" for n in range(len(own))])

    def name(self, data, labels, top, models):
        if labels.own and "softmax" in models:
            raise InputError("model softmax: no candidate")
        if not data:
            return [Named("picture 1", error="empty file")]
        return [Named("picture 1", {model: [FOX, OWN][:top] for model in models})]


def test_answers_become_lines():
    served = ServedModel(Stub())
    notes, columns = served.name(picture(), Asked(("hierse", "softmax"), "seen", 2))
    lines = [Line("kit fox, prairie fox, Vulpes velox", "0.123", "n02119789", True, "carnivore › canine › fox",
                  "small grey fox"), Line("zedonk", "-0.500", "", False, "", "")]
    assert notes == [] and columns == [Column("HierSE", lines), Column("Softmax baseline", lines)]
    assert served.default == Asked(("hierse", "conse-10"), "21k+seen")
    assert served.about == "21,841 labels of WordNet, 80 of them trained on with images."
    assert [choice.name for choice in served.label_sets] == ["seen: 80 labels", "21k+seen: 21,841 labels"]


def test_a_model_without_an_answer_says_why_and_stops_no_other():
    served = ServedModel(Stub())
    asked = Asked(("hierse", "softmax"), "seen", 1, ("zedonk",))
    _, (hierse, softmax) = served.name(picture(), asked)
    assert len(hierse.lines) == 1 and softmax == Column("Softmax baseline", [], "model softmax: no candidate")
    with pytest.raises(Refusal, match="empty file"):
        served.name(b"", asked)


def test_labels_are_never_taken_for_a_file_or_a_set_and_are_worked_out_once():
    model = Stub()
    served = ServedModel(model)
    for _ in range(2):
        notes, _ = served.name(picture(), Asked(("hierse",), "seen", 1, ("/etc/passwd", *map(str, range(7)))))
    assert model.asked == [["/etc/passwd", *map(str, range(7))]], "a list, in which each is a label"
    assert notes == ["note 0", "note 1", "note 2", "note 3", "note 4", "And 3 more such."]


def test_what_is_not_installed_is_said(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name))
    with pytest.raises(InputError, match="uvicorn not installed; `make serve` does it"):
        command.check_installed()


@pytest.mark.parametrize("folder", ["/x/Bob's", 'a "b" c', "-a", "5 $HOME $(HOME) `id` \\ #1", "Größe; ls"])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_make_serve_hands_on_any_folder_as_it_was_given(tmp_path, folder, by):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    shutil.copy("Makefile", tmp_path)
    given = {"HOST": "it's", "PHOTOGRAPHS": folder}
    made = ["make", "-s", "-o", ".venv/installed", "-o", ".venv/serving", "serve"]
    made += [f"{name}={value}" for name, value in given.items()] * (by == "argument")
    ran = subprocess.run(made, cwd=tmp_path, env=os.environ | (given if by == "environment" else {}),
                         capture_output=True, text=True)
    assert ran.stdout.splitlines() == ["-m", "zeroshot", "serve", "--host=it's", "--port=8000",
                                       f"--photographs={folder}"], ran.stderr


class Colours:
    """A model whose points are mean colours; only readable pictures have one."""

    folder = SimpleNamespace(sha256="0" * 64)

    def with_space(self, name):
        return "colours"

    def points(self, pictures, name, progress):
        points, faults = np.zeros((len(pictures), 3), np.float32), {}
        for number, found in enumerate(pictures):
            try:
                mean = np.asarray(Image.open(found.content).convert("RGB")).reshape(-1, 3).mean(0)
                points[number] = mean / np.linalg.norm(mean)
            except OSError:
                faults[number] = "not an image"
        yield pictures, points, faults


@pytest.fixture
def holiday(tmp_path, monkeypatch):
    """red.png, deep/blue.jpg, deep/broken.jpg and a file that is no image; searches find the colour of a word."""
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr("zeroshot.serving.photographs.Search", lambda model, words: SimpleNamespace(
        said=words, query=np.array(COLOURS[words], np.float32) / 255))
    folder = tmp_path / "my holiday"
    (folder / "deep").mkdir(parents=True)
    (folder / "red.png").write_bytes(picture("red", (900, 600)))
    (folder / "deep" / "blue.jpg").write_bytes(picture("blue", kind="JPEG"))
    (folder / "deep" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "notes.txt").write_text("hello")
    return folder


def test_photographs_are_found_by_words_and_sent_small(holiday, capsys):
    photographs = Photographs(Colours(), holiday)
    assert "broken.jpg: not an image" in capsys.readouterr().err
    assert photographs.name == "my holiday" and len(photographs) == 3
    found = photographs.search("blue")
    assert found["said"] == "blue: the nearest 2 of 2"
    assert [(one["name"], one["score"]) for one in found["images"]] == [
        ("deep/blue.jpg", "1.000"), ("red.png", "0.000")]
    small = Image.open(io.BytesIO(photographs.thumbnail(found["images"][1]["row"])))
    assert (small.format, small.size) == ("JPEG", (320, 213))
    (holiday / "red.png").unlink()
    with pytest.raises(Refusal, match="cannot be read"):
        photographs.thumbnail(found["images"][1]["row"])


def test_names_that_are_no_utf8_can_be_sent(holiday):
    (holiday / "red.png").rename(holiday / os.fsdecode(b"caf\xe9.png"))
    images = Photographs(Colours(), holiday).search("red")["images"]
    assert images[0]["name"] == r"caf\udce9.png" and all(one["name"].encode() for one in images)


def test_a_folder_without_photographs_is_refused(holiday, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        Photographs(Colours(), tmp_path / "nowhere")
    for name in ("red.png", "deep/blue.jpg"):
        (holiday / name).unlink()
    with pytest.raises(InputError, match="no image in it or below it that can be read"):
        Photographs(Colours(), holiday)
    with pytest.raises(InputError, match="no such folder"):
        Photographs(Colours(), holiday / "notes.txt")
