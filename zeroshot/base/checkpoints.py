"""Checkpoints of a training loop: atomic, sealed, and no pickles on the way back."""

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import torch

from zeroshot.base.files import atomic_write
from zeroshot.console import refusals


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values; a kill in between leaves the checkpoint before."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    with atomic_write(path, "wb") as file:
        file.write(hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state last saved, on the CPU; None if there is none. A damaged one is reported and counts as none."""
    if not path.exists():
        return None
    sha256, _, payload = path.read_bytes().partition(b"\n")
    if hashlib.sha256(payload).hexdigest().encode() != sha256:
        print(refusals.damaged_checkpoint(path), file=sys.stderr)
        path.unlink()
        return None
    return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
