"""Folders, tars, CIFAR's archives or the demo's renderer -> image index, and pixels for small sets.

Reads a role's images (train, val: seen classes; unseen: the zero-shot classes) where they lie: tars by member
offset, never extracted, never copied. A list can name seen classes without training images too, for a network that is
trained already; any role may be null, all of them too. Writes data/index (see zeroshot/images/index.py): the index,
seen.txt, unseen.txt, skipped.tsv, and with `pack` the pixels of every image, decoded once. Unreadable images are
skipped, listed and capped; everything else that is wrong ends the stage before any image is decoded.

Cost: a core draws 3,000 images/s of the demo, lists 30,000/s in tars, checks 40,000 headers/s, and packs 9,000 images/s
of 64x64, or 2,000 photographs/s to 64x64. Memory while listing: 200 bytes an image (14 M: 2.9 GB).
"""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic

from stages import run_stage
from zeroshot.base.artifacts import write_artifact
from zeroshot.base.files import atomic_write, write_json
from zeroshot.base.ordered_pool import in_order
from zeroshot.base.params import StageParams
from zeroshot.console.errors import InputError, quoted
from zeroshot.console.progress import progress
from zeroshot.image_sets.archives import Listing, in_words, list_folder, list_tar
from zeroshot.image_sets.choosing import ChoosingParams, Chosen, choose_sources, read_seen
from zeroshot.image_sets.cifar import Cifar, choose_cifar, datasets_of
from zeroshot.image_sets.cifar_files import SIDE
from zeroshot.image_sets.demo import DemoParams, draw_demo
from zeroshot.image_sets.layouts import Source
from zeroshot.image_sets.packing import COPY_ROWS, find_unreadable, first_few, write_blocks, write_pixels
from zeroshot.image_sets.truths import LEADING
from zeroshot.images.files import ImageFiles
from zeroshot.images.index import INDEX_FILE, PIXELS_FILE, ROLES, TRAIN, VAL, ImageIndex, write_index
from zeroshot.taxonomy import Taxonomy, read_taxonomy

COLUMNS = {"role": np.uint8, "label": np.int32, "container": np.int32, "offset": np.int64, "size": np.int64,
           "names": np.uint8, "name_end": np.int64}  # of the index of files, see zeroshot/images/index.py


class CifarParams(StageParams):
    md5: Literal["published", "any"]
    fetch: bool


class Params(ChoosingParams):
    source: Literal["demo", "folders", "cifar"]
    images: str
    pack: int | None = pydantic.Field(ge=8, le=1024)
    check: Literal["none", "header", "decode"]
    max_unreadable: float = pydantic.Field(ge=0, le=1)
    workers: int = pydantic.Field(ge=1)
    demo: DemoParams
    cifar: CifarParams

    @pydantic.model_validator(mode="after")
    def _demo_is_packed(self) -> "Params":
        if self.source == "demo" and self.pack is None:
            raise ValueError("`pack` must be a number of pixels (32) where `source` is demo")
        return self

    @pydantic.model_validator(mode="after")
    def _cifar_is_packed(self) -> "Params":
        if self.source == "cifar" and self.pack != SIDE:
            raise ValueError(f"`pack` must be {SIDE}, its images' own size, where `source` is cifar")
        return self


