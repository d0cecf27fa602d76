"""Folders, tars or the demo's renderer -> image index, and pixels for small sets.

Reads a role's images (train, val: seen classes; unseen: the zero-shot classes) where they lie: tars by member
offset, never extracted, never copied. Writes data/index (see zeroshot/images/index.py): the index, seen.txt,
unseen.txt, skipped.tsv, and with `pack` the pixels of every image, decoded once. Unreadable images are skipped, listed
and capped; everything else that is wrong ends the stage before any image is decoded.

Cost: a core draws 3,000 images/s of the demo, lists 30,000/s in tars, checks 40,000 headers/s, and packs 9,000 images/s
of 64x64, or 2,000 photographs/s to 64x64. Memory while listing: 200 bytes an image (14 M: 2.9 GB).
"""

import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic

from stages import run_stage
from zeroshot.base.artifacts import Artifact, ArtifactWriter, write_artifact
from zeroshot.base.files import atomic_write, write_json
from zeroshot.base.ordered_pool import in_order
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError
from zeroshot.console.progress import progress
from zeroshot.image_sets.archives import Listing, list_folder, list_tar
from zeroshot.image_sets.layouts import Source, find_sources, read_ground_truth, val_wnids
from zeroshot.image_sets.packing import find_unreadable, write_pixels
from zeroshot.image_sets.renderer import class_looks, draw_images, random_of
from zeroshot.images.files import ImageFiles
from zeroshot.images.index import INDEX_FILE, PIXELS_FILE, ROLES, TRAIN, UNSEEN, VAL, ImageIndex, write_index
from zeroshot.taxonomy import Taxonomy, read_taxonomy


class Roles(StageParams):
    train: str
    val: str
    unseen: str | None


class Demo(StageParams):
    classes: str
    seed: Seed
    train: int = pydantic.Field(ge=1)
    val: int = pydantic.Field(ge=1)
    unseen: int = pydantic.Field(ge=1)
    likeness: float = pydantic.Field(ge=0, le=1)
    variation: float = pydantic.Field(ge=0, le=10)


class Params(StageParams):
    source: Literal["demo", "folders"]
    images: str
    roles: Roles
    ground_truth: str | None
    seen_among_unseen: Literal["error", "skip"]
    pack: int | None = pydantic.Field(ge=8, le=1024)
    check: Literal["none", "header", "decode"]
    max_unreadable: float = pydantic.Field(ge=0, le=1)
    workers: int = pydantic.Field(ge=1)
    demo: Demo

    @pydantic.model_validator(mode="after")
    def _demo_is_packed(self) -> "Params":
        if self.source == "demo" and self.pack is None:
            raise ValueError("`pack` must be a number of pixels (32) where `source` is demo")
        return self


