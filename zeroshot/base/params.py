"""Settings: each stage checks its own section of params.yaml before it does anything else."""

from pathlib import Path
from typing import Annotated, TypeVar

import pydantic
import yaml

from zeroshot.console import refusals


class StageParams(pydantic.BaseModel):
    """Base of every stage's `Params`: unknown keys, missing keys and wrong types are refused.

    Types are strict: `"3"` is no number and `1` is no boolean (an integer is taken for a float). Numbers are finite.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Seed = Annotated[int, pydantic.Field(ge=0, lt=2**32)]  # what every generator of random numbers takes
P = TypeVar("P", bound=StageParams)


def load_params(section: str, model: type[P], path: Path = Path("params.yaml")) -> P:
    """Return section `section` of the YAML file `path`, checked against `model`.

    Raises:
        InputError: naming file, key, what was found and what was expected; all faults at once.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise refusals.no_params(path) from None
    except yaml.YAMLError as error:
        raise refusals.broken_params(path, error) from None
    if not isinstance(document, dict) or not isinstance(document.get(section), dict):
        raise refusals.no_section(path, section)
    try:
        return model.model_validate(document[section])
    except pydantic.ValidationError as error:
        raise refusals.wrong_params(path, section, model.model_fields, error.errors()) from None
