"""Settings of a pass over images; apart from inference.py, which naming uses without any params.yaml."""

import pydantic

from zeroshot.base.params import StageParams
from zeroshot.networks.inference import Precision


class PassParams(StageParams):
    """Settings of the stages that take images through a network once."""

    batch: int = pydantic.Field(ge=1)
    precision: Precision
    channels_last: bool
    deterministic: bool
    max_unreadable: float = pydantic.Field(ge=0, le=1)
    threads: int = pydantic.Field(ge=1)
    any_processor: bool
    workers: int = pydantic.Field(ge=0)
