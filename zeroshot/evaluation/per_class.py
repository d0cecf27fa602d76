"""Mean per-class hit@1, the figure of Xian et al. 2017 ("GBU"), on their label sets, as a table."""

import pandas as pd

from zeroshot.evaluation.model_names import display_name
from zeroshot.labels.label_sets import PLUS_SEEN, populated

METRIC = "macro_hit"


def per_class_table(results: pd.DataFrame) -> str:
    """Markdown: a row per model and kind of candidates, a column per label set that was tested on; per cent.

    Args:
        results: columns model, label_set, metric, k, value.
    """
    rows = results[(results["metric"] == METRIC) & (results["k"] == 1)]
    figures = {(row.model, row.label_set): row.value for row in rows.itertuples()}
    tested = {name for _, name in figures}
    sets = [name for name in ("2-hops", "3-hops", *populated(tested), "21k") if name in tested]
    lines = ["# Mean per-class hit@1 (%)", "",
             "Mean over classes of the share of a class's images whose first label is the true one (Xian et al. 2017); "
             "their names: 2H, 3H, M500 ... for the most populated classes, L500 ... for the least, All for 21k.", "",
             "| model | candidates | " + " | ".join(sets) + " |", "|---|---|" + "--:|" * len(sets)]
    for model in results["model"].unique():
        for plus, candidates in (("", "unseen"), (PLUS_SEEN, "and seen")):
            cells = [figures.get((model, name + plus)) for name in sets]
            if any(cell is not None for cell in cells):
                lines.append(f"| {display_name(model)} | {candidates} | "
                             + " | ".join("–" if cell is None else f"{100 * cell:.1f}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"
