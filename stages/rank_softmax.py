"""Softmax baseline: the classifier's own ranking of the seen labels.

It can name the seen labels only, so it stands in `seen` and, as in the papers' hierarchical tables, in the `+seen`
sets, where it never hits but may come near. Reads the logits of data/features, writes
data/rankings/softmax.safetensors.
"""

from pathlib import Path

import numpy as np
import pydantic

from stages import run_stage
from zeroshot.base.artifacts import Artifact
from zeroshot.base.compute import set_up
from zeroshot.base.params import StageParams
from zeroshot.console.errors import InputError
from zeroshot.images.index import ImageIndex
from zeroshot.labels.label_sets import memberships, read_label_sets
from zeroshot.ranking.first_labels import OutputScores, lay_out
from zeroshot.ranking.questions import Questions
from zeroshot.ranking.rank_images import ImageValues, Scorer, rank_images


class Params(StageParams):
    threads: int = pydantic.Field(ge=1)


def main(params: Params, *, features: Path, index: Path, label_sets: Path, out: Path) -> None:
    device = set_up(threads=params.threads)
    logits = Artifact(features / "logits.safetensors")
    questions = Questions(ImageIndex.read(index), read_label_sets(label_sets))
    outputs = logits.meta["wnids"]
    unknown = sorted(set(outputs) - set(questions.sets["seen"]))
    if unknown:
        raise InputError(f"{logits.path}: {len(unknown)} of the {len(outputs)} classes with training images are not in "
                         f"{label_sets}/seen.txt, {unknown[0]} for one; expected all of them (`build_label_sets.seen`)")
    layout = lay_out(memberships(questions.sets), np.isin(questions.wnids, outputs), device)
    score = OutputScores(np.searchsorted(questions.wnids, outputs), layout)
    rank_images(out, ImageValues.beside_rows(logits, "logits"), Scorer(score, layout, {}, {}), questions)


if __name__ == "__main__":
    run_stage(main, shared=True)
