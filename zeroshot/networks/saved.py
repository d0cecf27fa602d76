"""The softmax CNN and DeViSE's whole network on disk, each with its read/write pair.

    data/cnn.safetensors              state of a VisualModel; meta: how to rebuild it, seen wnids in output order
    data/devise/<model>/network...    map.weight, map.bias; after fine-tuning also trunk.<name>
"""

import dataclasses
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.base.tensors import linear_from, state_arrays
from zeroshot.console.errors import InputError
from zeroshot.networks.preprocessing import Preprocessing
from zeroshot.networks.visual_model import Tap, VisualModel, build_visual


@dataclasses.dataclass
class Cnn:
    """A trained softmax CNN.

    Attributes:
        model: on the CPU, in evaluation mode.
        wnids: seen labels in output order.
        preprocessing: from decoded square to its input.
        meta: all that is needed to rebuild it; JSON-able.
        sha256: its checksum.
    """

    model: VisualModel
    wnids: list[str]
    preprocessing: Preprocessing
    meta: dict
    sha256: str


def write_cnn(path: Path, model: VisualModel, *, arch: str, stem: str, dropout: float, wnids: list[str],
              preprocessing: Preprocessing, made_from: dict) -> None:
    """Write a softmax CNN; `made_from`: checksums and settings for whoever finds the file."""
    meta = {"arch": arch, "stem": stem, "dropout": dropout, "wnids": wnids, "preprocessing": preprocessing.to_meta(),
            "made_from": made_from}
    write_artifact(path, meta, state_arrays(model))


def read_cnn(path: Path) -> Cnn:
    """Raises InputError if the file is missing or damaged."""
    artifact = Artifact(path)
    return Cnn(_rebuild(artifact.meta, artifact, ""), artifact.meta["wnids"],
               Preprocessing.from_meta(artifact.meta["preprocessing"]), artifact.meta, artifact.sha256)


class DeviseNetwork(nn.Module):
    """M v(image) from pixels.

    Attributes:
        trunk: a VisualModel; its classifier is not used.
        map: M.
        tap: which layer is v(image).
    """

    def __init__(self, trunk: VisualModel, linear: nn.Linear, tap: Tap, dropout: float = 0.0):
        super().__init__()
        self.trunk = VisualModel(trunk.body, trunk.head, nn.Identity())
        self.map, self.tap = linear, tap
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Float[Tensor, "images 3 size size"]) -> Float[Tensor, "images dim_label"]:
        return self.map(self.dropout(self.trunk.features(images, self.tap)))


@dataclasses.dataclass
class Devise:
    """What DeViSE's last stage of training left.

    Attributes:
        map: M, on the CPU.
        network: trunk and map, or None if the trunk stayed frozen: then the cached features serve.
        preprocessing: of the network's input.
        meta, sha256: of the file.
    """

    map: nn.Linear
    network: DeviseNetwork | None
    preprocessing: Preprocessing
    meta: dict
    sha256: str


def write_devise(path: Path, network: DeviseNetwork, *, frozen: bool, cnn: Cnn, made_from: dict) -> None:
    """Write the map, and the trunk unless it is `frozen`."""
    arrays = {f"map.{name}": array for name, array in state_arrays(network.map).items()}
    if not frozen:
        arrays |= {f"trunk.{name}": array for name, array in state_arrays(network.trunk).items()}
    write_artifact(path, {"trunk": "frozen" if frozen else "finetuned", "tap": network.tap, "cnn": cnn.meta,
                          "made_from": {"cnn": cnn.sha256, **made_from}}, arrays)


def read_devise(path: Path) -> Devise:
    """Raises InputError if the file is missing or damaged."""
    artifact = Artifact(path)
    cnn, linear, network = artifact.meta["cnn"], linear_from(artifact, "map."), None
    if artifact.meta["trunk"] != "frozen":
        trunk = _rebuild(cnn, artifact, "trunk.")
        network = DeviseNetwork(trunk, linear, artifact.meta["tap"]).eval()
    return Devise(linear, network, Preprocessing.from_meta(cnn["preprocessing"]), artifact.meta, artifact.sha256)


def _rebuild(meta: dict, artifact: Artifact, prefix: str) -> VisualModel:
    model = build_visual(meta["arch"], classes=len(meta["wnids"]), stem=meta["stem"], dropout=meta["dropout"])
    state = model.state_dict()
    for name, old in state.items():
        if prefix + name in artifact:
            state[name] = torch.from_numpy(artifact[prefix + name]).reshape(old.shape)
        elif not name.startswith("classifier."):  # a whole network of DeViSE keeps none
            raise InputError(f"{artifact.path}: has no weights {prefix + name!r}, which {meta['arch']} has; "
                             "another library version made it: `dvc repro -f pretrain_cnn`")
    model.load_state_dict(state)
    return model.eval()
