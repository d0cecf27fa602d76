"""A page to look at: plots/report.html, one file that a browser shows without a network.

Reads the tables' figures and the papers', rankings, the images that they are of, label vectors, the map of the label
space, the taxonomy, what the stages counted and params.yaml. Shows results beside the papers', curves, test images with
each model's answers, accuracy by class, what is taken for what and how far off that is in WordNet, coverage, what was
left out, settings, versions and checksums. No date and no time stand in it: the bytes repeat.  Cost: seconds for the
demo; for all of ImageNet some minutes, mostly one read of the rankings for their checksums, and under 1 GB.
"""

import importlib.metadata
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydantic

from stages import run_stage
from zeroshot.base.artifacts import Artifact
from zeroshot.base.files import atomic_write
from zeroshot.base.params import Seed, StageParams, load_params, read_yaml
from zeroshot.console.progress import progress
from zeroshot.evaluation.metrics import KS
from zeroshot.evaluation.model_names import display_name
from zeroshot.images.files import ImageFiles
from zeroshot.images.index import INDEX_FILE
from zeroshot.images.pixels import PackedPixels, open_pixels
from zeroshot.labels.asked_sets import ZeroShotSet, refuse_unmade
from zeroshot.labels.label_sets import PLUS_SEEN, read_label_sets
from zeroshot.labels.label_vectors import read_label_vectors
from zeroshot.ranking.rankings import Rankings, rankings_path
from zeroshot.report import cautions, counts, curves, label_map
from zeroshot.report.classes import BANDS, Found, by_distance, confusions, numbered_anew, sheets
from zeroshot.report.gallery import (
    Answer,
    answers_of,
    name_of,
    names_of,
    pick_images,
    small,
    true_wnids,
)
from zeroshot.report.mistakes import Distances, mistakes_of
from zeroshot.report.page import data_uri, render
from zeroshot.report.scores import figures_of, models_in, read_scores
from zeroshot.report.tables import facts, tables
from zeroshot.taxonomy import Taxonomy, read_taxonomy

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "gensim", "nltk", "pillow", "dvc")


class Params(StageParams):
    label_set: ZeroShotSet
    images: int = pydantic.Field(ge=1, le=500)
    side: int = pydantic.Field(ge=32, le=512)
    answers: int = pydantic.Field(ge=1, le=KS[-1])
    classes: int = pydantic.Field(ge=1, le=25000)
    confusions: int = pydantic.Field(ge=1, le=1000)
    seed: Seed


class SizeParams(StageParams, extra="ignore"):
    same_size: float


class ConseParams(StageParams, extra="ignore"):
    t: list[int]


def main(params: Params, *, scores: Path, published: Path, rankings: Path, index: Path, images: Path,
         label_vectors: Path, places: Path, taxonomy: Path, label_sets: Path, counted: Path, settings: Path, out: Path
         ) -> None:
    results, _ = read_scores(scores, load_params("rank_conse", ConseParams, settings).t)
    nouns, sets = read_taxonomy(taxonomy), read_label_sets(label_sets)
    refuse_unmade(params.label_set, sets, "make_report.label_set")
    ours, models, labels = figures_of(results), models_in(results), read_label_vectors(label_vectors)
    ranked = read_models(models, rankings, sets)
    shown, seen, known = shown_sets(params.label_set, ranked), set(sets["seen"]), counts.read_counts(counted)
    drawn, same_size = pd.read_csv(places), load_params("make_tables", SizeParams, settings).same_size
    by_class, data = classes(params, ranked, shown, models, seen, nouns)
    context = {
        "models": [display_name(model) for model in models],
        "facts": facts(ours, models, params.label_set),
        "cautions": cautions.trained_on(ours) + cautions.near_chance(ours),
        "tables": tables(ours, models, pd.read_csv(published), same_size),
        "panels": curves.panels(ours, models), "panel": (curves.WIDTH, curves.HEIGHT), "params": params,
        "pictures": pictures(params, ranked, shown, seen, nouns, open_pixels(index, images, verify=False)),
        "shown": shown, "bands": BANDS, "by_class": by_class,
        "points": label_map.points(drawn, labels, seen, nouns), "kinds": list(drawn["kind"].unique()),
        "map": (label_map.WIDTH, label_map.HEIGHT, label_map.MARK),
        "coverage": counts.coverage(known), "coverage_columns": list(counts.COVERAGE.values()),
        "left_out": counts.left_out(known, ours), "settings": settings_of(settings), "versions": versions(),
        "seals": seals([index / INDEX_FILE, label_vectors, *(rankings_path(rankings, model) for model in models)]),
    }
    with atomic_write(out) as file:
        file.write(render(context, data))


def read_models(models: list[str], folder: Path, label_sets: Mapping[str, list[str]]) -> dict[str, Rankings]:
    """Rankings of the models that the tables tell of, by name, in their order."""
    return {model: Rankings(rankings_path(folder, model), label_sets)
            for model in progress(models, unit="models", desc="checking rankings")}


