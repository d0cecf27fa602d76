"""Figures to look at: test images with each model's answers (DeViSE figure 2), and a map of the labels (its figure 1).

Reads rankings, the images that they are of, label vectors and the taxonomy. Draws one image each of some classes,
picked at random, with the first labels that each model gives, the true one in green, those of seen classes in grey
italics; and t-SNE of the label vectors, coloured by kind of thing, whose places it writes too. The bytes repeat.  Cost:
some seconds, and one read of the models' rankings, for their checksums.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
import pydantic
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import IdentityTransform

from stages import run_stage
from zeroshot.base.artifacts import why_not_made
from zeroshot.base.files import atomic_write
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError
from zeroshot.evaluation.metrics import KS
from zeroshot.evaluation.model_names import display_name
from zeroshot.images.index import ImageIndex
from zeroshot.images.pixels import open_pixels
from zeroshot.labels.label_sets import ALL_LABEL_SETS, read_label_sets
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors
from zeroshot.ranking.rankings import Rankings
from zeroshot.report.gallery import Answer, answers_of, name_of, pick_images, rankings_path, small, true_wnids
from zeroshot.report.name_places import place_names
from zeroshot.taxonomy import Taxonomy, read_taxonomy

SIDE = 224  # pixels, at most, of an image in the figure
LONGEST = 24  # characters of a name
NAMED = 150  # labels of the map that get their name; of more, as many
KINDS = {"n01503061": "bird", "n02512053": "fish", "n01861778": "mammal", "n01661091": "reptile",
         "n01905661": "invertebrate", "n00015388": "other animal", "n07555863": "solid food", "n13134947": "fruit",
         "n00021265": "other food", "n00017222": "plant", "n00007846": "person", "n03051540": "clothing",
         "n03800933": "musical instrument", "n03100490": "conveyance", "n03405725": "furniture",
         "n04341686": "structure", "n03094503": "container", "n03183080": "other device",
         "n09287968": "geological formation"}  # wnid -> name; a label counts to the first that is among its hypernyms
MAP = (13.0, 10.0)  # inches


class Params(StageParams):
    label_set: Literal[ALL_LABEL_SETS]
    models: list[str] = pydantic.Field(min_length=1)
    images: int = pydantic.Field(ge=1, le=100)
    answers: int = pydantic.Field(ge=1, le=KS[-1])
    labels: int = pydantic.Field(ge=3, le=2000)
    perplexity: float = pydantic.Field(ge=1)
    seed: Seed


def main(params: Params, *, rankings: Path, index: Path, images: Path, label_vectors: Path, taxonomy: Path,
         label_sets: Path, answers: Path, label_map: Path, places: Path) -> None:
    sets, nouns = read_label_sets(label_sets), read_taxonomy(taxonomy)
    seen = set(sets["seen"])
    ranked = read_models(params, rankings, sets)
    if len(ImageIndex.read(index).test_rows()):
        label_set, models = tested_on(params, ranked)
        rows = pick_images(models[0], label_set, params.images, params.seed)
        reader = open_pixels(index, images, verify=False)
        true = [name_of(wnid, nouns, LONGEST) for wnid in true_wnids(models[0], label_set, rows)]
        given = {model.model: answers_of(model, label_set, rows, params.answers, seen) for model in models}
        save(draw_answers([np.asarray(small(reader, row, SIDE)) for row in rows], true, given, nouns), answers)
    else:
        print("draw_figures: no test images, so there are no answers to show", flush=True)
        save(draw_nothing("No test images"), answers)
    labels = read_label_vectors(label_vectors)
    wnids = pick_labels(labels, sets, params)
    placed = place_labels(labels.of(wnids)[0], params)
    kinds = [kind_of(wnid, nouns) for wnid in wnids]
    write_places(places, wnids, placed, kinds)
    save(draw_map(placed, kinds, [wnid in seen for wnid in wnids], [name_of(wnid, nouns, LONGEST) for wnid in wnids]),
         label_map)


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


# --- test images with each model's answers

def draw_answers(pixels: list[np.ndarray], true: list[str], answers: Mapping[str, list[list[Answer]]], nouns: Taxonomy
                 ) -> Figure:
    """One row per image, one column per model."""
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
        axes[row, 0].set_title(true[row], fontsize=10, color="green")
        for axis, (model, given) in zip(axes[row, 1:], answers.items(), strict=True):
            write_answers(axis, given[row], nouns, title=display_name(model) if row == 0 else "")
    return figure


def draw_nothing(why: str) -> Figure:
    figure = Figure(figsize=(4, 1))
    figure.text(0.5, 0.5, why, ha="center", va="center")
    return figure


def write_answers(axis: Axes, answers: list[Answer], nouns: Taxonomy, title: str) -> None:
    axis.set_title(title, fontsize=10, fontweight="bold", loc="left")
    for place, answer in enumerate(answers):
        axis.text(0, 1 - (place + 0.5) / len(answers), name_of(answer.wnid, nouns, LONGEST), fontsize=9, va="center",
                  transform=axis.transAxes, color="green" if answer.right else "0.42" if answer.seen else "black",
                  fontweight="bold" if answer.right else "normal", fontstyle="italic" if answer.seen else "normal")


# --- the label space

def pick_labels(labels: LabelVectors, label_sets: Mapping[str, list[str]], params: Params) -> list[str]:
    """Seen and unseen labels that have a vector, or as many of them as were asked for."""
    with_vector = {labels.wnids[label] for label in np.flatnonzero(labels.has_vector)}
    has = sorted({*label_sets["seen"], *label_sets["unseen"]} & with_vector)
    if len(has) < 3:
        raise InputError(f"{len(has)} seen and unseen labels have a vector; the map of the label space needs three")
    chosen = np.random.default_rng(params.seed).permutation(len(has))[:params.labels]
    return [has[number] for number in np.sort(chosen)]


def place_labels(vectors: Float[np.ndarray, "labels dim"], params: Params) -> Float[np.ndarray, "labels 2"]:
    """t-SNE: near vectors, by cosine, lie near each other. Exact and on one thread, so that the bits repeat."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return TSNE(perplexity=min(params.perplexity, (len(vectors) - 1) / 3), metric="cosine", init="random",
                    method="exact", random_state=params.seed).fit_transform(vectors.astype(np.float64))


