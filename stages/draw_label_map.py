"""A map of the label space (DeViSE figure 1): t-SNE of the label vectors, coloured by kind of thing.

Reads label vectors, label sets and the taxonomy, nothing of any model; writes the map and, as a table, its places, by
which the page draws it too. The bytes repeat. Cost: some seconds; it grows with the square of the labels.
"""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
import pydantic
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import IdentityTransform

from stages import run_stage
from zeroshot.base.files import atomic_write
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import read_label_sets
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors
from zeroshot.report.figures import LONGEST, save
from zeroshot.report.gallery import name_of
from zeroshot.report.name_places import place_free_names
from zeroshot.taxonomy import Taxonomy, read_taxonomy

KINDS = {"n01503061": "bird", "n02512053": "fish", "n01861778": "mammal", "n01661091": "reptile",
         "n01905661": "invertebrate", "n00015388": "other animal", "n07555863": "solid food", "n13134947": "fruit",
         "n00021265": "other food", "n00017222": "plant", "n00007846": "person", "n03051540": "clothing",
         "n03800933": "musical instrument", "n03100490": "conveyance", "n03405725": "furniture",
         "n04341686": "structure", "n03094503": "container", "n03183080": "other device",
         "n09287968": "geological formation"}  # wnid -> name; a label counts to the first that is among its hypernyms
MARKS = {True: ("seen", "o", 5), False: ("unseen", "*", 11)}  # is a label seen -> word, mark, size in points
MAP = (13.0, 10.0)  # inches


class Params(StageParams):
    labels: int = pydantic.Field(ge=3, le=2000)
    perplexity: float = pydantic.Field(ge=1)
    seed: Seed


def main(params: Params, *, label_vectors: Path, taxonomy: Path, label_sets: Path, label_map: Path, places: Path
         ) -> None:
    sets, nouns, labels = read_label_sets(label_sets), read_taxonomy(taxonomy), read_label_vectors(label_vectors)
    wnids, seen = pick_labels(labels, sets, params), set(sets["seen"])
    placed = place_labels(labels.of(wnids)[0], params)
    kinds = [kind_of(wnid, nouns) for wnid in wnids]
    write_places(places, wnids, placed, kinds)
    save(draw_map(placed, kinds, [wnid in seen for wnid in wnids], [name_of(wnid, nouns, LONGEST) for wnid in wnids]),
         label_map)


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
    """Seen labels as dots, unseen ones as stars, in their kind's colour, with their names where there is room."""
    colours = dict(zip([*KINDS.values(), "other"], matplotlib.colormaps["tab20"].colors, strict=True))
    figure = Figure(figsize=MAP)
    axis = figure.add_axes((0.01, 0.01, 0.85, 0.94))
    for (x, y), kind, is_seen in zip(places, kinds, seen, strict=True):
        _, mark, size = MARKS[is_seen]
        axis.plot(x, y, mark, color=colours[kind], markersize=size)
    axis.set(xlim=around(places[:, 0]), ylim=around(places[:, 1]))
    axis.set_axis_off()
    axis.set_title("The label space: label vectors, drawn in the plane by t-SNE")
    write_names(axis, places, names, seen)
    legend = [(kind, "s", colour) for kind, colour in colours.items() if kind in kinds]
    legend += [(label, mark, "grey") for is_seen, (label, mark, _) in MARKS.items() if is_seen in seen]
    handles = [axis.plot([], [], mark, color=colour, label=label)[0] for label, mark, colour in legend]
    figure.legend(handles=handles, fontsize=9, loc="center right", frameon=False)
    return figure


def around(values: Float[np.ndarray, "labels"]) -> tuple[float, float]:
    """Limits of an axis on which these values have some room."""
    room = 0.04 * np.ptp(values) + 1e-6
    return float(values.min() - room), float(values.max() + room)


def write_names(axis: Axes, places: Float[np.ndarray, "labels 2"], names: list[str], seen: list[bool]) -> None:
    """Names beside their points, unseen labels' first; one that has no room there is left out.

    As every label is tried, the names lie over the whole map, as densely as it allows.
    """
    figure = axis.get_figure()
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [axis.text(0, 0, name, fontsize=8, transform=IdentityTransform(), ha="left", va="bottom") for name in names]
    extents = [text.get_window_extent(renderer) for text in texts]
    marks = np.array([MARKS[is_seen][2] + 1 for is_seen in seen]) / 2 * figure.dpi / 72  # a mark has an edge of a point
    corner, points = axis.bbox.p0, axis.transData.transform(places)
    boxes = place_free_names(points - corner, np.array([(extent.width, extent.height) for extent in extents]),
                             (axis.bbox.width, axis.bbox.height), marks, np.argsort(seen, kind="stable").tolist())
    for label, (text, extent) in enumerate(zip(texts, extents, strict=True)):
        if label in boxes:
            text.set_position(boxes[label][:2] + corner - extent.p0)
        else:
            text.remove()


if __name__ == "__main__":
    run_stage(main)
