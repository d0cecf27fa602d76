"""Images/s of each way in: listing, decoding (packing), reading packed rows, reading files by row, drawing the demo.

    python -m benchmarks.bench_images <folder with train/val/unseen> [--side 64] [--workers 1 2 4]
"""

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from stages.index_images import list_source
from zeroshot.base.artifacts import write_artifact
from zeroshot.image_sets.class_names import ClassNames
from zeroshot.image_sets.layouts import find_role
from zeroshot.image_sets.packing import find_unreadable, write_pixels
from zeroshot.image_sets.renderer import TRAITS, draw_images, random_of
from zeroshot.images.files import ImageFiles
from zeroshot.images.index import PIXELS_FILE, ROLES
from zeroshot.images.pixels import PackedPixels
from zeroshot.taxonomy import make_taxonomy

CAP = 30_000  # images
NO_NOUNS = make_taxonomy({"n00000000": ([], [], [], "")})  # all classes are named by wnid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = report("list (headers of tars, entries of folders)", lambda: listed(options.images, Path(folder)))
        rows = np.random.default_rng(0).permutation(len(files))
        report("read a file by row, not decoded", lambda: [files.file_bytes(int(row)) for row in rows[:5000]])
        report("read and decode by row, own size", lambda: [files.image(int(row)) for row in rows[:2000]])
        report("bare Pillow on the same bytes, own size", lambda: bare(files, rows[:2000]))
        raw = Path(folder) / "raw"
        for workers in options.workers:
            settings = {"pack": options.side, "check": "header", "max_unreadable": 1.0, "workers": workers}
            report(f"pack to {options.side} pixels, {workers} processes",
                   lambda settings=settings: find_unreadable(files, raw, **settings) or files)
        report("seal packed pixels",
               lambda: write_pixels(Path(folder) / PIXELS_FILE, raw, np.arange(len(files)), options.side) and files)
        packed = PackedPixels(Path(folder))
        report("read packed rows at random, 256 at a time",
               lambda: [row for start in range(0, len(rows), 256) for row in packed.read(rows[start:start + 256])])
    look = random_of(1).standard_normal(TRAITS).astype(np.float32)
    report("draw the demo, 32 pixels", lambda: draw_images(look, 2000, random_of(2), size=32, variation=0.5))


def listed(root: Path, folder: Path) -> ImageFiles:
    """An index of the first CAP images under `root`, in all roles that are there."""
    sources = [source for role, name in enumerate(ROLES) if (root / name).exists()
               for source in find_role(root, role, name, ClassNames(NO_NOUNS)).sources]
    listings = []
    for source in sources:
        listings.append(list_source(source, root))
        if sum(len(listing.names) for listing in listings) > CAP:
            break
    names = [name for listing in listings for name in listing.names]
    counts = [len(listing.names) for listing in listings]
    arrays = {"container": np.repeat(np.arange(len(counts), dtype=np.int32), counts),
              "offset": np.concatenate([listing.offsets for listing in listings]),
              "size": np.concatenate([listing.sizes for listing in listings]),
              "names": np.frombuffer(b"".join(names), np.uint8), "name_end": np.cumsum(list(map(len, names)))}
    write_artifact(folder / "listed", {"containers": [source.container for source in sources]}, arrays)
    return ImageFiles(folder / "listed", root)


def bare(files: ImageFiles, rows: np.ndarray) -> list:
    return [Image.open(io.BytesIO(files.file_bytes(int(row)))).convert("RGB") for row in rows]


def report(what: str, work):
    """Run `work`, print its images/s, return what it returned (whose length is the number of images)."""
    start = time.perf_counter()
    done = work()
    seconds = time.perf_counter() - start
    print(f"{what:<48} {len(done):>7,} images {seconds:>7.2f} s {len(done) / seconds:>10,.0f} images/s", flush=True)
    return done


if __name__ == "__main__":
    main()
