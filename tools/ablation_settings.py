"""What a row of an ablation runs on: its whole params.yaml, and the committed code; together they are its identity.

Rows run on the list's preset, whatever params.yaml holds, with one exception: where params.yaml is that preset but for
the places of inputs (`index_images.images`, say) and EDITION, those are its user's own, and rows read the inputs there.
"""

import contextlib
import copy
import functools
import hashlib
import io
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.utils.hydra import apply_overrides, to_hydra_overrides
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, OmegaConf
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tools.ablation_list import Ablation
from tools.check_params import check_params, outs_of
from tools.preset import dotted, leaves, merged, near_spellings, put, round_trip
from tools.stage_deps import stage_bodies
from zeroshot.base.params import read_yaml
from zeroshot.console.errors import InputError

EDITION = {"index_images.cifar.md5", "index_images.cifar.fetch"}  # which files lie there, not what is done with them
REFERENCE = re.compile(r"\$\{(\w+(?:\.\w+)+)\}")  # to a setting, in dvc.yaml


def pipeline(root: Path) -> dict[str, dict]:
    """Stage name -> its body in dvc.yaml."""
    return stage_bodies(read_yaml(root / "dvc.yaml"))


def values(params: Mapping[str, Any]) -> dict[str, Any]:
    """Of what a params.yaml holds: dotted key -> value."""
    return {dotted(keys): value for keys, value in leaves(params)}


def read(text: bytes) -> dict[str, Any]:
    """What a params.yaml holds."""
    return YAML(typ="safe").load(text) or {}


def preset_text(ablation: Ablation, root: Path) -> tuple[bytes, str]:
    """The preset's params.yaml, and what of the one in place a user should know, "" if nothing."""
    text = merged(ablation.preset, root / "presets")
    try:
        here, preset = values(read((root / "params.yaml").read_bytes())), values(read(text))
    except (FileNotFoundError, YAMLError, AttributeError):
        return text, f"params.yaml cannot be read; rows run on the preset `{ablation.preset}`"
    changed = [key for key in here | preset if key not in here or key not in preset or here[key] != preset[key]]
    if not changed:
        return text, ""
    if set(changed) <= named_inputs(pipeline(root)) | EDITION:
        told = ", ".join(f"{key} ({here[key]})" for key in changed)
        return _with(text, {key: here[key] for key in changed}), f"from params.yaml: inputs, {told}"
    rest = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
    return text, (f"params.yaml has other settings than the preset `{ablation.preset}` ({', '.join(changed[:4])}{rest}"
                  "); rows run on the preset's")


def _with(text: bytes, changes: Mapping[str, Any]) -> bytes:
    document, written = round_trip().load(text), io.StringIO()
    for key, value in changes.items():
        *above, last = key.split(".")
        put(document, above, last, value)
    round_trip().dump(document, written)
    return written.getvalue().encode()


def overridden(text: bytes, overrides: Sequence[str], of: str) -> dict[str, Any]:
    """What a params.yaml holds once it is changed as `dvc exp run -S` would.

    Args:
        of: what these belong to, for errors.

    Raises:
        InputError: an unknown key, or a value that DVC does not take.
    """
    known, config = _parsed(text)
    for override in overrides:
        key = override.partition("=")[0]
        if inner := [other.removeprefix(f"{key}.") for other in known if other.startswith(f"{key}.")]:
            raise InputError(f"{of}: `{override}`: `{key}` is a section; expected one of its keys {', '.join(inner)}")
        if key not in known:
            near = near_spellings(key, known)
            raise InputError(f"{of}: unknown setting `{key}`; " + (f"did you mean `{'` or `'.join(near)}`?" if near
                                                                   else "params.yaml has them all"))
    config = copy.deepcopy(config)
    try:
        changes = to_hydra_overrides(list(overrides))
        several = [one.input_line for one in changes if one.is_sweep_override()]
        if not several:
            ConfigLoaderImpl._apply_overrides_to_config(changes, config)  # as DVC does
            return OmegaConf.to_object(config)
    except Exception as error:  # of Hydra's parser
        raise InputError(f"{of}: `{' '.join(overrides)}`: {' '.join(str(error).split())}") from None
    raise InputError(f"{of}: `{several[0]}` has several values; expected one a row, or a list in brackets")


@functools.lru_cache(maxsize=1)
def _parsed(text: bytes) -> tuple[list[str], DictConfig]:
    """Of a params.yaml, whose rows are many: dotted keys, and what overrides apply to."""
    document = read(text)
    config = OmegaConf.create(document, flags={"allow_objects": True})
    OmegaConf.set_struct(config, True)
    return [dotted(keys) for keys, _ in leaves(document)], config


