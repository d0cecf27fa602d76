"""What one step frees the next one takes, in place of new pages from the system; stages/__init__.py imports this.

GNU's C library gives large blocks back as soon as they are free, and the system then clears each page of the next ones.
Training ResNet-9 was a tenth slower for it, ranking a quarter. No result changes.
"""

import ctypes
import os

SETTINGS = {-1: 512 << 20, -3: 32 << 20}  # malloc.h's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD (its highest), in bytes
ASKED_FOR = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Keep up to half a GB of what is free, unless the user's environment says how memory is to be had."""
    if any(name in os.environ for name in ASKED_FOR):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none, or one that does nothing
    for setting, value in SETTINGS.items() if mallopt else ():
        mallopt(setting, value)


keep_freed_memory()
