"""Presets: what they hold, what `make preset` writes, and that DVC reads and edits it as it does the demo."""

import csv
import functools
import json
import re
import shutil
import subprocess
import sys

import pytest
from dvc.repo import Repo
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tools import preset
from tools.preset import PRESETS, dump, leaves, main, preset_names, put, round_trip
from tools.stage_deps import PROJECT
from zeroshot.base.params import read_yaml
from zeroshot.console.errors import InputError

DEMO = PRESETS / "demo.yaml"
merged = functools.cache(preset.merged)  # of what ships; `main` merges anew
OVERLAYS = [name for name in preset_names() if name != "demo"]


def settings(text):
    """Keys' paths and values, as DVC reads them."""
    return dict(leaves(YAML(typ="safe").load(text)))


def comments(text):
    """Comments by the keys before them on their line (None: a line of its own)."""
    found = [re.fullmatch(r"(?:( *[\w-]+):.*?[ ]*)?(#.*)", line) for line in text.decode().splitlines() if "#" in line]
    return [match.groups() for match in found]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "presets").mkdir()
    for name in preset_names():
        shutil.copy(PRESETS / f"{name}.yaml", tmp_path / "presets")
    shutil.copy(DEMO, tmp_path / "params.yaml")
    return tmp_path


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_short_and_repeats_nothing_of_the_demo(name):
    text, demo = (PRESETS / f"{name}.yaml").read_bytes(), settings(DEMO.read_bytes())
    assert 35 <= len(text.splitlines()) <= 55
    assert [keys for keys, value in settings(text).items() if demo[keys] == value] == []
    for word in ("Run:", "Data:", "Time:", "Disk:", "et al. 201"):
        assert word in text.decode()


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_merge_has_the_overlays_values_the_demos_others_and_all_its_comments(name):
    text, overlay = merged(name), settings((PRESETS / f"{name}.yaml").read_bytes())
    assert settings(text) == {**settings(DEMO.read_bytes()), **overlay}
    assert list(settings(text)) == list(settings(DEMO.read_bytes()))  # in the demo's order
    added, expected = comments(text), comments(DEMO.read_bytes())
    assert f"presets/{name}.yaml" in added.pop(2)[1] and added == expected and len(expected) > 150


def test_a_merge_of_the_same_values_and_the_demo_itself_are_the_demo_byte_for_byte():
    assert merged("demo") == dump(round_trip().load(DEMO.read_bytes())).encode() == DEMO.read_bytes()


@given(st.floats(allow_nan=False, allow_infinity=False) | st.none() | st.booleans() | st.integers())
def test_any_value_is_read_back(value):
    document = round_trip().load("a: 1  # stays\nb: [1, 2]  # too\n")
    put(document, [], "a", value)
    put(document, [], "b", [value, value])
    text = dump(document)
    assert YAML(typ="safe").load(text) == {"a": value, "b": [value, value]}
    assert re.fullmatch(r"a: .* # stays\nb: \[.*\] +# too\n", text)


def rows_of_head(name):
    """Cells of the table in an overlay's head, the line of its columns left out."""
    lines = (PRESETS / f"{name}.yaml").read_text().splitlines()
    return [[cell.strip(" #") for cell in line.split("|")] for line in lines if line[0] == "#" and " | " in line][1:]


def rows_of(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.read_text().splitlines()
            if line.startswith("|")]


def test_tiny_imagenets_head_shows_its_overview():
    overview = {row[0]: row for row in rows_of(PROJECT / "results" / "tiny-imagenet" / "overview.md")}
    rows = rows_of_head("tiny-imagenet")
    assert len(rows) == 5
    for model, seen, unseen, harmonic in rows:
        assert [seen, unseen or "–", harmonic] == [overview[model][column] for column in (1, 2, 5)]


def test_imagenet_pretraineds_head_shows_its_flat_hits():
    flat, label_set = {}, ""
    for row in rows_of(PROJECT / "results" / "imagenet-pretrained" / "flat_hit.md"):
        label_set = row[0] or label_set
        flat[label_set, row[3]] = [cell.removesuffix(" (–)") for cell in row[4:]]
    rows = rows_of_head("imagenet-pretrained")
    assert len(rows) == 6
    for label_set, model, *shown in rows:
        assert shown == [flat[label_set, model][column] for column in (0, 2, 4)]


def test_photographs_head_shows_its_flat_hits():
    flat, label_set = {}, ""
    for row in rows_of(PROJECT / "results" / "photographs" / "flat_hit.md"):
        label_set = row[0] or label_set
        flat[label_set, row[3]] = row[4:]
    rows = rows_of_head("photographs")
    assert len(rows) == 5
    for label_set, model, *shown in rows:
        assert shown == [flat[label_set, model][column] for column in (0, 2, 4)]


def test_imagenets_head_shows_the_papers_figures():
    sets = {"seen (1K)": "ImageNet 2011 1K", "21k": "ImageNet 2011 21K"}
    with open(PRESETS / "papers" / "conse_tables.csv", encoding="utf-8") as file:
        paper = {(row["label_set"], row["model"], row["k"]): f"{100 * float(row['value']):.1f}"
                 for row in csv.DictReader(file) if row["metric"] == "flat_hit"}
    rows = rows_of_head("imagenet")
    assert len(rows) == 5
    for label_set, model, *shown in rows:
        keys = [(sets.get(label_set, label_set), model, k) for k in ("1", "2", "5", "10", "20")]
        assert shown == [paper.get(key, "") for key in keys]


