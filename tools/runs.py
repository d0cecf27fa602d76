"""A run at a revision: its params, its dvc.lock, and its files out of DVC's cache; nothing is checked out.

    run = Run.at("HEAD")         # any revision of git, an experiment's name, or "workspace"
    run.rankings("devise")       # by the hash in that revision's dvc.lock; fetched if only a remote has it
"""

import json
import logging
import re
import shlex
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dvc.exceptions import NotDvcRepoError
from dvc.repo import Repo
from dvc.scm import NoSCMError, SCMError, resolve_rev
from dvc.utils.serialize import ParseError, parse_yaml
from dvc_data.hashfile.hash_info import HashInfo

from zeroshot.base.artifacts import Artifact, why_not_made
from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.ranking.rankings import Rankings
from zeroshot.taxonomy import Taxonomy, read_taxonomy

WORKSPACE = "workspace"
PLACES = {  # what is read of a run -> the out that holds it; where the name has changed, the newest first
    "taxonomy": ("data/taxonomy",),
    "label_sets": ("data/label_sets", "data/splits"),
    "index": ("data/index",),
}
MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
RANKINGS = "data/rankings/"  # outs below it are rankings, or folders of rankings


@dataclass
class Run:
    """What one revision's dvc.lock tells of, made by `at`.

    Attributes:
        rev: as it was asked for.
        commit: its hash; None for the workspace.
        params: params.yaml, one section per stage.
        stages: dvc.lock's entries: name -> cmd, deps, params, outs.
        project: folder of dvc.yaml.
    """

    rev: str
    commit: str | None
    params: dict[str, Any]
    stages: dict[str, dict[str, Any]]
    project: Path
    _cache: Any
    _temporary: tempfile.TemporaryDirectory = field(default_factory=lambda: tempfile.TemporaryDirectory("-run"))
    _read: dict[str, Rankings] = field(default_factory=dict)
    _asked: dict[str, str] = field(default_factory=dict)  # md5 -> what the remote said of it

    @classmethod
    def at(cls, rev: str = WORKSPACE, project: Path = Path(".")) -> "Run":
        """Read dvc.lock and params.yaml of a revision.

        Raises:
            InputError: no such revision or experiment, no repository, or a revision without dvc.lock.
        """
        try:
            repo = Repo(str(project))
        except NotDvcRepoError:
            raise InputError(f"{Path(project).resolve()}: not in a DVC repository; run from the project's folder"
                             ) from None
        with repo:
            commit = None if rev == WORKSPACE else _resolve(repo, rev)
            lock, params = (_read_yaml(repo, rev, commit, name) for name in ("dvc.lock", "params.yaml"))
            if fault := _fault(lock.get("stages") or {}):
                raise InputError(f"{rev}: dvc.lock is none of DVC's: {fault}; `git checkout dvc.lock`, or `dvc repro`")
            if not lock.get("stages"):
                raise InputError(f"{rev}: has no dvc.lock, so no run of the pipeline; "
                                 + ("`dvc repro` makes one" if commit is None else
                                    "expected a commit after a `dvc repro`, as `git log --oneline -- dvc.lock` shows "
                                    "them"))
            return cls(rev, commit, params, lock["stages"], Path(repo.root_dir), repo.cache.local)

    def __str__(self) -> str:
        short = self.commit[:7] if self.commit else ""
        return self.rev if not short or self.commit.startswith(self.rev) else f"{self.rev} ({short})"

    @cached_property
    def outs(self) -> dict[str, str]:
        """path -> md5 of everything that the stages made; a folder's md5 ends in ".dir"."""
        return {out["path"]: out["md5"] for stage in self.stages.values() for out in stage.get("outs", [])
                if "md5" in out}

    @cached_property
    def models(self) -> dict[str, tuple[str, str]]:
        """Model -> path and md5 of its rankings; a folder of rankings that is out of reach stands for its models."""
        found = {}
        for path, md5 in self.outs.items():
            if path.startswith(RANKINGS):
                files = self.files(path, md5) if md5.endswith(".dir") and self.reach([md5]) else {path: md5}
                found |= {Path(file).stem: (file, its_md5) for file, its_md5 in files.items()}
        return found

    def reach(self, md5s: Iterable[str]) -> bool:
        """Are these in DVC's cache? What is not is fetched from the default remote, if there is one."""
        missing = {md5 for md5 in md5s if not self.in_cache(md5)}
        if missing - self._asked.keys():
            self._asked |= dict.fromkeys(missing, _fetch(self.project, missing))
        return all(map(self.in_cache, missing))

    def in_cache(self, md5: str) -> bool:
        return self._cache.exists(md5)

    def has(self, model: str) -> bool:
        """Does this run rank with `model`, and are its rankings in reach?"""
        return model in self.models and self.reach([self.models[model][1]]) and not self._not_made(model)

    def missing(self, model: str) -> str:
        """One line: which rankings are out of reach, and what to do; or why there are none."""
        path, md5 = self.models[model]
        if self.reach([md5]) and (why := self._not_made(model)):
            return f"{self.rev}: {path} was not made: {why}"
        return self._out_of_reach(path, md5)

    def rankings(self, model: str) -> Rankings:
        """Raises InputError: this run has no such model, or its rankings are out of reach."""
        if model not in self.models:
            raise InputError(f"{self.rev}: no model `{model}`; it has {', '.join(sorted(self.models)) or 'none'}")
        if model not in self._read:
            self._read[model] = Rankings(self._link(*self.models[model]), self.label_sets)
        return self._read[model]

    def _not_made(self, model: str) -> str | None:
        """Why the rankings, which are in reach, were not made; None if they were."""
        return why_not_made(self._link(*self.models[model]))

    def images_of(self, model: str) -> str:
        """Checksum of the image index whose images `model` ranked."""
        return Artifact(self._link(*self.models[model]), verify=False).meta["made_from"]["index"]

    @cached_property
    def label_sets(self) -> dict[str, list[str]]:
        return read_label_sets(self.folder("label_sets"))

    @cached_property
    def taxonomy(self) -> Taxonomy:
        return read_taxonomy(self.folder("taxonomy"))

    def md5(self, role: str) -> str:
        """Hash of the out that PLACES names."""
        return self.outs[self._place(role)]

    def folder(self, role: str) -> Path:
        """A folder of links to the files of the out that PLACES names.

        Raises:
            InputError: no stage of this run made it, or it is out of reach.
        """
        place = self._place(role)
        for path, md5 in self.files(place, self.outs[place]).items():
            self._link(path, md5)
        return Path(self._temporary.name, place)

    def _place(self, role: str) -> str:
        place = next((place for place in PLACES[role] if place in self.outs), None)
        if place is None:
            raise InputError(f"{self.rev}: dvc.lock has no {' or '.join(PLACES[role])}; expected a whole run: "
                             "`dvc repro`")
        return place

    def files(self, path: str, md5: str) -> dict[str, str]:
        """path -> md5 of a folder's files, and all of them in reach."""
        if not self.reach([md5]):
            raise InputError(self._out_of_reach(path, md5))
        entries = json.loads(Path(self._cache.oid_to_path(md5)).read_text(encoding="utf-8"))
        return {f"{path}/{entry['relpath']}": entry["md5"] for entry in entries}

    def _link(self, path: str, md5: str) -> Path:
        """A link to a file in the cache, at its own name, so that readers can tell of it."""
        if not self.reach([md5]):
            raise InputError(self._out_of_reach(path, md5))
        link = Path(self._temporary.name, path)
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(self._cache.oid_to_path(md5)).resolve())
        return link

    def _out_of_reach(self, path: str, md5: str) -> str:
        return (f"{self.rev}: {path} (md5 {md5}) is not in DVC's cache, and {self._asked[md5]}; "
                f"`{self._remake()}` makes it anew")

    def _remake(self) -> str:
        """The command; a commit's runs beside the workspace, whose changes a checkout would keep, into its cache."""
        if self.commit is None:
            return "dvc repro"
        beside, cache = f"../{self.commit[:7]}", shlex.quote(str(Path(self._cache.path).parents[1]))
        return (f"git worktree add --detach {beside} {self.commit[:7]} && cd {beside} && dvc cache dir --local {cache} "
                "&& dvc repro")