def kind_of(wnid: str, nouns: Taxonomy) -> str:
    """The first of KINDS that is the synset or one of its hypernyms."""
    above = {wnid, *nouns.ancestors(wnid)} if wnid in nouns.index else {wnid}
    return next((name for kind, name in KINDS.items() if kind in above), "other")


def write_places(path: Path, wnids: list[str], places: Float[np.ndarray, "labels 2"], kinds: list[str]) -> None:
    """A table wnid, x, y, kind, for whoever draws the same map."""
    with atomic_write(path) as file:
        file.write("wnid,x,y,kind\n")
        file.writelines(f"{wnid},{x:.4f},{y:.4f},{kind}\n"
                        for wnid, (x, y), kind in zip(wnids, places.tolist(), kinds, strict=True))


def draw_map(places: Float[np.ndarray, "labels 2"], kinds: list[str], seen: list[bool], names: list[str]) -> Figure:
    """Seen labels as dots, unseen ones as stars, in their kind's colour, with their names."""
    colours = dict(zip([*KINDS.values(), "other"], matplotlib.colormaps["tab20"].colors, strict=True))
    figure = Figure(figsize=MAP)
    axis = figure.add_axes((0.01, 0.01, 0.85, 0.94))
    for (x, y), kind, is_seen in zip(places, kinds, seen, strict=True):
        axis.plot(x, y, "o" if is_seen else "*", color=colours[kind], markersize=5 if is_seen else 11)
    axis.set(xlim=around(places[:, 0]), ylim=around(places[:, 1]))
    axis.set_axis_off()
    axis.set_title("The label space: label vectors, drawn in the plane by t-SNE")
    write_names(axis, places[:NAMED], names[:NAMED])
    here = [kind for kind in colours if kind in kinds]
    marks = [axis.plot([], [], "s", color=colours[kind], label=kind)[0] for kind in here]
    marks += [axis.plot([], [], mark, color="grey", label=label)[0] for mark, label in (("o", "seen"), ("*", "unseen"))]
    figure.legend(handles=marks, fontsize=9, loc="center right", frameon=False)
    return figure


def around(values: Float[np.ndarray, "labels"]) -> tuple[float, float]:
    """Limits of an axis on which these values have some room."""
    room = 0.04 * np.ptp(values) + 1e-6
    return float(values.min() - room), float(values.max() + room)


def write_names(axis: Axes, places: Float[np.ndarray, "names 2"], names: list[str]) -> None:
    """Each name beside its point, moved to where it covers no other; a line leads to the point if that is far off."""
    figure = axis.get_figure()
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [axis.text(0, 0, name, fontsize=8, transform=IdentityTransform(), ha="left", va="bottom") for name in names]
    extents = [text.get_window_extent(renderer) for text in texts]
    corner, points = axis.bbox.p0, axis.transData.transform(places)
    boxes, _ = place_names(points - corner, np.array([(extent.width, extent.height) for extent in extents]),
                           (axis.bbox.width, axis.bbox.height), mark=6)
    for text, extent, box, point in zip(texts, extents, boxes, points, strict=True):
        left, low, right, high = box + np.tile(corner, 2)
        text.set_position((left - extent.x0, low - extent.y0))
        nearest = np.clip(point, (left, low), (right, high))
        if np.hypot(*(nearest - point)) > 12:
            axis.plot(*zip(point, nearest, strict=True), color="0.6", linewidth=0.6, zorder=0,
                      transform=IdentityTransform())


def save(figure: Figure, path: Path) -> None:
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=figure.dpi, metadata={"Software": None})


if __name__ == "__main__":
    run_stage(main)
