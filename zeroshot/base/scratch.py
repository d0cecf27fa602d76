"""Where a long stage keeps its checkpoints: outside the outs, keyed by everything that decides the result.

DVC deletes a stage's outs before it runs, so what must survive a kill cannot lie there. A scratch
folder is found again only by a run with the same settings, inputs and code; any other starts anew.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]


def scratch_root() -> Path:
    """$ZEROSHOT_SCRATCH (absolute), else ~/.cache/zeroshot. It changes where checkpoints lie, never a result."""
    return Path(os.environ.get("ZEROSHOT_SCRATCH") or Path.home() / ".cache" / "zeroshot").expanduser().resolve()


@contextlib.contextmanager
def scratch_folder(stage: str, **decides: Any) -> Iterator[Path]:
    """Yield the folder of this very computation; remove it when the block ends without an exception.

    Args:
        stage: the stage's name (with its cell, if it has any).
        decides: all that decides the result besides the code: params (a pydantic model or JSON-able
            value) and the seals or hashes of the inputs. The project's loaded source files are added here.

    Two equal runs at the same time (two clones, say) get different folders; the second just cannot resume.
    """
    decided = json.dumps([decides, code_digest()], sort_keys=True, default=_jsonable)
    key = hashlib.sha256(decided.encode()).hexdigest()[:16]
    slot = 0
    while (lock := _try_lock(scratch_root() / stage / f"{key}-{slot}.lock")) is None:
        slot += 1
    folder = scratch_root() / stage / f"{key}-{slot}"
    folder.mkdir(exist_ok=True)
    with lock:
        yield folder
        shutil.rmtree(folder)
        Path(lock.name).unlink()


def code_digest() -> str:
    """SHA-256 over the project's own source files that are loaded now."""
    paths = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    loaded = {Path(path).resolve() for path in paths if path}
    digest = hashlib.sha256()
    for file in sorted(loaded):
        if file.parent == PROJECT / "stages" or file.is_relative_to(PROJECT / "zeroshot"):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _try_lock(path: Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _jsonable(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
