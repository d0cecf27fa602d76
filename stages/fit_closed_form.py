"""Models beside the papers', on the same features and in closed form: ridge regression, ESZSL, predicted exemplars.

One pass over the training features gathers their class sums and Gram matrices; the rest is linear algebra on those (see
zeroshot/closed_form/models.py). Each model's settings, and the handicap of seen labels that `+seen` sets ask for
(zeroshot/ranking/stacking.py), are chosen on seen classes alone: these are split into folds, and each fold plays
"unseen" once for a model that was fitted on the others. Judged are validation images. Seen classes without training
images take no part; where fewer than four have any, or validation images show fewer than two of them, the models' files
say why there are none.
Features of more dimensions than `width` are folded into so many (zeroshot/closed_form/sketch.py), since the
decomposition's cost grows with their cube.

In: features of training and validation images, image index, seen label vectors.  Out: data/closed_form, one file per
model; metrics: what was chosen, and how it did on the held-out classes.  Cost: one read of the features, a
decomposition of their dimension and (settings x folds) matrix products: seconds for 512-D features, some minutes and
2 GB for 4096-D.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from stages import run_stage
from zeroshot.base.artifacts import Artifact, write_not_made
from zeroshot.base.compute import set_up
from zeroshot.base.files import write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.closed_form.models import ClassSums, ClosedForm, Fit, eszsl, exemplars, ridge, write_closed_form
from zeroshot.closed_form.sketch import Sketch
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.images.index import TRAIN, VAL, ImageIndex
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.labels.seen_labels import NO_TRAINING_IMAGES, SeenLabels
from zeroshot.ranking.csls import hubness
from zeroshot.ranking.stacking import FEWEST, HANDICAPS, folds_of, harmonic_means, right_by_handicap

CHUNK = 8192  # images at a time; fixed, so that sums are always added in the same order
FOLDED = 256  # images whose long features lie in memory, before they are folded
MODELS = {"ridge": (ridge, ("strength",)), "eszsl": (eszsl, ("strength", "label_strength")),
          "exemplars": (exemplars, ("strength", "shrinkage", "sharpness"))}  # and the settings that each chooses
Choices = pydantic.conlist(pydantic.PositiveFloat, min_length=1)


class Params(StageParams):
    label_vectors: Literal["lemmas", "hypernyms"]  # dvc.yaml passes that file, here and to rank_closed_form
    width: int = pydantic.Field(ge=1)
    strengths: Choices
    label_strengths: Choices
    shrinkages: Choices
    sharpnesses: Choices
    csls_neighbours: int = pydantic.Field(ge=0)
    folds: int = pydantic.Field(ge=2)
    seed: Seed
    threads: int = pydantic.Field(ge=1)
    any_processor: bool

    def choices(self, setting: str) -> list[float]:
        return {"strength": self.strengths, "label_strength": self.label_strengths, "shrinkage": self.shrinkages,
                "sharpness": self.sharpnesses}[setting]


def main(params: Params, *, features: Path, index: Path, label_vectors: Path, out: Path, metrics: Path) -> None:
    set_up(threads=params.threads, any_processor=params.any_processor)
    images, packed = ImageIndex.read(index), Artifact(features / "features.safetensors")
    seen = SeenLabels.of(images, read_label_vectors(label_vectors), torch.device("cpu")).with_images(images)
    if why := nothing_to_fit(images, seen):
        for name in MODELS:
            write_not_made(out / f"{name}.safetensors", why)
        write_json(metrics, seen.counts(images))
        return
    vectors, classes = seen.vectors.double(), seen.targets(images)
    if len(vectors) < 2 * params.folds:
        raise InputError(f"params.yaml: `fit_closed_form.folds` is {params.folds}, for which {2 * params.folds} seen "
                         f"classes with a vector are needed; found {len(vectors)}; lower it")
    fold = folds_of(len(vectors), params.folds, params.seed)
    sketch, dim = None, packed.shape("features")[1]
    if dim > params.width:
        sketch = Sketch.draw(dim, params.width, params.seed)
        print(f"features of {dim:,} dimensions are folded into {params.width:,} (fit_closed_form.width)", flush=True)
    val = Validation.read(packed, images.rows(VAL), classes, sketch)
    judged = torch.bincount(fold[val.classes.unique()], minlength=params.folds)
    if (judged == 0).any():
        raise InputError(f"{features}: validation images of {int(judged.sum())} of the {len(vectors)} seen classes "
                         f"with a vector, none in one of the {params.folds} parts; lower `fit_closed_form.folds`, or "
                         "add validation images")
    every, others = gather(packed, images.rows(TRAIN), classes, fold, params.folds, sketch)
    trial, report = Trial(vectors, val, fold, params.csls_neighbours), {}
    for name, (model, asked) in MODELS.items():
        fits = [model(sums, vectors[fold != f]) for f, sums in enumerate(others)]
        chosen = report[name] = choose(name, {setting: params.choices(setting) for setting in asked}, fits, trial)
        best = model(every, vectors)(*(chosen[setting] for setting in asked))
        write_closed_form(out / f"{name}.safetensors", sketch.unfolded(best) if sketch else best,
                          {"tap": packed.meta["tap"], "features": packed.sha256, "labels": seen.sha256,
                           "seen_handicap": chosen["seen_handicap"], "csls_neighbours": params.csls_neighbours})
    write_json(metrics, {**report, **seen.counts(images), "dimensions": min(dim, params.width)})


def nothing_to_fit(images: ImageIndex, seen: SeenLabels) -> str:
    """Why no model can be fitted or its settings chosen, where no setting could mend that; else ""."""
    if not len(seen.wnids):
        return NO_TRAINING_IMAGES
    if not len(images.rows(VAL)):
        return "no validation images to choose settings by"
    if len(seen.wnids) < FEWEST:
        return f"training images of {len(seen.wnids)} seen classes with a vector; settings take {FEWEST} to choose by"
    shown = len(np.unique(seen.targets(images)[seen.with_vector(images, VAL)]))
    return "" if shown > 1 else f"validation images of {shown} of the classes trained on; settings take 2 to choose by"


def gather(packed: Artifact, rows: Int[np.ndarray, "images"], classes: Int[np.ndarray, "all"],
           fold: Int[Tensor, "classes"], folds: int, sketch: Sketch | None) -> tuple[ClassSums, list[ClassSums]]:
    """Read the training features once: what all classes sum up to, and all but each fold's."""
    dim = sketch.width if sketch else packed.shape("features")[1]
    grams = torch.zeros(folds, dim, dim, dtype=torch.float64)
    sums = torch.zeros(len(fold), dim, dtype=torch.float64)
    counts = torch.zeros(len(fold), dtype=torch.float64)
    for x, c in chunks(packed, rows, classes, sketch, "summing training features"):
        sums.index_add_(0, c, x.double())
        counts += torch.bincount(c, minlength=len(fold))
        for f in range(folds):
            part = x[fold[c] == f]
            grams[f] += (part.T @ part).double()
    whole = grams.sum(0)
    return ClassSums(whole, sums, counts), [
        ClassSums(whole - grams[f], sums[fold != f], counts[fold != f]) for f in range(folds)]


