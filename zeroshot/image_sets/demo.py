"""The demo's images: classes from a list, drawn, in place of photographs that everybody would have to fetch."""

from pathlib import Path

import numpy as np
import pydantic
from jaxtyping import UInt8

from zeroshot.base.artifacts import Artifact, ArtifactWriter
from zeroshot.base.lists import text_lines
from zeroshot.base.ordered_pool import in_order
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError, quoted
from zeroshot.console.progress import progress
from zeroshot.image_sets.renderer import class_looks, draw_images, random_of
from zeroshot.images.index import PIXELS_FILE, ROLES, TRAIN, UNSEEN, VAL, write_index
from zeroshot.taxonomy import Taxonomy


class DemoParams(StageParams):
    classes: str
    seed: Seed
    train: int = pydantic.Field(ge=1)
    val: int = pydantic.Field(ge=1)
    unseen: int = pydantic.Field(ge=1)
    likeness: float = pydantic.Field(ge=0, le=1)
    variation: float = pydantic.Field(ge=0, le=10)


def draw_demo(params: DemoParams, listed: Path, nouns: Taxonomy, out: Path, *, pack: int, workers: int) -> None:
    """Draw every image of the classes that the file `listed` names, and write their index and pixels to `out`.

    Args:
        pack: height and width of an image, in pixels.
        workers: processes; the images do not depend on it.

    Raises:
        InputError: see `read_demo_classes`.
    """
    seen, unseen = read_demo_classes(listed, nouns)
    wnids = sorted(seen + unseen)
    looks = class_looks(wnids, nouns.parents, seed=params.seed, likeness=params.likeness)
    counts = (params.train, params.val, params.unseen)
    tasks = [(role, wnid, counts[role], looks[wnids.index(wnid)]) for role in (TRAIN, VAL, UNSEEN)
             for wnid in sorted(unseen if role == UNSEEN else seen)]
    sizes = [task[2] for task in tasks]
    arrays = {"role": np.repeat(np.array([task[0] for task in tasks], np.uint8), sizes),
              "label": np.repeat(np.array([wnids.index(task[1]) for task in tasks], np.int32), sizes)}
    shape = (sum(sizes), pack, pack, 3)
    made_from = params.model_dump(exclude={"classes"})
    with (ArtifactWriter(out / PIXELS_FILE, {"made_from": made_from}, {"pixels": (shape, np.uint8)}) as writer,
          progress(total=shape[0], unit="img", desc="drawing") as bar):
        start = 0
        for _, drawn in in_order(draw_class, tasks, workers, params, pack):
            writer.write("pixels", start, drawn)
            start += len(drawn)
            bar.update(len(drawn))
    write_index(out, wnids, arrays, pixels=Artifact(out / PIXELS_FILE, verify=False).sha256, containers=[],
                made_from=made_from)


def draw_class(task: tuple[int, str, int, np.ndarray], params: DemoParams, pack: int
               ) -> UInt8[np.ndarray, "images pack pack 3"]:
    """The images of a task: role, wnid, how many, and the class's look."""
    role, wnid, count, look = task
    rng = random_of(params.seed, wnid, ROLES[role])
    return draw_images(look, count, rng, size=pack, variation=params.variation)


def read_demo_classes(path: Path, nouns: Taxonomy) -> tuple[list[str], list[str]]:
    """Seen and unseen wnids of a table with the columns role, wnid, name, which its first line may name.

    Raises:
        InputError: missing, no text, malformed, a wnid that is no noun synset or is there twice, or a role
            without classes.
    """
    lines = text_lines(path, "a table in UTF-8 with the columns role, wnid, name, such as the demo's "
                             "presets/lists/demo-classes.tsv")
    wnids: dict[str, list[str]] = {"seen": [], "unseen": []}
    for place, (number, line) in enumerate(lines):
        role, wnid = [field.strip().lower() for field in (line.split("\t") + [""])[:2]]
        if not place and role == "role":
            continue
        if role not in wnids or wnid not in nouns.index:
            raise InputError(f"{path}: line {number} is {quoted(line)}; expected seen or unseen, a tab, "
                             "the wnid of a noun synset")
        if wnid in wnids["seen"] + wnids["unseen"]:
            raise InputError(f"{path}: line {number}: {wnid} is there twice")
        wnids[role].append(wnid)
    if not wnids["seen"] or not wnids["unseen"]:
        raise InputError(f"{path}: expected at least one seen and one unseen class")
    return wnids["seen"], wnids["unseen"]
