"""The closed-form models' answers, with two corrections that the papers lack.

An image's point and the labels' places are compared by cosine, as DeViSE's are. **Calibrated stacking** (Chao et al.
2016): where seen labels are candidates too, they win nearly always, for the model was fitted to them; so their cosines
are lowered by the handicap that fit_closed_form chose on held-out seen classes. **Hubs**: some labels are near to every
image. Cross-domain similarity local scaling (CSLS, Conneau et al. 2018) lowers each label's cosine by half its mean
cosine to its nearest images; images here are the validation images of seen classes, so no unseen image tells about
another. The figures on seen images are transductive then. fit_closed_form chose settings and handicap with the same.

In: data/closed_form, features, label vectors, image index, label sets.  Out: data/rankings/<model>.safetensors each.
"""

from pathlib import Path

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor

from stages import run_stage
from zeroshot.base.artifacts import Artifact
from zeroshot.base.compute import set_up
from zeroshot.base.params import StageParams
from zeroshot.closed_form.models import ClosedForm, read_closed_form
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.images.index import VAL, ImageIndex
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors
from zeroshot.ranking.nearest import rank_nearest
from zeroshot.ranking.rank_images import ImageValues

CHUNK = 1024  # images at a time; fixed, for the same bits in every run


class Params(StageParams):
    handicap: bool
    threads: int = pydantic.Field(ge=1)


def main(params: Params, *, models: Path, features: Path, labels: Path, index: Path, splits: Path, out: Path) -> None:
    device = set_up(threads=params.threads)
    source, image_index = Artifact(features / "features.safetensors"), ImageIndex.read(index)
    vectors, label_sets = read_label_vectors(labels), read_label_sets(splits)
    values = ImageValues.of_all(source, "features", image_index)
    for path in sorted(models.glob("*.safetensors")):
        model, file = read_closed_form(path)
        if (file.meta["features"], file.meta["labels"]) != (source.sha256, vectors.sha256):
            raise InputError(f"{path}: fitted to other features or label vectors than the ones given; `dvc repro`")
        model = model.to(device)
        places = model.places(torch.from_numpy(vectors.vectors).to(device))
        bias = np.zeros(len(vectors.wnids), np.float32)
        if params.handicap:
            bias[np.isin(vectors.wnids, image_index.seen)] -= file.meta["seen_handicap"]
        if neighbours := file.meta["csls_neighbours"]:  # the handicap was chosen with it
            bias -= hubness(values, model, places, image_index, vectors, neighbours) / 2
        rank_nearest(out / path.name, values, vectors, image_index, label_sets, device, points=model.points,
                     places=places.cpu().numpy(), bias=bias)


def hubness(values: ImageValues, model: ClosedForm, places: Float[Tensor, "rows space"], index: ImageIndex,
            vectors: LabelVectors, neighbours: int) -> Float32[np.ndarray, "labels"]:
    """Mean cosine of each label to its nearest validation images; 0 for a label without a vector."""
    nearest = torch.full((len(places), 0), -1.0, device=places.device)
    images = int((index.roles[values.rows] == VAL).sum())  # they come first
    for start in progress(range(0, images, CHUNK), unit="chunks", desc="looking for hubs"):
        x = torch.from_numpy(values.read(start, min(start + CHUNK, images))).to(places.device)
        nearest = torch.cat([nearest, places @ F.normalize(model.points(x)).T], 1)
        nearest = nearest.topk(min(neighbours, nearest.shape[1]), dim=1).values
    return nearest_synonym(nearest.mean(1).cpu().numpy(), vectors.row_label, len(vectors.wnids)) if images else (
        np.zeros(len(vectors.wnids), np.float32))


def nearest_synonym(of_rows: Float32[np.ndarray, "rows"], row_label: Int[np.ndarray, "rows"], labels: int
                    ) -> Float32[np.ndarray, "labels"]:
    """The highest value among each label's rows; 0 where it has none."""
    highest = np.full(labels, -np.inf, np.float32)
    np.maximum.at(highest, row_label, of_rows)
    return np.where(np.isfinite(highest), highest, 0)


if __name__ == "__main__":
    run_stage(main, shared=True)
