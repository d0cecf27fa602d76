"""What base says when it refuses: its sentences stand here, so that a reworded one makes no stage run again."""

import re
import reprlib
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zeroshot.console.errors import InputError, NotMade, quoted

_SHORT = reprlib.Repr()  # of settings: a few kB of YAML can mean millions of values
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 200, 200


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
    said = said.partition(" To suppress this check")[0]  # of a key that stands twice
    return InputError(f"{path}: not valid YAML: {said[:200]}")


def no_section(path: Path, section: str) -> InputError:
    return InputError(f"{path}: section `{section}:` is missing or empty; presets/demo.yaml shows what it holds")


def no_sections(path: Path) -> InputError:
    return InputError(f"{path}: holds no sections, one a stage; `make preset NAME=demo` puts the demo's in place")


def unknown_section(path: Path, name: str, nearest: Iterable[str]) -> InputError:
    return InputError(f"{path}: section {quoted(name)} is no stage's, so nothing reads it; nearest: "
                      f"{', '.join(nearest) or 'none'} (names that begin with x- are yours, for anchors)")


def wrong_params(path: Path, section: str, known: Mapping[str, Any], faults: Iterable[dict[str, Any]]) -> InputError:
    """All of pydantic's `faults` of a section, a line each."""
    return InputError("\n".join(_wrong_param(path, section, known, fault) for fault in _by_key(faults)))


def _by_key(faults: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What pydantic says of each kind that a setting may have (`auto` or a number) as one fault of that setting.

    It puts the kind's name behind the key, `literal['auto']` first in a union: no key that a user could find.
    """
    merged: list[dict[str, Any]] = []
    union: tuple[str | int, ...] = ()
    for fault in faults:
        loc, said = fault["loc"], _expectation(fault["msg"])
        if union and loc[:-1] == union:
            merged[-1]["msg"] += f", or {said}"
            continue
        union = loc[:-1] if loc and str(loc[-1]).startswith("literal[") else ()
        merged.append({**fault, "loc": union or loc, "msg": said})
    return merged


def _expectation(message: str) -> str:
    """What is expected, of pydantic's message."""
    message = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return re.sub(r"^\w+ should have (at (least|most) \d+ \w+).*", r"\1", message)


def _within(known: Mapping[str, Any], keys: Iterable[str | int]) -> Mapping[str, Any]:
    """The keys of a section's mapping that these keys lead to.

    Args:
        known: pydantic's fields of the section, by name.
    """
    for key in keys:
        kind = known[key].annotation
        known = next(one.model_fields for one in (kind, *typing.get_args(kind)) if hasattr(one, "model_fields"))
    return known


def _wrong_param(path: Path, section: str, known: Mapping[str, Any], fault: dict[str, Any]) -> str:
    key = ".".join([section, *map(str, fault["loc"])])
    if fault["type"] == "extra_forbidden":
        return f"{path}: unknown key `{key}`; known here: {', '.join(sorted(_within(known, fault['loc'][:-1])))}"
    if fault["type"] == "missing":
        return f"{path}: key `{key}` is missing; presets/demo.yaml explains it"
    return f"{path}: `{key}` is {_SHORT.repr(fault['input'])}; expected: {fault['msg']}"


def too_few_gpus(process: int, gpus: int) -> InputError:
    return InputError(f"PET_NPROC_PER_NODE: process {process} of this machine finds {gpus} GPUs; start as many "
                      "processes as there are")


def damaged_checkpoint(path: Path) -> str:
    return f"{path}: this checkpoint is damaged; starting from the beginning"


def damaged_archive(path: Path, kind: str, read: int, error: Exception) -> InputError:
    return InputError(f"{path}: truncated or corrupt {kind} file, found at byte {read} of {path.stat().st_size}: "
                      f"{error}; fetch it again (nothing of it was used)")


def not_packed(path: Path, kind: str, head: bytes) -> InputError:
    return InputError(f"{path}: truncated or corrupt: its name says {kind}, its first bytes do not ({_as_text(head)}); "
                      "fetch it again, or name it as what it is")


def unreadable_list(path: Path, error: OSError, expected: str) -> InputError:
    why = "no such file" if isinstance(error, (FileNotFoundError, NotADirectoryError)) else (
        "no text file but a folder" if isinstance(error, IsADirectoryError) else error.strerror or type(error).__name__)
    return InputError(f"{path}: cannot be read ({why}); expected {expected}")


def not_utf8(path: Path, data: bytes, expected: str) -> InputError:
    sixteen = ", but UTF-16, as Windows' editors write it" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
    return InputError(f"{path}: cannot be read (not UTF-8 text{sixteen}; save it as UTF-8); expected {expected}")


def no_wnid(path: Path, number: int, line: str, expected: str) -> InputError:
    return InputError(f"{path}: line {number} begins {quoted(line, 20)}; expected a wnid there, n and eight digits, "
                      f"such as n02119789 ({expected})")


def several_wnids(path: Path, number: int, line: str, expected: str) -> InputError:
    return InputError(f"{path}: line {number} holds several wnids ({quoted(line, 40)}), of which only the first would "
                      f"count; expected one a line ({expected})")


def twice(path: Path, wnid: str, first: int, second: int) -> InputError:
    return InputError(f"{path}: {wnid} stands twice, in lines {first} and {second}; expected each once")


def no_wnids(path: Path, expected: str) -> InputError:
    return InputError(f"{path}: holds no wnid; expected {expected}")


def _as_text(head: bytes) -> str:
    """The beginning of a file in words: what it says where it is text, else that it is none."""
    try:
        return f"it begins {quoted(head[:40].decode('ascii').strip(), 30)}"
    except UnicodeDecodeError:
        return "nor are they text"
