"""The papers' own figures, beside ours where the label set is the same."""

import pandas as pd

from zeroshot.labels.label_sets import PLUS_SEEN

PAPER_SETS = {"seen": "ImageNet 2011 1K", "21k": "ImageNet 2011 21K"}


def published(paper: pd.DataFrame, name: str) -> tuple[dict[tuple[str, int], float], int | None]:
    """(model, k) -> figure of the paper's label set of that name, and its size; ({}, None) if it has none."""
    base = name.removesuffix(PLUS_SEEN)
    called = PAPER_SETS.get(base, base) + (" (+1K)" if name != base else "")
    rows = paper[paper["label_set"] == called]
    if rows.empty:
        return {}, None
    return {(row.model, int(row.k)): row.value for row in rows.itertuples()}, int(rows["candidates"].iloc[0])


def is_same(size: int, published_size: int | None, same_size: float) -> bool:
    """Whether a label set of `size` is taken for the paper's: its size differs by no more than that share."""
    return published_size is not None and abs(size - published_size) <= same_size * published_size


def as_printed(metric: str, value: float | None) -> str:
    """Hits in per cent and precisions as fractions, as the papers print them."""
    if value is None:
        return "–"
    return f"{value:.3f}" if metric == "hp" else f"{100 * value:.1f}"
