"""The table of hits class by class, all models side by side."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from zeroshot.evaluation.classes import wilson_interval
from zeroshot.evaluation.model_names import display_name
from zeroshot.report.markdown import aligned

SETS = ("unseen", "unseen+seen")
MOST = 60  # classes shown
ABOUT = ("hit@1 in per cent, and its 95 % interval (Wilson). Apart: classes of which no seen class is a kind and that "
         "are no kind of a seen one, so that no training image shows them; the candidates stay the same. More: "
         "data/scores/classes.")


def class_tables(scores: Mapping[str, pd.DataFrame], names: Mapping[str, str]) -> str:
    """Markdown: one section per label set, one row per class, one column per model.

    Args:
        scores: model -> rows of zeroshot.evaluation.classes.COLUMNS.
        names: wnid -> name.
    """
    lines = ["# Class by class", "", ABOUT]
    for label_set in SETS:
        found = {model: frame[frame["label_set"] == label_set].set_index("wnid") for model, frame in scores.items()}
        found = {model: frame for model, frame in found.items() if len(frame)}
        if found:
            lines += ["", f"## {label_set}", "", *aligned(_rows(found, names))]
            classes = len(next(iter(found.values())))
            lines += ["", f"and {classes - MOST:,} more classes"] if classes > MOST else []
    return "\n".join(lines) + "\n"


def _rows(found: Mapping[str, pd.DataFrame], names: Mapping[str, str]) -> list[list[str]]:
    counted = [dict(zip(frame.index, zip(frame["images"].tolist(), frame["hit@1"].tolist(), strict=True), strict=True))
               for frame in found.values()]
    first = next(iter(found.values()))
    apart = [wnid for wnid, is_apart in zip(first.index, first["apart"], strict=True) if is_apart]
    rows = [["class", "images", *map(display_name, found)]]
    for wnid in sorted(first.index, key=lambda wnid: (names[wnid].lower(), wnid))[:MOST]:
        rows.append(_row(names[wnid] + ("" if wnid in apart else " (not apart)"), [wnid], counted))
    rows.append(_row(f"all {len(first):,}", first.index, counted))
    if 0 < len(apart) < len(first):
        rows.append(_row(f"the {len(apart):,} apart", apart, counted))
    return rows


def _row(name: str, wnids: Collection[str], counted: Sequence[Mapping[str, tuple[int, float]]]) -> list[str]:
    """Of several classes, all their images count alike.

    Args:
        counted: of each model, wnid -> images and hit@1.
    """
    cells = []
    for of_model in counted:
        images = sum(of_model[wnid][0] for wnid in wnids)
        hits = round(sum(count * share for count, share in map(of_model.__getitem__, wnids)))
        low, high = wilson_interval(hits, images)
        cells.append(f"{100 * hits / images:.1f} {100 * low:.0f}–{100 * high:.0f}")
    return [name, f"{sum(counted[0][wnid][0] for wnid in wnids):,}", *cells]
