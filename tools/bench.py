"""A workbench: a clone beside the workspace, in which `dvc exp run` runs the rows of an ablation.

`dvc exp run` in the workspace leaves params.yaml changed, and `--temp` and `--queue` stash the workspace's changes for
a moment, so a kill may lose them; `--temp` makes every row a copy of all data. A clone of the commit leaves the
workspace alone, shares its DVC cache and run-cache, and keeps the data from row to row; several work side by side. What
a row made is an experiment of the workspace's repository too, as if `dvc exp run` had run there.
"""

import contextlib
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dvc.repo import Repo
from ruamel.yaml import YAML

from tools.ablation_settings import git, pipeline
from zeroshot.base.params import read_yaml
from zeroshot.base.parent import die_with_parent

LOOKED_AT = (  # no figures, half a row's time
    "explain_failures", "draw_figures", "draw_label_map", "export_model", "make_report")
EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2}/[0-9a-f]{38})/(\S+)")
SAYS = "Running stage"


@dataclass(frozen=True)
class Job:
    """One run: the experiment's name, its params.yaml, and what its commit tells of it."""

    name: str
    label: str
    text: bytes
    about: dict


@dataclass(frozen=True)
class Found:
    """An experiment.

    Attributes:
        about: as `run` wrote it; {} if another tool made the experiment.
        seconds: from the start to the commit; None if nobody told.
    """

    name: str
    commit: str
    baseline: str
    about: dict
    seconds: float | None


def experiments(root: Path) -> dict[str, Found]:
    """All of DVC's experiments in the repository, by name; of equal names the newest."""
    found = {}
    refs = git(root, "for-each-ref", "--sort=committerdate", "refs/exps",
               "--format=%(refname)%09%(objectname)%09%(committerdate:unix)%09%(contents:body)%00")
    for entry in filter(None, (part.strip("\n") for part in refs.split("\0"))):
        ref, commit, committed, body = entry.split("\t", 3)
        if match := EXPERIMENT.fullmatch(ref):
            about = _about(body)
            seconds = int(committed) - about["started"] if about else None
            found[match[2]] = Found(match[2], commit, match[1].replace("/", ""), about, seconds)
    return found


def _about(body: str) -> dict:
    try:
        about = json.loads(body)
    except ValueError:
        return {}
    return about if isinstance(about, dict) and isinstance(about.get("started"), int) else {}


class Bench:
    """A clone of the project at a commit, empty of what runs made; `close` removes it."""

    def __init__(self, root: Path, folder: Path, commit: str):
        self._root, self._folder, self._commit = root, folder, commit
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        git(root, "clone", "--quiet", "--shared", "--no-checkout", ".", str(folder))
        git(folder, "checkout", "--quiet", "--detach", commit)
        for name in ("user.name", "user.email"):
            if value := _config(root, name):
                git(folder, "config", name, value)
        self._configure()
        for path in self._made():
            _remove(folder / path)
        _remove(folder / "dvc.lock")

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, job: Job, log: Path, say: Callable[[str], None]) -> bool:
        """`dvc exp run`, without what is only looked at; whether it did.

        All that it prints goes to `log`, which stages run to `say`.
        """
        (self._folder / "params.yaml").write_bytes(job.text)
        self._forget_other_stages()
        started = int(datetime.datetime.now().timestamp())
        message = f"{job.label}\n\n{json.dumps({'started': started, **job.about}, ensure_ascii=False)}"
        command = [sys.executable, "-m", "dvc", "exp", "run", "--name", job.name, "--message", message,
                   *(name for name in pipeline(self._folder) if name not in LOOKED_AT)]
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "w", encoding="utf-8") as kept, subprocess.Popen(
                command, cwd=self._folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                text=True, errors="replace", preexec_fn=die_with_parent) as process:
            for line in process.stdout:
                kept.write(line)
                kept.flush()
                if line.startswith(SAYS):
                    say(line.removeprefix(SAYS).strip(" ':\n"))
        return process.returncode == 0 and self._hand_over(job.name)

    def _hand_over(self, name: str) -> bool:
        ref = f"refs/exps/{self._commit[:2]}/{self._commit[2:]}/{name}"
        if not git(self._folder, "for-each-ref", ref):
            return False
        git(self._root, "fetch", "--quiet", "--no-write-fetch-head", str(self._folder.resolve()), f"+{ref}:{ref}")
        return True

    def _configure(self) -> None:
        """The workspace's local settings of DVC, paths made absolute, and its cache."""
        with Repo(str(self._root)) as workspace, Repo(str(self._folder)) as here:
            with here.config.edit("local") as config:
                config.update(workspace.config.read("local"))
                config.setdefault("cache", {})["dir"] = workspace.cache.local_cache_dir

    def _made(self) -> Iterator[str]:
        """Paths of outs that git tracks."""
        with Repo(str(self._folder)) as repo:
            yield from [os.path.relpath(out.fs_path, self._folder) for out in repo.index.outs if not out.use_cache]

    def _forget_other_stages(self) -> None:
        """Remove from dvc.lock, with their outs, stages that the row before had and this one has not.

        They would stand in the row's commit, as if it had made them.
        """
        path = self._folder / "dvc.lock"
        if not path.exists():
            return
        with Repo(str(self._folder)) as repo:
            names = {stage.name for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"}
        lock = read_yaml(path)
        for name in lock["stages"].keys() - names:
            for out in lock["stages"].pop(name).get("outs", []):
                _remove(self._folder / out["path"])
        with open(path, "w", encoding="utf-8") as file:
            YAML().dump(lock, file)


class Benches:
    """As many benches as are in use at the same time, made when one is wanted."""

    def __init__(self, root: Path, folder: Path, commit: str):
        self._root, self._folder, self._commit = root, folder, commit
        self._free: list[Bench] = []
        self._number, self._lock = 0, threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[Bench]:
        with self._lock:
            bench = self._free.pop() if self._free else self._new()
        try:
            yield bench
        finally:
            self._free.append(bench)

    def _new(self) -> Bench:
        self._number += 1
        return Bench(self._root, self._folder / f"bench-{self._number}", self._commit)

    def close(self) -> None:
        for bench in self._free:
            bench.close()


def why_it_failed(log: Path) -> str:
    """The last thing that was said before DVC said that it failed."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    end = next((at for at, line in enumerate(lines) if line.startswith("ERROR:")), len(lines))
    before = [line for line in lines[:end] if not line.startswith((SAYS, ">", "Reproducing", "Stage '"))]
    said = before[-1:] or [line.removeprefix("ERROR:").strip() for line in lines[end:end + 1]]
    return said[0] if said else "it was killed"


def _config(root: Path, name: str) -> str:
    return subprocess.run(["git", "config", "--get", name], cwd=root, capture_output=True, text=True).stdout.strip()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