def shown_sets(label_set: str, ranked: Mapping[str, Rankings]) -> list[str]:
    """Of the seen classes, the label set that was asked for, and that with the seen labels: those with test images."""
    return [name for name in ("seen", label_set, label_set + PLUS_SEEN)
            if any(name in model.names for model in ranked.values())]


# --- accuracy and confusions by class

def classes(params: Params, ranked: Mapping[str, Rankings], shown: list[str], models: list[str], seen: set[str],
            nouns: Taxonomy) -> tuple[list[tuple[str, list[tuple[str, dict]]]], dict[str, Any]]:
    """Distances of first answers, by label set and model; and what the page's script shows of classes."""
    if not shown:
        return [], {"labels": [], "models": [], "sheets": [], "confusions": [], "bands": BANDS}
    wnids = next(iter(ranked.values())).wnids
    is_seen = np.array([wnid in seen for wnid in wnids])
    distances = distances_of(ranked, shown, nouns)
    found: Found = {name: {} for name in shown}
    cells = [(name, model) for name in shown for model, given in ranked.items() if name in given.names]
    for name, model in progress(cells, unit="rankings", desc="counting mistakes"):
        found[name][model] = mistakes_of(ranked[model], name, is_seen, distances, params.confusions)
    by_set = sheets(found, models, distances, params.classes, params.seed)
    pairs = confusions(found, models, distances)
    data = {"labels": numbered_anew(by_set, pairs, wnids, is_seen, nouns), "models": [*map(display_name, models)],
            "sheets": by_set, "confusions": pairs, "bands": BANDS}
    return [(name, [(display_name(model), by_distance(mistakes)) for model, mistakes in by_model.items()])
            for name, by_model in found.items()], data


def distances_of(ranked: Mapping[str, Rankings], shown: list[str], nouns: Taxonomy) -> Distances:
    """From the classes with test images to all labels."""
    wnids = next(iter(ranked.values())).wnids
    tested = np.zeros(len(wnids), bool)
    for name in shown:
        model = next(model for model in ranked.values() if name in model.names)
        for (true,) in model.chunks(f"{name}/true"):
            tested[true] = True
    nodes = np.array([nouns.index.get(wnid, -1) for wnid in wnids], np.int64)
    return Distances(nouns.graph(), nodes, np.flatnonzero(tested))


# --- test images

def pictures(params: Params, ranked: Mapping[str, Rankings], shown: list[str], seen: set[str], nouns: Taxonomy,
             reader: PackedPixels | ImageFiles) -> list[dict[str, Any]]:
    """Test images, one of each of some classes: of the label set that was asked for, or of the seen one.

    Each with its class, its picture as an address, and by label set and model the first answers (name, right, seen).
    """
    asked = [name for name in shown if name != "seen"] or shown
    if not asked:
        return []
    first = next(model for model in ranked.values() if asked[0] in model.names)
    rows = pick_images(first, asked[0], params.images, params.seed)
    given = {name: {display_name(model): answers_of(rankings, name, rows, params.answers, seen)
                    for model, rankings in ranked.items() if name in rankings.names} for name in asked}
    made = []
    for place, (row, wnid) in enumerate(zip(rows, true_wnids(first, asked[0], rows), strict=True)):
        answers = {name: {model: shown_answers(images[place], wnid, nouns) for model, images in by_model.items()}
                   for name, by_model in given.items()}
        picture = small(reader, int(row), params.side)
        made.append({"name": name_of(wnid, nouns), "wnid": wnid, "address": data_uri(picture), "size": picture.size,
                     "answers": answers, "right": {name: [model for model, labels in by_model.items() if labels[0][1]]
                                                   for name, by_model in answers.items()}})
    return made


def shown_answers(answers: list[Answer], true: str, nouns: Taxonomy) -> list[tuple[str, bool, bool]]:
    """Name, whether it is right, and whether it is a seen class's, of each."""
    names = names_of([answer.wnid for answer in answers], true, nouns)
    return [(name, answer.right, answer.seen) for name, answer in zip(names, answers, strict=True)]


# --- what it was made from

def settings_of(path: Path) -> dict[str, dict[str, str]]:
    """params.yaml, section by section, dotted keys; of a path from the root only that it is one.

    Sections that begin with x- are the user's own, for anchors: what they hold stands where it is used.
    """
    return {section: dict(flat(values)) for section, values in read_yaml(path).items() if not section.startswith("x-")}


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield above + key, "(a path on this machine)" if str(value).startswith("/") else json.dumps(
                value, ensure_ascii=False).strip('"')


def versions() -> list[tuple[str, str]]:
    """Python and the libraries, without the suffix of a build (+cpu, +cu130)."""
    return [("Python", f"{sys.version_info.major}.{sys.version_info.minor}"),
            *((name, importlib.metadata.version(name).partition("+")[0]) for name in LIBRARIES)]


def seals(paths: list[Path]) -> list[tuple[str, str]]:
    """Sealed artifacts by folder and name, and the checksums that they carry."""
    return [(f"{path.parent.name}/{path.name}", Artifact(path, verify=False).sha256) for path in paths]


if __name__ == "__main__":
    run_stage(main)
