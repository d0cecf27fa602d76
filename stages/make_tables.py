"""All models' scores -> the papers' tables, with the papers' own figures beside ours where the label set is the same.

Reads data/scores/*.csv and the 240 cells of Norouzi et al. 2014; writes results.csv (everything), flat_hit.md,
hierarchical_precision.md, overview.md (the short one, printed at the end of a run) and a plot of hit@k.
"""

import re
from pathlib import Path

import matplotlib
import pandas as pd
import pydantic

from stages import run_stage
from zeroshot.base.chance import is_near_chance
from zeroshot.base.files import atomic_write
from zeroshot.base.params import StageParams, load_params
from zeroshot.console.errors import InputError
from zeroshot.evaluation.metrics import KS
from zeroshot.evaluation.model_names import BESIDE, NAMES, NOT_MEASURED, display_name
from zeroshot.labels.label_sets import ALL_LABEL_SETS, PLUS_SEEN

COLUMNS = ["model", "label_set", "metric", "k", "value"]
PAPER_SETS = {"seen": "ImageNet 2011 1K", "21k": "ImageNet 2011 21K"}
OVERVIEW = {"seen": (1, 5, 20), "unseen": KS, "unseen+seen": (1, 5, 20)}


class Params(StageParams):
    same_size: float = pydantic.Field(ge=0, le=1)


class ConseParams(StageParams, extra="ignore"):
    t: list[int]


def main(params: Params, *, scores: Path, published: Path, out: Path, plot: Path) -> None:
    results, unmeasured = read_scores(scores, load_params("rank_conse", ConseParams).t)
    paper = pd.read_csv(published)
    with atomic_write(out / "results.csv") as file:
        results.to_csv(file, index=False, lineterminator="\n")
    _write(out / "flat_hit.md", "Flat hit@k (%)", results, "hit", paper, "flat_hit", params.same_size)
    _write(out / "hierarchical_precision.md", "Hierarchical precision@k", results, "hp", paper,
           "hierarchical_precision", params.same_size)
    if unmeasured:
        print("\n".join(not_measured(unmeasured)), flush=True)
    with atomic_write(out / "overview.md") as file:
        file.write(overview(results, unmeasured))
    draw(results, plot)