def with_overrides(text: bytes, overrides: Sequence[str]) -> bytes:
    """A params.yaml changed by DVC itself, comments and all, which takes long: for overrides that `overridden` took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_bytes(text)
        apply_overrides(path, list(overrides))
        return path.read_bytes()


def faults_of(params: dict[str, Any], bodies: dict[str, dict]) -> list[str]:
    """What the stages refuse in what a params.yaml holds."""
    return [line for fault in check_params(bodies, params)[1] for line in fault.splitlines()]


def named_inputs(bodies: Mapping[str, Mapping]) -> set[str]:
    """Settings that are a dependency's path as a whole."""
    wholes = [REFERENCE.fullmatch(dep) for body in bodies.values() for dep in body.get("deps", [])]
    return {whole[1] for whole in wholes if whole}


def dependencies(bodies: Mapping[str, Mapping], settings: Mapping[str, Any]) -> set[str]:
    """Paths that stages read and no stage makes."""
    made = [out for body in bodies.values() for out in outs_of(body)]
    read = {REFERENCE.sub(lambda match: str(settings.get(match[1], match[0])), dep)
            for body in bodies.values() for dep in body.get("deps", [])}
    return {path for path in read if path and "${" not in path
            and not any(f"{path}/".startswith(f"{out}/") or out.startswith(f"{path}/") for out in made)}


def missing_inputs(root: Path, commit: str, bodies: Mapping[str, Mapping], settings: Mapping[str, Any]) -> list[str]:
    """Inputs that a row, which runs in a copy of what git tracks, would not find: a sentence each."""
    keys = {str(settings.get(key)): key for key in named_inputs(bodies)}
    found = []
    for path in sorted(dependencies(bodies, settings) & keys.keys()):
        there = Path(path).exists() if Path(path).is_absolute() else tracked(root, commit, [path, f"{path}.dvc"])
        if not there:
            found.append(f"{keys[path]}: {path}: " + (
                "no such file or folder" if Path(path).is_absolute() else
                "git does not track it, and a row runs in a copy of what git tracks; give it as an absolute path"))
    return found


def tracked(root: Path, commit: str, paths: Sequence[str]) -> str:
    """git's entries (kind, hash, path) of these paths at a commit; those that are not there are left out."""
    return git(root, "ls-tree", commit, "--", *paths) if paths else ""


def uncommitted(root: Path, bodies: Mapping[str, Mapping], settings: Mapping[str, Any]) -> list[str]:
    """Changed and new files of what stages read, which rows would not see."""
    paths = [path for path in dependencies(bodies, settings) if not Path(path).is_absolute()]
    status = git(root, "status", "--porcelain", "--no-renames", "--untracked-files=all", "--", "dvc.yaml",
                 *sorted(paths))
    return [line[3:] for line in status.splitlines()]


def identity(root: Path, commit: str, bodies: Mapping[str, Mapping], settings: Mapping[str, Any]) -> str:
    """8 hex digits of settings, code and inputs: what decides a row's figures.

    Of inputs outside git, which may be large, names, sizes and times of change two folders deep stand for the content.
    """
    read = sorted(dependencies(bodies, settings))
    code = tracked(root, commit, ["dvc.yaml", *(path for path in read if not Path(path).is_absolute())])
    outside = [entry for path in read if Path(path).is_absolute() for entry in _outline(path)]
    decides = json.dumps([settings, code, outside], sort_keys=True, default=str)
    return hashlib.sha256(decides.encode()).hexdigest()[:8]


@functools.cache
def _outline(path: str, deep: int = 2) -> tuple[tuple[str, int, int], ...]:
    return tuple(_entries(Path(path), deep))


def _entries(path: Path, deep: int) -> Iterator[tuple[str, int, int]]:
    with contextlib.suppress(OSError):
        about = path.stat()
        yield str(path), 0 if path.is_dir() else about.st_size, about.st_mtime_ns
        if deep and path.is_dir():
            for inner in sorted(path.iterdir()):
                yield from _entries(inner, deep - 1)


def git(root: Path, *arguments: str) -> str:
    """What git prints.

    Raises:
        InputError: git says why not.
    """
    ended = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if ended.returncode:
        raise InputError(f"git {arguments[0]}: {' '.join(ended.stderr.split()) or 'failed'}; an ablation runs in a git "
                         "repository with a commit")
    return ended.stdout
