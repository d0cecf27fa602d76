"""What differs between two runs besides their figures: params, and what DVC ran; and whether a run is whole."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tools.preset import dotted, leaves
from tools.runs import RANKINGS, Run

CODE = ("stages/", "zeroshot/")
ABSENT = "(none)"


class ParamChange(NamedTuple):
    key: str
    before: Any
    after: Any


class StageChange(NamedTuple):
    """A stage that ran anew.

    Attributes:
        what: "outs changed", "ran, same outs", "new" or "gone".
        because: what of it differs: command, params, code, data.
    """

    stage: str
    what: str
    because: tuple[str, ...]


def changed_params(before: Run, after: Run) -> list[ParamChange]:
    """Keys of params.yaml, dotted, whose values differ; a list is one value."""
    old, new = ({dotted(keys): value for keys, value in leaves(run.params)} for run in (before, after))
    return [ParamChange(key, old.get(key, ABSENT), new.get(key, ABSENT)) for key in dict.fromkeys([*old, *new])
            if (key in old, old.get(key)) != (key in new, new.get(key))]


def changed_stages(before: Run, after: Run) -> list[StageChange]:
    """Stages whose entries in dvc.lock differ, in the later run's order, then those that it lacks."""
    changes = []
    for name in dict.fromkeys([*after.stages, *before.stages]):
        old, new = before.stages.get(name), after.stages.get(name)
        if old is None or new is None:
            changes.append(StageChange(name, "new" if old is None else "gone", ()))
        elif old != new:
            same = _hashes(old, "outs") == _hashes(new, "outs")
            changes.append(StageChange(name, "ran, same outs" if same else "outs changed", _because(old, new)))
    return changes


def stale(run: Run) -> list[str]:
    """Stages before the rankings that have not run since a setting or another stage's output changed, each with which.

    Code and lists that git tracks are left to `dvc status`: a lock holds DVC's hashes of them, and no later ones.
    """
    found = []
    for name in sorted(_leading_to_rankings(run)):
        stage = run.stages[name]
        found += [f"{name} ({key})" for key, value in stage.get("params", {}).get("params.yaml", {}).items()
                  if _at(run.params, key) != value]
        found += [f"{name} ({path})" for path, md5 in _hashes(stage, "deps").items()
                  if _made(run, path) not in (None, md5)]
    return found


def _at(params: Mapping[str, Any], place: str) -> Any:
    """The value of a dotted key; None if there is none."""
    value: Any = params
    for key in place.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _hashes(stage: Mapping[str, Any], kind: str) -> dict[str, str | None]:
    return {entry["path"]: entry.get("md5") for entry in stage.get(kind, [])}


def _because(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    deps = [_hashes(stage, "deps") for stage in (old, new)]
    changed = [path for path in deps[0] | deps[1] if deps[0].get(path) != deps[1].get(path)]
    reasons = {"command": old.get("cmd") != new.get("cmd"), "params": old.get("params") != new.get("params"),
               "code": any(path.startswith(CODE) for path in changed),
               "data": any(not path.startswith(CODE) for path in changed)}
    return tuple(reason for reason, holds in reasons.items() if holds)


def _leading_to_rankings(run: Run) -> set[str]:
    """Stages that make rankings, or what these are made from."""
    makers = {path: name for name, stage in run.stages.items() for path in _hashes(stage, "outs")}
    waiting = [name for path, name in makers.items() if path.startswith(RANKINGS)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [makers[out] for path in _hashes(run.stages[name], "deps") if (out := _out(run, path)) in makers]
    return found


def _out(run: Run, path: str) -> str | None:
    """The out that is `path`, or a folder that holds it."""
    return next((out for out in run.outs if f"{path}/".startswith(f"{out}/")), None)


def _made(run: Run, path: str) -> str | None:
    """Hash of a file or folder as the run's stages made it; None if none did, or the cache cannot tell."""
    out = _out(run, path)
    if out is None or out == path:
        return run.outs.get(path)
    return run.files(out, run.outs[out]).get(path) if run.in_cache(run.outs[out]) else None
