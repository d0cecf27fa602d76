"""ConSE: the label vectors of the T likeliest seen labels, mixed by their probabilities; then the nearest labels.

Norouzi et al. 2014, section 3. Nothing is trained: it takes the softmax classifier's logits and the label vectors.
A seen label that has no vector cannot be mixed: it is left out of the classifier's choice, and counted. Writes
data/rankings/conse/conse-<T>.safetensors, a model for each T, and beside the paper's data/rankings/hierse.safetensors:
HierSE (Li et al. 2015) is ConSE in a space where a label's vector holds its hypernyms' too. With `handicap: auto`, its
seen labels' cosines are lowered by what suits best where the labels of a fold are kept out of the mixture and so play
"unseen" (zeroshot/ranking/stacking.py), judged on seen classes' validation images; without these, or where fewer than
four seen classes have a vector, by `handicap_without_val`. Not HierSE's either: `hierse_temperature` makes the softmax
less sure, and with `hierse_csls_neighbours` hubs lose cosine too (zeroshot/ranking/csls.py). `hierse_hubs` says what
tells them: the validation images of seen classes, so that no unseen image tells about another (the figures on seen
images are transductive then), or without any image the classifier's rows, of which each stands for an image of its
class. Nor are `hierse_classifiers`: the cosine of an image's features to the classifier's row that a label would have,
predicted from its vector (zeroshot.closed_form.models.classifiers), counts beside the mixture's; they are written to
data/hierse_classifiers.safetensors.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from stages import run_stage
from zeroshot.base.artifacts import Artifact, write_not_made
from zeroshot.base.compute import set_up
from zeroshot.base.files import write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.base.processes import is_first
from zeroshot.closed_form.models import ClosedForm, classifiers, write_closed_form
from zeroshot.console.errors import InputError
from zeroshot.images.index import VAL, ImageIndex
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.ranking.conse import Mixer, Rows
from zeroshot.ranking.csls import hubness, hubness_of
from zeroshot.ranking.questions import Questions
from zeroshot.ranking.rank_images import ImageValues, rank_images
from zeroshot.ranking.stacking import FEWEST, HANDICAPS, Handicap, folds_of, harmonic_means, right_by_handicap

LOOKING = "looking for hubs"
Learnt = Callable[[Bool[Tensor, "mixed"] | None], Mixer]  # the mixer, as learnt from these mixed labels; None: from all


class Classifiers(StageParams):
    share: float = pydantic.Field(ge=0)
    dimensions: pydantic.PositiveInt
    strength: pydantic.PositiveFloat
    sharpness: pydantic.PositiveFloat


class Params(StageParams):
    t: list[pydantic.PositiveInt] = pydantic.Field(min_length=1)  # a model each, which dvc.yaml evaluates
    hierse_t: pydantic.PositiveInt
    hierse_temperature: pydantic.PositiveFloat
    hierse_csls_neighbours: int = pydantic.Field(ge=0)
    hierse_hubs: Literal["val", "classes"]
    hierse_classifiers: Classifiers
    handicap: Handicap
    handicap_without_val: float = pydantic.Field(ge=0, le=2)
    folds: int = pydantic.Field(ge=2)
    seed: Seed
    threads: int = pydantic.Field(ge=1)
    any_processor: bool

    @pydantic.field_validator("t")
    @classmethod
    def _distinct(cls, t: list[int]) -> list[int]:
        if twice := sorted({value for value in t if t.count(value) > 1}):
            raise ValueError(f"distinct numbers, since each is a model of its own; {twice} more than once")
        return t


def main(params: Params, *, features: Path, cnn: Path, lemmas: Path, hypernyms: Path, index: Path, label_sets: Path,
         out: Path, hierse: Path, hierse_classifiers: Path, metrics: Path) -> None:
    device = set_up(threads=params.threads, any_processor=params.any_processor)
    logits = Artifact(features / "logits.safetensors")
    questions = Questions(ImageIndex.read(index), read_label_sets(label_sets))
    values, outputs = ImageValues.beside_rows(logits, "logits"), logits.meta["wnids"]
    for t in params.t:
        mixer = Mixer.of(lemmas, outputs, t, device)
        rank_images(out / f"conse-{t}.safetensors", values, mixer.scorer(questions), questions)
    mixer = Mixer.of(hypernyms, outputs, params.hierse_t, device, params.hierse_temperature)
    rows_tell_hubs = do_rows_tell_hubs(params, questions.index)
    rows = Rows.read(cnn, mixer) if rows_tell_hubs or params.hierse_classifiers.share else None
    learnt = with_classifiers(params.hierse_classifiers, mixer, rows)
    mixer = learnt(None)
    write_classifiers(hierse_classifiers, mixer)
    told_by = rows if rows_tell_hubs else None
    hubs = hubs_of(params, values, mixer, questions.index, told_by)
    chosen = handicap_of(params, values, learnt, questions.index, told_by)
    rank_images(hierse, values, mixer.scorer(questions, chosen["seen_handicap"], hubs), questions)
    if is_first():
        write_json(metrics, {"hierse": chosen})


def with_classifiers(asked: Classifiers, mixer: Mixer, rows: Rows | None) -> Learnt:
    """The mixer, and if they count predicted classifiers beside it: these are what is learnt."""
    if not asked.share or rows is None:
        return lambda taken: mixer
    weights, bias, vectors = (tensor.cpu().double() for tensor in (*rows, mixer.vectors))
    fit = classifiers(weights, bias, vectors, asked.dimensions)

    def learnt(taken: Bool[Tensor, "mixed"] | None) -> Mixer:
        model = fit(asked.strength, asked.sharpness, None if taken is None else taken.cpu())
        return mixer._replace(beside=model.to(torch.float32).to(mixer.vectors.device), share=asked.share)

    return learnt


def write_classifiers(path: Path, mixer: Mixer) -> None:
    """What naming needs of them."""
    if not is_first():
        return
    if isinstance(mixer.beside, ClosedForm):
        write_closed_form(path, mixer.beside.to("cpu"), {"labels": mixer.labels.sha256, "share": mixer.share})
    else:
        write_not_made(path, "rank_conse.hierse_classifiers.share is 0")


def do_rows_tell_hubs(params: Params, index: ImageIndex) -> bool:
    """Whether the classifier's rows tell hubs, not validation images, if anything does."""
    if not params.hierse_csls_neighbours or params.hierse_hubs == "val" and len(index.rows(VAL)):
        return False
    if params.hierse_hubs == "val" and is_first():
        print("rank_conse: no validation images to tell hubs by; the classifier's rows do, one for each seen class",
              flush=True)
    return True


