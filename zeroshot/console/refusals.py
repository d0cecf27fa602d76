"""What base says when it refuses: its sentences stand here, so that a reworded one makes no stage run again."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zeroshot.console.errors import InputError, NotMade


def no_artifact(path: Path) -> InputError:
    return InputError(f"{path}: no such file; `dvc repro` makes it")


def foreign_artifact(path: Path) -> InputError:
    return InputError(f"{path}: not one of this project's artifacts (bad header); delete it and `dvc repro`")


def damaged_artifact(path: Path) -> InputError:
    return InputError(f"{path}: damaged: its content does not match the checksum that it was written with; "
                      "delete it and `dvc checkout` or `dvc repro`")


def not_made(path: Path, why: str) -> NotMade:
    return NotMade(f"{path}: not made: {why}", why)


def short_artifact(path: Path, array: str, read: int, expected: int) -> InputError:
    return InputError(f"{path}: cut short inside `{array}`: {read} of {expected} bytes; delete it and `dvc repro`")


def no_params(path: Path) -> InputError:
    return InputError(f"{path}: no such file; run from the project's folder, or `make preset NAME=demo`")


def broken_params(path: Path, error: Exception) -> InputError:
    said = " ".join(str(error).replace('in "<byte string>", ', "in ").split())
    return InputError(f"{path}: not valid YAML: {said[:200]}")


def no_section(path: Path, section: str) -> InputError:
    return InputError(f"{path}: section `{section}:` is missing or empty; presets/demo.yaml shows what it holds")


def wrong_params(path: Path, section: str, known: Iterable[str], faults: Iterable[dict[str, Any]]) -> InputError:
    """All of pydantic's `faults` of a section, a line each."""
    return InputError("\n".join(_wrong_param(path, section, known, fault) for fault in faults))


def _wrong_param(path: Path, section: str, known: Iterable[str], fault: dict[str, Any]) -> str:
    key = ".".join([section, *map(str, fault["loc"])])
    if fault["type"] == "extra_forbidden":
        return f"{path}: unknown key `{key}`; known here: {', '.join(sorted(known))}"
    if fault["type"] == "missing":
        return f"{path}: key `{key}` is missing; presets/demo.yaml explains it"
    return f"{path}: `{key}` is {fault['input']!r}; expected: {fault['msg'].removeprefix('Value error, ')}"


def too_few_gpus(process: int, gpus: int) -> InputError:
    return InputError(f"PET_NPROC_PER_NODE: process {process} of this machine finds {gpus} GPUs; start as many "
                      "processes as there are")


def damaged_checkpoint(path: Path) -> str:
    return f"{path}: this checkpoint is damaged; starting from the beginning"
