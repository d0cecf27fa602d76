"""`make check-data`: is the data there that params.yaml names, and what will a run cost? Under a minute.

Checks every section of params.yaml, the network that it names and all that the stages read from outside, lists some
classes of each role, decodes some of their images, tokenises some of the text, and trains the CNN for some seconds; the
rest is multiplication (tools/estimate_cost.py). Changes nothing, but that it has DVC make data/taxonomy, seconds of any
run, where it is not there, since classes cannot be told without it, and makes the folder that a download goes to.
Exit status 1 if something is missing or wrong.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np

import zeroshot.text.markup  # noqa: F401  (else reading a MediaWiki dump loads it, while that is timed)
from stages import prepare_corpus, pretrain_cnn
from stages.index_images import Params, list_source
from tools.check_params import check_params, linked_outs, make_download_folder, missing_inputs, not_in_copies
from tools.estimate_cost import DRAWN, Found, Text, Training, basis, disk_bytes, memory_bytes, run_seconds
from tools.measure_training import feature_width, measure_training
from tools.stage_deps import PROJECT, stage_bodies
from zeroshot.base.params import read_yaml
from zeroshot.console.errors import InputError
from zeroshot.image_sets.archives import Listing
from zeroshot.image_sets.choosing import choose_sources
from zeroshot.image_sets.cifar import PLACES, Cifar, choose_cifar, datasets_of
from zeroshot.image_sets.cifar_files import VERSIONS, place_of
from zeroshot.image_sets.demo import read_demo_classes
from zeroshot.image_sets.layouts import Source
from zeroshot.images.decoding import UnreadableImage, decode_square
from zeroshot.images.index import ROLES, TRAIN
from zeroshot.running.scratch import scratch_root
from zeroshot.running.stage import of_torch
from zeroshot.taxonomy import read_taxonomy
from zeroshot.terms.vectors import read_term_vectors
from zeroshot.text.files import tasks_of
from zeroshot.text.lexicon import MultiwordTerms
from zeroshot.text.pieces import words_of_task
from zeroshot.text.sources import BOUNDARY, text_files

TAXONOMY, OURS = Path("data/taxonomy"), Path("data/term_vectors")  # outs of build_taxonomy and train_skipgram
LISTED = 12  # classes of each role that are listed
DECODED = 16  # images of each of these that are decoded
CIFAR_CLASSES, CIFAR_IMAGES = {"cifar-100": 100, "cifar-10": 10}, {"train": 50_000, "test": 10_000}  # published
CHAINS = 82_000  # nouns, each of which makes a sentence of hypernyms
VECTORS = 20_000  # of a user's file that are looked at
TEXT_FILES = 16  # of the text that are looked at ...
TEXT_TASKS = 6  # ... up to so many pieces of 1.5 MB, a few million words


def main() -> int:
    bodies = stage_bodies(read_yaml(PROJECT / "dvc.yaml"))
    params, faults = check_params(bodies)
    if not faults:  # of settings; else there is no saying what data they ask for
        make_download_folder(params)
        faults = linked_outs(bodies) + missing_inputs(bodies, params)
        faults += (unmade := make_taxonomy())
        if not unmade:
            found, unfit = look_at_all(params)
            faults += unfit
            faults += look_at_weights(params) + look_at_vectors(params)
    for fault in dict.fromkeys(faults):
        print(f"MISSING or wrong: {fault}")
    if not faults:
        print("All that params.yaml names is there.")
        for warning in not_in_copies(bodies, params):
            print(f"WARNING: {warning}")
        print_costs(params, *found)
    return 1 if faults else 0


def make_taxonomy() -> list[str]:
    """Have data/taxonomy made if it is not there, as on a fresh clone; what went wrong, if anything."""
    if (TAXONOMY / "nouns.tsv").exists():
        return []
    print(f"{TAXONOMY}: not built yet; `dvc repro build_taxonomy` does that now", flush=True)
    if subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", "build_taxonomy"]).returncode:
        return [f"{TAXONOMY}: could not be built, as said above, so classes cannot be checked; mend that, or wait for "
                "the `dvc` that is running, and check again"]
    return []


def look_at_all(params: dict[str, dict]) -> tuple[tuple[Found | None, int | None], list[str]]:
    """The data and the length of the features, and what is wrong with any of it."""
    faults = []

    def tried(look, *given):
        try:
            return look(*given)
        except (InputError, OSError) as error:
            faults.append(str(error))

    text = tried(look_at_text, params)
    return (tried(look_at_images, params, text), tried(feature_width, params)), faults


def look_at_images(params: dict[str, dict], text: Text) -> Found:
    """Count classes, list some, decode some; raises InputError as index_images would."""
    settings = Params.model_validate(params["index_images"])
    taxonomy, root = TAXONOMY, Path(settings.images)
    if settings.source == "demo":
        seen, unseen = read_demo_classes(Path(settings.demo.classes), read_taxonomy(taxonomy))
        classes = {"train": len(seen), "val": len(seen), "unseen": len(unseen), "seen": len(seen)}
        each = settings.demo.model_dump(include=set(ROLES))
        return Found(classes, {role: classes[role] * each[role] for role in ROLES}, DRAWN, DRAWN, 0, text)
    if to_download(settings):
        return as_published(settings, text)
    if settings.source == "cifar":
        cifar = cifar_of(settings)
        classes = {name: len(role.wanted) for name, role in zip(ROLES, cifar.roles, strict=True)}
        images = {name: len(role.rows()) for name, role in zip(ROLES, cifar.roles, strict=True)}
        classes["seen"] = len(cifar.roles[TRAIN].wanted.union(cifar.listed))
        return Found(classes, images, DRAWN, DRAWN, 0, text)
    chosen = choose_sources(settings, root, read_taxonomy(taxonomy), Path(settings.names), Path(settings.seen),
                            Path(settings.split.list))
    classes, images = {"seen": len(chosen.wanted[TRAIN].union(chosen.listed))}, {}
    listed = listing = decoded = decoding = size = 0.0
    for role, name in enumerate(ROLES):
        of_role = [source for source in chosen.sources if source.role == role]
        begun = time.perf_counter()
        some = [(source, list_source(source, root)) for source in evenly(of_role, LISTED)]
        listing += time.perf_counter() - begun
        count, scale = sum(len(found.names) for _, found in some), len(of_role) / max(len(some), 1)
        classes[name] = len(chosen.wanted[role])
        images[name] = round(count * scale)
        size += scale * sum(int(found.sizes.sum()) for _, found in some)
        listed += count
        for data in (data for pair in some for data in first_images(root, *pair)):
            begun = time.perf_counter()
            decoded += decodes(data, settings.pack or params["pretrain_cnn"]["resize"])
            decoding += time.perf_counter() - begun
    rates = (max(count, 1) / max(seconds, 1e-9) for count, seconds in ((listed, listing), (decoded, decoding)))
    return Found(classes, images, *rates, round(size), text)


def cifar_of(settings: Params) -> Cifar:
    return choose_cifar(settings, Path(settings.images), read_taxonomy(TAXONOMY), Path(settings.names),
                        Path(settings.seen), Path(settings.split.list), published=settings.cifar.md5 == "published")


def to_download(settings: Params) -> list[str]:
    """The data sets that index_images will download, as it is told to."""
    if settings.source != "cifar" or not settings.cifar.fetch:
        return []
    return [dataset for dataset in datasets_of(settings)
            if not any(place_of(Path(settings.images), version) for version in VERSIONS[dataset])]


def as_published(settings: Params, text: Text) -> Found:
    """What the roles will have once their data sets are there; classes can be checked only then."""
    print(f"{settings.images}: {' and '.join(to_download(settings))} will be downloaded by index_images "
          "(index_images.cifar.fetch); counted as published, without splits")
    classes, images = {}, {}
    for name in ROLES:
        parts = PLACES.get(getattr(settings.roles, name), ())
        classes[name] = sum(CIFAR_CLASSES[dataset] for dataset in dict(parts))
        images[name] = sum(CIFAR_IMAGES[part] for _, part in parts)
    return Found({**classes, "seen": classes["train"]}, images, DRAWN, DRAWN, 0, text)


def look_at_weights(params: dict[str, dict]) -> list[str]:
    """What is wrong with the weights in a file or package, or with what their outputs are said to be."""
    cnn = pretrain_cnn.Params.model_validate(params["pretrain_cnn"])
    if cnn.pretrained not in ("file", "package"):  # the libraries' downloads are left to the stage
        return []
    if to_download(Params.model_validate(params["index_images"])):  # without it, the classes are not known
        return []
    try:
        pretrain_cnn.build_network(cnn, seen_classes(params), Path(cnn.weights), Path(cnn.weights_list))
    except InputError as error:
        return [str(error)]
    return []


class _Enough(Exception):
    """So many vectors were looked at."""


def look_at_vectors(params: dict[str, dict]) -> list[str]:
    """What is wrong with the first vectors of a user's file, or with a folder that train_skipgram is not to make."""
    labels, seen = params["embed_labels"], count()

    def no_more(_: str) -> bool:
        if next(seen) == VECTORS:
            raise _Enough
        return False

    try:
        if (path := Path(labels["vectors"])).is_file() or path.is_dir() and path != OURS:
            read_term_vectors(path, no_more, labels["member"])
    except _Enough:
        pass
    except InputError as error:
        return [str(error)]
    return []


