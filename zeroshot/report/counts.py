"""What the stages counted: labels without a vector, things left out, in words."""

import json
from dataclasses import dataclass
from pathlib import Path

from zeroshot.labels.label_sets import LABEL_SETS
from zeroshot.report.scores import Figures

LEFT_OUT = {  # stage -> its figure: what it counts
    "index_images": {
        "unreadable_skipped": "image files that do not begin like an image",
        "entries_ignored": "other files and folders",
        "seen_classes_without_val": "seen classes without validation images",
        "unseen_classes_left_out_as_seen": "classes left out of the unseen ones because they are seen",
        "val_images_also_train": "validation images that are training images too"},
    "build_label_sets": {
        "universe_not_in_wordnet": "wnids of the universe that are no nouns of WordNet 3.0",
        "seen_not_in_universe": "seen classes outside the universe",
        "unseen_not_in_universe": "unseen classes outside the universe",
        "disconnected": "labels with no path to a seen class"},
    "prepare_corpus": {
        "articles_too_short": "articles that are too short",
        "pages_redirect": "pages that only redirect",
        "pages_other_namespace": "pages that are no articles",
        "words_outside_lexicon": "words outside the lexicon",
        "sentences_cut": "sentences cut for their length"},
    "train_skipgram": {"terms_too_rare": "terms of the lexicon that the text has too rarely"},
    "extract_features": {"unreadable": "images that could not be decoded"},
}
OF_MODELS = {"images_in_no_label_set": "test images of classes in no label set",
             "seen_labels_not_mixed": "seen labels without a vector, which ConSE leaves out"}
COVERAGE = {"labels": "labels", "term": "own term", "words": "mean of its words", "hypernym": "a hypernym's",
            "without": "no vector"}  # of embed_labels.json


@dataclass(frozen=True)
class Count:
    where: str
    what: str
    count: int


def read_counts(folder: Path) -> dict[str, dict]:
    """Stage -> what it wrote to metrics/<stage>.json; those that wrote nothing are left out."""
    stages = [*LEFT_OUT, "embed_labels"]
    return {stage: json.loads((folder / f"{stage}.json").read_text(encoding="utf-8")) for stage in stages
            if (folder / f"{stage}.json").exists()}


def left_out(counted: dict[str, dict], ours: Figures) -> list[Count]:
    """Everything that a stage can leave out, with how much it did."""
    found = [Count(stage, what, int(counted[stage][key])) for stage, known in LEFT_OUT.items() if stage in counted
             for key, what in known.items() if key in counted[stage]]
    for key, what in OF_MODELS.items():
        values = [int(value) for (_, _, metric, _), value in ours.items() if metric == key]
        found += [Count("ranking", what, max(values))] if values else []
    return found


def coverage(counted: dict[str, dict]) -> list[tuple[str, list[int]]]:
    """Label set -> how many labels it has, and where their vectors come from, in the order of COVERAGE."""
    made = counted.get("embed_labels", {})
    return [(name, [int(made[f"{name}/{key}"]) for key in COVERAGE]) for name in LABEL_SETS
            if f"{name}/labels" in made]
