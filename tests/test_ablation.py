"""Ablations: lists and their refusals, what a row is known by, resuming, the table, and a tiny one as a whole."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from tests.run_world import git
from tools import ablation, ablation_settings, ablation_table
from tools.bench import Bench, Job, experiments
from tools.stage_deps import PROJECT

LIST = """
title: Toys
preset: demo
figures: {models: [devise], columns: [unseen hit@1, unseen+seen harmonic_mean]}
rows:
  as it is:
  x is 9: second.x=9
  both: first.a=2 second.x=3
"""
PIPELINE = """
stages:
  first:
    cmd: echo first >> "$COUNT" && cp params.yaml one
    params: [first.a]
    deps: [code, "${first.text}"]
    outs: [one]
  second:
    foreach: ${second.models}
    do:
      cmd: python code/second.py ${second.x} ${item}
      deps: [one, code]
      params: [second.x]
      metrics: ["metrics/${item}": {cache: false}]
"""
SECOND = """
import json, os, pathlib, sys, time
x, model = int(sys.argv[1]), sys.argv[2]
with open(os.environ["COUNT"], "a") as file:
    print("second", x, file=file)
if x == 3 and "SLOW" in os.environ:
    time.sleep(60)
if x > 8:
    sys.exit(f"second: x is {x}; expected at most 8")
folder = pathlib.Path("metrics", model)
folder.mkdir(parents=True)
for name in ("unseen", "unseen+seen"):
    (folder / f"{name}.json").write_text(json.dumps({"hit@1": x / 10, "gzsl_harmonic": x / 20}))
"""
PARAMS = "first: {a: 1, text: text.txt}\nsecond: {x: 1, models: [devise]}\n"


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A pipeline of two stages in a git repository; `$COUNT` lists what ran."""
    root = tmp_path / "a project"
    for folder in ("presets", "ablations", "code", ".dvc"):
        (root / folder).mkdir(parents=True)
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(ablation, "about_machine", lambda: {"hardware": "a machine", "versions": "Python 3"})
    files = {"dvc.yaml": PIPELINE, "code/second.py": SECOND, "text.txt": "text", "params.yaml": PARAMS,
             "presets/demo.yaml": PARAMS, "presets/other.yaml": "second: {x: 5}", "ablations/toys.yaml": LIST,
             ".gitignore": "/one\n/lost/\n", ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n", ".dvc/config": ""}
    for name, text in files.items():
        (root / name).write_text(text)
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "t")
    git(root, "config", "user.email", "t@example.org")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "toy")
    return root


def ran(tmp_path):
    count = tmp_path / "count"
    return count.read_text().splitlines() if count.exists() else []


def test_a_tiny_one_as_a_whole_is_killed_and_goes_on_and_leaves_the_workspace_alone(toy, tmp_path, capsys):
    (toy / "params.yaml").write_text("edited: {by: its user}\n")
    before = git_state(toy)
    kill_in_the_last_row(toy, tmp_path)
    assert ran(tmp_path) == ["first", "second 1", "second 9", "first", "second 3"]
    assert [found.about["row"] for found in experiments(toy).values()] == ["as it is"]
    assert ablation.main("toys", root=toy) == 1
    said = capsys.readouterr().out
    assert "1 of 3 runs are there already" in said and "x is 9 FAILED: second: x is 9; expected at most 8 (all" in said
    assert ran(tmp_path)[5:] == ["second 9", "second 3"]  # the last row's `first` had run before the kill
    assert git_state(toy) == before and {path.name for path in (toy / ablation.WORK).iterdir()} == {"logs", "lock"}
    rows = list(csv.DictReader((toy / "results" / "demo" / "ablations" / "toys.csv").open()))
    assert [[row[key] for key in ("row", "metric", "value", "difference")] for row in rows] == [
        ["as it is", "hit@1", "0.1", ""], ["as it is", "harmonic_mean", "0.05", ""],
        ["both", "hit@1", "0.3", "0.19999999999999998"], ["both", "harmonic_mean", "0.15", "0.09999999999999999"]]
    text = (toy / "results" / "demo" / "ablations" / "toys.md").read_text()
    assert "- **x is 9**: failed: second: x is 9; expected at most 8\n" in text
    assert "| both (`first.a=2 second.x=3`) | DeViSE | 30.0 +20.0 ±– | 15.0 +10.0 ±– " in text
    assert ablation_settings.git(toy, "rev-parse", "--short=7", "HEAD").strip() in text and "a machine" in text


def git_state(root):
    """All that git sees of a workspace, but for the results."""
    parts = [("status", "--porcelain", "--", ".", ":!results"), ("stash", "list"), ("rev-parse", "HEAD"), ("diff",)]
    return [ablation_settings.git(root, *part) for part in parts]


def kill_in_the_last_row(root, tmp_path):
    code = f"from pathlib import Path; from tools.ablation import main; main('toys', root=Path({str(root)!r}))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, env={**os.environ, "SLOW": "1"},
                          stdout=subprocess.DEVNULL) as process:
        while "second 3" not in ran(tmp_path) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)


