"""Test images with each model's answers (DeViSE figure 2), to look at.

Reads rankings, the images that they are of and the taxonomy. Draws one image each of some classes, picked at random,
with the first labels that each model gives, the true one in green, those of seen classes in grey italics. The bytes
repeat. Cost: seconds, and one read of the models' rankings, for their checksums.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydantic
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages import run_stage
from zeroshot.base.artifacts import why_not_made
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError
from zeroshot.evaluation.metrics import KS
from zeroshot.evaluation.model_names import BESIDE, NAMES, display_name, is_model
from zeroshot.images.index import ImageIndex
from zeroshot.images.pixels import open_pixels
from zeroshot.labels.asked_sets import LabelSet, refuse_unmade
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.ranking.rankings import Rankings, rankings_path
from zeroshot.report.figures import LONGEST, save
from zeroshot.report.gallery import (
    Answer,
    answers_of,
    name_of,
    names_of,
    pick_images,
    small,
    true_wnids,
)
from zeroshot.taxonomy import Taxonomy, read_taxonomy

SIDE = 224  # pixels, at most, of an image in the figure


class Params(StageParams):
    label_set: LabelSet
    models: list[str] = pydantic.Field(min_length=1)
    images: int = pydantic.Field(ge=1, le=100)
    answers: int = pydantic.Field(ge=1, le=KS[-1])
    seed: Seed

    @pydantic.field_validator("models")
    @classmethod
    def _names(cls, models: list[str]) -> list[str]:
        if not all(map(is_model, models)):
            raise ValueError(f"some of {', '.join([*NAMES, 'conse-<T>', *BESIDE])}")
        return models


def main(params: Params, *, rankings: Path, index: Path, images: Path, taxonomy: Path, label_sets: Path, answers: Path
         ) -> None:
    sets, nouns = read_label_sets(label_sets), read_taxonomy(taxonomy)
    refuse_unmade(params.label_set, sets, "draw_figures.label_set")
    seen = set(sets["seen"])
    ranked = read_models(params, rankings, sets)
    if len(ImageIndex.read(index).test_rows()):
        label_set, models = tested_on(params, ranked)
        rows = pick_images(models[0], label_set, params.images, params.seed)
        reader = open_pixels(index, images, verify=False)
        true = true_wnids(models[0], label_set, rows)
        given = {model.model: answers_of(model, label_set, rows, params.answers, seen) for model in models}
        save(draw_answers([np.asarray(small(reader, row, SIDE)) for row in rows], true, given, nouns), answers)
    else:
        print("draw_figures: no test images, so there are no answers to show", flush=True)
        save(draw_nothing("No test images"), answers)


def read_models(params: Params, folder: Path, label_sets: Mapping[str, list[str]]) -> list[Rankings]:
    """Rankings of the models that were asked for and are there."""
    place = {model: rankings_path(folder, model) for model in params.models}
    there = {model: path for model, path in place.items() if path.exists() and not why_not_made(path)}
    if missing := [model for model in place if model not in there]:
        print(f"draw_figures.models: not ranked, so left out: {', '.join(missing)}", flush=True)
    return [Rankings(path, label_sets) for path in there.values()]


def tested_on(params: Params, ranked: list[Rankings]) -> tuple[str, list[Rankings]]:
    """The label set to show, and the models that were tested on it: `seen` where none was on the one asked for.

    Raises:
        InputError: nor was any on that.
    """
    for label_set in (params.label_set, "seen"):
        if shown := [model for model in ranked if label_set in model.names]:
            return label_set, shown
        print(f"draw_figures: none of these models was tested on `{label_set}`", flush=True)
    raise InputError(f"params.yaml: `draw_figures.models` are {', '.join(params.models)}, none of which was tested on "
                     f"`{params.label_set}` or `seen`; name others")


def draw_answers(pixels: list[np.ndarray], true: list[str], answers: Mapping[str, list[list[Answer]]], nouns: Taxonomy
                 ) -> Figure:
    """One row per image, one column per model; `true` are wnids."""
    lines = max(len(given) for column in answers.values() for given in column)
    figure = Figure(figsize=(2.4 + 2.1 * len(answers), max(2.2, 0.3 + 0.2 * lines) * len(pixels) + 0.4),
                    layout="constrained")
    figure.suptitle("Test images and their true label; each model's first labels,\nthe true one bold and green, those "
                    "of seen classes grey and in italics", fontsize=10)
    axes = figure.subplots(len(pixels), 1 + len(answers), squeeze=False, width_ratios=[1.2] + [1] * len(answers))
    for row, image in enumerate(pixels):
        for axis in axes[row]:
            axis.set_axis_off()
        axes[row, 0].imshow(image)
        axes[row, 0].set_title(name_of(true[row], nouns, LONGEST), fontsize=10, color="green")
        for axis, (model, given) in zip(axes[row, 1:], answers.items(), strict=True):
            write_answers(axis, given[row], true[row], nouns, title=display_name(model) if row == 0 else "")
    return figure


def draw_nothing(why: str) -> Figure:
    figure = Figure(figsize=(4, 1))
    figure.text(0.5, 0.5, why, ha="center", va="center")
    return figure


def write_answers(axis: Axes, answers: list[Answer], true: str, nouns: Taxonomy, title: str) -> None:
    axis.set_title(title, fontsize=10, fontweight="bold", loc="left")
    names = names_of([answer.wnid for answer in answers], true, nouns, LONGEST)
    for place, (answer, name) in enumerate(zip(answers, names, strict=True)):
        axis.text(0, 1 - (place + 0.5) / len(answers), name, fontsize=9, va="center",
                  transform=axis.transAxes, color="green" if answer.right else "0.42" if answer.seen else "black",
                  fontweight="bold" if answer.right else "normal", fontstyle="italic" if answer.seen else "normal")


if __name__ == "__main__":
    run_stage(main)