def test_make_preset_writes_says_what_differs_and_writes_the_same_again(root, capsys):
    main("imagenet-pretrained", root)
    said, text = capsys.readouterr().out, (root / "params.yaml").read_bytes()
    assert text == merged("imagenet-pretrained")
    assert said.startswith("imagenet-pretrained: ") and "\n  index_images.roles.train: train -> val\n" in said
    assert said.count(" -> ") == len(settings((PRESETS / "imagenet-pretrained.yaml").read_bytes()))
    main("imagenet-pretrained", root)
    assert (root / "params.yaml").read_bytes() == text and capsys.readouterr().out == said
    main("demo", root)
    assert (root / "params.yaml").read_bytes() == DEMO.read_bytes()
    assert "->" not in capsys.readouterr().out
    assert {path.name for path in root.iterdir()} == {"params.yaml", "presets"}  # no preset is an edit


def test_edits_are_kept_and_never_overwritten(root, capsys):
    (root / "presets" / "broken.yaml").write_text("a: [")  # of no concern to others
    for edit, number in ((b"# one\n", ""), (b"# two\n", "2"), (b"# one\n", "")):
        kept = f"params.yaml.bak{number}"
        (root / "params.yaml").write_bytes(edit)
        main("tiny-imagenet", root)
        assert capsys.readouterr().out.endswith(f"are kept in {kept}\n")
        assert (root / kept).read_bytes() == edit and (root / "params.yaml").read_bytes() == merged("tiny-imagenet")
    assert len(list(root.glob("params.yaml*"))) == 3


@pytest.mark.parametrize("overlay, expected", [
    ("train_devise: {margn: 1}", ["presets/mine.yaml: unknown key `train_devise.margn`; did you mean",
                                  " `train_devise.margin` or `finetune_devise.margin`?"]),
    ("train_skipgrm: {dim: 1}", ["did you mean `train_skipgram.dim`?"]),
    ("embed_labels: {window: 1}", ["`embed_labels.window`; did you mean `train_skipgram.window`?"]),
    ("train_devise: {margin: {a: 1}}", ["unknown key `train_devise.margin.a`"]),
    ("zzz: 1\nqqq: {}", ["`zzz`; presets/demo.yaml has them all", "`qqq`"]),
    ("index_images: {roles: all}", ["`index_images.roles` is all; expected some of its keys train, val, unseen"]),
    ("train_devise:", ["`train_devise` is null; expected some of its keys label_vectors, "]),
    ("a: 1\na: 2", ["not valid YAML", "duplicate"]),
    ("a: [", ["not valid YAML"]),
    ("# nothing", ["holds no settings"]),
    ("a: \xff", ["not valid YAML"]),
])
def test_a_bad_overlay_is_refused_and_params_yaml_stays(root, overlay, expected):
    (root / "presets" / "mine.yaml").write_bytes(overlay.encode("latin-1"))
    with pytest.raises(InputError) as refused:
        main("mine", root)
    for words in expected:
        assert words in str(refused.value)
    assert (root / "params.yaml").read_bytes() == DEMO.read_bytes()


@pytest.mark.parametrize("name", ["", "tiny", "../params", "lists"])
def test_an_unknown_preset_is_refused_in_one_line_that_lists_those_there_are(name):
    ended = subprocess.run([sys.executable, "-m", "tools.preset", name], cwd=PROJECT, capture_output=True, text=True)
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1
    asked = f"is called `{name}`" if name else "is named (`make preset NAME=...`)"
    assert ended.stderr == f"preset: no preset {asked}; there are {', '.join(preset_names())}\n"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of DVC's own
def test_dvc_reads_compares_and_edits_a_merged_file_as_it_does_the_demo(root, monkeypatch):
    monkeypatch.chdir(root)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "a")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@b")
    sections = list(read_yaml(DEMO))
    (root / "dvc.yaml").write_text(json.dumps({"stages": {"copy": {
        "cmd": "cp params.yaml seen.yaml", "outs": ["seen.yaml"], "params": sections}}}))
    subprocess.run(["git", "init", "--quiet"], check=True)
    Repo.init().close()
    subprocess.run("git add . && git commit --quiet -m demo", shell=True, check=True)
    main("tiny-imagenet", root)
    with Repo() as repo:
        repo.reproduce()
        assert (root / "seen.yaml").read_bytes() == merged("tiny-imagenet")
        changes = repo.params.diff()["diff"]["params.yaml"]
        overlay = settings((PRESETS / "tiny-imagenet.yaml").read_bytes())
        assert {key: change["new"] for key, change in changes.items()} == {
            ".".join(keys): value for keys, value in overlay.items()}
        repo.experiments.run(params=["train_devise.margin=0.00001"])  # dvc exp run -S
    text = (root / "params.yaml").read_bytes()
    assert settings(text) == {**settings(merged("tiny-imagenet")), ("train_devise", "margin"): 0.00001}
    assert comments(text) == comments(merged("tiny-imagenet"))
