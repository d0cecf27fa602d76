"""Label sets that a setting names: which it may name, and whether this run has it."""

from collections.abc import Container
from typing import Annotated

import pydantic

from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import LABEL_SETS, PLUS_SEEN, POPULATED, ZERO_SHOT


def _zero_shot(name: str) -> str:
    if name not in ZERO_SHOT and not POPULATED.fullmatch(name):
        raise ValueError(f"one of {', '.join(ZERO_SHOT)}, most-<n> or least-<n>")
    return name


def _any(name: str) -> str:
    base = name.removesuffix(PLUS_SEEN)
    if name != "seen" and base not in ZERO_SHOT and not POPULATED.fullmatch(base):
        raise ValueError(f"one of {', '.join(LABEL_SETS)}, most-<n> or least-<n>; all but seen also with {PLUS_SEEN}")
    return name


ZeroShotSet = Annotated[str, pydantic.AfterValidator(_zero_shot)]
LabelSet = Annotated[str, pydantic.AfterValidator(_any)]


def refuse_unmade(name: str, made: Container[str], setting: str) -> None:
    """Raises InputError: this run has no such label set, as those of populated classes that were not asked for."""
    if name not in made:
        raise InputError(f"params.yaml: `{setting}` is {name}, which this run did not make; expected another set, or "
                         "its number among `build_label_sets.populated.sizes`")