def seen_classes(params: dict[str, dict]) -> list[str]:
    """Sorted wnids of the seen classes; none where they cannot be known, which another fault says."""
    settings, taxonomy = Params.model_validate(params["index_images"]), TAXONOMY
    try:
        if settings.source == "demo":
            return sorted(read_demo_classes(Path(settings.demo.classes), read_taxonomy(taxonomy))[0])
        if settings.source == "cifar":
            cifar = cifar_of(settings)
            return sorted(cifar.roles[TRAIN].wanted.union(cifar.listed))
        chosen = choose_sources(settings, Path(settings.images), read_taxonomy(taxonomy), Path(settings.names),
                                Path(settings.seen), Path(settings.split.list))
        return sorted(chosen.wanted[TRAIN].union(chosen.listed))
    except InputError:
        return []


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


def look_at_text(params: dict[str, dict]) -> Text:
    """Tokenise some of each text and scale up; raises InputError as prepare_corpus would."""
    settings, taxonomy = prepare_corpus.Params.model_validate(params["prepare_corpus"]), TAXONOMY
    sources = prepare_corpus.sources_of(settings, Path(settings.text), Path(settings.also.text), taxonomy)
    # What is not there is a fault already.
    texts = [look_at_source(source, settings) for source in sources
             if source.kind != "chains" and source.place.exists()]
    chains = CHAINS * settings.chains.times * (settings.chains.length + 1)
    return Text(*map(sum, zip(Text(chains, 8 * chains, 4 * chains, 0.0, 0), *texts, strict=True)))


