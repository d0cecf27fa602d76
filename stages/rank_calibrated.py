"""The same with two corrections that the papers lack: seen labels lose a handicap, and hubs their head start.

Calibrated stacking (Chao et al. 2016): where seen labels are candidates too, they win nearly always, for the map was
fitted to them. So their cosines are lowered by the handicap that fit_linear chose on held-out seen classes.
Hubs: some labels are near to every image. Cross-domain similarity local scaling (CSLS, Conneau et al. 2018)
lowers each label's cosine by half its mean cosine to its nearest images; images here are the validation images of seen
classes, so no unseen image tells about another. The figures on seen images are transductive then.
"""

from pathlib import Path

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from jaxtyping import Float32

from zeroshot.base.artifacts import Artifact
from zeroshot.base.compute import set_up
from zeroshot.base.params import StageParams
from zeroshot.base.progress import progress
from zeroshot.base.stage import run_stage
from zeroshot.images import VAL, ImageIndex
from zeroshot.label_sets import read_label_sets
from zeroshot.label_vectors import LabelVectors, read_label_vectors
from zeroshot.nearest import rank_points

CHUNK = 1024  # images at a time; fixed, for the same bits in every run


class Params(StageParams):
    handicap: bool
    csls_neighbours: int = pydantic.Field(ge=0)
    threads: int = pydantic.Field(ge=1)


def main(params: Params, *, points: Path, network: Path, labels: Path, index: Path, splits: Path, out: Path) -> None:
    device = set_up(threads=params.threads)
    source, vectors, image_index = Artifact(points), read_label_vectors(labels), ImageIndex.read(index)
    bias = np.zeros(len(vectors.wnids), np.float32)
    if params.handicap:
        bias[np.isin(vectors.wnids, image_index.seen)] -= Artifact(network).meta["made_from"]["seen_handicap"]
    if params.csls_neighbours:
        bias -= hubness(source, image_index, vectors, params.csls_neighbours, device) / 2
    rank_points(out, source, vectors, image_index, read_label_sets(splits), device, bias=bias)


def hubness(points: Artifact, index: ImageIndex, vectors: LabelVectors, neighbours: int,
            device: torch.device) -> Float32[np.ndarray, "labels"]:
    """Mean cosine of each label to its nearest validation images; 0 for a label without a vector."""
    matrix = torch.from_numpy(vectors.vectors).to(device)
    nearest = torch.full((len(matrix), 0), -1.0, device=device)
    for start in progress(range(0, points.shape("row")[0], CHUNK), unit="chunks", desc="looking for hubs"):
        x = points.rows("points", start, start + CHUNK)[index.roles[points.rows("row", start, start + CHUNK)] == VAL]
        cosines = matrix @ F.normalize(torch.from_numpy(x).to(device)).T
        nearest = torch.cat([nearest, cosines], 1)
        nearest = nearest.topk(min(neighbours, nearest.shape[1]), dim=1).values
    mean = np.full(len(vectors.wnids), -np.inf, np.float32)
    if nearest.shape[1]:
        np.maximum.at(mean, vectors.row_label, nearest.mean(1).cpu().numpy())  # a label's nearest synonym
    return np.where(np.isfinite(mean), mean, 0)


if __name__ == "__main__":
    run_stage(main)
