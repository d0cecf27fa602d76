"""The preset cifar100, all stages, and an ablation of two rows on it: tiny archives in CIFAR's own format."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from stages import run_stage
from tests.cifar_archives import SEEN, UNSEEN, put_archives
from tests.run_world import git
from tests.test_end_to_end import make_project, merged, resolved_commands
from tools import ablation
from tools.preset import merged as preset_text

SMALL = {
    "prepare_corpus": {"source": "plain", "text": "text", "workers": 1}, "train_skipgram": {"dim": 16, "epochs": 2},
    "index_images": {"cifar": {"md5": "any"}, "workers": 1},
    "pretrain_cnn": {"arch": "resnet9-2", "epochs": 1, "batch": 8, "workers": 0},
    "train_devise": {"epochs": 2, "batch": 8}, "finetune_devise": {"batch": 8}, "fit_closed_form": {"folds": 2},
    "rank_conse": {"folds": 2}, "evaluate": {"resamples": 100},
    "build_label_sets": {"universe": "universe.txt"}}
SECOND = ("extract_features", "train_devise", "finetune_devise", "embed_images", "rank_devise", "rank_softmax",
          "evaluate")  # what the second row runs anew, for the models that its table shows
LIST = """
title: Tiny
preset: tiny
published: published.csv
figures: {models: [softmax, devise], columns: [seen hit@1, unseen hit@1, unseen+seen hit@1]}
rows:
  activation:
  pooled: extract_features.tap=pooled
"""
PUBLISHED = """table,caption,line,published,row,model,label_set,metric,wnid
1,Tiny,softmax,67.5,activation,softmax,seen,hit@1,
4,Tiny,pooled,43.7,pooled,devise,unseen,hit@1,
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, part_of_taxonomy, wordnet_zip):
    """A project on the preset in small, both rows of the ablation run; each row's stages ran in this process."""
    folder = tmp_path_factory.mktemp("tiny cifar")
    make_project(folder, part_of_taxonomy, wordnet_zip)
    put_archives(folder / "archives", train=4, test=2)
    sentence = " ".join(f"a {name.replace('_', ' ')} is seen" for name in SEEN + UNSEEN)
    (folder / "text" / "b.txt").write_text(sentence + "\n")
    settings = YAML(typ="safe").load(preset_text("cifar100"))
    settings = {name: section | ({"threads": 1} if "threads" in section else {}) for name, section in settings.items()}
    settings = merged(merged(settings, SMALL), {"index_images": {"images": str(folder / "archives")}})
    for name, text in (("presets/demo.yaml", json.dumps(settings)), ("params.yaml", json.dumps(settings)),
                       ("presets/tiny.yaml", '{"evaluate": {"seed": 5}}'), ("ablations/tiny.yaml", LIST),
                       ("published.csv", PUBLISHED), ("universe.txt", "n02121620\nn04490091\nn02084071\n")):
        (folder / name).write_text(text)
    (folder / "dvc.lock").unlink()  # the demo's
    (folder / ".dvc" / "tmp").mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "tiny")
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "argv", sys.argv)
    patch.setattr("stages.PARENT", os.getppid())
    patch.setenv("ZEROSHOT_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
    commands = resolved_commands(folder)  # the same for both rows
    patch.setattr(ablation, "run_row", lambda benches, job, log, say: run_here(folder, commands, job))
    patch.setattr(ablation, "about_machine", lambda: {"hardware": "h", "versions": "v"})
    patch.chdir(folder)
    assert ablation.main("tiny", root=folder) == 0
    patch.undo()
    return folder


def run_here(folder: Path, commands: list[str], job) -> bool:
    """A row's stages in this process; its metrics become the commit of an experiment."""
    first = not (folder / "metrics" / "devise").exists()
    (folder / "params.yaml").write_bytes(job.text)
    for command in commands:
        _, _, module, *arguments = shlex.split(command)
        shown = not {"random", "hierse", "ridge", "eszsl", "exemplars"} & set(re.findall(r"\w+", command))
        if first or (module.removeprefix("stages.") in SECOND and shown and "conse" not in command):
            sys.argv = [module, *arguments]
            run_stage(importlib.import_module(module).main)
    about = json.dumps({"started": 1700000000, **job.about})
    script = """export GIT_INDEX_FILE="$PWD/.git/another"; git read-tree HEAD && git add -f metrics params.yaml
        git -c user.name=t -c user.email=t@example.org commit-tree -p HEAD -m "$1" $(git write-tree)"""
    commit = subprocess.run(["sh", "-ec", script, "sh", f"row\n\n{about}"], cwd=folder, capture_output=True, text=True,
                            check=True).stdout.strip()
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True).stdout.strip()
    git(folder, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{job.name}", commit)
    return True


def test_every_model_is_scored_over_the_unseen_labels_and_over_all(project):
    for model in ("devise", "random", "conse-1", "conse-10", "hierse", "ridge", "eszsl", "exemplars"):
        for label_set, labels in (("unseen", len(UNSEEN)), ("unseen+seen", len(UNSEEN + SEEN))):
            figures = json.loads((project / "metrics" / model / f"{label_set}.json").read_text())
            assert (figures["labels"], figures["images"]) == (labels, 4)
            assert (figures["apart_classes"], figures["apart_images"]) == (1, 2)  # a pickup truck is a truck
            rows = pd.read_csv(project / "data" / "scores" / "classes" / f"{model}.csv")
            rows = rows.query("label_set == @label_set")
            assert dict(zip(rows["wnid"], rows["apart"], strict=True)) == {"n02121620": 1, "n04490091": 0}
            hits = (rows["hit@1"] * rows["images"]).sum()
            assert hits == pytest.approx(figures["hit@1"] * 4)
            assert rows.query("apart == 1")["hit@1"].item() == figures["apart_hit@1"]


def test_the_table_of_classes_has_every_model(project):
    text = (project / "metrics" / "tables" / "classes.md").read_text()
    assert "## unseen\n" in text and "## unseen+seen\n" in text
    assert all(model in text for model in ("DeViSE", "ConSE(10)", "HierSE", "Predicted exemplars"))
    assert "truck (not apart)" in text and "the 1 apart" in text


def test_an_ablation_of_two_rows_fills_its_table_and_the_publications(project):
    table = pd.read_csv(project / "results" / "tiny" / "ablations" / "tiny.csv")
    assert set(table["row"]) == {"activation", "pooled"} and set(table["model"]) == {"softmax", "devise"}
    beside = pd.read_csv(project / "results" / "tiny" / "tables.csv")
    assert list(beside["published"]) == [67.5, 43.7] and beside["ours"].between(0, 100).all()
    wanted = table.query("row == 'pooled' and model == 'devise' and label_set == 'unseen'")["value"].item()
    assert beside["ours"][1] == pytest.approx(100 * wanted, abs=1e-3)
    assert "## Table 4. Tiny" in (project / "results" / "tiny" / "tables.md").read_text()
