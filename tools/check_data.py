"""`make check-data`: is the data there that params.yaml names, and what will a run cost? Under a minute, no changes.

Checks every section of params.yaml and all that the stages read from outside, lists some classes of each role,
decodes some of their images, and trains the CNN for some seconds; the rest is multiplication (tools/estimate_cost.py).
Exit status 1 if something is missing or wrong.
"""

import resource
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from stages.index_images import Params, choose_sources, list_source, read_demo_classes
from tools.check_params import check_params, missing_inputs
from tools.estimate_cost import DRAWN, Found, basis, disk_bytes, measure_training, memory_bytes, run_seconds
from tools.stage_deps import PROJECT, stage_bodies
from zeroshot.base.errors import InputError
from zeroshot.base.scratch import scratch_root
from zeroshot.decoding import UnreadableImage, decode_square
from zeroshot.image_archives import Listing
from zeroshot.image_layout import Source
from zeroshot.images import ROLES
from zeroshot.taxonomy import read_taxonomy

LISTED = 12  # classes of each role that are listed
DECODED = 16  # images of each of these that are decoded
BYTES_PER_WORD = 6  # of text; compressed text holds about 4 times as much
GLOSS_WORDS = 1_500_000  # of WordNet's definitions
COMPRESSED = (".bz2", ".gz", ".zst")


def main() -> int:
    bodies = stage_bodies(yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8")))
    params, faults = check_params(bodies)
    found = None
    if not faults:  # of settings; else there is no saying what data they ask for
        faults += missing_inputs(bodies, params)
        try:
            found = look_at_data(params)
        except InputError as error:
            faults.append(str(error))
    for fault in dict.fromkeys(faults):
        print(f"MISSING or wrong: {fault}")
    if not faults:
        print("All that params.yaml names is there.")
        print_costs(params, found)
    return 1 if faults else 0


def look_at_data(params: dict[str, dict]) -> Found:
    """Count classes, list some, decode some; raises InputError as index_images would."""
    settings = Params.model_validate(params["index_images"])
    taxonomy, root, words = Path("data/taxonomy"), Path(settings.images), text_words(params)
    if not (taxonomy / "nouns.tsv").exists():
        raise InputError(f"{taxonomy}: not built yet, so wnids cannot be checked; "
                         "`dvc repro build_taxonomy` (a minute)")
    if settings.source == "demo":
        seen, unseen = read_demo_classes(root, read_taxonomy(taxonomy))
        classes = {"train": len(seen), "val": len(seen), "unseen": len(unseen)}
        each = settings.demo.model_dump()
        return Found(classes, {role: classes[role] * each[role] for role in ROLES}, DRAWN, DRAWN, words)
    sources = choose_sources(settings, root, read_taxonomy(taxonomy))[0]
    classes, images = {}, {}
    listed = listing = decoded = decoding = 0.0
    for role, name in enumerate(ROLES):
        of_role = [source for source in sources if source.role == role]
        begun, count = time.perf_counter(), 0
        some = [(source, list_source(source, root)) for source in evenly(of_role, LISTED)]
        listing += time.perf_counter() - begun
        count = sum(len(found.names) for _, found in some)
        classes[name] = len(of_role)
        images[name] = round(count * len(of_role) / max(len(some), 1))
        listed += count
        for data in (data for pair in some for data in first_images(root, *pair)):
            begun = time.perf_counter()
            decoded += decodes(data, settings.pack or params["pretrain_cnn"]["resize"])
            decoding += time.perf_counter() - begun
    return Found(classes, images, listed / max(listing, 1e-9), max(decoded, 1) / max(decoding, 1e-9), words)


def evenly(items: list, count: int) -> list:
    """At most `count` of `items`, evenly spread, the first and last among them."""
    return [items[int(i)] for i in np.unique(np.linspace(0, len(items) - 1, count).astype(int))] if items else []


def first_images(root: Path, source: Source, listing: Listing) -> Iterator[bytes]:
    """Bytes of the first few images of a class."""
    for name, offset, size in list(zip(listing.names, listing.offsets, listing.sizes, strict=True))[:DECODED]:
        path = root / source.container
        with open(path / name.decode(errors="surrogateescape") if offset < 0 else path, "rb") as file:
            file.seek(max(int(offset), 0))
            yield file.read(int(size))


def decodes(data: bytes, side: int) -> bool:
    try:
        decode_square(data, side)
    except UnreadableImage:
        return False
    return True


def text_words(params: dict[str, dict]) -> int:
    """Words of the text, by its size."""
    corpus = params.get("prepare_corpus", {})
    place = Path(corpus.get("text", ""))
    if corpus.get("source", "wordnet") == "wordnet":
        return GLOSS_WORDS
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return sum(file.stat().st_size * (4 if file.suffix in COMPRESSED else 1) for file in files) // BYTES_PER_WORD


def print_costs(params: dict[str, dict], found: Found) -> None:
    for role in ROLES:
        scaled = "about " if found.classes[role] > LISTED and params["index_images"]["source"] != "demo" else ""
        print(f"  {role:<8} {found.classes[role]:>7,} classes, {scaled}{found.images[role]:,} images")
    training = measure_training(params["pretrain_cnn"], found.classes["train"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    disk, seconds = disk_bytes(params, found, training), run_seconds(params, found, training)
    print("\nA run will take, estimated:")
    for name, size in {**disk, "disk, all of it": sum(disk.values())}.items():
        print(f"  {name:<58} {_bytes(size):>10}")
    for name, time_taken in {**seconds, "time, all of it": sum(seconds.values())}.items():
        print(f"  {name:<58} {_duration(time_taken):>10}")
    print(f"  {'memory, packed pixels as page cache not counted':<58} {_bytes(memory_bytes(params, peak)):>10}")
    print(basis(params, found, training))
    free = shutil.disk_usage(".").free
    print(f"Free here: {_bytes(free)}; checkpoints lie in {scratch_root()}.")
    if sum(disk.values()) > free:
        print("WARNING: that is more disk than is free.")


def _bytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:,.1f} min" if seconds >= 60 else f"{seconds:,.0f} s"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"check-data: {error}")
