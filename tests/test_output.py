"""What DVC's commands print after one setting was changed fits a terminal and can be read.

A repository of the real dvc.yaml and params.yaml, with made-up figures of all models, in which `train_devise.margin`
was changed and the pipeline run again.
"""

import csv
import hashlib
import json
import os
import subprocess
from pathlib import Path

import networkx
import numpy as np
import pytest
import yaml
from dvc.cli import main as dvc
from dvc.repo import Repo

from stages.evaluate import HEADLINE
from stages.evaluate_terms import HEADLINE as HEADLINE_OF_TEXT
from tools.stage_deps import PROJECT, stage_bodies

WIDTH, HEIGHT = 160, 50  # of the terminal
COLUMNS = 25  # that `dvc exp show` may have
CHANGED = ("devise", "random")  # models that the margin concerns
DVC_YAML = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))
AUTHOR = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]


def git(folder: Path, *arguments: str, **variables: str) -> str:
    return subprocess.run(["git", *AUTHOR, *arguments], cwd=folder, env={**os.environ, **variables}, check=True,
                          capture_output=True, text=True).stdout.strip()


def write_figures(folder: Path, again: bool) -> None:
    """What each stage of the pipeline writes into git: figures below 1 with 4 digits, other ones after the change."""
    rng = np.random.default_rng(1)
    with Repo(str(folder)) as repo:
        outs = [out for stage in repo.index.stages for out in stage.outs if not out.use_cache]
        models = [out.fs_path for out in outs if out.metric]
        curves = [(out.fs_path, out.plot) for out in outs if out.plot and out.fs_path.endswith(".csv")]
    for path in models:
        model, keys = Path(path).stem, HEADLINE_OF_TEXT if Path(path).stem == "text" else HEADLINE
        shift = 0.0123 if again and model in CHANGED else 0
        figures = {key: round(float(value) + shift, 4) for key, value in zip(keys, rng.uniform(0.1, 0.9, len(keys)),
                                                                            strict=True)}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(figures))
    for path, axes in curves:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(f"{axes['x']},{axes['y']}\n1,{2 - again}\n2,1\n")


def write_lock(folder: Path, again: bool) -> None:
    """dvc.lock as a run leaves it: all checksums made up, after the change others behind train_devise."""
    with Repo(str(folder)) as repo:
        stages, graph = repo.index.stages, repo.index.graph
        trained = [stage for stage in stages if stage.addressing.startswith("train_devise")]
        behind = {one for stage in trained for one in networkx.ancestors(graph, stage)} | set(trained)
        made_anew = [out.fs_path for stage in behind for out in stage.outs if again]
        entries = {}
        for stage in stages:
            files = {kind: [{"path": str(file), "hash": "md5", "size": 1, "md5": _sum(file.fs_path, made_anew)}
                            for file in found if file.protocol == "local" and file.hash_name == "md5"]
                     for kind, found in (("deps", stage.deps), ("outs", stage.outs))}
            entries[stage.addressing] = {"cmd": stage.cmd, **files}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": entries}))


def _sum(path: str, made_anew: list[str]) -> str:
    changed = any(f"{made}/".startswith(f"{path}/") for made in made_anew)
    return hashlib.md5(f"{path}{changed}".encode()).hexdigest()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """HEAD has the demo's margin; the working tree another one; so has an experiment on top of HEAD."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "--quiet", "--initial-branch=main")
    Repo.init(str(folder)).close()
    for name in ("dvc.yaml", "params.yaml", ".gitignore"):
        (folder / name).write_bytes((PROJECT / name).read_bytes())
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setenv("COLUMNS", str(WIDTH))
    patch.setenv("DVC_NO_ANALYTICS", "1")
    for again in (False, True):
        if again:
            params = (folder / "params.yaml").read_text()
            (folder / "params.yaml").write_text(params.replace("  margin: 0.1 ", "  margin: 0.2 ", 1))
        write_figures(folder, again)
        write_lock(folder, again)
        git(folder, "add", "--all")
        if not again:
            git(folder, "commit", "--quiet", "--message=before")
    before = git(folder, "rev-parse", "HEAD")
    after = git(folder, "commit-tree", git(folder, "write-tree"), "-p", before, "-m", "dvc: commit experiment")
    git(folder, "update-ref", f"refs/exps/{before[:2]}/{before[2:]}/wider-margin", after)
    yield folder
    patch.undo()


@pytest.fixture
def said(repository, capsys):
    """Runs a dvc command; returns the lines that it prints."""
    def run(*arguments: str) -> list[str]:
        assert dvc([*arguments]) == 0
        return capsys.readouterr().out.rstrip("\n").splitlines()
    return run


def fits(lines: list[str]) -> bool:
    return 0 < len(lines) <= HEIGHT and max(map(len, lines)) <= WIDTH


def test_metrics_show_is_a_row_a_model(said):
    head, *rows = said("metrics", "show")
    assert fits([head, *rows]), head
    assert set(head.split()) == {"Path", *HEADLINE, *HEADLINE_OF_TEXT}
    assert {"text", "softmax", *CHANGED, "conse-1", "exemplars"} < {Path(row.split()[0]).stem for row in rows}


def test_metrics_diff_is_a_row_for_each_headline_figure_of_the_models_that_changed(said):
    head, *rows = said("metrics", "diff")
    assert fits([head, *rows]) and head.split() == ["Path", "Metric", "HEAD", "workspace", "Change"]
    found = [(Path(path).stem, key, change) for path, key, _, _, change in map(str.split, rows)]
    assert sorted(found) == [(model, key, "0.0123") for model in CHANGED for key in sorted(HEADLINE)]


def test_params_diff_is_the_one_line(said):
    assert [line.split() for line in said("params", "diff")] == [
        ["Path", "Param", "HEAD", "workspace"], ["params.yaml", "train_devise.margin", "0.1", "0.2"]]


def test_exp_show_has_few_columns_and_the_models_headline_in_them(said):
    head, *rows = csv.reader(said("exp", "show", "--only-changed", "--csv"))
    columns = set(head) - {"rev", "typ"}  # what the table beside --csv shows
    assert {"Experiment", "Created", "train_devise.margin"} < columns and len(columns) <= COLUMNS
    assert {f"metrics/headline/{model}.json:{key}" for model in CHANGED for key in HEADLINE} < columns
    assert [dict(zip(head, row, strict=True))["train_devise.margin"] for row in rows] == ["0.2", "0.1", "0.2"]


def test_every_plot_of_figures_says_what_it_shows():
    for body in stage_bodies(DVC_YAML).values():
        for plot in body.get("plots", []):
            [(path, said)] = plot.items()
            assert path.endswith(".png") or {"title", "x_label", "y_label"} <= set(said), path


def test_plots_show_puts_titles_and_axes_there(repository, said):
    said("plots", "show", "--out", "page")
    page = (repository / "page" / "index.html").read_text(encoding="utf-8")
    for text in ("Training the map alone: devise", "Training the whole network: random", "Training the softmax CNN",
                 "hinge rank loss of training images", "The universe by distance from the seen classes"):
        assert f'"{text}"' in page


def test_metrics_are_few():
    """The headline alone, so that the commands above can be read; a figure more is a column more for each model."""
    tracked = [metric for body in stage_bodies(DVC_YAML).values() for metric in body.get("metrics", [])]
    assert {key for metric in tracked for key in metric} == {
        "metrics/headline/text.json", "metrics/headline/${item}.json", "metrics/headline/conse-${item}.json"}
    assert len(HEADLINE) <= 8
