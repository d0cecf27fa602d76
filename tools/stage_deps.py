"""The code that each stage depends on, as dvc.yaml must list it: its own file, and the packages that it loads.

DVC does not trace imports, so a module that a stage imports and does not declare would leave stale results. The unit is
the package: a stage depends on every package that holds a file of its import closure, whole. Two packages are nobody's
dependency, since nothing in them can change a result: how a stage is started, and what it says.
`python -m tools.stage_deps --write` (or `make deps`) brings dvc.yaml up to date; the tests compare. What is not code in
a stage's deps stays as it is, on lines of its own.
"""

import ast
import functools
import re
import sys
import textwrap
from pathlib import Path

import ruamel.yaml

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("stages", "zeroshot")
BASE = "zeroshot/base"  # first of the packages
CHANGES_NO_RESULT = ("zeroshot/console", "zeroshot/running")
WIDTH = 150  # of dvc.yaml's lines


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


def is_the_projects(body: dict) -> bool:
    """Whether a stage runs one of stages/; users may have added others."""
    return isinstance(body.get("cmd"), str) and " -m stages." in f" {body['cmd']}"


def stage_module(body: dict) -> str:
    """The module that a stage's command runs: the word after `-m`."""
    words = body["cmd"].split()
    return words[words.index("-m") + 1]


def code_deps(body: dict) -> list[str]:
    """The project's code among a stage's declared deps, in order."""
    return [dep for dep in body.get("deps", []) if dep.split("/")[0] in PACKAGES]


def with_deps(text: str) -> str:
    """dvc.yaml's text with each stage's deps as they must be: its code, then on lines of their own its data."""
    lines = text.splitlines()
    for body in reversed(stage_bodies(ruamel.yaml.YAML().load(text)).values()):  # from below: line numbers above stay
        if not is_the_projects(body):
            continue
        start = body.lc.key("deps")[0]
        indent = " " * body.lc.key("deps")[1]
        end = start + 1
        while end < len(lines) and lines[end].startswith((f"{indent} ", f"{indent}- ")):
            end += 1
        data = [dep for dep in body["deps"] if dep not in code_deps(body)]
        lines[start:end] = _deps(declared_code(stage_module(body)), data, indent)
    return "\n".join(lines) + "\n"


def _deps(code: list[str], data: list[str], indent: str) -> list[str]:
    groups = [", ".join(item if re.fullmatch(r"[\w./-]+", item) else f'"{item}"' for item in group) + ","
              for group in (code, data) if group]
    groups[0] = f"deps: [{groups[0]}"
    groups[-1] = f"{groups[-1][:-1]}]"
    lines = []
    for group in groups:
        lines += textwrap.wrap(group, WIDTH, initial_indent=f"{indent}  " if lines else indent,
                               subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False)
    return lines


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tools.stage_deps --write")
    pipeline = PROJECT / "dvc.yaml"
    pipeline.write_text(with_deps(pipeline.read_text(encoding="utf-8")), encoding="utf-8")
