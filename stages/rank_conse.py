"""ConSE: the label vectors of the T likeliest seen labels, mixed by their probabilities; then the nearest labels.

Norouzi et al. 2014, section 3. Nothing is trained: it takes the softmax classifier's logits and the label vectors.
A seen label that has no vector cannot be mixed: it is left out of the classifier's choice, and counted. Writes
data/rankings/conse/conse-<T>.safetensors, a model for each T, and beside the paper's data/rankings/hierse.safetensors:
HierSE (Li et al. 2015) is ConSE in a space where a label's vector holds its hypernyms' too. With `handicap: auto`, its
seen labels' cosines are lowered by what suits best where the labels of a fold are kept out of the mixture and so play
"unseen" (zeroshot/ranking/stacking.py), judged on seen classes' validation images; without these, by
`handicap_without_val`.
"""

from pathlib import Path

import pydantic
import torch
import torch.nn.functional as F

from stages import run_stage
from zeroshot.base.artifacts import Artifact
from zeroshot.base.compute import set_up
from zeroshot.base.files import write_json
from zeroshot.base.params import Seed, StageParams
from zeroshot.base.processes import is_first
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.images.index import VAL, ImageIndex
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.ranking.conse import Mixer
from zeroshot.ranking.questions import Questions
from zeroshot.ranking.rank_images import ImageValues, rank_images
from zeroshot.ranking.stacking import HANDICAPS, Handicap, folds_of, harmonic_means, right_by_handicap

CHUNK = 1024  # images at a time; fixed, for the same bits in every run


class Params(StageParams):
    t: list[pydantic.PositiveInt] = pydantic.Field(min_length=1)  # a model each, which dvc.yaml evaluates
    hierse_t: pydantic.PositiveInt
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


def main(params: Params, *, features: Path, lemmas: Path, hypernyms: Path, index: Path, label_sets: Path, out: Path,
         hierse: Path, metrics: Path) -> None:
    device = set_up(threads=params.threads, any_processor=params.any_processor)
    logits = Artifact(features / "logits.safetensors")
    questions = Questions(ImageIndex.read(index), read_label_sets(label_sets))
    values, outputs = ImageValues.beside_rows(logits, "logits"), logits.meta["wnids"]
    for t in params.t:
        mixer = Mixer.of(lemmas, outputs, t, device)
        rank_images(out / f"conse-{t}.safetensors", values, mixer.scorer(questions), questions)
    mixer = Mixer.of(hypernyms, outputs, params.hierse_t, device)
    chosen = handicap_of(params, values, mixer, questions.index)
    rank_images(hierse, values, mixer.scorer(questions, chosen["seen_handicap"]), questions)
    if is_first():
        write_json(metrics, {"hierse": chosen})


def handicap_of(params: Params, values: ImageValues, mixer: Mixer, index: ImageIndex) -> dict[str, float]:
    """The handicap by the settings, and what it gives on held-out classes, if it was chosen there."""
    if params.handicap != "auto":
        return {"seen_handicap": params.handicap}
    if len(index.rows(VAL)):
        return choose_handicap(params, values, mixer, index)
    print("rank_conse: no validation images to choose HierSE's handicap by; it is "
          f"{params.handicap_without_val:g} (rank_conse.handicap_without_val)", flush=True)
    return {"seen_handicap": params.handicap_without_val}


def choose_handicap(params: Params, values: ImageValues, mixer: Mixer, index: ImageIndex) -> dict[str, float]:
    """The handicap that is best for seen labels when other seen ones play unseen; what it gives there."""
    device, classes = mixer.vectors.device, len(mixer.columns)
    if classes < 2 * params.folds:
        raise InputError(f"params.yaml: `rank_conse.folds` is {params.folds}, for which {2 * params.folds} seen "
                         f"classes with a vector are needed; found {classes}; lower it, or set `handicap` to a number")
    fold = folds_of(classes, params.folds, params.seed).to(device)
    number = torch.full((mixer.outputs,), -1, device=device)
    number[mixer.columns] = torch.arange(classes, device=device)
    right = torch.zeros(params.folds, len(HANDICAPS), classes, dtype=torch.float64, device=device)
    images = torch.zeros(classes, dtype=torch.int64, device=device)
    val = int((index.roles[values.rows] == VAL).sum())  # they come first
    for start in progress(range(0, val, CHUNK), unit="chunks", desc="choosing the handicap"):
        stop = min(start + CHUNK, val)
        true = number[torch.from_numpy(index.numbered(index.seen, values.rows[start:stop])).to(device)]
        logits = torch.from_numpy(values.read(start, stop)).to(device)[true >= 0]
        true = true[true >= 0]
        images += torch.bincount(true, minlength=classes)
        for f in range(params.folds):
            cosines = F.normalize(mixer(logits, without=fold == f)) @ mixer.vectors.T
            right[f].index_add_(1, true, right_by_handicap(cosines, true, fold == f).double())
    curve = torch.stack([harmonic_means(sums, images, fold == f) for f, sums in enumerate(right)]).mean(0)
    best = int(curve.argmax())
    return {"held_out_harmonic": curve[best].item(), "seen_handicap": HANDICAPS[best].item()}


if __name__ == "__main__":
    run_stage(main, shared=True)
