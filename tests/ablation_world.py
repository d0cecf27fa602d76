"""A toy pipeline for tests of ablations: two stages of a shell's and Python's few lines, and a list of rows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run_world import git
from tools import ablation
from zeroshot.console.errors import InputError

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


def build_toy(folder: Path, monkeypatch) -> Path:
    """A pipeline of two stages in a git repository; `$COUNT`, the file `count` in `folder`, lists what ran."""
    root = folder / "a project"
    for name in ("presets", "ablations", "code", ".dvc"):
        (root / name).mkdir(parents=True)
    monkeypatch.setenv("COUNT", str(folder / "count"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
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


def committed(root: Path, parent: str, path: str, text: str, message: str) -> str:
    """A commit with one more file, made beside the workspace."""
    script = """export GIT_INDEX_FILE="$PWD/.git/another"
        git read-tree "$1" && blob=$(printf %s "$3" | git hash-object -w --stdin)
        git update-index --add --cacheinfo 100644,$blob,"$2" && git commit-tree -p "$1" -m "$4" $(git write-tree)"""
    return subprocess.run(["sh", "-ec", script, "sh", parent, path, text, message], cwd=root, capture_output=True,
                          text=True, check=True).stdout.strip()


def refused(*arguments, **keywords):
    """What an ablation says that does not begin."""
    with pytest.raises(InputError) as error:
        ablation.main(*arguments, **keywords)
    return str(error.value)
