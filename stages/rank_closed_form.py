"""The closed-form models' answers, with two corrections that the papers lack.

An image's point and the labels' places are compared by cosine, as DeViSE's are. **Calibrated stacking** (Chao et al.
2016): where seen labels are candidates too, they win nearly always, for the model was fitted to them; so their cosines
are lowered by the handicap that fit_closed_form chose on held-out seen classes. **Hubs**: some labels are near to every
image. Cross-domain similarity local scaling (CSLS, Conneau et al. 2018) lowers each label's cosine by half its mean
cosine to its nearest images; images here are the validation images of seen classes, so no unseen image tells about
another. The figures on seen images are transductive then. fit_closed_form chose settings and handicap with the same.

In: data/closed_form, features, label vectors, image index, label sets.  Out: data/rankings/<model>.safetensors each.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stages import run_stage
from zeroshot.base.artifacts import Artifact, why_not_made, write_not_made
from zeroshot.base.compute import set_up
from zeroshot.base.params import StageParams
from zeroshot.base.processes import is_first
from zeroshot.closed_form.models import ClosedForm, read_closed_form
from zeroshot.console.errors import InputError
from zeroshot.images.index import ImageIndex
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.ranking.csls import hubness_of
from zeroshot.ranking.nearest import nearest_labels
from zeroshot.ranking.questions import Questions
from zeroshot.ranking.rank_images import ImageValues, rank_images
from zeroshot.ranking.stacking import Handicap


class Params(StageParams):
    handicap: Handicap
    threads: int = pydantic.Field(ge=1)
    any_processor: bool


def main(params: Params, *, models: Path, features: Path, label_vectors: Path, index: Path, label_sets: Path,
         out: Path) -> None:
    device = set_up(threads=params.threads, any_processor=params.any_processor)
    source, labels = Artifact(features / "features.safetensors"), read_label_vectors(label_vectors)
    questions = Questions(ImageIndex.read(index), read_label_sets(label_sets))
    values = ImageValues.of_all(source, "features", questions.index)
    for path in sorted(models.glob("*.safetensors")):
        if why := why_not_made(path):
            if is_first():
                write_not_made(out / path.name, why)
            continue
        model, file = read_closed_form(path)
        if (file.meta["features"], file.meta["labels"]) != (source.sha256, labels.sha256):
            raise InputError(f"{path}: fitted to other features or label vectors than the ones given; `dvc repro`")
        model = model.to(device)
        places = model.places(torch.from_numpy(labels.vectors).to(device))
        bias = np.zeros(len(labels.wnids), np.float32)
        handicap = file.meta["seen_handicap"] if params.handicap == "auto" else params.handicap
        bias[np.isin(labels.wnids, questions.index.seen)] -= handicap
        if neighbours := file.meta["csls_neighbours"]:  # the handicap was chosen with it
            bias -= hubness_of(labels, places, val_points(model, values, questions.index, device), neighbours) / 2
        scorer = nearest_labels(labels, questions, device, points=model.points, places=places.cpu().numpy(), bias=bias)
        rank_images(out / path.name, values, scorer, questions)


def val_points(model: ClosedForm, values: ImageValues, index: ImageIndex, device: torch.device
               ) -> Iterator[Float[Tensor, "some space"]]:
    """Where the validation images lie, unit length, a chunk at a time."""
    for start, stop in values.val_chunks(index, "looking for hubs"):
        yield F.normalize(model.points(torch.from_numpy(values.read(start, stop)).to(device)))


if __name__ == "__main__":
    run_stage(main, shared=True)
