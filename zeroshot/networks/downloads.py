"""A library's own download of weights: what goes wrong with the network becomes one sentence."""

import logging
from collections.abc import Callable
from typing import TypeVar

from zeroshot.console.errors import InputError

T = TypeVar("T")
OF_THE_NETWORK = ("httpx", "httpcore", "requests", "urllib3", "huggingface_hub")  # not all their errors are OSErrors


def downloaded(fetch: Callable[[], T], what: str, file: str) -> T:
    """What `fetch` returns.

    Args:
        what: the network's name, for messages.
        file: that has to be fetched by hand where this machine has no network.

    Raises:
        InputError: no network, no room for the file, or another file than expected came.
    """
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it tells of each try
    try:
        return fetch()
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in OF_THE_NETWORK and (
                "invalid hash value" not in str(error)):
            raise
        raise InputError(f"the weights of {what} cannot be fetched ({type(error).__name__}); where there is a network "
                         f"fetch {file}, put it into data/weights, and set `pretrain_cnn.pretrained` to file and "
                         "`pretrain_cnn.weights` to its path in params.yaml") from None