def handicap_of(params: Params, values: ImageValues, learnt: Learnt, index: ImageIndex, rows: Rows | None
                ) -> dict[str, float]:
    """The handicap by the settings, and what it gives on held-out classes, if it was chosen there."""
    if params.handicap != "auto":
        return {"seen_handicap": params.handicap}
    classes, lacking = len(learnt(None).columns), "no validation images"
    if len(index.rows(VAL)):
        if classes < FEWEST:
            lacking = f"{classes} seen classes with a vector are too few"
        elif (chosen := choose_handicap(params, values, learnt, index, rows))["held_out_harmonic"]:
            return chosen
        else:  # of one class alone, say: then nothing is right both where it plays unseen and where it is seen
            lacking = "validation images of too few classes, or none named right,"
    if is_first():
        print(f"rank_conse: {lacking} to choose HierSE's handicap by; it is "
              f"{params.handicap_without_val:g} (rank_conse.handicap_without_val)", flush=True)
    return {"seen_handicap": params.handicap_without_val}


def choose_handicap(params: Params, values: ImageValues, learnt: Learnt, index: ImageIndex,
                    rows: Rows | None = None) -> dict[str, float]:
    """The handicap that is best for seen labels when other seen ones play unseen; what it gives there.

    Args:
        rows: the classifier's, if these tell hubs.
    """
    mixer = learnt(None)
    device, classes = mixer.vectors.device, len(mixer.columns)
    if classes < 2 * params.folds:
        raise InputError(f"params.yaml: `rank_conse.folds` is {params.folds}, for which {2 * params.folds} seen "
                         f"classes with a vector are needed; found {classes}; lower it, or set `handicap` to a number")
    fold = folds_of(classes, params.folds, params.seed).to(device)
    curves = []
    for f in range(params.folds):
        held, hubs = fold == f, torch.zeros(classes, device=device)
        mixer = learnt(~held)
        if params.hierse_csls_neighbours:  # as with unseen classes, of whose images and rows none tells about hubs
            if rows is None:
                told = (cosines[~held[true]] for true, cosines in on_val(values, mixer, index, held, LOOKING))
            else:
                places = mixer.places(mixer.vectors)
                told = (points @ places.T for points in mixer.stand_ins(rows, without=held))
            hubs = torch.nan_to_num(hubness(told, params.hierse_csls_neighbours))
        right = torch.zeros(len(HANDICAPS), classes, dtype=torch.float64, device=device)
        images = torch.zeros(classes, dtype=torch.int64, device=device)
        for true, cosines in on_val(values, mixer, index, held, "choosing the handicap"):
            images += torch.bincount(true, minlength=classes)
            right.index_add_(1, true, right_by_handicap(cosines - hubs / 2, true, held).double())
        curves.append(harmonic_means(right, images, held))
    curve = torch.stack(curves).mean(0)
    best = int(curve.argmax())
    return {"held_out_harmonic": curve[best].item(), "seen_handicap": HANDICAPS[best].item()}


def on_val(values: ImageValues, mixer: Mixer, index: ImageIndex, held: Bool[Tensor, "mixed"], desc: str
           ) -> Iterator[tuple[Int[Tensor, "some"], Float[Tensor, "some mixed"]]]:
    """Validation images a chunk at a time: true labels, and cosines to all mixed labels when those in `held` are not.

    Labels count among the mixed ones; images of a label that has no vector are passed over.
    """
    device, places = mixer.vectors.device, mixer.places(mixer.vectors)
    number = torch.full((mixer.outputs,), -1, device=device)
    number[mixer.columns] = torch.arange(len(mixer.columns), device=device)
    for start, stop in values.val_chunks(index, desc):
        true = number[torch.from_numpy(index.numbered(index.seen, values.rows[start:stop])).to(device)]
        logits = torch.from_numpy(values.read(start, stop)).to(device)[true >= 0]
        yield true[true >= 0], F.normalize(mixer(logits, without=held)) @ places.T


def hubs_of(params: Params, values: ImageValues, mixer: Mixer, index: ImageIndex,
            rows: Rows | None = None) -> Float32[np.ndarray, "labels"] | None:
    """How near each label is to the validation images nearest to it, or to what stands for them; None if not asked for.

    Args:
        rows: the classifier's, if these tell hubs.
    """
    if not params.hierse_csls_neighbours:
        return None
    device = mixer.vectors.device
    points = mixer.stand_ins(rows) if rows is not None else (
        F.normalize(mixer(torch.from_numpy(values.read(start, stop)).to(device)))
        for start, stop in values.val_chunks(index, LOOKING))
    places = mixer.places(torch.from_numpy(mixer.labels.vectors).to(device))
    return hubness_of(mixer.labels, places, points, params.hierse_csls_neighbours)


if __name__ == "__main__":
    run_stage(main, shared=True)
