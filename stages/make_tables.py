"""All models' scores -> the papers' tables, with the papers' own figures beside ours where the label set is the same.

Reads data/scores/*.csv, data/scores/classes/*.csv and the 240 cells of Norouzi et al. 2014; writes results.csv (all),
flat_hit.md, hierarchical_precision.md, per_class.md (Xian et al. 2017's figure), overview.md (the short one, printed at
the end of a run), classes.md (class by class) and a plot of hit@k.
"""

from pathlib import Path

import pandas as pd
import pydantic
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages import run_stage
from zeroshot.base.files import atomic_write
from zeroshot.base.params import StageParams, load_params
from zeroshot.evaluation.metrics import KS
from zeroshot.evaluation.model_names import display_name
from zeroshot.labels.label_sets import ALL_LABEL_SETS, PLUS_SEEN, in_order, populated
from zeroshot.report.cautions import near_chance, trained_on
from zeroshot.report.class_table import class_tables
from zeroshot.report.figures import save
from zeroshot.report.markdown import aligned
from zeroshot.report.papers import as_printed, is_same, published
from zeroshot.report.scores import figures_of, models_in, models_on, read_scores
from zeroshot.taxonomy import read_taxonomy

OVERVIEW = {"seen": (1, 5, 20), "unseen": KS, "unseen+seen": (1, 5, 20)}


class Params(StageParams):
    same_size: float = pydantic.Field(ge=0, le=1)


class ConseParams(StageParams, extra="ignore"):
    t: list[int]


def main(params: Params, *, scores: Path, classes: Path, taxonomy: Path, published: Path, out: Path, plot: Path
         ) -> None:
    results, unmeasured = read_scores(scores, load_params("rank_conse", ConseParams).t)
    paper = pd.read_csv(published)
    with atomic_write(out / "results.csv") as file:
        results.to_csv(file, index=False, lineterminator="\n")
    _write(out / "flat_hit.md", "Flat hit@k (%)", results, "hit", paper, "flat_hit", params.same_size)
    _write(out / "hierarchical_precision.md", "Hierarchical precision@k", results, "hp", paper,
           "hierarchical_precision", params.same_size)
    with atomic_write(out / "per_class.md") as file:
        file.write(per_class_table(results))
    if unmeasured:
        print("\n".join(not_measured(unmeasured)), flush=True)
    with atomic_write(out / "overview.md") as file:
        file.write(overview(results, unmeasured))
    nouns = read_taxonomy(taxonomy)
    by_class = {model: pd.read_csv(classes / f"{model}.csv") for model in models_in(results)}
    with atomic_write(out / "classes.md") as file:
        file.write(class_tables(by_class, {wnid: lemmas[0] for wnid, lemmas in zip(nouns.wnids, nouns.lemmas,
                                                                                   strict=True)}))
    draw(results, plot)


def not_measured(unmeasured: dict[str, str]) -> list[str]:
    """Lines that say which models have no figures, and why, those of one reason together."""
    return [f"Not measured, {why}: {', '.join(display_name(model) for model, its in unmeasured.items() if its == why)}."
            for why in dict.fromkeys(unmeasured.values())]


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
    compared, ours = [], figures_of(results)
    for name in in_order(set(results["label_set"])):
        models = models_on(ours, name, models_in(results))
        if not models:
            continue
        size = int(ours[models[0], name, "labels", None])
        figures, published_size = published(paper, name)
        same = is_same(size, published_size, same_size)
        if published_size is not None:
            compared.append(f"{name} {size:,} (paper {published_size:,}: {'compared' if same else 'not the same'})")
        for number, model in enumerate(models):
            head = ["", "", ""] if number else [name, f"{size:,}", f"{int(ours[model, name, 'images', None]):,}"]
            cells = [f"{as_printed(metric, ours.get((model, name, metric, k)))} "
                     f"({as_printed(metric, figures.get((display_name(model), k)) if same else None)})" for k in KS]
            lines.append("| " + " | ".join([*head, display_name(model), *cells]) + " |")
    missing = [name for name in ALL_LABEL_SETS if name not in set(results["label_set"])]
    lines += ["", "Sizes: " + ("; ".join(compared) or "no label set of the paper's is here") + "."]
    lines += ["", "Without test images or candidates: " + ", ".join(missing) + "."] if missing else []
    lines += blank_before(trained_on(ours))
    return "\n".join(lines) + "\n"


