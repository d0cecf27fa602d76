import tests.garbage  # noqa: F401  isort: skip  (before all that is loaded)
import zeroshot.base.processor  # noqa: F401  isort: skip  (before numpy and torch)
import zeroshot.running.quick_torch  # noqa: F401  isort: skip  (before torch, as in stages)
import zeroshot.running.spinning  # noqa: F401  isort: skip

import os
import re
import sys
from pathlib import Path

import hypothesis
import pytest
import torch

from tests.browser import chromium  # noqa: F401
from zeroshot.base.processor import settle_products
from zeroshot.networks.without_compiler import without_compiler

with without_compiler():  # which only some tests need
    import timm  # noqa: F401
    import torchvision  # noqa: F401

# Images of containers often forbid it; each of the many processes that tests start would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# One thread: inputs are so small that a second one only waits, and `make test` runs a process on each core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
# Libraries settle on their kernels at their first product: these, so that tests in this process and in those that they
# start compute the same bits, whichever runs first.
settle_products(True)
torch.nn.functional.conv2d(torch.ones(1, 8, 8, 8), torch.ones(8, 8, 3, 3))
torch.ones(64, 64) @ torch.ones(64, 64)

hypothesis.settings.register_profile("fuzz", max_examples=2000, deadline=None)  # `make fuzz`
hypothesis.settings.register_profile("unhurried", deadline=None)  # a busy machine is no fault
if profile := os.environ.get("HYPOTHESIS_PROFILE") or ("" if os.environ.get("CI") else "unhurried"):
    hypothesis.settings.load_profile(profile)
PROJECT = Path(__file__).resolve().parent.parent
LONGEST = [f"test_{name}" for name in (
    "end_to_end", "ablation", "check_gpu", "stage", "image_training", "cifar_preset", "naming", "visual", "on_a_gpu",
    "without_images", "processor", "train_skipgram", "quick_timm", "start", "check_params", "presets", "pages",
    "serving_page", "serving", "own_labels", "text_sources")]


def pytest_collection_modifyitems(items):
    """Put the files that take longest first, so that at the end no process waits for another's.

    On a machine with a GPU, leave out what is marked as holding on the CPU only; `make check-gpu` runs it there.
    """
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
    marked = [(item, mark) for item in items if (mark := item.get_closest_marker("on_the_cpu"))]
    if marked and has_gpu():
        for item, mark in marked:
            item.add_marker(pytest.mark.skip(reason=f"{mark.args[0]}; runs with CUDA_VISIBLE_DEVICES="))


def pytest_collection_finish():
    tests.garbage.leave_what_is_loaded()


def has_gpu() -> bool:
    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def wordnet_zip(tmp_path_factory) -> Path:
    """WordNet 3.0, packed: the pipeline's own, or fetched once a session."""
    made = PROJECT / "data" / "wordnet.zip"
    if made.exists():
        return made
    from stages import fetch_wordnet

    path = tmp_path_factory.mktemp("wordnet") / "wordnet.zip"
    fetch_wordnet.main(fetch_wordnet.Params(source="auto"), out=path)
    return path


@pytest.fixture(scope="session")
def taxonomy_folder(tmp_path_factory, request) -> Path:
    """The whole of WordNet's nouns: the pipeline's own, or built once a session."""
    made = PROJECT / "data" / "taxonomy"
    if (made / "nouns.tsv").exists() and (made / "glosses.txt").exists():
        return made
    from stages import build_taxonomy

    folder = tmp_path_factory.mktemp("taxonomy")
    build_taxonomy.main(wordnet=request.getfixturevalue("wordnet_zip"), out=folder)
    return folder


