"""The network over pictures: what the models go by, many pictures at a time."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from zeroshot.base.compute import set_up
from zeroshot.console.errors import InputError
from zeroshot.naming.folder import ModelFolder
from zeroshot.naming.pictures import Picture
from zeroshot.naming.quick_start import Undrawn, library_of
from zeroshot.naming.reading import Reader
from zeroshot.networks.batches import SquareSource
from zeroshot.networks.inference import Passes, memory_layout, over_images
from zeroshot.networks.saved import read_cnn, read_devise
from zeroshot.ranking.first_labels import CHUNK

T = TypeVar("T")
FEW = 16  # pictures that are decoded in this process; for more, others are started
MOST_WORKERS = 8


class Network:
    """The CNN and, where DeViSE's was fine-tuned, its own; loaded when it is asked for.

    Attributes:
        device: GPU or CPU.
    """

    def __init__(self, folder: ModelFolder, threads: int | None):
        self._folder, self._how = folder, folder.about["network"]
        self.device = set_up(threads=threads or self._how["threads"], deterministic=self._how["deterministic"],
                             any_processor=self._how["any_processor"])
        self._layout = memory_layout(self._how["channels_last"])
        self._cnn = self._built("cnn.safetensors", read_cnn)
        self._model = self._cnn.model.to(self.device, memory_format=self._layout)
        self._devise: torch.nn.Module | None = None

    def values(self, pictures: Sequence[Picture], wanted: Sequence[str], progress: str | None
               ) -> Iterator[tuple[Sequence[Picture], dict[str, Tensor], dict[int, str]]]:
        """Some pictures at a time, in order, with their values and number -> fault of those that cannot be read.

        Values are what the pipeline's models go by: `logits` float32, `features` rounded to half precision, `network`
        float32, the points of DeViSE's fine-tuned network.

        Args:
            wanted: which of them.
            progress: what the progress bar says; None: there is none.
        """
        chunk = CHUNK[self.device.type]
        pending: list[dict[str, Tensor]] = []
        source = Source(pictures, self._how["pack"], self._cnn.preprocessing.resize, self.device, _workers(pictures))
        rows = torch.arange(len(pictures)).numpy()
        how = Passes(self._how["batch"], self._how["precision"], self._layout)
        names, forward = self._forward(wanted)
        done = ready = 0
        for _, outputs in over_images(forward, rows, source, self._cnn.preprocessing, how, progress):
            pending.append(dict(zip(names, outputs, strict=True)))
            ready += len(outputs[0])
            while ready - done >= chunk or ready == len(pictures) and ready > done:
                joined = {name: torch.cat([part[name] for part in pending]) for name in names}
                count = min(chunk, ready - done)
                pending = [{name: value[count:] for name, value in joined.items()}]
                values = {name: self._as_kept(name, value[:count]) for name, value in joined.items()}
                faults = {row - done: source.faults[row] for row in range(done, done + count) if row in source.faults}
                yield pictures[done:done + count], values, faults
                done += count

    def _forward(self, wanted: Sequence[str]):
        """Names of the values, and images -> them."""
        tap, model = self._how["tap"], self._model
        if "network" not in wanted:
            return ("features", "logits"), lambda images: model.features_and_logits(images, tap)
        devise = self._finetuned()
        if set(wanted) == {"network"}:
            return ("network",), lambda images: (devise(images),)
        return ("features", "logits", "network"), (
            lambda images: (*model.features_and_logits(images, tap), devise(images)))

    def _finetuned(self) -> torch.nn.Module:
        if self._devise is None:
            devise = self._built("devise.safetensors", read_devise)
            if devise.network is None:
                raise InputError(f"{self._folder.path}/devise.safetensors: holds no network, where one is expected")
            self._devise = devise.network.to(self.device, memory_format=self._layout)
        return self._devise

    def _built(self, name: str, reader: Callable[[Path], T]) -> T:
        with library_of(self._how["arch"]), Undrawn():
            return self._folder.read(name, reader)

    @staticmethod
    def _as_kept(name: str, value: Tensor) -> Tensor:
        """As the pipeline keeps it between its stages."""
        return value.half().float() if name == "features" else value


class Source(SquareSource):
    """Pictures as uint8 squares; nothing is said of unreadable ones, they are kept.

    Attributes:
        faults: number of a picture -> why it cannot be read.
    """

    def __init__(self, pictures: Sequence[Picture], first_side: int | None, side: int, device: torch.device,
                 workers: int):
        super().__init__(None, None, side=side, device=device, workers=workers, max_unreadable=1.0,
                         reader=Reader(pictures, first_side))
        self.faults: dict[int, str] = {}

    def tell(self, row: int, message: str) -> None:
        self.faults[row] = message


def _workers(pictures: Sequence[Picture]) -> int:
    return 0 if len(pictures) <= FEW else max(1, min(MOST_WORKERS, _cores()))


def _cores() -> int:
    """Those that this process may use, where the system tells (Linux), else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
