"""How every stage starts: settings from params.yaml, paths from dvc.yaml's command line, and nothing else."""

import argparse
import contextlib
import errno
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from zeroshot.base.params import StageParams, load_params, read_yaml
from zeroshot.base.parent import die_with_parent
from zeroshot.console.errors import InputError
from zeroshot.running.copies import hint_for
from zeroshot.running.launch import launch

SETTING = "params:"  # before a flag's value: it is not the value, but where params.yaml holds it
PARAMS = Path("params.yaml")


def run_stage(main: Callable[..., None], *, parent: int, check_first: Sequence[str] = (), shared: bool = False) -> None:
    """Call `main(params, *, flag: Path | str, ...)` as a program and exit.

    `params`, where main takes it, is the section of params.yaml named like main's file, checked by the
    class that annotates it; each other argument becomes a `--flag` (underscores as dashes).
    A flag with a default may be left out.

    Args:
        parent: the process that started this one; where another has taken its place, it was killed meanwhile.
        check_first: a command to run before anything else; the stage ends as it does, if that is badly.
        shared: several processes can share the stage's work; `launch` tells how they are started.
    """
    die_with_parent()
    if os.getppid() != parent:
        sys.exit("the process that started this stage is gone; so is the stage")
    name = Path(inspect.getfile(main)).stem
    flags = _parse_flags(main, name)
    joined = shared and "RANK" in os.environ  # torchrun started this process, and others with it
    if not joined:
        if check_first and (fault := subprocess.run(check_first).returncode):
            sys.exit(fault)
        if shared and ("PET_NPROC_PER_NODE" in os.environ or "PET_NNODES" in os.environ):
            launch(f"stages.{name}", sys.argv[1:])
    params = inspect.signature(main).parameters.get("params")
    try:
        with _process_group() if joined else contextlib.nullcontext():
            settings = {"params": _load(name, params.annotation, joined)} if params else {}
            main(**settings, **_values(main, flags))
    except Exception as error:
        if (message := _for_the_user(error, name, params.annotation if params else StageParams)) is None:
            raise
        sys.exit(f"{name}: {message}{hint_for(message, _users_paths(flags))}")


def _parse_flags(main: Callable[..., None], name: str) -> dict[str, str]:
    parser = argparse.ArgumentParser(prog=f"python -m stages.{name}", description=sys.modules[main.__module__].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in inspect.signature(main).parameters.values():
        if flag.name != "params":
            optional = flag.default is not inspect.Parameter.empty
            parser.add_argument("--" + flag.name.replace("_", "-"), required=not optional,
                                default=flag.default if optional else None, metavar=flag.name.upper())
    return vars(parser.parse_args())


def _values(main: Callable[..., None], flags: dict[str, str]) -> dict[str, Path | str]:
    """The flags as main takes them. `params:section.key` stands for what params.yaml holds there.

    So a path of the user's never passes a shell, which would run what stands in it after $ or between backticks.

    Raises:
        InputError: params.yaml holds no text there, or a path from the home folder.
    """
    values: dict[str, Path | str] = {}
    for name, given in flags.items():
        if isinstance(given, str) and given.startswith(SETTING):
            given = _setting(given.removeprefix(SETTING))
        is_path = given is not None and inspect.signature(main).parameters[name].annotation is not str
        values[name] = Path(given) if is_path else given
    return values


def _users_paths(flags: dict[str, str]) -> list[str]:
    """What params.yaml holds where a flag names it, as far as it is text."""
    with contextlib.suppress(InputError):  # which was told
        return [_setting(given.removeprefix(SETTING)) for given in flags.values()
                if isinstance(given, str) and given.startswith(SETTING)]
    return []


def _setting(key: str) -> str:
    value = read_yaml(PARAMS)
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise InputError(f"{PARAMS}: `{key}` is {value!r}; expected the path of a file or folder")
    if value.startswith("~"):
        raise InputError(f"{PARAMS}: `{key}` is {value!r}; `~` does not stand for your home folder here: write it out")
    return value


def _load(name: str, params: type[StageParams], joined: bool) -> StageParams:
    if not joined:
        return load_params(name, params)
    from zeroshot.base.processes import load_together

    return load_together(lambda: load_params(name, params))


def _for_the_user(error: Exception, name: str, params: type[StageParams]) -> str | None:
    """What to say of an error that the user can mend; None for a bug of ours, whose traceback is wanted."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (f"{error}: a disk is full, this folder's or that of the checkpoints (~/.cache/zeroshot; "
                "ZEROSHOT_SCRATCH names another place); free some space, then `dvc repro`: nothing half written is "
                "left, and training goes on from its last checkpoint")
    if isinstance(error, OSError):  # a path or an address that a setting named
        what = str(error.strerror or type(error).__name__)
        return " ".join(f"{error.filename}: {what}".split() if error.filename else f"{what}: {error}".split())
    return of_torch(error, name, params) if isinstance(error, RuntimeError) else None


def of_torch(error: RuntimeError, name: str, params: type[StageParams]) -> str | None:
    """What to say of an error of torch's for which a setting of section `name`, checked by `params`, is the remedy."""
    text, torch = str(error).partition("\n")[0], sys.modules.get("torch")  # not loaded for this: many do without
    if isinstance(error, getattr(torch, "OutOfMemoryError", ())) or "CUDA error: out of memory" in text:
        short = ". ".join(text.split(". ")[:3]).rstrip(".")  # what was asked for, and what there is
        lower = f"lower `{name}.batch` in params.yaml, or " if "batch" in params.model_fields else ""
        return f"{short}; {lower}end what else uses this GPU (`nvidia-smi` lists it)"
    operation = re.search(r"(\S+) does not have a deterministic implementation", text)
    if operation and "deterministic" in params.model_fields:
        return (f"torch has no deterministic implementation of {operation[1]} on this device; set "
                f"`{name}.deterministic: false` in params.yaml (then no two runs have quite the same bits)")
    return None


def _process_group() -> contextlib.AbstractContextManager[None]:
    from zeroshot.base.processes import process_group  # loads torch, which many stages do without

    return process_group()