def main(params: Params, *, images: Path, names: Path, seen_list: Path, unseen_list: Path, demo_classes: Path,
         taxonomy: Path, out: Path, metrics: Path) -> None:
    nouns = read_taxonomy(taxonomy)
    out.mkdir(parents=True, exist_ok=True)
    skipped, counts = [], {"entries_ignored": 0, "unseen_classes_left_out_as_seen": 0}
    if params.source == "demo":
        if listed := read_seen(seen_list, nouns, set()):
            raise InputError(f"{seen_list}: names {len(listed)} seen classes, but all those of the demo are drawn; set "
                             "index_images.seen to presets/lists/seen.txt, or index_images.source to folders")
        draw_demo(params.demo, demo_classes, nouns, out, pack=params.pack, workers=params.workers)
    elif params.source == "cifar":
        counts["unseen_classes_left_out_as_seen"] = index_cifar(params, images, nouns, names, seen_list,
                                                                unseen_list, out)
    else:
        chosen = choose_sources(params, images, nouns, names, seen_list, unseen_list)
        skipped, counts = index_files(params, images, chosen, out)
    with atomic_write(out / "skipped.tsv") as file:
        file.write("role\twnid\tfile\treason\n")
        file.writelines("\t".join(" ".join(printable(cell).split()) for cell in row) + "\n" for row in skipped)
    if skipped:
        print(f"index_images: {len(skipped):,} images cannot be read and are left out: {out / 'skipped.tsv'}")
    write_json(metrics, {**count_images(out), "unreadable_skipped": len(skipped), **counts})


def printable(text: str) -> str:
    """With \\xff and the like for what is no UTF-8 in a file's name."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def count_images(out: Path) -> dict[str, int]:
    """How many images and classes the index in `out` holds."""
    index = ImageIndex.read(out)
    images = {f"{name}_images": len(index.rows(role)) for role, name in enumerate(ROLES)}
    without_train, without_val = (set(index.seen) - {index.wnids[label] for label in np.unique(
        index.labels[index.rows(role)])} for role in (TRAIN, VAL))
    return {**images, "seen_classes": len(index.seen), "unseen_classes": len(index.unseen),
            "seen_classes_without_train": len(without_train), "seen_classes_without_val": len(without_val),
            "val_images_also_train": index.val_also_train()}


# --- CIFAR's archives

def index_cifar(params: Params, root: Path, nouns: Taxonomy, names: Path, seen_list: Path, unseen_list: Path, out: Path
                ) -> int:
    """Index and pack CIFAR's images below `root`; returns how many unseen classes are left out as seen."""
    if params.cifar.fetch:
        for dataset in datasets_of(params):
            fetch_cifar(root, dataset)
    cifar = choose_cifar(params, root, nouns, names, seen_list, unseen_list,
                         published=params.cifar.md5 == "published")
    arrays, places = cifar.arrays(), list(dict.fromkeys(part.where for role in cifar.roles for part in role.parts))
    print(f"index_images: {'; '.join(places)}")
    report_classes(cifar)
    if params.ground_truth is not None:
        print(f"index_images: ground_truth ({printable(params.ground_truth)}) is of no use: CIFAR's files tell classes")
    made_from = {"source": params.source, "roles": params.roles.model_dump()}
    sha256 = write_blocks(out / PIXELS_FILE, cifar.pixels(COPY_ROWS), len(arrays["role"]), SIDE)
    write_index(out, cifar.wnids, arrays, pixels=sha256, containers=[], made_from=made_from,
                listed=cifar.listed)
    return cifar.left_out


def fetch_cifar(root: Path, dataset: str) -> None:
    """Download what is not there, in a process of its own: this stage loads no torchvision.

    Raises:
        InputError: it could not be had.
    """
    ended = subprocess.run([sys.executable, "-m", "tools.fetch_cifar", str(root), dataset], stderr=subprocess.PIPE,
                           text=True, errors="replace")
    if ended.returncode:
        raise InputError(ended.stderr.strip().splitlines()[-1] if ended.stderr.strip() else
                         f"{root}: {dataset} could not be fetched")


# --- images in files

