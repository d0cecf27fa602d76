"""Settings: each stage checks its own section of params.yaml before it does anything else."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from zeroshot.console import refusals


class StageParams(pydantic.BaseModel):
    """Base of every stage's `Params`: unknown keys, missing keys and wrong types are refused.

    Types are strict: `"3"` is no number and `1` is no boolean (an integer is taken for a float). Numbers are finite.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Seed = Annotated[int, pydantic.Field(ge=0, lt=2**32)]  # what every generator of random numbers takes
P = TypeVar("P", bound=StageParams)


def read_yaml(path: Path) -> Any:
    """A YAML file's values, by the reader that DVC has: YAML 1.2, where 1e-05 is a number, 010 is ten and `no` is text.

    Raises:
        InputError: no such file, or one that cannot be read, or no YAML; a key that stands twice is none.
    """
    try:
        return YAML(typ="safe").load(path.read_bytes())
    except FileNotFoundError:
        raise refusals.no_params(path) from None
    except OSError as error:
        raise refusals.unreadable_list(path, error, "settings, a section a stage") from None
    except (YAMLError, ValueError, TypeError, RecursionError) as error:  # a 13th month, say, is a ValueError
        raise refusals.broken_params(path, error) from None


def load_params(section: str, model: type[P], path: Path = Path("params.yaml")) -> P:
    """Return section `section` of the YAML file `path`, checked against `model`.

    Raises:
        InputError: naming file, key, what was found and what was expected; all faults at once.
    """
    document = read_yaml(path)
    if not isinstance(document, dict) or not isinstance(document.get(section), dict):
        raise refusals.no_section(path, section)
    try:
        return model.model_validate(document[section])
    except pydantic.ValidationError as error:
        raise refusals.wrong_params(path, section, model.model_fields, error.errors()) from None
