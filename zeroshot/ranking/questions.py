"""What every model is asked: the test images of an index, each in the label sets that it belongs to."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from zeroshot.images.index import ROLES, UNSEEN, VAL, ImageIndex
from zeroshot.labels.label_sets import PLUS_SEEN, all_labels, digest_of

ROWS = 1 << 17  # images counted at a time


class Questions:
    """The test images of an index in label sets.

    `seen` is asked of the validation images of its classes, any other set of the unseen classes' images whose wnid is
    in it without `+seen`.

    Attributes:
        index: the image index.
        sets: label set -> its wnids.
        wnids: of all sets, sorted; label numbers are places in it.
    """

    def __init__(self, index: ImageIndex, sets: Mapping[str, list[str]]):
        self.index, self.sets, self.wnids = index, sets, all_labels(sets)

    @cached_property
    def asked(self) -> dict[str, Bool[np.ndarray, "roles classes"]]:
        """Label set -> of which roles and classes of the index the images are asked about."""
        asked = {}
        for name in self.sets:
            asked[name] = np.zeros((len(ROLES), len(self.index.wnids)), bool)
            of_set = np.isin(self.index.wnids, self.sets[name.removesuffix(PLUS_SEEN)])
            asked[name][VAL if name == "seen" else UNSEEN] = of_set
        return asked

    def are_of(self, name: str, rows: Int[np.ndarray, "images"]) -> Bool[np.ndarray, "images"]:
        """Which of these rows of the index are test images of the set."""
        return self.asked[name][self.index.roles[rows], self.index.labels[rows]]

    def true_labels(self, rows: Int[np.ndarray, "images"]) -> Int[np.ndarray, "images"]:
        """Label number of each row's class; -1 if it is in no set."""
        return self._label_of_class[self.index.labels[rows]]

    @cached_property
    def _label_of_class(self) -> Int[np.ndarray, "classes"]:
        return self.index.classes_numbered(self.wnids)

    def counted(self, rows: Int[np.ndarray, "images"]) -> tuple[dict[str, int], int]:
        """How many of these rows are test images of each set, and how many of none."""
        images, outside = dict.fromkeys(self.sets, 0), 0
        for start in range(0, len(rows), ROWS):
            of = {name: self.are_of(name, rows[start:start + ROWS]) for name in self.sets}
            outside += int((~np.any(list(of.values()), axis=0)).sum())
            images = {name: images[name] + int(of[name].sum()) for name in self.sets}
        return images, outside

    def described(self, images: Mapping[str, int], candidates: Mapping[str, int]) -> dict[str, dict]:
        """Label set -> what identifies it, and how many labels, candidates and images it has."""
        return {name: {"digest": digest_of(wnids), "labels": len(wnids), "candidates": candidates[name],
                       "images": images[name] if candidates[name] else 0} for name, wnids in self.sets.items()}
