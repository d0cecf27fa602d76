"""How fast a model names: loading, one picture, and many, beside extract_features on the same files.

    python -m benchmarks.bench_naming <pictures: a folder or tar> [--model data/model] [--images 500] [--search N]

Prints seconds of start (a new process), and pictures/s of `extract_features` and of naming, in turn, the best of
several; naming should keep at least 0.9 of that rate. With --search N it also times the second search among N pictures.
"""

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import zeroshot
from stages import extract_features
from zeroshot.images.index import write_index
from zeroshot.naming.model import Model
from zeroshot.naming.pictures import Picture, find_pictures

ROUNDS = 3
NETWORK = ("tap", "batch", "precision", "channels_last", "deterministic", "threads", "any_processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", type=Path, default=Path("data/model"))
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--search", type=int, default=0)
    options = parser.parse_args()
    pictures = [picture for picture in find_pictures(options.pictures) if not picture.fault][:options.images]
    if not pictures:
        parser.error(f"{options.pictures}: no picture; expected a folder of pictures, or a tar")
    load = f"import zeroshot; m = zeroshot.load_model({str(options.model)!r}); m.network; m.run"
    say("start: torch alone", best(lambda: run("-c", "import torch")))
    say("start: a loaded model", best(lambda: run("-c", load)))
    say("start to answer, one picture", best(lambda: run("-m", "zeroshot", "name", pictures[0].name, "--from",
                                                         str(options.model))))
    rates(zeroshot.load_model(options.model), pictures)
    if options.search:
        searches(options.model, options.search)


def rates(model: Model, pictures: list[Picture]) -> None:
    """Pictures/s of extract_features and of naming, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        index = indexed(model, pictures, Path(folder))
        spent: dict[str, list[float]] = {"extract_features": [], "naming": []}
        for _ in range(ROUNDS):
            spent["extract_features"].append(seconds(lambda: extract(model, index, Path(folder))))
            spent["naming"].append(seconds(lambda: list(model.stream(pictures))))
    rate = {name: len(pictures) / min(times) for name, times in spent.items()}
    print(f"{len(pictures):,} pictures: extract_features {rate['extract_features']:.1f}/s, naming "
          f"{rate['naming']:.1f}/s, a share of {rate['naming'] / rate['extract_features']:.2f}")


def indexed(model: Model, pictures: list[Picture], folder: Path) -> Path:
    """An image index of the pictures' own files, all validation images of one class."""
    roots = sorted({picture.content for picture in pictures if picture.offset >= 0} | {
        os.path.dirname(picture.content) for picture in pictures if picture.offset < 0})
    names = [os.path.basename(picture.name).encode() for picture in pictures]
    arrays = {"role": np.ones(len(pictures), np.uint8), "label": np.zeros(len(pictures), np.int32),
              "container": np.array([roots.index(picture.content if picture.offset >= 0 else
                                                 os.path.dirname(picture.content)) for picture in pictures], np.int32),
              "offset": np.array([picture.offset for picture in pictures]),
              "size": np.array([picture.size if picture.offset >= 0 else os.path.getsize(picture.content)
                                for picture in pictures]),
              "names": np.frombuffer(b"".join(names), np.uint8), "name_end": np.cumsum(list(map(len, names)))}
    write_index(folder / "index", model.seen, arrays, pixels=None, containers=list(map(os.path.abspath, roots)),
                made_from={}, listed=model.seen)
    return folder / "index"


def extract(model: Model, index: Path, out: Path) -> None:
    """The stage itself, on as many processes as naming takes."""
    how = model.folder.about["network"]
    params = extract_features.Params(**{name: how[name] for name in NETWORK}, max_unreadable=1.0,
                                     workers=len(os.sched_getaffinity(0)))
    extract_features.main(params, index=index, images=Path("/"), cnn=model.folder.path / "cnn.safetensors", out=out,
                          metrics=out / "metrics.json")


def searches(model: Path, count: int) -> None:
    """The first and the second search among so many little pictures, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        draw = np.random.default_rng(0)
        for number in range(count):
            image = Image.fromarray(draw.integers(0, 256, (8, 8, 3)).astype(np.uint8))
            image.save(Path(folder) / f"{number:06}.png", compress_level=1)
        command = ("-m", "zeroshot", "search", "animal", "--in", folder, "--from", str(model), "--model", "hierse")
        say(f"first search among {count:,}", seconds(lambda: run(*command)))
        say(f"second search among {count:,}", best(lambda: run(*command)))


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def best(work: Callable[[], object]) -> float:
    return min(seconds(work) for _ in range(ROUNDS))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return time.perf_counter() - start


def say(what: str, spent: float) -> None:
    print(f"{what}: {spent:.2f} s", flush=True)


if __name__ == "__main__":
    main()
