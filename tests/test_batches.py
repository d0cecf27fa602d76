import os
import signal
import subprocess
import sys
import time

import pytest

ORPHAN = """
import sys, time
import numpy as np, torch
from pathlib import Path
from zeroshot import batches
from zeroshot.image_files import ImageFiles

class Slow(ImageFiles):
    def __init__(self): pass
    def __len__(self): return 2
    def jpeg_bytes(self, row):
        import os
        print(os.getpid(), flush=True)
        time.sleep(60)

batches.open_pixels = lambda *_: Slow()
source = batches.SquareSource(Path("."), Path("."), side=8, device=torch.device("cpu"), workers=1, max_unreadable=0)
next(source.squares([np.arange(2)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_decoding_worker_ends_with_its_parent():
    """In the middle of an image, where torch's own watchdog does not look."""
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as parent:
        worker = int(parent.stdout.readline())
        assert worker != parent.pid and is_alive(worker)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 10
        while is_alive(worker) and time.monotonic() < deadline:
            time.sleep(0.05)
        alive = is_alive(worker)
        if alive:
            os.kill(worker, signal.SIGKILL)
        assert not alive


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and that nobody waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