def index_files(params: Params, root: Path, chosen: Chosen, out: Path) -> tuple[list[tuple[str, ...]], dict[str, int]]:
    """Index the images under `root`; returns the skipped ones (role, wnid, file, reason) and what else to publish."""
    wnids, containers, arrays, ignored, skipped = list_images(params, root, chosen)
    report_found(chosen, ignored)
    if params.ground_truth not in (None, *(source.truth for source in chosen.sources)):
        print(f"index_images: ground_truth ({printable(params.ground_truth)}) is of no use: folders, tars or names "
              "tell the classes of all images")
    with tempfile.TemporaryDirectory(dir=out, prefix=".candidates-") as folder:
        candidates, raw = Path(folder) / INDEX_FILE, Path(folder) / "pixels"
        write_artifact(candidates, {"containers": containers}, arrays)
        reader = ImageFiles(candidates, root)
        unreadable = find_unreadable(reader, raw, pack=params.pack, check=params.check,
                                     max_unreadable=params.max_unreadable, lost=len(skipped), workers=params.workers)
        skipped += [(ROLES[arrays["role"][row]], wnids[arrays["label"][row]], reader.where(row), reason)
                    for row, reason in unreadable]
        rows = kept_rows(arrays, [row for row, _ in unreadable])
        check_classes(root, wnids, arrays, rows)
        sha256 = write_pixels(out / PIXELS_FILE, raw, rows, params.pack) if params.pack else None
    write_index(out, wnids, take_rows(arrays, rows), pixels=sha256, containers=containers,
                made_from={"source": params.source, "pack": params.pack}, listed=chosen.listed)
    links = sum(len(role.links) for role in chosen.roles)
    seldom = {"linked_folders": links, "images_in_tables_only": chosen.truths.lacking()}
    return skipped, {"entries_ignored": ignored.total(), "unseen_classes_left_out_as_seen": chosen.left_out,
                     **{name: count for name, count in seldom.items() if count}}


def report_found(chosen: Chosen, ignored: Counter[str]) -> None:
    """Say which layouts were recognised, and what was passed over."""
    for name, role in zip(ROLES, chosen.roles, strict=True):
        print(f"index_images: {name}: {role.said() or 'no images (its role is null)'}")
        if role.links:
            print(f"index_images: {name}: {len(role.links)} links to folders ({printable(role.links[0])}); DVC does "
                  "not see changes behind them: after one, `dvc repro -f index_images`")
    report_classes(chosen)
    if ignored:
        print(f"index_images: passed over {ignored.total():,} entries that are no images: {in_words(ignored)}")
    if lacking := chosen.truths.lacking():
        print(f"index_images: the tables of classes name {lacking:,} images that are not there")


def report_classes(chosen: Chosen | Cifar) -> None:
    """Say which classes lists made seen."""
    if chosen.listed:
        print(f"index_images: {len(chosen.listed):,} seen classes by list")
    if chosen.left_out:
        print(f"index_images: unseen: {chosen.left_out} classes are left out, since they are seen")


def list_images(params: Params, root: Path, chosen: Chosen):
    """Wnids, containers, the index's arrays for every image found, what was ignored, and the images that are lost.

    Raises:
        InputError: an empty, truncated or damaged tar, an empty folder, images whose class nothing tells, or more lost
            than may be.
    """
    sources = chosen.sources
    wnids = sorted(set().union(chosen.listed, *chosen.wanted))
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    containers = list(dict.fromkeys(source.container for source in sources))
    number_of = {container: number for number, container in enumerate(containers)}
    blocks = [{name: np.zeros(0, dtype) for name, dtype in COLUMNS.items()}]  # for where there is no image
    ignored, lost, nested = sum((role.ignored for role in chosen.roles), Counter()), [], []
    with progress(total=len(sources), unit="classes", desc="listing images") as bar:
        for source, listing in in_order(list_source, sources, params.workers, root):
            nested += [f"{source.container}/{folder}" for folder in listing.folders if source.wnid is not None
                       and chosen.names.is_noun(folder.rpartition("/")[2])]
            shown = chosen.truths.wnids(source, listing.names)
            kept = np.flatnonzero([wnid in chosen.wanted[source.role] for wnid in shown])
            names = [listing.names[row] for row in kept]
            block = {"role": np.full(len(kept), source.role), "label": [label_of[shown[row]] for row in kept],
                     "container": np.full(len(kept), number_of[source.container]),
                     "offset": listing.offsets[kept], "size": listing.sizes[kept],
                     "names": np.frombuffer(b"".join(names), np.uint8), "name_end": list(map(len, names))}
            blocks.append({name: np.asarray(block[name], dtype) for name, dtype in COLUMNS.items()})
            ignored += listing.ignored
            lost += [(ROLES[source.role], source.wnid or "-", f"{root / source.container}/{os.fsdecode(name)}", reason)
                     for name, reason in listing.lost]
            bar.update()
    if nested:
        print(f"index_images: {len(nested):,} folders inside classes are named as classes themselves "
              f"({printable(', '.join(nested[:3]))}); their images count as the outer ones")
    arrays = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    if len(lost) > params.max_unreadable * (len(arrays["role"]) + len(lost)):
        some = first_few([f"{file} ({reason})" for _, _, file, reason in lost])
        raise InputError(f"{len(lost)} images cannot be read, {some}; more than may be "
                         "skipped (params.yaml: index_images.max_unreadable)")
    return wnids, containers, {**arrays, "name_end": np.cumsum(arrays["name_end"])}, ignored, lost


