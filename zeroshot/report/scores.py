"""All models' scores, as `evaluate` writes them: one file per model."""

import re
from pathlib import Path

import pandas as pd

from zeroshot.console.errors import InputError
from zeroshot.evaluation.model_names import BESIDE, NAMES, NOT_MEASURED

COLUMNS = ["model", "label_set", "metric", "k", "value"]
Figures = dict[tuple, float]  # (model, label set, metric, k) -> value; k is None where a metric has none


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
        raise InputError(f"{folder}: holds no scores; expected one .csv file per model: `dvc repro`")
    results = pd.concat([frame for frame in shown if len(frame)] or shown, ignore_index=True)
    results["k"] = results["k"].astype("Int64")
    return results, unmeasured


def figures_of(results: pd.DataFrame) -> Figures:
    """The table of `read_scores`, to look figures up in."""
    return {(row.model, row.label_set, row.metric, None if pd.isna(row.k) else int(row.k)): row.value
            for row in results.itertuples()}


def models_in(results: pd.DataFrame) -> list[str]:
    """In the order of the tables."""
    return list(results["model"].unique())


def models_on(ours: Figures, label_set: str, models: list[str]) -> list[str]:
    """Those that were tested on a label set."""
    return [model for model in models if (model, label_set, "images", None) in ours]


def _place(model: str) -> tuple:
    """Sort key: baselines, DeViSE, ConSE by T, then whatever else there is."""
    if model in NAMES:
        return 0, list(NAMES).index(model), model
    if conse := re.fullmatch(r"conse-(\d+)", model):
        return 1, int(conse[1]), model
    return 2, list(BESIDE).index(model) if model in BESIDE else len(BESIDE), model
