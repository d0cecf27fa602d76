"""ablations/<name>.yaml: which rows an ablation has, on which preset, and what is shown of them.

    title: ...
    preset: demo                      # rows change this preset's settings, whatever params.yaml holds
    base: [finetune_devise.epochs=0]  # optional: `key=value` of every row, which a row may change again
    seeds: [1, 2, 3]                  # optional: every row is run once a seed ...
    seed_keys: [train_devise.seed]    # ... which these settings get
    published: presets/papers/x.csv   # optional: a publication's figures beside ours, see tools/published_tables.py
    figures: {models: [devise], columns: [unseen hit@1, unseen+seen harmonic_mean]}
    rows:                             # label: what `dvc exp run -S` takes; the first is what others are compared with
      as it is:
      margin 0.2: train_devise.margin=0.2
      "1, 5 labels": ["rank_conse.t=[1, 5]", rank_conse.hierse_t=5]  # brackets in a list stand in quotes
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.differences import HARMONIC, METRICS
from tools.preset import near_spellings, preset_names, shown
from zeroshot.base.params import read_yaml
from zeroshot.console.errors import InputError
from zeroshot.evaluation.model_names import BESIDE, NAMES, is_model
from zeroshot.labels.label_sets import ALL_LABEL_SETS, PLUS_SEEN, in_order

KEYS = ("title", "preset", "base", "seeds", "seed_keys", "published", "figures", "rows")
REQUIRED = ("title", "preset", "rows")
MODELS = ("devise", "conse-10", "hierse", "ridge", "eszsl", "exemplars")
COLUMNS = ("seen hit@1", "unseen hit@1", "unseen hit@5", "unseen hp@5", f"unseen+seen {HARMONIC}")
MISSING = object()  # in place of what the file does not hold, which is told once


@dataclass(frozen=True)
class Row:
    """`overrides` are `key=value` each, as `dvc exp run -S` takes them."""

    label: str
    overrides: tuple[str, ...]

    @property
    def slug(self) -> str:
        """For an experiment's name: lower-case letters, digits and dashes."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")[:40].strip("-") or "row"


@dataclass(frozen=True)
class Ablation:
    """A list, checked but for its settings' keys and values.

    Attributes:
        seeds: (None,) where the settings' own seeds stay.
        columns: label set and metric.
        published: file of a publication's figures; "" for none.
    """

    name: str
    title: str
    preset: str
    base: tuple[str, ...]
    seeds: tuple[int | None, ...]
    seed_keys: tuple[str, ...]
    models: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    published: str = ""

    def overrides(self, row: Row, seed: int | None) -> tuple[str, ...]:
        """Of one run: every row's, the row's, the seed's."""
        return (*self.base, *row.overrides, *(f"{key}={seed}" for key in self.seed_keys))


def ablation_names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "ablations").glob("*.yaml"))


def read_ablation(name: str, root: Path) -> Ablation:
    """Raises InputError: no such list, or all its faults, a line each."""
    if name not in ablation_names(root):
        asked = f"no ablation is called `{name}`" if name else "no ablation is named (`make ablation NAME=...`)"
        raise InputError(f"{asked}; ablations/ has {', '.join(ablation_names(root)) or 'none'}")
    if not re.fullmatch(r"\w[\w-]*(\.[\w-]+)*", name):
        raise InputError(f"ablations/{name}.yaml: its rows' experiments begin with its name; expected letters, digits, "
                         "`_`, `-` and single dots in it")
    document = read_yaml(root / "ablations" / f"{name}.yaml")
    if not isinstance(document, Mapping):
        raise InputError(f"ablations/{name}.yaml: holds no `key: value`; expected {', '.join(REQUIRED)}, and perhaps "
                         f"{', '.join(key for key in KEYS if key not in REQUIRED)}")
    faults = [*_key_faults(document), *_head_faults(document, root), *_row_faults(document.get("rows", MISSING)),
              *_seed_faults(document), *_figure_faults(document.get("figures", {}))]
    if faults:
        raise InputError("\n".join(f"ablations/{name}.yaml: {fault}" for fault in faults))
    figures = document.get("figures") or {}
    return Ablation(name, document["title"], document["preset"], words(document.get("base")),
                    tuple(document.get("seeds") or (None,)), tuple(document.get("seed_keys") or ()),
                    tuple(figures.get("models", MODELS)), tuple(map(column, figures.get("columns", COLUMNS))),
                    tuple(Row(str(label), words(given)) for label, given in document["rows"].items()),
                    document.get("published", ""))