def read_scores(folder: Path, conse_t: list[int]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Scores of the current models, in the order in which they are shown; why models without any were not measured.

    k is NaN where a metric has none. A ConSE(T) that params.yaml no longer asks for may still lie in `folder`; it is
    passed over.

    Raises:
        InputError: no scores, or a file with other columns.
    """
    shown, unmeasured = [], {}
    for path in sorted(folder.glob("*.csv"), key=lambda path: _place(path.stem)):
        with open(path, encoding="utf-8") as file:
            first = file.readline().rstrip("\n")
        frame = pd.read_csv(path, skiprows=int(first.startswith(NOT_MEASURED)))
        if list(frame.columns) != COLUMNS:
            raise InputError(f"{path}: columns {', '.join(frame.columns)}; expected {', '.join(COLUMNS)}; "
                             "delete it and `dvc repro`")
        conse = re.fullmatch(r"conse-(\d+)", path.stem)
        if conse is None or int(conse[1]) in conse_t:
            shown.append(frame)
            if first.startswith(NOT_MEASURED):
                unmeasured[path.stem] = first.removeprefix(NOT_MEASURED)
    if not shown:
        raise InputError(f"{folder}: holds no scores; expected a .csv file a model: `dvc repro`")
    results = pd.concat([frame for frame in shown if len(frame)] or shown, ignore_index=True)
    results["k"] = results["k"].astype("Int64")
    return results, unmeasured


def not_measured(unmeasured: dict[str, str]) -> list[str]:
    """Lines that say which models have no figures, and why, those of one reason together."""
    return [f"Not measured, {why}: {', '.join(display_name(model) for model, its in unmeasured.items() if its == why)}."
            for why in dict.fromkeys(unmeasured.values())]


def _place(model: str) -> tuple:
    """Sort key: baselines, DeViSE, ConSE by T, then whatever else there is."""
    if model in NAMES:
        return 0, list(NAMES).index(model), model
    if conse := re.fullmatch(r"conse-(\d+)", model):
        return 1, int(conse[1]), model
    return 2, list(BESIDE).index(model) if model in BESIDE else len(BESIDE), model


def _write(path: Path, title: str, results: pd.DataFrame, metric: str, paper: pd.DataFrame, paper_metric: str,
           same_size: float) -> None:
    with atomic_write(path) as file:
        file.write(table(title, results, metric, paper[paper["metric"] == paper_metric], same_size))


def table(title: str, results: pd.DataFrame, metric: str, paper: pd.DataFrame, same_size: float) -> str:
    """Markdown: one row per label set and model, one column per k, the paper's figure in brackets or a dash."""
    lines = [f"# {title}", "",
             "In brackets: Norouzi et al. 2014; a dash where they give none or the label set is another.", "",
             "| label set | labels | images | model | " + " | ".join(map(str, KS)) + " |",
             "|---|--:|--:|---|" + "--:|" * len(KS)]
    compared, ours = [], _lookup(results)
    for name in ALL_LABEL_SETS:
        models = [model for model in results["model"].unique() if (model, name, "images", None) in ours]
        if not models:
            continue
        size = int(ours[models[0], name, "labels", None])
        figures, published_size = _published(paper, name)
        same = published_size is not None and abs(size - published_size) <= same_size * published_size
        if published_size is not None:
            compared.append(f"{name} {size:,} (paper {published_size:,}: {'compared' if same else 'not the same'})")
        for number, model in enumerate(models):
            head = ["", "", ""] if number else [name, f"{size:,}", f"{int(ours[model, name, 'images', None]):,}"]
            cells = [f"{_figure(metric, ours.get((model, name, metric, k)))} "
                     f"({_figure(metric, figures.get((display_name(model), k)) if same else None)})" for k in KS]
            lines.append("| " + " | ".join([*head, display_name(model), *cells]) + " |")
    missing = [name for name in ALL_LABEL_SETS if name not in set(results["label_set"])]
    lines += ["", "Sizes: " + ("; ".join(compared) or "no label set of the paper's is here") + "."]
    lines += ["", "Without test images or candidates: " + ", ".join(missing) + "."] if missing else []
    lines += trained_on(ours, results)
    return "\n".join(lines) + "\n"


def trained_on(ours: dict[tuple, float], results: pd.DataFrame) -> list[str]:
    """A warning below a table where the seen classes' test images were training images too."""
    shared = [int(value) for (_, _, metric, _), value in ours.items() if metric == "val_images_also_train"]
    if not max(shared, default=0):
        return []
    images = max(int(ours.get((model, "seen", "images", None), 0)) for model in results["model"].unique())
    return ["", f"Training images too: {max(shared):,} of the {images:,} validation images of seen classes. What "
            "models that were trained on them score on seen images, and their harmonic means, tell nothing about new "
            "images: random embedding, DeViSE and the closed-form ones, and all if pretrain_cnn trained on them."]


def _lookup(results: pd.DataFrame) -> dict[tuple, float]:
    return {(row.model, row.label_set, row.metric, None if pd.isna(row.k) else int(row.k)): row.value
            for row in results.itertuples()}


def _published(paper: pd.DataFrame, name: str) -> tuple[dict[tuple[str, int], float], int | None]:
    """(model, k) -> figure of the paper's label set of that name, and its size; ({}, None) if it has none."""
    base = name.removesuffix(PLUS_SEEN)
    called = PAPER_SETS.get(base, base) + (" (+1K)" if name != base else "")
    rows = paper[paper["label_set"] == called]
    if rows.empty:
        return {}, None
    return {(row.model, int(row.k)): row.value for row in rows.itertuples()}, int(rows["candidates"].iloc[0])


def _figure(metric: str, value: float | None) -> str:
    """Hits in per cent and precisions as fractions, as the papers print them."""
    if value is None:
        return "–"
    return f"{value:.3f}" if metric == "hp" else f"{100 * value:.1f}"


def overview(results: pd.DataFrame, unmeasured: dict[str, str]) -> str:
    """The short table: flat hit@k in per cent, and generalised zero-shot's harmonic mean."""
    ours = _lookup(results)
    if results.empty:
        return "\n".join(["Nothing was measured.", "", *not_measured(unmeasured)]) + "\n"
    titles = [f"{name} hit@{'/'.join(map(str, ks))}" for name, ks in OVERVIEW.items()]
    rows = [["model", *titles, "unseen hp@5", "harmonic mean"]]
    for model in results["model"].unique():
        cells = [" ".join(_figure("hit", ours.get((model, name, "hit", k))).rjust(4) for k in ks)
                 if (model, name, "images", None) in ours else "–" for name, ks in OVERVIEW.items()]
        rows.append([display_name(model), *cells, _figure("hp", ours.get((model, "unseen", "hp", 5))),
                     _figure("hit", ours.get((model, "unseen+seen", "gzsl_harmonic", None)))])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for name in OVERVIEW:
        models = [model for model in results["model"].unique() if (model, name, "images", None) in ours]
        if models:
            most = max(models, key=lambda model, name=name: ours[model, name, "candidates", None])
            images, labels, candidates = (int(ours[most, name, key, None])
                                          for key in ("images", "labels", "candidates"))
            lines += ["", f"{name}: {images:,} images, {labels:,} labels, {candidates:,} of them candidates; "
                      f"chance at 1: {100 / candidates:.2g} %"]
    lines += trained_on(ours, results) + near_chance(ours)
    lines += ["", *not_measured(unmeasured)] if unmeasured else []
    return "\n".join(lines) + "\n"


def near_chance(ours: dict[tuple, float]) -> list[str]:
    """A warning below the overview where the CNN names images of its own classes no better than one that guesses."""
    hit, images, labels = (ours.get(("softmax", "seen", metric, k))
                           for metric, k in (("hit", 1), ("images", None), ("candidates", None)))
    if hit is None or not is_near_chance(round(hit * images), int(images), int(labels)):
        return []
    return ["", f"Near chance: the softmax baseline's hit@1 on {int(images):,} images of seen classes, "
            f"{100 * hit:.2g} %, is what guessing gives too ({100 / labels:.2g} %). Every figure here builds on that "
            "network: see `pretrain_cnn.weights_outputs`, `mean`, `deviation` and the images' labels."]


def draw(results: pd.DataFrame, path: Path) -> None:
    """Hit@k over k: one panel per label set, one line per model; the bytes repeat."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    hits = results[results["metric"] == "hit"]
    names = [name for name in ALL_LABEL_SETS if name in set(hits["label_set"])]
    columns = min(3, max(1, len(names)))
    figure, axes = plt.subplots(max(1, -(-len(names) // columns)), columns, squeeze=False, layout="constrained",
                                figsize=(4.2 * columns, 3.2 * max(1, -(-len(names) // columns))))
    models = list(hits["model"].unique())
    for number, axis in enumerate(axes.flat):
        axis.set_visible(number < len(names))
        if number >= len(names):
            continue
        here = hits[hits["label_set"] == names[number]]
        for model, rows in here.groupby("model", sort=False):
            axis.plot(rows["k"].astype(int), 100 * rows["value"], marker="o", markersize=3, label=display_name(model),
                      color=f"C{models.index(model) % 10}")
        axis.set(title=names[number], xscale="log", xticks=KS, xticklabels=KS, xlabel="k", ylabel="hit@k (%)")
        axis.set_ylim(bottom=0)
        axis.minorticks_off()
    handles = [plt.Line2D([], [], color=f"C{number % 10}", marker="o", markersize=3, label=display_name(model))
               for number, model in enumerate(models)]
    if not names:
        figure.suptitle("Nothing was measured")
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, min(len(models), 6)), frameon=False)
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    run_stage(main)
