import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

import zeroshot
from tests.model_world import HANDICAP, NOUNS, OUTSIDE, SEEN, SETS, SIDE, TERMS, WNID, build_parts, export, picture, png
from zeroshot.__main__ import main
from zeroshot.base.artifacts import Artifact
from zeroshot.console.errors import InputError
from zeroshot.images.decoding import decode_square
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.naming.pictures import find_pictures
from zeroshot.networks.saved import read_cnn
from zeroshot.running.scratch import PROJECT
from zeroshot.terms.vectors import read_term_vectors


@pytest.fixture(scope="module")
def model(model_folder):
    return zeroshot.load_model(model_folder)


@pytest.fixture
def folder(tmp_path):
    """A folder with pictures in it, one broken, and what is none."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for number in range(3):
        picture(number).save(tmp_path / "in" / f"{number}.png")
    picture(3).save(tmp_path / "in" / "deep" / "3.jpg")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    (tmp_path / "in" / ".hidden.png").write_bytes(b"")
    return tmp_path / "in"


@pytest.fixture
def command(model_folder, monkeypatch, capsys):
    """Run `python -m zeroshot ...` in this process: exit status, standard output, standard error."""
    def run(name, *arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["zeroshot", name, *map(str, arguments), "--from", str(model_folder)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = main()
        return status, *capsys.readouterr()
    return run


def naive_values(model_folder, image):
    """Features and logits of one image, by the network alone."""
    cnn = read_cnn(model_folder / "cnn.safetensors")
    square = torch.from_numpy(decode_square(png(image), SIDE).copy())[None]
    with torch.no_grad():
        features, logits = cnn.model.features_and_logits(cnn.preprocessing.normalise(square), "pooled")
    return features[0].half().double().numpy(), logits[0].double().numpy()


def naive_ranking(labels, point, bias, candidates):
    scores = {wnid: labels.vectors[row] @ point / np.linalg.norm(point) + bias * (wnid in SEEN)
              for row, wnid in enumerate(labels.wnids) if wnid in candidates}
    return sorted(scores.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("seed", range(3))
def test_answers_are_what_the_equations_say(model_folder, model, seed):
    image = picture(seed)
    features, logits = naive_values(model_folder, image)
    (named,) = model.name(image, "21k+seen", 11, "softmax,hierse,ridge,conse-2")
    everything = {*SEEN, *SETS["21k"]}
    lemmas, hypernyms = (read_label_vectors(model_folder / f"{kind}.safetensors") for kind in ("lemmas", "hypernyms"))
    first = np.argsort(-logits)[:2]
    for name, labels, bias, temperature in (("conse-2", lemmas, 0, 1), ("hierse", hypernyms, -HANDICAP, 3)):
        mixture = sum(np.exp(logits[place] / temperature) * labels.vectors[labels.index[SEEN[place]]]
                      for place in first)
        expected = naive_ranking(labels, mixture, bias, everything)
        assert [answer.wnid for answer in named.answers[name]] == [wnid for wnid, _ in expected]
        scores = [answer.score for answer in named.answers[name]]
        assert np.allclose(scores, [score for _, score in expected], atol=1e-5)
    ridge = Artifact(model_folder / "ridge.safetensors")
    expected = naive_ranking(hypernyms, ridge["map"] @ (features - ridge["centre"]), -HANDICAP, everything)
    assert [answer.wnid for answer in named.answers["ridge"]] == [wnid for wnid, _ in expected]
    assert [answer.wnid for answer in named.answers["softmax"]] == [SEEN[place] for place in np.argsort(-logits)]


def test_an_answer_tells_words_seen_path_and_meaning(model):
    answers = {answer.wnid: answer for answer in model.name(picture(0), top=11)[0].answers["hierse"]}
    husky, pug = answers[WNID["husky"]], answers[WNID["pug"]]
    assert husky.words == "husky" and husky.seen and not pug.seen and pug.gloss == "what pug means"
    assert pug.path == ("dog", "animal", "entity") and answers[WNID["entity"]].path == ()


def test_many_pictures_get_the_answers_that_each_gets_alone(model):
    images = [picture(seed) for seed in range(23)]  # batches of 4, and decoded by other processes
    together, alone = model.name(images), [model.name(image)[0] for image in images]
    assert [one.answers["hierse"][0].wnid for one in together] == [one.answers["hierse"][0].wnid for one in alone]
    assert np.allclose(model.embed(images), np.concatenate([model.embed(image) for image in images]), atol=1e-5)


def test_a_picture_is_the_same_in_every_form(model, tmp_path):
    image = picture(5)
    image.save(tmp_path / "a.png")
    (tmp_path / "b.img").write_bytes(png(image))
    pixels = np.array(image)
    forms = [tmp_path / "a.png", str(tmp_path / "b.img"), png(image), image, pixels, torch.tensor(pixels)]
    points = model.embed(forms)
    assert points.shape == (6, 6) and (points == points[0]).all()
    assert model.embed(np.asarray(image)).shape == (1, 6)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1"])
def test_modes_and_orientation_are_as_in_the_pipeline(model, tmp_path, mode):
    image = picture(2, mode=mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(path, exif=exif, **({"quality": 100} if mode == "CMYK" else {}))
    square = decode_square(path.read_bytes(), SIDE)
    assert np.array_equal(model.embed(path), model.embed(square))
    with Image.open(path) as opened:
        assert np.array_equal(model.embed(opened), model.embed(path))


def test_packed_sets_were_decoded_to_another_size_first(tmp_path, model_parts):
    packed = zeroshot.load_model(export(build_parts(tmp_path, pack=8), tmp_path / "model"))
    image = picture(1)
    small = decode_square(png(image), 8)
    assert np.allclose(packed.embed(image), packed.embed(small)) and packed.folder.about["network"]["pack"] == 8


# --- labels

def labels_of(model, given, **more):
    (named,) = model.name(picture(0), given, 50, **more)
    (answers,) = named.answers.values()
    return {answer.words: answer for answer in answers}


def test_own_labels_are_words_wnids_or_both(model):
    found = labels_of(model, f"dog, {WNID['pug']}, my pet={WNID['cat']}, striped animal, tapir")
    assert {words: answer.wnid for words, answer in found.items()} == {
        "dog": WNID["dog"], "pug": WNID["pug"], "my pet": WNID["cat"], "striped animal": None, "tapir": WNID["tapir"]}
    assert found["my pet"].seen and not found["striped animal"].seen and found["striped animal"].path == ()


def test_an_own_label_scores_as_it_does_in_a_label_set(model):
    own = labels_of(model, [WNID["cat"], WNID["pug"], WNID["ship"]])
    of_set = labels_of(model, "21k+seen")
    for name in ("cat", "pug", "ship"):
        assert own[name].score == pytest.approx(of_set[name].score, abs=1e-6)


def test_words_outside_the_label_sets_take_their_terms_vectors(model, model_parts):
    terms = read_term_vectors(model_parts / "terms")
    unit = {name: row / np.linalg.norm(row) for name, row in zip(TERMS, terms.vectors, strict=True)}
    (striped,) = model.embed_labels(["striped animal"], "conse-2")
    mean = unit["striped"] + unit["animal"]
    assert np.allclose(striped, mean / np.linalg.norm(mean), atol=2e-3)
    (tapir,) = model.embed_labels(["tapir"], "conse-2")  # a noun that is no label
    assert np.allclose(tapir, unit["tapir"], atol=2e-3)
    (lifted,) = model.embed_labels(["tapir"], "ridge")  # with its hypernyms
    animal = unit["animal"] + unit["entity"]
    expected = unit["tapir"] + animal / np.linalg.norm(animal)
    assert np.allclose(lifted, expected / np.linalg.norm(expected), atol=2e-3)


def test_a_word_of_several_meanings_takes_wordnets_first_and_says_so(model):
    chosen = model.labels("crane")
    assert chosen.own[0].wnid == WNID["crane machine"]
    assert chosen.notes == [f"crane: taken as {WNID['crane machine']} (what crane machine means); for others write "
                            f"crane={WNID['crane bird']} (what crane bird means)",
                            "crane is the only candidate, so every picture is called that; label sets are "
                            + ", ".join(model.label_sets)]


def test_labels_that_stand_twice_count_once(model):
    chosen = model.labels(f"dog, Dog, {WNID['dog']}, striped, STRIPED")
    assert [label.words for label in chosen.own] == ["dog", "striped"]
    assert "3 of 5 labels stand for one that is there already" in chosen.notes[-1]


@pytest.mark.parametrize("given, said", [
    ("", "no label"), (" , ,", "no label"), ([], "no label"),
    ("tapirr", "'tapirr' is no word that the model has read; spelt like it: tapir"),
    ("striped zebbra", "'zebbra' is no word"), ("4-sets", "or a label set: seen, unseen"),
    ("n99999999", "no noun synset"), ("dog=n123", "no noun synset"), ("dog, qqq, xxx, yyy, zzz", "and 1 more labels"),
])
def test_unusable_labels_are_refused_in_one_line(model, given, said):
    with pytest.raises(InputError, match=said) as refusal:
        model.name(picture(0), given)
    assert "\n" not in str(refusal.value)


def test_labels_from_a_file(model, tmp_path):
    file = tmp_path / "labels.txt"
    file.write_text(f"dog\n\n my pet = {WNID['cat']}\r\nstriped animal\n", encoding="utf-8-sig")
    assert list(labels_of(model, file)) and set(labels_of(model, str(file))) == {"dog", "my pet", "striped animal"}
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no UTF-8 text"):
        model.name(picture(0), file)


def test_fifty_thousand_labels(model):
    many = [f"{first} {second} {number}" for number in range(2) for first in TERMS for second in TERMS]
    with pytest.raises(InputError, match="'0' is no word that the model has read.*and 335 more labels"):
        model.labels(many)
    chosen = model.labels([f"label {number}={WNID['pug']}" for number in range(50_000)] + ["dog"])
    assert len(chosen.own) == 2 and "49,999 of 50,001" in chosen.notes[-1]
    words = [" ".join([a, b, c]) for a in TERMS for b in TERMS for c in TERMS]
    assert len(model.name(picture(0), words, 3)[0].answers["hierse"]) == 3 and len(words) > 2000


def test_label_sets_of_the_run(model):
    for name, count in model.label_sets.items():
        assert len(labels_of(model, name)) == count
    assert len(model.embed_labels("21k+seen", "hierse")) == 11


def test_softmax_names_seen_labels_alone(model):
    assert set(labels_of(model, "dog, cat, husky", models="softmax")) == {"cat", "husky"}
    with pytest.raises(InputError, match="softmax: no candidate in your labels: it can name seen labels alone"):
        model.name(picture(0), "dog, striped animal", models="softmax")
    with pytest.raises(InputError, match="no candidate in 21k"):
        model.name(picture(0), "21k", models="softmax")


@pytest.mark.parametrize("asked, said", [("vgg", "none of that name; there are hierse"), ("", "none of that name"),
                                         (",,", "none of that name")])
def test_unknown_models_are_refused(model, asked, said):
    with pytest.raises(InputError, match=said):
        model.name(picture(0), models=asked)
    with pytest.raises(InputError, match="'softmax': it has no label space"):
        model.embed(picture(0), "softmax")


def test_models_are_called_as_tables_call_them_in_any_case(model):
    assert model.asked("HierSE, Softmax baseline,devise,,DEVISE") == ["hierse", "softmax", "devise"]


def test_products_of_points_and_labels_are_the_scores(model):
    images = [picture(seed) for seed in range(3)]
    for name in ("conse-2", "exemplars"):
        cosines = model.embed(images, name) @ model.embed_labels([WNID["pug"], WNID["ship"]], name).T
        for image, row in zip(images, cosines, strict=True):
            scores = labels_of_image(model, image, name)
            assert np.allclose(row, [scores[WNID["pug"]], scores[WNID["ship"]]], atol=1e-5)
    assert model.embed(images, "features").shape == (3, 64)


def labels_of_image(model, image, name):
    return {answer.wnid: answer.score for answer in model.name(image, top=11, models=name)[0].answers[name]}


# --- pictures

def test_folders_patterns_and_tars(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [os.path.join("in", name) for name in ("0.png", "1.png", "2.png", "broken.jpg", "deep/3.jpg")]
    assert sorted(found.name for found in find_pictures("in")) == names
    assert [found.name for found in find_pictures("in/?.png")] == names[:3]
    assert [found.name for found in find_pictures("in/**/*.jpg")] == ["in/broken.jpg", "in/deep/3.jpg"]
    with tarfile.open("a.tar", "w") as tar:
        tar.add("in")
    assert [found.name for found in find_pictures(["a.tar"])] != [] and all(
        found.name.startswith("a.tar/in/") and found.offset > 0 for found in find_pictures("a.tar"))
    (tmp_path / "in[1]").mkdir()
    picture(1).save(tmp_path / "in[1]" / "x.png")
    assert [found.name for found in find_pictures("in[1]")] == ["in[1]/x.png"]


def test_a_tars_members_are_named_as_their_files(model, folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(folder / "1.png", "one.png")
    assert np.array_equal(model.embed(tmp_path / "a.tar"), model.embed(folder / "1.png"))


@pytest.mark.parametrize("given, fault", [
    ("none.png", "no such file"), ("*.none", "a pattern that nothing fits"), ("empty", "a folder without pictures"),
    ("bad.tar", "truncated|not a readable tar|empty file"), ("a.tar.gz", "gzip"), ("a.pdf", "not an image .PDF"),
    ("void.jpg", "empty file"), ("link.png", "no such file")])
def test_what_cannot_be_read_is_told_and_the_others_go_on(model, tmp_path, monkeypatch, given, fault):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.tar").write_bytes(b"x" * 700)
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b" + b"x" * 700)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "void.jpg").write_bytes(b"")
    (tmp_path / "link.png").symlink_to("gone.png")
    picture(0).save("good.png")
    bad, good = model.name([given, "good.png"])
    assert re.search(fault, bad.error) and not bad.answers and good.answers["hierse"] and not good.error


@pytest.mark.parametrize("given, said", [
    ("https://example.org/cat.jpg", "addresses are not fetched"), (["s3://bucket/a.png"], "addresses are not fetched"),
    ([3], "picture 1 is a int"), (np.zeros((4, 4, 3)), "array of float64"), (np.zeros((0, 4, 3), np.uint8), "uint8"),
    ([np.zeros((2, 4, 4, 3), np.uint8)], "uint8 .height, width")])
def test_what_is_no_picture_is_refused(model, given, said):
    with pytest.raises(InputError, match=said):
        model.name(given)


def test_embed_needs_every_picture(model, folder):
    with pytest.raises(InputError, match="broken.jpg: not an image"):
        model.embed(folder)
    assert model.name([]) == [] and model.embed([]).shape == (0, 0)


# --- the command line

def test_the_table_is_for_people(command, folder):
    status, out, err = command("name", folder, "--top", 2)
    assert status == 0 and "broken.jpg: not an image" in err and "1 of 5 could not be read; 4 named" in err
    assert out.count("never seen") + out.count("  seen ") == 8 and "(the default: best harmonic mean" in out
    assert str(folder / "deep" / "3.jpg") in out and "< animal" in out
    _, out, _ = command("name", folder / "0.png", "--model", "all")
    assert "hierse" in out and "exemplars" in out and "* seen" in out


def test_json_and_csv_are_for_programs(command, folder):
    status, out, err = command("name", folder, "--json", "--model", "ridge,hierse", "--top", 1, "--labels", "crane,pug")
    objects = {os.path.basename(one["picture"]): one for one in json.loads(out)}
    assert status == 0 and len(objects) == 5 and "not an image" in objects["broken.jpg"]["error"]
    assert list(objects["0.png"]["answers"]) == ["ridge", "hierse"] and "crane: taken as" in err
    answer = objects["0.png"]["answers"]["ridge"][0]
    assert set(answer) == {"words", "wnid", "score", "seen", "path", "gloss"} and answer["words"] in ("crane", "pug")
    _, out, _ = command("name", folder, "--csv", "--top", 3)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 13 and sum(bool(row["error"]) for row in rows) == 1 and rows[0]["model"] == "hierse"


def test_the_exit_status_is_1_if_none_could_be_read(command, folder):
    assert command("name", folder / "broken.jpg")[0] == 1
    assert command("name", folder / "0.png", "--labels", "qwertz")[0] == 1
    assert command("name", "https://example.org/a.png")[2].startswith("zeroshot: https://example.org/a.png: addresses")
    assert command("name", folder / "0.png", "--top", 0)[0] == 1


def test_standard_input_is_an_image_or_a_list_of_paths(command, folder):
    assert "standard input" in command("name", "-", stdin=png(picture(0)))[1]
    listed = f"{folder / '0.png'}\n{folder / '1.png'}\n".encode()
    assert command("name", "-", "--json", stdin=listed)[1].count('"picture"') == 2
    assert "expected an image, or paths" in command("name", "-", stdin=b"\xff\x00\x01")[2]
    assert command("name", "-", stdin=b"")[0] == 1


def test_embed_writes_points_with_names(command, folder, tmp_path, model):
    status, out, err = command("embed", folder, "--out", tmp_path / "x.safetensors")
    written = Artifact(tmp_path / "x.safetensors")
    names = [os.path.basename(name) for name in written.meta["names"]]
    assert status == 0 and sorted(names) == ["0.png", "1.png", "2.png", "3.jpg"] and "1 of 5 could not be read" in err
    assert np.allclose(written["points"][names.index("1.png")], model.embed(folder / "1.png")[0], atol=1e-6)
    command("embed", folder, "--out", tmp_path / "x.csv", "--model", "features")
    rows = list(csv.reader(open(tmp_path / "x.csv")))
    assert len(rows) == 5 and len(rows[1]) == 65 and rows[0][:2] == ["picture", "d0"]
    assert command("embed", folder, "--out", tmp_path / "x.npz")[0] == 1
    assert command("embed", folder / "broken.jpg", "--out", tmp_path / "y.csv")[0] == 1
    assert not (tmp_path / "y.csv").exists()


def test_loading_is_light_and_the_program_ends_quietly(model_folder, folder):
    light = "import sys, zeroshot; m = zeroshot.load_model(sys.argv[1]); m.labels('dog'); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", light, model_folder], cwd=PROJECT, capture_output=True, text=True)
    assert ran.stdout == "False\n", ran.stderr
    name = [sys.executable, "-m", "zeroshot", "name", *[str(folder)] * 3, "--csv", "--from", str(model_folder)]
    ran = subprocess.run(["bash", "-c", f"{shlex.join(name)} | head -1"], cwd=PROJECT, capture_output=True, text=True)
    assert ran.stdout.startswith("picture,") and "Traceback" not in ran.stderr


def test_every_noun_of_this_world_is_a_label_but_two(model):
    assert {WNID[name] for name in NOUNS} - set(model.run.wnids) == {WNID[name] for name in OUTSIDE}
