"""ConSE: the label vectors of the T likeliest seen labels, mixed by their probabilities; then the nearest labels.

Norouzi et al. 2014, section 3. Nothing is trained: it takes the softmax classifier's logits and the label vectors.
A seen label that has no vector cannot be mixed: it is left out of the classifier's choice, and counted. Writes
data/rankings/conse-<T>.safetensors.
"""

from pathlib import Path

import numpy as np
import pydantic
import torch
from jaxtyping import Float32
from torch import Tensor

from zeroshot.base.artifacts import Artifact
from zeroshot.base.compute import set_up
from zeroshot.base.errors import InputError
from zeroshot.base.params import StageParams
from zeroshot.base.stage import run_stage
from zeroshot.images import ImageIndex
from zeroshot.label_sets import read_label_sets
from zeroshot.label_vectors import read_label_vectors
from zeroshot.ranking import CosineScores, lay_out
from zeroshot.rankings import all_labels, memberships, write_rankings


class Params(StageParams):
    t: list[pydantic.PositiveInt] = pydantic.Field(min_length=1)  # dvc.yaml makes a cell of each: see --t
    threads: int = pydantic.Field(ge=1)

    @pydantic.field_validator("t")
    @classmethod
    def _distinct(cls, t: list[int]) -> list[int]:
        if twice := sorted({value for value in t if t.count(value) > 1}):
            raise ValueError(f"distinct numbers, since each is a model of its own; {twice} more than once")
        return t


def main(params: Params, *, t: str, features: Path, labels: Path, index: Path, splits: Path, out: Path) -> None:
    top = _positive(t)
    device = set_up(threads=params.threads)
    logits, image_index = Artifact(features / "logits.safetensors"), ImageIndex.read(index)
    vectors, label_sets = read_label_vectors(labels), read_label_sets(splits)
    if vectors.wnids != all_labels(label_sets):
        raise InputError(f"{labels}: made for other label sets than {splits} holds; `dvc repro`")
    seen, has = vectors.targets(logits.meta["wnids"])
    if not has.any():
        raise InputError(f"{labels}: none of the {len(has)} seen labels has a vector, so there is nothing to mix; "
                         "expected at least one: does the text hold their names?")
    layout = lay_out(memberships(label_sets), vectors.has_vector, device)
    nearest = CosineScores(vectors.vectors, vectors.row_label, layout)
    mixed, columns = torch.tensor(seen[has], device=device), torch.tensor(np.flatnonzero(has), device=device)

    def score(chunk: Tensor) -> Tensor:
        # Z divides by the labels taken, so that leaving columns out before the softmax or after it is the same.
        return nearest(conse_mixture(chunk[:, columns].softmax(dim=1), mixed, top))

    write_rankings(out, logits, "logits", score, layout, index=image_index, label_sets=label_sets, model=out.stem,
                   counts={"seen_labels_not_mixed": int((~has).sum())},
                   made_from={"logits": logits.sha256, "labels": vectors.sha256, "index": image_index.sha256})


def conse_mixture(probabilities: Float32[Tensor, "images seen"], vectors: Float32[Tensor, "seen dim"], t: int
                  ) -> Float32[Tensor, "images dim"]:
    """f(x) = 1/Z sum_{t=1..T} p0(y0(x,t)|x) s(y0(x,t)), Z = sum_{t=1..T} p0(y0(x,t)|x).

    Args:
        probabilities: p0(y|x) of the seen labels.
        vectors: s(y), their label vectors.
        t: T, how many of the likeliest labels y0(x,1), ..., y0(x,T) are mixed; more than there are means all.
    """
    likeliest = probabilities.topk(min(t, probabilities.shape[1]), dim=1)
    weights = torch.zeros_like(probabilities).scatter(1, likeliest.indices, likeliest.values)
    return weights @ vectors / likeliest.values.sum(dim=1, keepdim=True)


def _positive(t: str) -> int:
    if not t.isdigit() or int(t) < 1:
        raise InputError(f"--t is {t!r}; expected a whole number from 1 on, as in `rank_conse.t` of params.yaml")
    return int(t)


if __name__ == "__main__":
    run_stage(main)
