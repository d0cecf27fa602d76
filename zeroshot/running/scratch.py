"""Where a long stage keeps its checkpoints: outside the outs, keyed by everything that decides the result.

DVC deletes a stage's outs before it runs, so what must survive a kill cannot lie there. A scratch
folder is found again only by a run with the same settings, inputs and code; any other starts anew.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from zeroshot.console.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]
OWN = ("__main__", "stages", "zeroshot")  # where the project's code is; a stage that runs is the first
CHANGE_NO_RESULT = ("console", "running")  # packages
SLOT = re.compile(r"[0-9a-f]{16}-\d+")
LOCK_PATIENCE = 10  # seconds: a killed process that gives back its memory is gone by then


def scratch_root() -> Path:
    """$ZEROSHOT_SCRATCH (absolute), else ~/.cache/zeroshot. It changes where checkpoints lie, never a result."""
    try:
        return Path(os.environ.get("ZEROSHOT_SCRATCH") or "~/.cache/zeroshot").expanduser().resolve()
    except RuntimeError:  # such a user as `docker run --user 1234` makes
        raise InputError("no place for checkpoints: this user has no home folder; let ZEROSHOT_SCRATCH name a folder "
                         "on a local disk") from None


@contextlib.contextmanager
def scratch_folder(stage: str, **decides: Any) -> Iterator[Path]:
    """Yield the folder of this very computation; remove it when the block ends without an exception.

    Args:
        stage: the stage's name (with its cell, if it has any).
        decides: all that decides the result besides the code: params (a pydantic model or JSON-able
            value) and the checksums of the inputs. The project's loaded source files are added here.

    Two equal runs at the same time (two clones, say) get different folders; the second just cannot resume.

    Raises:
        InputError: no folder can be made there, or no file locked.
    """
    decided = json.dumps([decides, code_digest()], sort_keys=True, default=_jsonable)
    key = hashlib.sha256(decided.encode()).hexdigest()[:16]
    folder, lock = _lock_slot(scratch_root() / stage, key)
    folder.mkdir(exist_ok=True)
    try:
        yield folder
        _remove(folder, lock)
    finally:
        lock.release()


def remove_unfinished() -> tuple[int, int]:
    """Remove the folders that no process holds, nothing else; how many they were, and how many are held."""
    removed = held = 0
    folders = [path for path in scratch_root().glob("*/*") if SLOT.fullmatch(path.name) and path.is_dir()]
    for folder in folders:
        if (lock := _try_lock(folder.with_suffix(".lock"))) is None:
            held += 1
            continue
        try:
            _remove(folder, lock)
            removed += 1
        finally:
            lock.release()
    return removed, held


def _remove(folder: Path, lock: FileLock) -> None:
    """Both; whoever cleaned up before us, while we ran, shall not make a finished stage fail."""
    shutil.rmtree(folder, ignore_errors=True)
    Path(lock.lock_file).unlink(missing_ok=True)


def code_digest() -> str:
    """SHA-256 over the project's own source files that are loaded now, but for those that can change no result."""
    paths = [getattr(module, "__file__", None) for name, module in list(sys.modules.items())
             if name.partition(".")[0] in OWN]  # resolving the paths of all takes longer than a small training
    loaded = {Path(path).resolve() for path in paths if path}
    digest = hashlib.sha256()
    for file in sorted(loaded):
        if file.parent.name not in CHANGE_NO_RESULT and (
                file.parent == PROJECT / "stages" or file.is_relative_to(PROJECT / "zeroshot")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _lock_slot(root: Path, key: str) -> tuple[Path, FileLock]:
    """The first folder `<key>-<slot>` that no process holds, and its lock."""
    first, slot = root / f"{key}-0", 0
    lock = _try_lock(root / f"{key}-0.lock")
    if lock is None and _holds_something(first):
        print(f"{first}: another process holds this run's checkpoint; waiting up to {LOCK_PATIENCE} s for it to end",
              file=sys.stderr, flush=True)  # it may have been killed a moment ago
        lock = _try_lock(root / f"{key}-0.lock", LOCK_PATIENCE)
    while lock is None:
        slot += 1
        lock = _try_lock(root / f"{key}-{slot}.lock")
    if slot:
        print(f"{first}: taken by a run of the same settings, inputs and code that is under way; this run's "
              f"checkpoints are in {root / f'{key}-{slot}'}", file=sys.stderr, flush=True)
    return root / f"{key}-{slot}", lock


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except FileNotFoundError:  # its holder is done and removes it
        return False


def _try_lock(path: Path, patience: float = 0) -> FileLock | None:
    """The lock, until it is released or this process ends; None if another holds it for more than `patience` s."""
    lock = FileLock(path, fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience, poll_interval=0.1)
    except Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        raise InputError(f"{path.parent}: checkpoints cannot be kept there ({getattr(error, 'strerror', None) or error}"
                         "; some network file systems know no locks); let ZEROSHOT_SCRATCH name a folder on a local "
                         "disk that you may write to") from None
    return lock


def _jsonable(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
