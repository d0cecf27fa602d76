import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from tests.image_sets import DOG, jpeg
from zeroshot.console.errors import InputError
from zeroshot.images.files import ImageFiles
from zeroshot.networks import batches
from zeroshot.networks.batches import AHEAD, SquareSource, ahead

ORPHAN = """
import sys, time
import numpy as np, torch
from pathlib import Path
from zeroshot.networks import batches
from zeroshot.images.files import ImageFiles

class Slow(ImageFiles):
    def __init__(self): pass
    def __len__(self): return 2
    def file_bytes(self, row):
        import os
        print(os.getpid(), flush=True)
        time.sleep(60)

batches.open_pixels = lambda *_: Slow()
source = batches.SquareSource(Path("."), Path("."), side=8, device=torch.device("cpu"), workers=1, max_unreadable=0)
next(source.squares([np.arange(2)]))
"""


class Folder(ImageFiles):
    """Two images, of which the second file is gone."""

    def __init__(self, root):
        self._root, self._containers, self._open = root, [DOG], {}
        self._container, self._offset = np.zeros(2, int), np.full(2, -1)
        self._size = np.full(2, len(jpeg((0, 0, 0))))
        (root / DOG).mkdir()
        (root / DOG / "0.JPEG").write_bytes(jpeg((0, 0, 0)))

    def name(self, row):
        return f"{row}.JPEG"


class Packed:
    """Ten packed images, told apart by their brightness."""

    packed, size = True, (4, 4)

    def __len__(self):
        return 10

    def read(self, rows):
        self.reader = threading.current_thread()
        return np.tile(rows.astype(np.uint8)[:, None, None, None], (1, 4, 4, 3))


@pytest.fixture
def source_of(tmp_path, monkeypatch):
    def source_of(reader, device="cpu", workers=0):
        monkeypatch.setattr(batches, "open_pixels", lambda *_: reader)
        return SquareSource(tmp_path, tmp_path, side=4, device=torch.device(device), workers=workers, max_unreadable=0)
    return source_of


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_gone_is_told_in_one_line_whoever_reads(source_of, tmp_path, workers):
    with pytest.raises(InputError) as gone:
        list(source_of(Folder(tmp_path), workers=workers).squares([np.array([0, 1])]))
    assert str(gone.value) == (f"{tmp_path / DOG}/1.JPEG: cannot be read (No such file or directory); it was there "
                               "when it was indexed: bring it back, or `dvc repro index_images`")


BATCHES = [np.array(rows) for rows in ([3, 1], [0, 9], [5, 5], [2, 4], [8, 6], [7, 0])]


def test_packed_pixels_that_are_not_kept_on_the_gpu_are_read_ahead_into_pinned_memory(source_of, monkeypatch):
    calls, packed = [], Packed()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 0))
    monkeypatch.setattr(torch.cuda, "set_device",
                        lambda device: calls.append((device, threading.current_thread())))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda pixels: calls.append("pinned") or pixels)
    monkeypatch.setattr(torch.Tensor, "to", lambda pixels, *device, **how: calls.append((*device, how)) or pixels)
    squares = list(source_of(packed, "cuda:1").squares(BATCHES))
    assert [square[:, 0, 0, 0].tolist() for square in squares] == [rows.tolist() for rows in BATCHES]
    assert calls[0] == (torch.device("cuda:1"), packed.reader) and packed.reader is not threading.current_thread()
    assert calls.count("pinned") == calls.count((torch.device("cuda:1"), {"non_blocking": True})) == len(BATCHES)


def test_packed_pixels_on_the_cpu_are_read_as_they_are(source_of):
    squares = list(source_of(Packed()).squares(BATCHES))
    assert [square[:, 0, 0, 0].tolist() for square in squares] == [rows.tolist() for rows in BATCHES]


def test_a_thread_reads_a_few_batches_ahead_and_ends_with_its_consumer():
    read, before = [], set(threading.enumerate())
    batches = ahead(lambda batch: read.append(batch) or 2 * batch, range(100))
    assert [next(batches), next(batches)] == [0, 2]
    deadline = time.monotonic() + 10
    while len(read) < 2 + AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    assert read == list(range(2 + AHEAD)) and len(set(threading.enumerate()) - before) == 1
    batches.close()
    assert set(threading.enumerate()) == before and len(read) == 2 + AHEAD


def test_what_the_reading_thread_raises_comes_in_its_batchs_place():
    before, batches = set(threading.enumerate()), ahead(lambda batch: 6 // (2 - batch), range(100))
    assert [next(batches), next(batches)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(batches)
    assert set(threading.enumerate()) == before and list(ahead(abs, [])) == []


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
