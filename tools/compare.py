"""Is it noise? Two runs beside each other: `make compare REVS="before after"`, `python -m tools.compare --help`.

Every figure that both runs have, before and after, with the 95 % interval of the difference, paired over the same test
images; which params differ, which stages ran anew, which classes gained and lost most. The older run's rankings come
out of DVC's cache or its remote by the hashes in its dvc.lock; nothing is checked out. docs/compare.md: the method.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tools.changes import ParamChange, StageChange, changed_params, changed_stages, stale
from tools.differences import HARMONIC, METRICS, ClassChange, Difference, class_changes, common_models, differences
from tools.preset import shown
from tools.runs import WORKSPACE, Run
from tools.wrapping import WIDTH, wrap
from zeroshot.console.ends import ended
from zeroshot.console.errors import InputError
from zeroshot.evaluation.model_names import display_name
from zeroshot.labels.label_sets import ALL_LABEL_SETS, in_order
from zeroshot.report.markdown import aligned

HEADLINE_MODELS = ("softmax", "devise", "conse-10", "hierse", "exemplars")
HEADLINE_SETS = ("seen", "unseen", "unseen+seen")
MOST = 5  # classes up and down
METHOD = ("Before, after, difference ± half its 95 % interval; * where that excludes 0. Hits and harmonic mean are in "
          "per cent. Intervals: paired bootstrap by class (each drawn with all its images and both runs' answers), "
          "Student's t. They cover which classes and images were tested; what another seed would shift in all classes "
          "alike, two runs cannot tell, several seeds can: docs/compare.md")


@dataclass(frozen=True)
class Comparison:
    """All that is told of two runs; `classes` of each model, those that gained most first."""

    before: Run
    after: Run
    figures: list[Difference]
    params: list[ParamChange]
    stages: list[StageChange]
    class_set: str
    classes: dict[str, list[ClassChange]]
    notes: list[str]


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    revs = [*asked.revs, *["HEAD", WORKSPACE][len(asked.revs):]] if len(asked.revs) != 1 else [*asked.revs, WORKSPACE]
    if "" in revs:
        raise InputError("a revision is empty, as of a variable that is not set; expected one of git, an experiment's "
                         f"name, or `{WORKSPACE}`")
    if "" in [*(asked.model or ()), *(asked.label_set or ())]:
        raise InputError("a list of models or label sets is empty, as of a variable that is not set; expected names, "
                         "or no such option for the usual ones")
    if len(revs) > 2:
        raise InputError(f"{len(revs)} revisions: {', '.join(revs)}; expected at most two, before and after")
    before, after = map(Run.at, revs)
    everything = asked.all or asked.json
    compared = compare(before, after, asked.model or (None if everything else HEADLINE_MODELS),
                       asked.label_set or (None if everything else HEADLINE_SETS), must=bool(asked.model))
    print(json.dumps(as_json(compared), indent=2, ensure_ascii=False, default=str) if asked.json
          else as_markdown(compared))


def compare(before: Run, after: Run, models: Sequence[str] | None, label_sets: Sequence[str] | None,
            must: bool = True) -> Comparison:
    """Compare two runs in some models and label sets (None: all).

    Args:
        must: refuse a model that not both runs have; else it is passed over.
    """
    common = common_models(before, after)
    shown = models if must and models else [model for model in common if models is None or model in models] or common
    figures = differences(before, after, shown, label_sets)
    if not figures and not any(untested(run, shown) for run in (before, after)):
        raise InputError(f"{', '.join(shown)}: not tested on {', '.join(label_sets or before.label_sets)} in both "
                         "runs; `--all` shows what there is")
    tested = list(dict.fromkeys(row.label_set for row in figures))
    class_set = "unseen" if "unseen" in tested or not tested else tested[0]
    classes = {model: class_changes(before, after, model, class_set)
               for model in dict.fromkeys(row.model for row in figures)}
    return Comparison(before, after, figures, changed_params(before, after), changed_stages(before, after), class_set,
                      classes, _notes(before, after, common, figures, class_set, classes))


def untested(run: Run, models: Sequence[str]) -> bool:
    """Whether the run had no test images for any of these models."""
    return not any(run.rankings(model).names for model in models)


def as_json(compared: Comparison) -> dict:
    figures = [{**asdict(row), "difference": row.difference, "excludes_0": row.marked} for row in compared.figures]
    ends = {model: {"gained": [asdict(change) for change in _gained(changes)],
                    "lost": [asdict(change) for change in _lost(changes)]}
            for model, changes in compared.classes.items()}
    runs = {side: {"rev": run.rev, "commit": run.commit} for side, run in (("before", compared.before),
                                                                           ("after", compared.after))}
    return {**runs, "method": METHOD, "figures": figures, "params": [change._asdict() for change in compared.params],
            "stages": [change._asdict() for change in compared.stages], "class_set": compared.class_set,
            "classes": ends, "notes": compared.notes}


def as_markdown(compared: Comparison) -> str:
    """At most 160 columns; some 45 lines for the headline models and sets."""
    parts = [f"# {compared.before} → {compared.after}", figures_table(compared.figures), wrap(METHOD)]
    parts = parts if compared.figures else parts[:1]
    parts += ["\n".join(wrap(f"- {note}", "  ") for note in compared.notes)] if compared.notes else []
    parts += [f"{_params(compared.params)}\n{_stages(compared.stages)}", classes_table(compared)]
    return "\n\n".join(filter(None, parts))


def figures_table(figures: Sequence[Difference]) -> str:
    """One row per model and label set: hits and harmonic mean in per cent, hp@5 as a fraction; "" if there are none."""
    if not figures:
        return ""
    metrics = [metric for metric in (*METRICS, HARMONIC) if any(row.metric == metric for row in figures)]
    at = {(row.model, row.label_set, row.metric): row for row in figures}
    rows = [["model", "label set", *(metric.replace("_", " ") for metric in metrics)]]
    previous = None
    for model, label_set in dict.fromkeys((row.model, row.label_set) for row in figures):
        cells = [_figure(at.get((model, label_set, metric))) for metric in metrics]
        mark = " †" if at[model, label_set, "hit@1"].unpaired else ""
        rows.append([display_name(model) if model != previous else "", label_set + mark, *cells])
        previous = model
    return "\n".join(aligned(rows))


def _figure(row: Difference | None) -> str:
    if row is None:
        return ""
    scale, digits, width = (1, 3, 5) if row.metric.startswith("hp") else (100, 1, 5)
    half = "–" if row.low is None else f"{scale * (row.high - row.low) / 2:.{digits}f}"
    change = f"{scale * row.difference:+.{digits}f}"
    if not float(change):
        change = f"{0:.{digits}f}"  # not -0.0
    return (f"{scale * row.before:{width}.{digits}f} {scale * row.after:{width}.{digits}f} {change:>{width + 1}} "
            f"±{half:>{width - 1}}{' *' if row.marked else ''}")


def classes_table(compared: Comparison) -> str:
    """One column per model: the classes whose hit@1 rose and fell most."""
    changed = {model: changes for model, changes in compared.classes.items()
               if any(change.before != change.after for change in changes)}
    shown = list(changed)[:4]
    if not shown:
        return ""
    room = (WIDTH - len("| gained |")) // len(shown) - len("  |")
    rows = [[compared.class_set, *map(display_name, shown)]]
    for label, pick in (("gained", _gained), ("lost", _lost)):
        cells = [[_class_cell(change, room) for change in pick(changed[model])] for model in shown]
        rows += [[label, *(column[at] if at < len(column) else "" for column in cells)]
                 for at in range(max(map(len, cells)))]
    rest = f"; of {len(changed)} models the first 4, `--model` picks others" if len(changed) > len(shown) else ""
    return (f"Classes of {compared.class_set} that gained and lost most, images right at 1 before→after/all{rest}:\n\n"
            + "\n".join(aligned(rows)))


def _class_cell(change: ClassChange, room: int) -> str:
    counts = f" {change.wnid} {change.before}→{change.after}/{change.images}"
    return change.name[:max(4, room - len(counts))] + counts


def _gained(changes: Sequence[ClassChange]) -> list[ClassChange]:
    return [change for change in changes[:MOST] if change.after > change.before]


def _lost(changes: Sequence[ClassChange]) -> list[ClassChange]:
    return [change for change in changes[::-1][:MOST] if change.after < change.before]


def _params(changes: Sequence[ParamChange], most: int = 8) -> str:
    if not changes:
        return "Params that differ: none."
    told = [f"`{change.key}` {shown(change.before)} → {shown(change.after)}" for change in changes[:most]]
    rest = f"; and {len(changes) - most} more (`--json` has all)" if len(changes) > most else ""
    return wrap(f"Params that differ: {'; '.join(told)}{rest}.", "  ")


def _stages(changes: Sequence[StageChange]) -> str:
    """Stages that changed alike stand together."""
    if not changes:
        return "Stages that ran anew: none, so both are the same run; did you forget `dvc repro`?"
    alike: dict[str, list[str]] = {}
    for change in changes:
        because = f" (other {', '.join(change.because)})" if change.because else ""
        alike.setdefault(change.what + because, []).append(change.stage)
    return "\n".join(wrap(f"Stages, {what}: {_folded(stages)}.", "  ") for what, stages in alike.items())


def _folded(stages: Sequence[str]) -> str:
    """rank_devise@devise, rank_devise@random -> rank_devise@{devise, random}."""
    items: dict[str, list[str]] = {}
    for stage in stages:
        name, _, item = stage.partition("@")
        items.setdefault(name, []).append(item)
    return ", ".join(name if found == [""] else f"{name}@{found[0]}" if len(found) == 1
                     else f"{name}@{{{', '.join(found)}}}" for name, found in items.items())


def _notes(before: Run, after: Run, common: Sequence[str], figures: Sequence[Difference], class_set: str,
           classes: dict[str, list[ClassChange]]) -> list[str]:
    """All that a reader could take for granted and that is not so."""
    notes = [f"{run.rev} is stale, its figures are those of the run in its dvc.lock: {_some(found)} changed since"
             for run in (before, after) if (found := stale(run))]
    notes += [f"{run.rev} measured nothing: no test images" for run in (before, after) if untested(run, common)]
    reasons: dict[str, list[str]] = {}
    for row in figures:
        if row.unpaired and row.label_set not in reasons.setdefault(row.unpaired, []):
            reasons[row.unpaired].append(row.label_set)
    notes += [f"† not paired, the runs taken as independent: {reason} in {', '.join(names)}"
              for reason, names in reasons.items()]
    if any(row.low is None for row in figures):
        notes.append("± –: no interval, the test has fewer than two classes' worth of images")
    for run, other in ((before, after), (after, before)):
        hidden = tuple(f"{path}/" for path, md5 in other.models.values() if md5.endswith(".dir"))
        alone = sorted(model for model in run.models.keys() - other.models.keys()
                       if run.has(model) and not run.models[model][0].startswith(hidden))
        notes += [f"only {run.rev} has {', '.join(alone)}"] if alone else []
        gone = sorted(model for model in run.models if not run.has(model))
        notes += [run.missing(gone[0]) + (f"; nor are {_some(gone[1:])} there" if gone[1:] else "")] if gone else []
    notes += _left_out(common, figures, before, after)
    return notes


def _left_out(common: Sequence[str], figures: Sequence[Difference], before: Run, after: Run) -> list[str]:
    shown = {(row.model, row.label_set) for row in figures}
    models, sets = ({pair[at] for pair in shown} for at in (0, 1))
    tested = [{name for model in models or common for name in run.rankings(model).names} for run in (before, after)]
    notes = [f"only {run.rev} was tested on {', '.join(in_order(alone))}"
             for run, alone in ((before, tested[0] - tested[1]), (after, tested[1] - tested[0])) if alone]
    if shown and len(models) < len(common) or sets < tested[0] & tested[1]:
        notes.append(f"shown: {len(models)} of {len(common)} models, {len(sets)} of {len(tested[0] & tested[1])} label "
                     "sets; `--all` shows all, `--model` and `--label-set` pick some")
    return notes


def _some(items: Sequence[str], most: int = 4) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def _parser() -> argparse.ArgumentParser:
    def names(text: str) -> list[str]:
        return [name for name in re.split(r"[,\s]+", text) if name] or [""]

    parser = argparse.ArgumentParser(prog="python -m tools.compare", description=__doc__.partition("\n")[0])
    parser.add_argument("revs", nargs="*", metavar="REV", help="before and after: a revision of git, an experiment's "
                        f"name, or `{WORKSPACE}` (default: HEAD, and the workspace)")
    parser.add_argument("--model", type=names, action="extend", help="only these, comma-separated: devise,conse-10")
    parser.add_argument("--label-set", type=names, action="extend", help=f"only these: {','.join(ALL_LABEL_SETS)}, or "
                        "most-500, least-500+seen ... where runs have them")
    parser.add_argument("--all", action="store_true", help="all models and label sets")
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown; all models and label sets, if "
                        "not restricted")
    return parser


if __name__ == "__main__":
    sys.exit(ended("compare", main))