def main(params: Params, *, images: Path, demo_classes: Path, taxonomy: Path, out: Path, metrics: Path) -> None:
    nouns = read_taxonomy(taxonomy)
    out.mkdir(parents=True, exist_ok=True)
    skipped, ignored, left_out = [], 0, 0
    if params.source == "demo":
        draw_demo(params, demo_classes, nouns, out)
    else:
        skipped, ignored, left_out = index_files(params, images, nouns, out)
    with atomic_write(out / "skipped.tsv") as file:
        file.write("role\twnid\tfile\treason\n")
        file.writelines("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in skipped)
    write_json(metrics, {**count_images(out), "unreadable_skipped": len(skipped), "entries_ignored": ignored,
                         "unseen_classes_left_out_as_seen": left_out})


def count_images(out: Path) -> dict[str, int]:
    """How many images and classes the index in `out` holds."""
    index = ImageIndex.read(out)
    images = {f"{name}_images": len(index.rows(role)) for role, name in enumerate(ROLES)}
    without_val = set(index.seen) - {index.wnids[label] for label in np.unique(index.labels[index.rows(VAL)])}
    return {**images, "seen_classes": len(index.seen), "unseen_classes": len(index.unseen),
            "seen_classes_without_val": len(without_val), "val_images_also_train": index.val_also_train()}


# --- the demo's drawn images

def draw_demo(params: Params, listed: Path, nouns: Taxonomy, out: Path) -> None:
    """Draw every image of the classes that the file `listed` names (columns role, wnid, name)."""
    seen, unseen = read_demo_classes(listed, nouns)
    wnids = sorted(seen + unseen)
    looks = class_looks(wnids, nouns.parents, seed=params.demo.seed, likeness=params.demo.likeness)
    counts = (params.demo.train, params.demo.val, params.demo.unseen)
    tasks = [(role, wnid, counts[role], looks[wnids.index(wnid)]) for role in (TRAIN, VAL, UNSEEN)
             for wnid in sorted(unseen if role == UNSEEN else seen)]
    sizes = [task[2] for task in tasks]
    arrays = {"role": np.repeat(np.array([task[0] for task in tasks], np.uint8), sizes),
              "label": np.repeat(np.array([wnids.index(task[1]) for task in tasks], np.int32), sizes)}
    shape = (sum(sizes), params.pack, params.pack, 3)
    made_from = params.demo.model_dump(exclude={"classes"})
    with (ArtifactWriter(out / PIXELS_FILE, {"made_from": made_from}, {"pixels": (shape, np.uint8)}) as writer,
          progress(total=shape[0], unit="img", desc="drawing") as bar):
        start = 0
        for _, drawn in in_order(draw_class, tasks, params.workers, params):
            writer.write("pixels", start, drawn)
            start += len(drawn)
            bar.update(len(drawn))
    write_index(out, wnids, arrays, pixels=Artifact(out / PIXELS_FILE, verify=False).sha256, containers=[],
                made_from=made_from)


def draw_class(task: tuple[int, str, int, np.ndarray], params: Params) -> np.ndarray:
    role, wnid, count, look = task
    rng = random_of(params.demo.seed, wnid, ROLES[role])
    return draw_images(look, count, rng, size=params.pack, variation=params.demo.variation)


def read_demo_classes(path: Path, nouns: Taxonomy) -> tuple[list[str], list[str]]:
    """Seen and unseen wnids of a table with the columns role, wnid, name.

    Raises:
        InputError: missing, no text, malformed, a wnid that is no noun synset or is there twice, or a role
            without classes.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a table in UTF-8 with the columns role, wnid, "
                         "name, such as the demo's presets/lists/demo-classes.tsv") from None
    wnids: dict[str, list[str]] = {"seen": [], "unseen": []}
    for number, line in enumerate(lines[1:], 2):
        role, wnid = (line.split("\t") + [""])[:2]
        if role not in wnids or wnid not in nouns.index:
            raise InputError(f"{path}: line {number} is {line!r}; expected seen or unseen, a tab, "
                             "the wnid of a noun synset")
        if wnid in wnids["seen"] + wnids["unseen"]:
            raise InputError(f"{path}: line {number}: {wnid} is there twice")
        wnids[role].append(wnid)
    if not wnids["seen"] or not wnids["unseen"]:
        raise InputError(f"{path}: expected at least one seen and one unseen class")
    return wnids["seen"], wnids["unseen"]


# --- images in files

def index_files(params: Params, root: Path, nouns: Taxonomy, out: Path) -> tuple[list, int, int]:
    """Index the images under `root`.

    Returns:
        The skipped images (role, wnid, file, reason), the number of entries that are no images by name or kind, and
        the number of unseen classes left out because they are seen.
    """
    sources, truth, left_out = choose_sources(params, root, nouns)
    wnids, containers, arrays, ignored = list_images(params, root, sources, truth)
    with tempfile.TemporaryDirectory(dir=out, prefix=".candidates-") as folder:
        candidates, raw = Path(folder) / INDEX_FILE, Path(folder) / "pixels"
        write_artifact(candidates, {"containers": containers}, arrays)
        reader = ImageFiles(candidates, root)
        unreadable = find_unreadable(reader, raw, pack=params.pack, check=params.check,
                                     max_unreadable=params.max_unreadable, workers=params.workers)
        skipped = [(ROLES[arrays["role"][row]], wnids[arrays["label"][row]], reader.where(row), reason)
                   for row, reason in unreadable]
        rows = kept_rows(arrays, [row for row, _ in unreadable])
        check_classes(root, wnids, arrays, rows)
        sha256 = write_pixels(out / PIXELS_FILE, raw, rows, params.pack) if params.pack else None
    write_index(out, wnids, take_rows(arrays, rows), pixels=sha256, containers=containers,
                made_from={"source": params.source, "pack": params.pack})
    return skipped, ignored, left_out


def choose_sources(params: Params, root: Path, nouns: Taxonomy) -> tuple[list[Source], list[str], int]:
    """Every class of every role, checked against WordNet and against each other.

    Returns:
        The sources by role and wnid, the classes of ILSVRC's numbered val images (if that is the val role), and the
        number of unseen classes left out because they are seen.

    Raises:
        InputError: a missing role, a wnid that is no noun synset, a class both seen and unseen, a val class that
            is not in train.
    """
    places = (params.roles.train, params.roles.val, params.roles.unseen)
    train, val, unseen = [find_sources(root, role, place) if place is not None else []
                          for role, place in enumerate(places)]
    for source in train + val + unseen:
        if source.wnid is None and source.role != VAL:
            raise InputError(f"{root / source.container}: holds ILSVRC's numbered val images, which can only be the "
                             "val role (params.yaml: index_images.roles)")
        if source.wnid is not None and source.wnid not in nouns.index:
            raise InputError(f"{root / source.container}: {source.wnid} is no noun synset of WordNet 3.0")
    seen = {source.wnid for source in train}
    truth = _ground_truth(params, root) if val[0].wnid is None else []
    for wnid in sorted({*truth, *(source.wnid for source in val)} - {None}):
        if wnid not in seen:
            raise InputError(f"{root / params.roles.val}: class {wnid} has no training images in "
                             f"{root / params.roles.train}; remove it, or add them")
    both = [source for source in unseen if source.wnid in seen]
    if both and params.seen_among_unseen == "error":
        raise InputError(f"{root / both[0].container}: {both[0].wnid} is also in {root / params.roles.train} "
                         f"({len(both)} such classes); remove one, or set index_images.seen_among_unseen to skip")
    unseen = [source for source in unseen if source.wnid not in seen]
    if both and not unseen:
        raise InputError(f"{root / params.roles.unseen}: every class there is also in {root / params.roles.train}")
    return train + val + unseen, truth, len(both)


def _ground_truth(params: Params, root: Path) -> list[str]:
    if params.ground_truth is None:
        raise InputError(f"{root / params.roles.val}: holds ILSVRC's numbered val images; set "
                         "index_images.ground_truth to the devkit's place below index_images.images "
                         "(ILSVRC2012_devkit_t12.tar.gz)")
    return read_ground_truth(root / params.ground_truth)


def list_images(params: Params, root: Path, sources: list[Source], truth: list[str]):
    """Wnids, containers, the index's arrays for every image found, and the number of ignored entries.

    Raises:
        InputError: an empty, truncated or damaged tar, an empty folder, val images beyond the ground truth.
    """
    wnids = sorted({source.wnid for source in sources} - {None})
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    containers = list(dict.fromkeys(source.container for source in sources))
    number_of = {container: number for number, container in enumerate(containers)}
    blocks: list[dict[str, np.ndarray]] = []
    ignored = 0
    with progress(total=len(sources), unit="classes", desc="listing images") as bar:
        for source, listing in in_order(list_source, sources, params.workers, root):
            count = len(listing.names)
            shown = val_wnids(listing.names, truth, root / source.container) if source.wnid is None else [source.wnid]
            labels = np.array([label_of[wnid] for wnid in shown], np.int32)
            blocks.append({"role": np.full(count, source.role, np.uint8), "label": np.broadcast_to(labels, count),
                           "container": np.full(count, number_of[source.container], np.int32),
                           "offset": listing.offsets, "size": listing.sizes,
                           "names": np.frombuffer(b"".join(listing.names), np.uint8),
                           "name_end": np.fromiter(map(len, listing.names), np.int64, count)})
            ignored += listing.ignored
            bar.update()
    arrays = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return wnids, containers, {**arrays, "name_end": np.cumsum(arrays["name_end"])}, ignored


def list_source(source: Source, root: Path) -> Listing:
    path = root / source.container
    listing = list_folder(path) if path.is_dir() else list_tar(path, source.start, source.size)
    if not listing.names:
        inside = f" (its {source.wnid}.tar)" if source.start else ""
        raise InputError(f"{path}{inside}: holds no image; remove it or fill it")
    return listing


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