def chunks(packed: Artifact, rows: Int[np.ndarray, "images"], classes: Int[np.ndarray, "all"], sketch: Sketch | None,
           desc: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Features, folded by `sketch`, and class of the rows whose class has a vector, CHUNK rows of the file a time."""
    first, last = rows.min(), rows.max() + 1  # a role's rows are contiguous
    step = FOLDED if sketch else CHUNK
    with progress(total=int(last - first), unit="img", desc=desc, scale=True) as bar:
        for start in range(first, last, CHUNK):
            stop = min(start + CHUNK, last)
            x = [read(packed, classes, at, min(at + step, stop), sketch) for at in range(start, stop, step)]
            c = classes[start:stop]
            yield torch.cat(x), torch.from_numpy(c[c >= 0])
            bar.update(stop - start)


def read(packed: Artifact, classes: Int[np.ndarray, "all"], start: int, stop: int, sketch: Sketch | None) -> Tensor:
    """Rows start..stop-1 of the features, those whose class has a vector."""
    x = torch.from_numpy(packed.rows("features", start, stop)[classes[start:stop] >= 0]).float()
    return sketch(x) if sketch else x


class Validation(NamedTuple):
    """Validation images of the seen classes."""

    features: Float[Tensor, "images dim"]
    classes: Int[Tensor, "images"]

    @classmethod
    def read(cls, packed: Artifact, rows: Int[np.ndarray, "images"], classes: Int[np.ndarray, "all"],
             sketch: Sketch | None) -> "Validation":
        parts = list(chunks(packed, rows, classes, sketch, "reading validation features"))
        return cls(torch.cat([x for x, _ in parts]), torch.cat([c for _, c in parts]))


class Trial(NamedTuple):
    """How fits do that were made without a fold's classes, when these play unseen; judged by validation images."""

    vectors: Float[Tensor, "classes dim"]
    val: Validation
    fold: Int[Tensor, "classes"]
    csls_neighbours: int

    def accuracy(self, fits: list[Fit], settings: tuple[float, ...]) -> float:
        """Mean of the folds' `unseen_accuracy`."""
        return sum(unseen_accuracy(fit(*settings), self.vectors, self.val, self.fold == f, self.csls_neighbours)
                   for f, fit in enumerate(fits)) / len(fits)

    def curve(self, fits: list[Fit], settings: tuple[float, ...]) -> Float[Tensor, "handicaps"]:
        """Mean of the folds' `harmonic_curve`."""
        return torch.stack([harmonic_curve(fit(*settings), self.vectors, self.val, self.fold == f, self.csls_neighbours)
                            for f, fit in enumerate(fits)]).mean(0)


def choose(name: str, choices: dict[str, list[float]], fits: list[Fit], trial: Trial) -> dict[str, float]:
    """The settings that are most accurate on held-out classes, the best handicap with these, and what both give there.

    Args:
        choices: setting -> its values, all combinations of which are tried.
        fits: for each fold, the model as fitted on the others.
    """
    tried = list(itertools.product(*choices.values()))
    accuracies = [trial.accuracy(fits, settings)
                  for settings in progress(tried, unit="settings", desc=f"choosing {name}'s")]
    best = tried[int(np.argmax(accuracies))]
    curve = trial.curve(fits, best)
    return {**dict(zip(choices, best, strict=True)), "held_out_hit@1": max(accuracies),
            "held_out_harmonic": float(curve.max()), "seen_handicap": float(HANDICAPS[curve.argmax()])}


def cosines(model: ClosedForm, vectors: Tensor, x: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
    return F.normalize(model.to(torch.float32).points(x)) @ model.places(vectors).T.float()


def unseen_accuracy(model: ClosedForm, vectors: Tensor, val: Validation, held: Bool[Tensor, "classes"],
                    csls_neighbours: int = 0) -> float:
    """Mean per-class hit@1 on the held-out classes, among those alone."""
    mine, places = held[val.classes], held.nonzero()[:, 0]
    scores = cosines(model, vectors[held], val.features[mine])
    if csls_neighbours:  # as with unseen classes, of whose images none tells about hubs
        scores -= hubness([cosines(model, vectors[held], val.features[~mine])], csls_neighbours) / 2
    predicted = places[scores.argmax(1)]
    return per_class(predicted == val.classes[mine], val.classes[mine])


def harmonic_curve(model: ClosedForm, vectors: Tensor, val: Validation, held: Bool[Tensor, "classes"],
                   csls_neighbours: int = 0) -> Float[Tensor, "handicaps"]:
    """Harmonic mean of per-class hit@1 on seen and on held-out classes, all being candidates, by handicap."""
    scores = cosines(model, vectors, val.features)
    if csls_neighbours:
        scores -= hubness([scores[~held[val.classes]]], csls_neighbours) / 2
    right = right_by_handicap(scores, val.classes, held).double()
    sums = torch.zeros(len(right), len(held), dtype=torch.float64).index_add_(1, val.classes, right)
    return harmonic_means(sums, torch.bincount(val.classes, minlength=len(held)), held)


def per_class(right: Tensor, classes: Tensor) -> float:
    """Mean over classes of the share of images that are right."""
    count = torch.bincount(classes)
    hits = torch.bincount(classes, right.double())
    return (hits[count > 0] / count[count > 0]).mean().item()


if __name__ == "__main__":
    run_stage(main)
