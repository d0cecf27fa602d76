"""Loading without Python's search for garbage."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def nothing_collected() -> Iterator[None]:
    """Within, Python looks for no cycles of garbage, and afterwards not at once for some in what was made here.

    Importing torch makes 200,000 objects, all of which stay. They are looked through some 30 times otherwise, for a
    tenth of the time that loading takes.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # else unfreezing would undo what somebody wanted
            gc.freeze()
            gc.unfreeze()  # both together: all objects are old ones now
        gc.enable()
