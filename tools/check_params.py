"""Every section of params.yaml, checked before hours are spent: `make run` and the long stages call this."""

import functools
import importlib
import inspect
import os
import re
import sys
from pathlib import Path

from tools.stage_deps import stage_bodies, stage_module
from zeroshot.base.params import load_params, read_yaml
from zeroshot.console.errors import InputError


def main() -> None:
    """Exit with status 1 and all faults of settings and named inputs, if there are any."""
    bodies = stage_bodies(read_yaml(Path("dvc.yaml")))
    params, faults = check_params(bodies)
    if faults := faults + linked_outs(bodies) + missing_inputs(bodies, params):
        sys.exit("\n".join(faults))


def check_params(bodies: dict[str, dict]) -> tuple[dict[str, dict], list[str]]:
    """Every valid section of params.yaml, and what is wrong with the others."""
    params: dict[str, dict] = {}
    faults = []
    for module in dict.fromkeys(map(stage_module, bodies.values())):
        arguments = inspect.signature(importlib.import_module(module).main).parameters
        section = module.removeprefix("stages.")
        if "params" in arguments:
            try:
                params[section] = load_params(section, arguments["params"].annotation).model_dump()
            except InputError as error:
                faults.append(str(error))
    return params, faults


def missing_inputs(bodies: dict[str, dict], params: dict[str, dict]) -> list[str]:
    """Files and folders that stages take from params.yaml, that no stage makes, and that are not there."""
    outs = [out for body in bodies.values() for out in body.get("outs", [])]
    made = [out if isinstance(out, str) else next(iter(out)) for out in outs]
    named = [re.fullmatch(r"\$\{(\w+)\.([\w.]+)\}", dep) for body in bodies.values() for dep in body["deps"]]
    faults = []
    for section, key in sorted({whole.groups() for whole in named if whole}):
        path = functools.reduce(lambda found, name: found.get(name, {}), key.split("."), params.get(section, {}))
        if path and path.startswith("~"):
            faults.append(f"{path}: `~` does not stand for your home folder here: write it out (params.yaml: "
                          f"{section}.{key})")
        elif path and not Path(path).exists() and not any(f"{path}/".startswith(f"{out}/") for out in made):
            faults.append(f"{path}: no such file or folder (params.yaml: {section}.{key}){_why_not_there(path)}")
    return faults


def _why_not_there(path: str) -> str:
    if not os.path.isabs(path) and ".dvc/tmp" in Path.cwd().as_posix():
        return ("; this is the copy of the tree in which `dvc exp run --temp` and --queue run, without what git does "
                "not track: write an absolute path")
    return ""


def linked_outs(bodies: dict[str, dict]) -> list[str]:
    """Folders that hold stages' outs and are links, as of a data/ on another disk: DVC refuses once a stage has run."""
    folders = {folder for body in bodies.values() for out in outs_of(body) for folder in Path(out).parents}
    return [f"{folder}: a link to {os.readlink(folder)}, and DVC keeps no outs behind links; make it a folder, and "
            "keep what is large on the other disk by `dvc cache dir PATH` and `dvc config cache.type symlink`"
            for folder in sorted(folders) if folder.is_symlink()]


def outs_of(body: dict) -> list[str]:
    outs = [out for kind in ("outs", "metrics", "plots") for out in body.get(kind, [])]
    return [out if isinstance(out, str) else next(iter(out)) for out in outs]


if __name__ == "__main__":
    main()
