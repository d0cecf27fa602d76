"""DeViSE's map M on disk.

    data/devise/<model>/map.safetensors   weight float32 [dim_label, dim_feature], bias float32 [dim_label] if any
"""

from pathlib import Path

from torch import nn

from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.base.tensors import linear_from, state_arrays


def write_map(path: Path, linear: nn.Linear, meta: dict) -> None:
    """Write M; meta holds `tap` and the checksums `labels` and `features`."""
    write_artifact(path, meta, state_arrays(linear))


def read_map(path: Path) -> tuple[nn.Linear, Artifact]:
    """M, on the CPU, and the opened file for its meta and checksum."""
    artifact = Artifact(path)
    return linear_from(artifact, ""), artifact
