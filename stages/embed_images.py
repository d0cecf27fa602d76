"""Where test images lie in the label space: M v(image), for validation and unseen images (DeViSE section 3.3).

In: network.safetensors; data/features, which serve if the trunk stayed frozen, else image index and images.
Out: points.safetensors: points float32 [test images, dim_label], any length; row int64 [test images], of the index,
as in logits.safetensors.  Cost: one matrix product, or one forward pass, whose images the processes that torchrun
starts share out; the file is the same to the bit.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from stages import run_stage
from zeroshot.base.artifacts import Artifact, ArtifactWriter, why_not_made, write_not_made
from zeroshot.base.compute import set_up
from zeroshot.base.processes import is_first
from zeroshot.console.errors import InputError
from zeroshot.images.index import ImageIndex
from zeroshot.networks.batches import SquareSource
from zeroshot.networks.inference import Passes, memory_layout, over_images
from zeroshot.networks.pass_params import PassParams
from zeroshot.networks.saved import Devise, read_devise


class Params(PassParams):
    """As extract_features', without a tap: the map has the one that it was trained on."""


def main(params: Params, *, index: Path, images: Path, network: Path, features: Path, out: Path) -> None:
    if why := why_not_made(network):
        if is_first():
            write_not_made(out, why)
        return
    device = set_up(threads=params.threads, deterministic=params.deterministic, any_processor=params.any_processor)
    image_index, devise = ImageIndex.read(index), read_devise(network)
    rows = image_index.test_rows()
    if devise.network is None:
        if not is_first():  # there is little to share
            return
        points = from_features(devise, features / "features.safetensors", rows, params.batch, device)
    else:
        source = SquareSource(index, images, side=devise.preprocessing.resize, device=device, workers=params.workers,
                              max_unreadable=params.max_unreadable)
        points = from_pixels(params, devise, rows, source)
    if not is_first():
        for _ in points:  # its batches go to rank 0
            pass
        return
    shapes = {"points": ((len(rows), devise.map.out_features), np.float32), "row": (rows.shape, np.int64)}
    made_from = {"index": image_index.sha256, "network": devise.sha256, "labels": devise.meta["made_from"]["labels"]}
    with ArtifactWriter(out, made_from, shapes) as writer:
        writer.write("row", 0, rows)
        for start, batch in points:
            writer.write("points", start, batch.cpu().numpy())


@torch.no_grad()
def from_features(devise: Devise, path: Path, rows: np.ndarray, batch: int,
                  device: torch.device) -> Iterator[tuple[int, torch.Tensor]]:
    """M v of cached features: (place of the first row, float32 [some, dim_label])."""
    cached = Artifact(path)
    if cached.meta["tap"] != devise.meta["tap"]:
        raise InputError(f"{path}: features of tap {cached.meta['tap']!r}; the map takes {devise.meta['tap']!r}; "
                         "`dvc repro` from extract_features on")
    features, linear = cached.memmap("features"), devise.map.to(device)
    for start in range(0, len(rows), batch):
        yield start, linear(torch.from_numpy(features[rows[start:start + batch]]).to(device).float())


def from_pixels(params: Params, devise: Devise, rows: np.ndarray, source: SquareSource
                ) -> Iterator[tuple[int, torch.Tensor]]:
    """M v(image) through the fine-tuned network."""
    layout = memory_layout(params.channels_last)
    network = devise.network.to(source.device, memory_format=layout)
    passes = over_images(lambda images: (network(images),), rows, source, devise.preprocessing,
                         Passes(params.batch, params.precision, layout), "points")
    return ((start, points) for start, (points,) in passes)


if __name__ == "__main__":
    run_stage(main, shared=True)