def words(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Overrides from a list, or from a line as one types it behind `dvc exp run`."""
    if given is None:
        return ()
    listed = shlex.split(given) if isinstance(given, str) else given
    return tuple(word for word in listed if word not in ("-S", "--set-param"))


def _key_faults(document: Mapping[str, Any]) -> list[str]:
    faults = [_unknown("key", str(key), KEYS) for key in document if key not in KEYS]
    return faults + [f"`{key}` is missing; expected {', '.join(REQUIRED)}" for key in REQUIRED if key not in document]


def _head_faults(document: Mapping[str, Any], root: Path) -> list[str]:
    faults = []
    if "title" in document and not _is_line(document["title"]):
        faults.append(f"`title` is {json.dumps(document['title'], default=str)}; expected a line of text")
    if not isinstance(document.get("published", ""), str):
        faults.append(f"`published` is {shown(document['published'])}; expected the path of a CSV file")
    known = preset_names(root / "presets")
    if "preset" in document and document["preset"] not in known:
        faults.append(_unknown("preset", str(document["preset"]), known))
    return faults + [f"`base`: {fault}" for fault in _override_faults(document.get("base"))]


def _row_faults(rows: Any) -> list[str]:
    if rows is MISSING:
        return []
    if not isinstance(rows, Mapping) or len(rows) < 2:
        found = f"{len(rows)} row" if isinstance(rows, Mapping) else shown(rows)
        return [f"`rows` is {found}; expected `label: key=value ...` at least twice, the first to compare with"]
    labels = [str(label) for label in rows]
    faults = [f"row {json.dumps(label)}: expected a label of one line" for label in rows
              if not _is_line(label, str(label))]
    faults += [f"two rows are called `{label}`; expected each once" for label in dict.fromkeys(labels)
               if labels.count(label) > 1]
    return faults + [f"row `{label}`: {fault}" for label, given in rows.items() for fault in _override_faults(given)]


def _is_line(given: Any, text: str | None = None) -> bool:
    """Can it stand in a heading or in a table's cell? `text`: how it would be written; itself, if None."""
    text = given if text is None else text
    return given is not None and isinstance(text, str) and bool(text.strip()) and len(text.splitlines()) == 1


def _override_faults(given: Any) -> list[str]:
    """Of what is to be overrides; whether their keys exist is known later."""
    expected = "expected `key=value key=value`, or a list of such"
    if not isinstance(given, str | list | Mapping | None):
        return [f"{shown(given)}: {expected}"]
    try:
        listed = words(given)
    except ValueError as error:
        return [f"{shown(given)}: {error}; {expected}"]
    wrong = [word for word in listed if not isinstance(word, str) or not re.match(r"[\w.]+=", word)]
    if wrong:
        return [f"{shown(word)} is no setting; expected `section.key=value`" for word in wrong]
    keys = [word.partition("=")[0] for word in listed]
    return [f"sets `{key}` {keys.count(key)} times; expected once" for key in dict.fromkeys(keys)
            if keys.count(key) > 1]


def _seed_faults(document: Mapping[str, Any]) -> list[str]:
    seeds, keys = document.get("seeds"), document.get("seed_keys")
    if (seeds is None) != (keys is None):
        alone, missing = ("seeds", "seed_keys") if keys is None else ("seed_keys", "seeds")
        return [f"`{alone}` without `{missing}`; expected both: `seeds: [1, 2, 3]`, and `seed_keys: "
                "[train_devise.seed, ...]`, which get them"]
    if seeds is None:
        return []
    faults = []
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int or seed < 0 for seed in seeds) \
            or len(set(seeds)) < len(seeds):
        faults.append(f"`seeds` is {shown(seeds)}; expected different whole numbers, such as [1, 2, 3]")
    if not isinstance(keys, list) or not keys or any(not isinstance(key, str) for key in keys):
        return [*faults, f"`seed_keys` is {shown(keys)}; expected settings, such as [train_devise.seed]"]
    rows = document.get("rows")
    given = [(label, word.partition("=")[0]) for label, listed in (rows if isinstance(rows, Mapping) else {}).items()
             if not _override_faults(listed) for word in words(listed)]
    return faults + [f"row `{label}` sets `{key}`, which is one of `seed_keys`" for label, key in given if key in keys]


def _figure_faults(figures: Any) -> list[str]:
    if not isinstance(figures, Mapping):
        return [f"`figures` is {shown(figures)}; expected `models:` and `columns:`, a list each"]
    faults = [_unknown("key", f"figures.{key}", ("figures.models", "figures.columns")) for key in figures
              if key not in ("models", "columns")]
    for key, fault_of in (("models", model_fault), ("columns", column_fault)):
        listed = figures.get(key, [None])
        if not isinstance(listed, list) or not listed or len({" ".join(str(one).split()) for one in listed}) < len(
                listed):
            faults.append(f"`figures.{key}` is {shown(listed)}; expected a list, each entry once")
        elif key in figures:
            faults += filter(None, (fault_of(str(entry)) for entry in listed))
    return faults


def model_fault(model: str) -> str:
    """Why this is no model, "" if it is one."""
    return "" if is_model(model) else _unknown("model", model, [*NAMES, "conse-10", *BESIDE])


def column_fault(text: str, metrics: Sequence[str] = METRICS) -> str:
    """Why this is no label set and one of these metrics or the harmonic mean, "" if it is."""
    label_set, metric = column(text)
    if label_set not in in_order([label_set, label_set.removesuffix(PLUS_SEEN)]) or metric not in (*metrics, HARMONIC):
        known = [f"{name} {figure}" for name in ALL_LABEL_SETS for figure in metrics]
        known += [f"{name} {HARMONIC}" for name in ALL_LABEL_SETS if name.endswith(PLUS_SEEN)]
        near = near_spellings(text, known)
        meant = f"did you mean `{'` or `'.join(near)}`?; " if near else ""
        return (f"unknown figure `{text}`; {meant}expected a label set of {', '.join(ALL_LABEL_SETS)}, and one of "
                f"{', '.join((*metrics, HARMONIC))}")
    if metric == HARMONIC and not label_set.endswith(PLUS_SEEN):
        return f"figure `{text}`: the harmonic mean is one of `+seen` sets; did you mean `{label_set}+seen {HARMONIC}`?"
    return ""


def column(text: str) -> tuple[str, str]:
    """Label set and metric."""
    label_set, _, metric = text.strip().partition(" ")
    return label_set, metric.strip()


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    near = near_spellings(name, list(known))
    return f"unknown {what} `{name}`; " + (f"did you mean `{'` or `'.join(near)}`?" if near
                                           else f"there are {', '.join(known)}")
