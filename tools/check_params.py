"""Every section of params.yaml, checked before hours are spent: `make run` and the long stages call this."""

import contextlib
import difflib
import functools
import hashlib
import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from tools.stage_deps import PACKAGES, PROJECT, is_the_projects, stage_bodies, stage_module
from zeroshot.base.files import atomic_write
from zeroshot.base.params import P, StageParams, read_yaml
from zeroshot.console import refusals
from zeroshot.console.errors import InputError
from zeroshot.running.copies import hint_for

PARAMS, PIPELINE = Path("params.yaml"), Path("dvc.yaml")
CHECKED = Path(".dvc") / "tmp" / "checked_params"  # what was checked last and found well


def main() -> None:
    """Exit with status 1 and all faults of settings and named inputs, if there are any."""
    bodies = stage_bodies(read_yaml(PIPELINE))
    checked = _checked_now()
    if CHECKED.exists() and CHECKED.read_text() == checked:  # by `make run`, or by the long stage before
        params, faults = _document(), []
    else:
        params, faults = check_params(bodies)
    make_download_folder(params)
    if faults := faults + linked_outs(bodies) + missing_inputs(bodies, params):
        sys.exit("\n".join(faults))
    if Path(".dvc").is_dir():
        with contextlib.suppress(OSError), atomic_write(CHECKED) as file:  # another may be writing it
            file.write(checked)


def _checked_now() -> str:
    """SHA-256 of the settings and of what they are checked by: that loads every stage, which takes seconds."""
    code = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))
    digest = hashlib.sha256()
    for path in (PARAMS, PIPELINE, Path(__file__), *code):
        content = path.read_bytes() if path.exists() else b""
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def check_params(bodies: dict[str, dict], document: dict | None = None) -> tuple[dict[str, dict], list[str]]:
    """Every valid section of params.yaml, and what is wrong with the others.

    Args:
        document: what params.yaml holds, where that is known; else it is read.
    """
    try:
        document = _document() if document is None else document
    except InputError as error:
        return {}, [str(error)]
    params: dict[str, dict] = {}
    models = _models(bodies)
    faults = unknown_sections(document, [*models, *_read_by_others(bodies)])
    for section, model in models.items():
        try:
            params[section] = _section(document, section, model).model_dump()
        except InputError as error:
            faults.append(str(error))
    return params, faults


def _models(bodies: dict[str, dict]) -> dict[str, type[StageParams]]:
    """Section -> what checks it, of all of the project's stages that have settings."""
    models = {}
    for module in dict.fromkeys(stage_module(body) for body in bodies.values() if is_the_projects(body)):
        arguments = inspect.signature(importlib.import_module(module).main).parameters
        if "params" in arguments:
            models[module.removeprefix("stages.")] = arguments["params"].annotation
    return models


def _read_by_others(bodies: dict[str, dict]) -> list[str]:
    """Sections that stages which a user added read, in whatever way."""
    others = [body for body in bodies.values() if not is_the_projects(body)]
    listed = [param for body in others for param in body.get("params", []) if isinstance(param, str)]
    return [name.partition(".")[0] for name in [*listed, *re.findall(r"\$\{(\w+)", str(others))]]


def _document() -> dict:
    """What params.yaml holds, read once for all sections; raises InputError if it cannot be read or holds none."""
    document = read_yaml(PARAMS)
    if not isinstance(document, dict):
        raise refusals.no_sections(PARAMS)
    return document


def unknown_sections(document: Mapping, known: list[str]) -> list[str]:
    """What to say of each section that no stage reads: misspelt, or a key that lost its indentation."""
    return [str(refusals.unknown_section(PARAMS, name, difflib.get_close_matches(name, known, 1)))
            for name in map(str, document) if name not in known and not name.startswith("x-")]


def _section(document: dict, section: str, model: type[P]) -> P:
    """A section, checked as the stage itself does, which reads the file."""
    if not isinstance(document.get(section), dict):
        raise refusals.no_section(PARAMS, section)
    try:
        return model.model_validate(document[section])
    except ValidationError as error:
        raise refusals.wrong_params(PARAMS, section, model.model_fields, error.errors()) from None


def make_download_folder(params: dict[str, dict]) -> None:
    """Make the folder that index_images is to download into: DVC starts no stage whose dependency is not there."""
    settings = params.get("index_images", {})
    if settings.get("source") == "cifar" and settings["cifar"]["fetch"] and settings["images"].strip(" ~"):
        with contextlib.suppress(OSError):  # `missing_inputs` tells
            Path(settings["images"]).mkdir(parents=True, exist_ok=True)


def missing_inputs(bodies: dict[str, dict], params: dict[str, dict]) -> list[str]:
    """Files and folders that stages take from params.yaml, that no stage makes, and that are not there."""
    faults = []
    for key, path in _named_inputs(bodies, params):
        if not path.strip():
            faults.append(f"{PARAMS}: `{key}` is {path!r}; expected the path of a file or folder")
        elif path.startswith("~"):
            faults.append(f"{path}: `~` does not stand for your home folder here: write it out (params.yaml: {key})")
        elif not os.path.exists(path):  # pathlib's raises where a name is too long
            faults.append(f"{path}: no such file or folder (params.yaml: {key}){hint_for(path, [path])}")
    return faults


def not_in_copies(bodies: dict[str, dict], params: dict[str, dict]) -> list[str]:
    """What to say of each relative path that leads to data which git does not track."""
    return [f"{path} (params.yaml: {key}) is not tracked by git, so `dvc exp run --temp` and `--queue`, which run in a "
            "copy of the project, will not find it; give its absolute path"
            for key, path in _named_inputs(bodies, params) if not Path(path).is_absolute() and _untracked(path)]


def _untracked(path: str) -> bool:
    listed = ["git", "ls-files", "--others", "--directory", "--no-empty-directory", "--", path]
    return bool(subprocess.run(listed, capture_output=True, text=True).stdout.strip())


def _named_inputs(bodies: dict[str, dict], params: dict[str, dict]) -> Iterator[tuple[str, str]]:
    """(section.key, path) of what stages take from params.yaml and no stage makes."""
    made = [out for body in bodies.values() for out in outs_of(body)]
    named = [re.fullmatch(r"\$\{(\w+)\.([\w.]+)\}", dep) for body in bodies.values()
             for dep in body.get("deps", [])]
    for section, key in sorted({whole.groups() for whole in named if whole}):
        path = functools.reduce(lambda found, name: found.get(name, {}), key.split("."), params.get(section, {}))
        if isinstance(path, str) and not any(f"{path}/".startswith(f"{out}/") for out in made):
            yield f"{section}.{key}", path


def linked_outs(bodies: dict[str, dict]) -> list[str]:
    """Folders that hold stages' outs and are links, as of a data/ on another disk: DVC refuses once a stage has run."""
    folders = {folder for body in bodies.values() for out in outs_of(body) for folder in Path(out).parents}
    return [f"{folder}: a link to {os.readlink(folder)}, and DVC keeps no outs behind links; make it a folder, and "
            "keep what is large on the other disk by `dvc cache dir PATH` and `dvc config cache.type symlink`"
            for folder in sorted(folders) if folder.is_symlink()]


def outs_of(body: Mapping) -> list[str]:
    """Paths of all that a stage makes, metrics and plots too."""
    outs = [out for kind in ("outs", "metrics", "plots") for out in body.get(kind, [])]
    return [out if isinstance(out, str) else next(iter(out)) for out in outs]


if __name__ == "__main__":
    main()
