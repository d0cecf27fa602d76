"""The code that each stage depends on: its import closure inside the project, as dvc.yaml must list it.

DVC does not trace imports, so a module that a stage imports and does not declare would leave stale results.
`python -m tools.stage_deps --write` (or `make deps`) brings dvc.yaml up to date; the tests compare.
"""

import ast
import sys
from pathlib import Path

import ruamel.yaml

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("stages", "zeroshot")
BASE = "zeroshot/base"  # one dependency, since nearly every stage loads nearly all of it: DVC reads fewer entries


def import_closure(module: str) -> list[str]:
    """What `module` ("stages.x") loads of the project: itself first, BASE as a folder, other files sorted."""
    found: dict[str, None] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = PROJECT.joinpath(*name.split(".")).with_suffix(".py")
        if not file.exists() or name in found:
            continue
        found[name] = None
        waiting += imported_modules(file)
    own, *others = (name.replace(".", "/") + ".py" for name in found)
    return [own, BASE, *sorted(file for file in others if not file.startswith(BASE + "/"))]


def imported_modules(file: Path) -> list[str]:
    """Dotted names under stages/ and zeroshot/ that a source file imports, at any depth of nesting."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] in PACKAGES]


def stage_bodies(document: dict) -> dict[str, dict]:
    """Stage name -> its body, looking through `foreach ... do`."""
    return {name: stage.get("do", stage) for name, stage in document["stages"].items()}


def stage_module(body: dict) -> str:
    """The module that a stage's command runs: the word after `-m`."""
    words = body["cmd"].split()
    return words[words.index("-m") + 1]


def code_deps(body: dict) -> list[str]:
    """The project's code among a stage's declared deps, in order."""
    return [dep for dep in body.get("deps", []) if dep.endswith(".py") or dep == BASE]


def _write(path: Path) -> None:
    yaml = ruamel.yaml.YAML()
    yaml.width, yaml.preserve_quotes = 4096, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(path.read_text(encoding="utf-8"))
    for body in stage_bodies(document).values():
        data = [dep for dep in body.get("deps", []) if dep not in code_deps(body)]
        deps = ruamel.yaml.comments.CommentedSeq([*import_closure(stage_module(body)), *data])
        body["deps"] = deps
    with open(path, "w", encoding="utf-8") as file:
        yaml.dump(document, file)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tools.stage_deps --write")
    _write(PROJECT / "dvc.yaml")
