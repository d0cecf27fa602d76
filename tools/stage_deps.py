"""The code that each stage depends on, as dvc.yaml must list it: its own file, and the packages that it loads.

DVC does not trace imports, so a module that a stage imports and does not declare would leave stale results. The unit is
the package: a stage depends on every package that holds a file of its import closure, whole. Two packages are nobody's
dependency, since nothing in them can change a result: how a stage is started, and what it says.
`python -m tools.stage_deps --write` (or `make deps`) brings dvc.yaml up to date; the tests compare.
"""

import ast
import functools
import sys
from pathlib import Path

import ruamel.yaml

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("stages", "zeroshot")
BASE = "zeroshot/base"  # first of the packages
CHANGES_NO_RESULT = ("zeroshot/console", "zeroshot/running")


def import_closure(module: str) -> list[Path]:
    """The project's files that `module` ("stages.x") loads, itself first; relative to the project."""
    found: dict[Path, None] = {}
    waiting = [module]
    while waiting:
        file = Path(*waiting.pop().split(".")).with_suffix(".py")
        if file in found or not (PROJECT / file).exists():
            continue
        found[file] = None
        waiting += imported_modules(PROJECT / file)
    return list(found)


def declared_code(module: str) -> list[str]:
    """What of its code a stage must declare: its file, base, the other packages and single modules, sorted."""
    own, *others = import_closure(module)
    units = {str(file.parent if len(file.parts) > 2 else file) for file in others}
    return [str(own), *sorted(units - {*CHANGES_NO_RESULT}, key=lambda unit: (unit != BASE, unit))]


@functools.cache
def imported_modules(file: Path) -> tuple[str, ...]:
    """Dotted names under stages/ and zeroshot/ that a source file imports, at any depth of nesting."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.split(".")[0] in PACKAGES)


def stage_bodies(document: dict) -> dict[str, dict]:
    """Stage name -> its body, looking through `foreach ... do`."""
    return {name: stage.get("do", stage) for name, stage in document["stages"].items()}


def stage_module(body: dict) -> str:
    """The module that a stage's command runs: the word after `-m`."""
    words = body["cmd"].split()
    return words[words.index("-m") + 1]


def code_deps(body: dict) -> list[str]:
    """The project's code among a stage's declared deps, in order."""
    return [dep for dep in body.get("deps", []) if dep.split("/")[0] in PACKAGES]


def _write(path: Path) -> None:
    yaml = ruamel.yaml.YAML()
    yaml.width, yaml.preserve_quotes = 4096, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(path.read_text(encoding="utf-8"))
    for body in stage_bodies(document).values():
        data = [dep for dep in body.get("deps", []) if dep not in code_deps(body)]
        body["deps"] = ruamel.yaml.comments.CommentedSeq([*declared_code(stage_module(body)), *data])
    with open(path, "w", encoding="utf-8") as file:
        yaml.dump(document, file)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tools.stage_deps --write")
    _write(PROJECT / "dvc.yaml")