@pytest.fixture(scope="session")
def part_of_taxonomy(tmp_path_factory, taxonomy_folder) -> Path:
    """WordNet in small, for whole pipelines: labels, what tables and stages name, and all that is above these.

    `universe.txt` beside it lists the labels: one in thirty of ImageNet's, and kinds of the seen classes.
    The glosses are a fortieth of all.
    """
    from tests.test_end_to_end import SEEN, UNSEEN

    folder, lists = tmp_path_factory.mktemp("part") / "taxonomy", PROJECT / "presets" / "lists"
    lines = (taxonomy_folder / "nouns.tsv").read_text().splitlines(keepends=True)
    parents = {line[:9]: " ".join(line.split("\t", 4)[2:4]).split() for line in lines}
    universe = (lists / "imagenet-2011.txt").read_text().split()
    labels = sorted({*universe[::30], *SEEN, *UNSEEN, *(wnid for wnid in universe if set(SEEN) & set(parents[wnid]))})
    named = "".join(path.read_text() for path in [*lists.glob("*.tsv"), *(PROJECT / "stages").glob("*.py")])
    waiting, kept = [*labels, *(parents.keys() & re.findall(r"n\d{8}", named))], set()
    while waiting:
        if (wnid := waiting.pop()) not in kept:
            kept.add(wnid)
            waiting += parents[wnid]
    folder.mkdir()
    (folder / "nouns.tsv").write_text("".join(line for line in lines if line[:9] in kept))
    glosses = (taxonomy_folder / "glosses.txt").read_text().splitlines(keepends=True)
    (folder / "glosses.txt").write_text("".join(glosses[::40]))
    (folder.parent / "universe.txt").write_text("\n".join(labels))
    return folder


@pytest.fixture
def mini_wordnet() -> dict[str, bytes]:
    """The files of a WordNet of five nouns, a verb, an adjective with its satellite, and an adverb.

    animal and pet are entities, a dog is an animal, Laika is an instance of dog.
    """
    licence = "  1 This is no licence.  \n"
    rows = [("noun", "03 n 01 entity 0 000 | that which is; \"an entity\"  "),
            ("noun", "05 n 02 animal 0 living_beast 0 001 @ {0} n 0000 | a living beast  "),
            ("noun", "05 n 01 pet 0 001 @ {0} n 0000 | kept at home; \"a cat is a pet\"; \"so is a dog\"  "),
            ("noun", "05 n 02 dog 0 domestic_dog 0 001 @ {1} n 0000 | barks  "),
            ("noun", "05 n 01 Laika 0 001 @i {3} n 0000 | a dog in space  "),
            ("verb", "29 v 01 bark 0 000 01 + 02 00 | speak as dogs do  "),
            ("adj", "00 a 01 big 0 000 | of size  "), ("adj", "00 s 01 huge 0 001 & {6} a 0000 | of great size  "),
            ("adv", "02 r 01 hugely 0 000 | very much  ")]
    offsets, ends, files = [], {}, {}
    for part, row in rows:
        offsets.append(ends.setdefault(part, len(licence)))
        ends[part] += 9 + len(row.format(*["00000000"] * len(rows))) + 1
    for (part, row), offset in zip(rows, offsets, strict=True):
        line = f"{offset:08d} " + row.format(*(f"{other:08d}" for other in offsets)) + "\n"
        files[f"data.{part}"] = files.get(f"data.{part}", licence.encode()) + line.encode()
        words = row.split()[3:3 + 2 * int(row.split()[2]):2]
        symbol = "r" if part == "adv" else part[0]
        index = "".join(f"{word.lower()} {symbol} 1 0 1 0 {offset:08d}  \n" for word in words)
        files[f"index.{part}"] = files.get(f"index.{part}", licence.encode()) + index.encode()
    return files


@pytest.fixture(scope="session")
def model_parts(tmp_path_factory) -> Path:
    """What a little model is exported from; see tests/model_world.py."""
    from tests.model_world import build_parts

    return build_parts(tmp_path_factory.mktemp("model parts"))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, model_parts) -> Path:
    """A little model, exported; not to be changed."""
    from tests.model_world import export

    return export(model_parts, tmp_path_factory.mktemp("model") / "model")
