"""All models' figures as tables, the papers' own beside them."""

from dataclasses import dataclass

import pandas as pd

from zeroshot.evaluation.metrics import KS
from zeroshot.evaluation.model_names import display_name
from zeroshot.labels.label_sets import PLUS_SEEN, in_order
from zeroshot.report.papers import as_printed, is_same, published
from zeroshot.report.scores import Figures, models_on

PAPER_METRICS = {"hit": "flat_hit", "hp": "hierarchical_precision"}
BESIDE = {"hit": {"mean over classes": ("macro_hit", 1), "harmonic mean": ("gzsl_harmonic", None)}, "hp": {}}


@dataclass(frozen=True)
class Cell:
    """A figure as it is printed, the paper's and the 95 % interval where there are any, and if no model's is higher."""

    ours: str
    paper: str = ""
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """One metric on one label set: one row per model, one column per k, then what stands beside them."""

    metric: str
    label_set: str
    labels: int
    candidates: int
    images: int
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]
    compared: bool


def tables(ours: Figures, models: list[str], paper: pd.DataFrame, same_size: float) -> list[Table]:
    """A table for each metric and label set that any model was tested on."""
    return [table(ours, metric, name, tested, paper, same_size) for metric in PAPER_METRICS
            for name in in_order({key[1] for key in ours})
            if (tested := models_on(ours, name, models))]


def table(ours: Figures, metric: str, label_set: str, models: list[str], paper: pd.DataFrame, same_size: float
          ) -> Table:
    labels, candidates, images = (max(int(ours[model, label_set, key, None]) for model in models)
                                  for key in ("labels", "candidates", "images"))
    theirs, size = published(paper[paper["metric"] == PAPER_METRICS[metric]], label_set)
    compared = is_same(labels, size, same_size)
    rows = [(display_name(model), [cell(ours, label_set, model, models, metric, k,
                                        theirs.get((display_name(model), k)) if compared else None) for k in KS])
            for model in models]
    beside = {title: key for title, key in BESIDE[metric].items()
              if any((model, label_set, *key) in ours for model in models)}
    for model, (_, cells) in zip(models, rows, strict=True):
        cells += [cell(ours, label_set, model, models, *key) for key in beside.values()]
    return Table(metric, label_set, labels, candidates, images, [*map(str, KS), *beside], rows, compared)


def cell(ours: Figures, label_set: str, model: str, models: list[str], metric: str, k: int | None,
         paper: float | None = None) -> Cell:
    value = ours.get((model, label_set, metric, k))
    highest = max(ours.get((other, label_set, metric, k), 0) for other in models)
    ends = [ours.get((model, label_set, f"{metric}_{end}", k)) for end in ("low", "high")]
    return Cell(as_printed(metric, value), "" if paper is None else as_printed(metric, paper),
                "" if None in ends else "–".join(as_printed(metric, end) for end in ends),
                best=value == highest and len(models) > 1)


def facts(ours: Figures, models: list[str], base: str) -> list[tuple[str, str]]:
    """The best figures in few words: (figure, what it is), of the seen classes, `base`, and `base` with the seen."""
    found = []
    for name, said in (("seen", "of seen classes’ test images named right at first"),
                       (base, "of images of classes never seen, among unseen labels"),
                       (base + PLUS_SEEN, "of the same images, the seen labels being candidates too")):
        found += best(ours, models_on(ours, name, models), (name, "hit", 1), said)
    return found + best(ours, models_on(ours, base + PLUS_SEEN, models), (base + PLUS_SEEN, "gzsl_harmonic", None),
                        "harmonic mean of seen and unseen classes, all labels being candidates")


def best(ours: Figures, models: list[str], key: tuple, said: str) -> list[tuple[str, str]]:
    """The model with the highest figure of (label set, metric, k), if any has one."""
    values = {model: ours[model, *key] for model in models if (model, *key) in ours}
    if not values:
        return []
    model = max(values, key=values.__getitem__)
    candidates = ours[model, key[0], "candidates", None]
    chance = f"; chance: {100 / candidates:.2g} %" if key[1] == "hit" else ""
    return [(f"{100 * values[model]:.1f} %", f"{said}: {display_name(model)}{chance}")]