def look_at_source(source: prepare_corpus.TextSource, settings: prepare_corpus.Params) -> Text:
    files = text_files(source.place, source.kind, source.setting).files
    size, begun = sum(file.stat().st_size for file in files), time.perf_counter()
    read = words = sentences = encoded = 0
    for task in islice(tasks_of(evenly(files, TEXT_FILES), BOUNDARY[source.kind]), TEXT_TASKS):
        text, _, tally = words_of_task(task, source.kind, MultiwordTerms(()), settings.min_article_words)
        read += sum(block.packed for block in task)
        words += tally["words"]
        sentences += len(text.lines())
        encoded += text.ids.nbytes + sum(map(len, text.terms))
    scale = size / max(read, 1)
    return Text(round(words * scale) * source.times, round(sentences * scale) * source.times, round(encoded * scale),
                (time.perf_counter() - begun) * scale, size)


def print_costs(params: dict[str, dict], found: Found, width: int) -> None:
    for role in ROLES:
        scaled = "about " if found.classes[role] > LISTED and params["index_images"]["source"] == "folders" else ""
        print(f"  {role:<8} {found.classes[role]:>7,} classes, {scaled}{found.images[role]:,} images")
    if found.classes["seen"] > found.classes["train"]:
        print(f"  {'seen':<8} {found.classes['seen']:>7,} classes, "
              f"{found.classes['seen'] - found.classes['train']:,} of them by list alone")
    training = train_a_while(params, found.classes["seen"], width)
    disk, seconds = disk_bytes(params, found, training), run_seconds(params, found, training)
    memory = memory_bytes(params, found, training)
    most = max(memory, key=memory.get)
    print("\nA run will take, estimated:")
    for name, size in {**disk, "disk, all of it, up to": sum(disk.values())}.items():
        if size:
            print(f"  {name:<58} {_bytes(size):>10}")
    for name, time_taken in {**seconds, "time, all of it": sum(seconds.values())}.items():
        if time_taken >= 1:
            print(f"  {name:<58} {_duration(time_taken):>10}")
    print(f"  {f'memory, most in {most}; page cache not counted':<58} {_bytes(memory[most]):>10}")
    print(basis(params, found, training))
    warn_of_too_little(sum(disk.values()), memory)


def train_a_while(params: dict[str, dict], classes: int, width: int) -> Training:
    """`measure_training`; raises InputError where torch refuses what a setting asks for, as pretrain_cnn would."""
    try:
        return measure_training(params["pretrain_cnn"], classes, width)
    except RuntimeError as error:
        if (said := of_torch(error, "pretrain_cnn", pretrain_cnn.Params)) is None:
            raise
        raise InputError(f"training with these settings: {said}") from None


def warn_of_too_little(disk: float, memory: dict[str, float]) -> None:
    free, installed = shutil.disk_usage(".").free, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    print(f"Here: {_bytes(free)} of disk are free, {_bytes(installed)} of memory installed; checkpoints lie in "
          f"{scratch_root()}.")
    if disk > free:
        print("WARNING: that is more disk than is free.")
    for stage, size in memory.items():
        if size > installed:
            print(f"WARNING: {stage} needs {_bytes(size)} of memory, more than there is.")


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