def _resolve(repo: Repo, rev: str) -> str:
    try:
        commit = resolve_rev(repo.scm, rev)
        repo.scm.get_fs(commit)
        return commit
    except NoSCMError:
        raise InputError(f"{repo.root_dir}: no git repository, so it has no revision `{rev}`; run in a git clone"
                         ) from None
    except (SCMError, AttributeError):  # the latter of what is there but no commit: HEAD:dvc.lock
        raise InputError(f"{rev}: no revision that git knows, nor an experiment's name; `git log --oneline` and "
                         "`dvc exp list` show what there is") from None


def _read_yaml(repo: Repo, rev: str, commit: str | None, name: str) -> dict[str, Any]:
    """A YAML file of the project at a revision; {} if that has none."""
    path = Path(repo.root_dir, name)
    try:
        if commit is None:
            text = path.read_text(encoding="utf-8")
        else:
            with repo.scm.get_fs(commit).open(path.relative_to(Path(repo.scm.root_dir)).as_posix(),
                                              encoding="utf-8") as file:
                text = file.read()
        found = parse_yaml(text, name) or {}
        if not isinstance(found, dict):
            raise InputError(f"{rev}: {name} holds no `key: value`; expected DVC's own")
        return found
    except FileNotFoundError:
        return {}
    except (ParseError, UnicodeDecodeError) as error:
        raise InputError(f"{rev}: {name} is not valid YAML: {error}") from None


def _fetch(project: Path, md5s: Iterable[str]) -> str:
    """Fetch into the cache from the default remote; what to say of the remote if something is still missing."""
    with Repo(str(project)) as repo:
        remote = repo.config["core"].get("remote")
        if not remote:
            return "no default remote is configured"
        logging.getLogger("dvc.data_cloud").setLevel(logging.ERROR)  # what is missing is told here, in one line
        try:
            repo.cloud.pull([HashInfo("md5", md5) for md5 in md5s])
        except Exception as error:  # a remote fails in as many ways as there are kinds of it
            return f"remote `{remote}` failed: {' '.join(str(error).split()) or type(error).__name__}"
        return f"remote `{remote}` lacks it"


def _fault(stages: Any) -> str:
    """What of these is not as dvc.lock tells of stages; "" if nothing."""
    if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
        return "expected `stages:`, then a mapping a stage"
    for name, stage in stages.items():
        for key in ("deps", "outs"):
            listed = stage.get(key, [])
            if not isinstance(listed, list) or not all(map(_is_entry, listed)):
                return f"stage `{name}`: `{key}` is no list of `path` and `md5`, both text"
        params = stage.get("params", {})
        if not isinstance(params, dict) or not all(isinstance(values, dict) for values in params.values()):
            return f"stage `{name}`: `params` is no mapping of a file to its keys and values"
    return ""


def _is_entry(entry: Any) -> bool:
    """Of a dependency or an out; those that DVC does not hash itself have no md5."""
    return (isinstance(entry, dict) and isinstance(entry.get("path"), str)
            and ("md5" not in entry or isinstance(entry["md5"], str) and MD5.fullmatch(entry["md5"]) is not None))
