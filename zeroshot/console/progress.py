"""Progress bars with rate and time left; silent when nobody watches."""

import os
import sys
from contextlib import AbstractContextManager

from tqdm import tqdm

_stays = True  # whether a bar that is full stays on the screen


def let_bars_vanish() -> None:
    """For programs whose answers stand on the same terminal: a full bar is wiped away."""
    global _stays
    _stays = False


def beside_bars() -> AbstractContextManager:
    """For what is printed meanwhile: a bar that is being drawn makes room for it."""
    return tqdm.external_write_mode(sys.stdout)


def progress(iterable=None, *, total: int | None = None, unit: str, desc: str | None, scale: bool = False,
             initial: int = 0) -> tqdm:
    """Wrap a long loop, or return a bar to `.update(n)` by hand.

    Args:
        total: number of units, where the iterable has no length.
        unit: what one step is, for the rate: "img", "words", "labels".
        desc: what is being done, in a few words; None: nothing is drawn.
        scale: print 1.2M rather than 1200000.
        initial: units that an earlier, killed run has done; they do not count for the rate.

    Nothing is drawn when standard error is no terminal; of several processes (torchrun), rank 0 draws.
    """
    return tqdm(iterable, total=total, unit=" " + unit, desc=desc, unit_scale=scale, initial=initial,
                leave=_stays, dynamic_ncols=True,
                disable=None if desc is not None and os.environ.get("RANK", "0") == "0" else True)