def blank_before(paragraphs: list[str]) -> list[str]:
    return [line for paragraph in paragraphs for line in ("", paragraph)]


def per_class_table(results: pd.DataFrame) -> str:
    """Markdown: mean per-class hit@1, a row per model and kind of candidates, a column per label set; per cent."""
    rows = results[(results["metric"] == "macro_hit") & (results["k"] == 1)]
    figures = {(row.model, row.label_set): row.value for row in rows.itertuples()}
    tested = {name for _, name in figures}
    sets = [name for name in ("2-hops", "3-hops", *populated(tested), "21k") if name in tested]
    lines = ["# Mean per-class hit@1 (%)", "",
             "Mean over classes of the share of a class's images whose first label is the true one (Xian et al. 2017); "
             "their names: 2H, 3H, M500 ... for the most populated classes, L500 ... for the least, All for 21k.", "",
             "| model | candidates | " + " | ".join(sets) + " |", "|---|---|" + "--:|" * len(sets)]
    for model in models_in(results):
        for plus, candidates in (("", "unseen"), (PLUS_SEEN, "and seen")):
            cells = [figures.get((model, name + plus)) for name in sets]
            if any(cell is not None for cell in cells):
                lines.append(f"| {display_name(model)} | {candidates} | "
                             + " | ".join("–" if cell is None else f"{100 * cell:.1f}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def overview(results: pd.DataFrame, unmeasured: dict[str, str]) -> str:
    """The short table: flat hit@k in per cent, and generalised zero-shot's harmonic mean."""
    ours, models = figures_of(results), models_in(results)
    if results.empty:
        return "\n".join(["Nothing was measured.", "", *not_measured(unmeasured)]) + "\n"
    titles = [f"{name} hit@{'/'.join(map(str, ks))}" for name, ks in OVERVIEW.items()]
    rows = [["model", *titles, "unseen hp@5", "harmonic mean"]]
    for model in models:
        cells = [" ".join(as_printed("hit", ours.get((model, name, "hit", k))).rjust(4) for k in ks)
                 if models_on(ours, name, [model]) else "–" for name, ks in OVERVIEW.items()]
        rows.append([display_name(model), *cells, as_printed("hp", ours.get((model, "unseen", "hp", 5))),
                     as_printed("hit", ours.get((model, "unseen+seen", "gzsl_harmonic", None)))])
    lines = aligned(rows)
    for name in OVERVIEW:
        if tested := models_on(ours, name, models):
            most = max(tested, key=lambda model, name=name: ours[model, name, "candidates", None])
            images, labels, candidates = (int(ours[most, name, key, None])
                                          for key in ("images", "labels", "candidates"))
            lines += ["", f"{name}: {images:,} images, {labels:,} labels, {candidates:,} of them candidates; "
                      f"chance at 1: {100 / candidates:.2g} %"]
    lines += blank_before(trained_on(ours) + near_chance(ours))
    lines += ["", *not_measured(unmeasured)] if unmeasured else []
    return "\n".join(lines) + "\n"


def draw(results: pd.DataFrame, path: Path) -> None:
    """Hit@k over k: one panel per label set, one line per model; the bytes repeat."""
    hits = results[results["metric"] == "hit"]
    names = in_order(set(hits["label_set"]))
    columns = min(3, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    models = list(hits["model"].unique())
    for number, axis in enumerate(axes.flat):
        axis.set_visible(number < len(names))
        if number >= len(names):
            continue
        here = hits[hits["label_set"] == names[number]]
        for model, of_model in here.groupby("model", sort=False):
            axis.plot(of_model["k"].astype(int), 100 * of_model["value"], marker="o", markersize=3,
                      label=display_name(model), color=f"C{models.index(model) % 10}")
        axis.set(title=names[number], xscale="log", xticks=KS, xticklabels=KS, xlabel="k", ylabel="hit@k (%)")
        axis.set_ylim(bottom=0)
        axis.minorticks_off()
    handles = [Line2D([], [], color=f"C{number % 10}", marker="o", markersize=3, label=display_name(model))
               for number, model in enumerate(models)]
    if not names:
        figure.suptitle("Nothing was measured")
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, min(len(models), 6)), frameon=False)
    save(figure, path)


if __name__ == "__main__":
    run_stage(main)