def test_a_row_holds_what_it_made_and_nothing_of_the_row_before(toy):
    """Neither its metrics nor its entries in dvc.lock."""
    commit = ablation_settings.git(toy, "rev-parse", "HEAD").strip()
    bench = Bench(toy, toy / ".dvc" / "tmp" / "bench", commit)
    for number, models in enumerate(("[softmax, devise]", "[devise, random]")):
        text = PARAMS.replace("[devise]", models).encode()
        assert bench.run(Job(f"row-{number}", "row", text, {}), toy / ".dvc" / "tmp" / "log", lambda _: None)
    bench.close()
    second = experiments(toy)["row-1"].commit
    lock = yaml.safe_load(ablation_settings.git(toy, "show", f"{second}:dvc.lock"))
    assert set(lock["stages"]) == {"first", "second@devise", "second@random"}
    assert ablation_settings.git(toy, "ls-tree", "--name-only", f"{second}:metrics").split() == ["devise", "random"]
    assert ablation_table.figure(toy, second, "random", "unseen", "hit@1") == 0.1
    assert ablation_table.figure(toy, second, "softmax", "unseen", "hit@1") is None


@pytest.fixture
def faked(toy, monkeypatch):
    """`calls` gets each run's row and params; rows whose label holds "9" fail; no DVC runs."""
    calls, lock = [], threading.Lock()

    def run_row(benches, job, log, say):
        calls.append((job.about["row"], job.about["seed"], yaml.safe_load(job.text)))
        with lock:
            return pretend(job, log)

    def pretend(job, log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("Running stage 'second':\n> x\nsecond: it is 9\nERROR: failed to reproduce\n")
        if "9" in job.label:
            return False
        head = ablation_settings.git(toy, "rev-parse", "HEAD").strip()
        x = yaml.safe_load(job.text)["second"]["x"]
        metrics = toy / "metrics" / "devise" / "unseen.json"
        metrics.parent.mkdir(parents=True, exist_ok=True)
        metrics.write_text(f'{{"hit@1": {x / 10}}}')
        git(toy, "add", "metrics")
        about = '{"started": 1700000000, "hardware": "h", "versions": "v"}'
        git(toy, "commit", "--quiet", "--allow-empty", "-m", f"row\n\n{about}")
        git(toy, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{job.name}", "HEAD")
        git(toy, "reset", "--quiet", "--hard", head)
        return True

    monkeypatch.setattr(ablation, "run_row", run_row)
    return calls


def rows_of(calls):
    return [call[0] for call in calls]


def test_rows_that_are_there_are_not_run_again_and_a_failing_one_stops_no_other(toy, faked, capsys):
    assert ablation.main("toys", root=toy) == 1 and rows_of(faked) == ["as it is", "x is 9", "both"]
    assert ablation.main("toys", root=toy) == 1 and rows_of(faked)[3:] == ["x is 9"]
    (toy / "notes.md").write_text("of no stage's concern")
    git(toy, "add", ".")
    git(toy, "commit", "--quiet", "-m", "notes")
    assert ablation.main("toys", root=toy) == 1 and rows_of(faked)[4:] == ["x is 9"]
    assert capsys.readouterr().out.count("x is 9 FAILED: second: it is 9") == 3


@pytest.mark.parametrize("path, text", [("code/second.py", SECOND + "\n"), ("text.txt", "another"),
                                        ("dvc.yaml", PIPELINE + "\n"),
                                        ("presets/demo.yaml", PARAMS.replace("devise]", "devise, random]"))])
def test_rows_run_again_after_a_commit_of_what_decides_them(toy, faked, path, text):
    ablation.main("toys", root=toy)
    (toy / path).write_text(text)
    git(toy, "commit", "--quiet", "--all", "-m", "change")
    ablation.main("toys", root=toy)
    assert rows_of(faked) == ["as it is", "x is 9", "both"] * 2


def test_several_at_a_time_begin_with_the_first(toy, faked):
    (toy / "ablations" / "toys.yaml").write_text(LIST.replace("x is 9: second.x=9", "x is 8: second.x=8"))
    assert ablation.main("toys", jobs=3, root=toy) == 0
    assert rows_of(faked)[0] == "as it is" and sorted(rows_of(faked)) == ["as it is", "both", "x is 8"]


def test_each_row_runs_once_a_seed_which_its_keys_get(toy, faked):
    seeds = "seeds: [4, 7]\nseed_keys: [first.a]\n"
    (toy / "ablations" / "toys.yaml").write_text(LIST.replace("first.a=2 ", "") + seeds)
    ablation.main("toys", root=toy)
    assert [(row, seed, params["first"]["a"], params["second"]["x"]) for row, seed, params in faked] == [
        ("as it is", 4, 4, 1), ("as it is", 7, 7, 1), ("x is 9", 4, 4, 9), ("x is 9", 7, 7, 9), ("both", 4, 4, 3),
        ("both", 7, 7, 3)]
