"""ConSE: the label vectors of the T likeliest seen labels, mixed by their probabilities; then the nearest labels.

Norouzi et al. 2014, section 3. Nothing is trained: it takes the softmax classifier's logits and the label vectors.
A seen label that has no vector cannot be mixed: it is left out of the classifier's choice, and counted. Writes
data/rankings/conse/conse-<T>.safetensors, a model for each T, and beside the paper's data/rankings/hierse.safetensors:
HierSE (Li et al. 2015) is ConSE in a space where a label's vector holds its hypernyms' too.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydantic
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from zeroshot.base.artifacts import Artifact
from zeroshot.base.compute import set_up
from zeroshot.base.errors import InputError
from zeroshot.base.params import StageParams
from zeroshot.base.stage import run_stage
from zeroshot.images import ImageIndex
from zeroshot.label_sets import read_label_sets
from zeroshot.label_vectors import read_label_vectors
from zeroshot.nearest import check_vectors, rank_nearest
from zeroshot.rank_images import ImageValues


class Params(StageParams):
    t: list[pydantic.PositiveInt] = pydantic.Field(min_length=1)  # a model each, which dvc.yaml evaluates
    hierse_t: pydantic.PositiveInt
    threads: int = pydantic.Field(ge=1)

    @pydantic.field_validator("t")
    @classmethod
    def _distinct(cls, t: list[int]) -> list[int]:
        if twice := sorted({value for value in t if t.count(value) > 1}):
            raise ValueError(f"distinct numbers, since each is a model of its own; {twice} more than once")
        return t


def main(params: Params, *, features: Path, labels: Path, hypernyms: Path, index: Path, splits: Path, out: Path,
         hierse: Path) -> None:
    device = set_up(threads=params.threads)
    logits, image_index, label_sets = (Artifact(features / "logits.safetensors"), ImageIndex.read(index),
                                       read_label_sets(splits))
    values = ImageValues.beside_rows(logits, "logits")
    models = [(labels, t, out / f"conse-{t}.safetensors") for t in params.t] + [(hypernyms, params.hierse_t, hierse)]
    for path, t, rankings in models:
        vectors = read_label_vectors(path)
        check_vectors(values, vectors, label_sets)
        seen, has = vectors.targets(logits.meta["wnids"])
        if not has.any():
            raise InputError(f"{path}: none of the {len(has)} seen labels has a vector, so there is nothing to mix; "
                             "expected at least one: does the text hold their names?")
        rank_nearest(rankings, values, vectors, image_index, label_sets, device, points=mixture(seen, has, t, device),
                     counts={"seen_labels_not_mixed": int((~has).sum())})


def mixture(seen: Float32[np.ndarray, "seen dim"], has: Bool[np.ndarray, "seen"], t: int,
            device: torch.device) -> Callable[[Tensor], Tensor]:
    """Logits [images, seen] -> ConSE's points [images, dim], by the labels that have a vector."""
    vectors, columns = torch.tensor(seen[has], device=device), torch.tensor(np.flatnonzero(has), device=device)
    # Z divides by the labels taken, so that leaving columns out before the softmax or after it is the same.
    return lambda logits: conse_mixture(logits[:, columns].softmax(dim=1), vectors, t)


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


if __name__ == "__main__":
    run_stage(main, shared=True)