def list_source(source: Source, root: Path) -> Listing:
    path = root / source.container
    listing = list_folder(path) if path.is_dir() else list_tar(path, source.start, source.size)
    if not listing.names:
        inside = f" (its {source.wnid}.tar)" if source.start else ""
        raise InputError(f"{path}{inside}: holds no image{passed_over(listing)}; remove it or fill it")
    for folder in listing.folders if source.wnid is not None else ():
        refuse_other_class(path, source.wnid, folder)
    return listing


def refuse_other_class(path: Path, wnid: str, folder: str) -> None:
    """Raise InputError if a folder with images inside a class's is another class's, by wnid."""
    inner = [found[1].lower() for part in folder.split("/") if (found := LEADING.match(part))]
    if inner and inner[-1] != wnid:
        raise InputError(f"{path}: holds images of another class in its folder {quoted(folder, 200)}, which would "
                         f"count as {wnid}; move it out, or, if this is a folder of classes, name it in "
                         "index_images.roles")


def passed_over(listing: Listing) -> str:
    """What a container without images holds instead, in brackets."""
    kinds = [in_words(listing.ignored)] if listing.ignored else []
    kinds += [f"{len(listing.lost)} that cannot be read: {listing.lost[0][1]}"] if listing.lost else []
    return f" (but {', '.join(kinds)})" if kinds else ""


def kept_rows(arrays: dict[str, np.ndarray], unreadable: list[int]) -> np.ndarray:
    """int64 [kept]: readable rows, sorted by role, class, and place in the sources."""
    order = np.lexsort((arrays["label"], arrays["role"]))  # stable
    return order[~np.isin(order, unreadable)]


def check_classes(root: Path, wnids: list[str], arrays: dict[str, np.ndarray], rows: np.ndarray) -> None:
    """Raise InputError if a class has lost all its images of a role."""
    pairs = arrays["role"].astype(np.int64) * len(wnids) + arrays["label"]
    for lost in np.setdiff1d(pairs, pairs[rows])[:1]:
        role, label = divmod(int(lost), len(wnids))
        raise InputError(f"{root}: none of the {ROLES[role]} images of class {wnids[label]} can be read; "
                         "mend or remove it")


def take_rows(arrays: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The index's arrays at `rows`."""
    taken = {name: array[rows] for name, array in arrays.items() if name not in ("names", "name_end")}
    start = np.concatenate([[0], arrays["name_end"][:-1]])
    lengths = (arrays["name_end"] - start)[rows]
    blocks = [arrays["names"][:0]]
    for at in range(0, len(rows), 1 << 16):
        block, length = rows[at:at + (1 << 16)], lengths[at:at + (1 << 16)]
        first = np.cumsum(length) - length
        blocks.append(arrays["names"][np.repeat(start[block] - first, length) + np.arange(length.sum())])
    return {**taken, "names": np.concatenate(blocks), "name_end": np.cumsum(lengths)}


if __name__ == "__main__":
    run_stage(main, check_all_params=True)
