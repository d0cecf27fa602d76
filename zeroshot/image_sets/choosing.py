"""Which classes each role takes of those found: checked against WordNet and each other, split into seen and unseen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic

from zeroshot.base.lists import read_wnid_list
from zeroshot.base.params import Seed, StageParams
from zeroshot.console.errors import InputError
from zeroshot.image_sets.class_names import ClassNames
from zeroshot.image_sets.layouts import Role, Source, find_role
from zeroshot.image_sets.shown import Truths
from zeroshot.taxonomy import Taxonomy


class Roles(StageParams):
    train: str | None
    val: str | None
    unseen: str | None


class Split(StageParams):
    list: str
    drawn: int = pydantic.Field(ge=0)
    seed: Seed


class ChoosingParams(StageParams):
    """Settings that say what lies where; see params.yaml, index_images."""

    roles: Roles
    seen: str
    ground_truth: str | None
    names: str
    split: Split
    seen_among_unseen: Literal["error", "skip"]


@dataclass
class Chosen:
    """What is to be indexed.

    Attributes:
        roles: train, val, unseen, as they were found.
        wanted: the classes of each that are taken.
        truths: which class an image shows.
        names: which class a folder's name means.
        listed: seen classes by `seen`, with training images or without.
        left_out: unseen classes left out because they are seen.
    """

    roles: list[Role]
    wanted: list[set[str]]
    truths: Truths
    names: ClassNames
    listed: list[str]
    left_out: int

    @property
    def sources(self) -> list[Source]:
        return [source for role, wanted in zip(self.roles, self.wanted, strict=True) for source in role.sources
                if source.wnid is None or source.wnid in wanted]


def choose_sources(params: ChoosingParams, root: Path, nouns: Taxonomy, names: Path, seen_list: Path,
                   unseen_list: Path) -> Chosen:
    """Every class of every role, checked against WordNet and against each other.

    Raises:
        InputError: a missing role, a name without wnid, a wnid that is no noun synset, a class both seen and unseen, a
            val class that is not seen, no seen class at all.
    """
    places = (params.roles.train, params.roles.val, params.roles.unseen)
    class_names = ClassNames(nouns, names)
    roles = [find_role(root, role, place, class_names, params.ground_truth) if place is not None else Role()
             for role, place in enumerate(places)]
    class_names.refuse()
    truths = Truths(root)
    wanted = [truths.classes(role.sources) for role in roles]
    for place, classes in zip(places, wanted, strict=True):
        for wnid in sorted(classes - nouns.index.keys()):
            raise InputError(f"{where(root, place)}: {wnid} is no noun synset of WordNet 3.0")
    wanted, listed, left_out = split_roles(params, root, nouns, wanted, seen_list, unseen_list)
    return Chosen(roles, wanted, truths, class_names, listed, left_out)


def split_roles(params: ChoosingParams, root: Path, nouns: Taxonomy, found: list[set[str]], seen_list: Path,
                unseen_list: Path) -> tuple[list[set[str]], list[str], int]:
    """Of the classes found, those that train, val and unseen take; the listed seen ones; how many are left out as seen.

    Raises:
        InputError: a class both seen and unseen, a val class that is not seen, no seen class at all.
    """
    train, val, unseen = found
    held_out = split_off(params, unseen, unseen_list)
    if held_out:
        train, val, unseen = train - held_out, val - held_out, held_out
    listed = read_seen(seen_list, nouns, held_out)
    seen, place = train.union(listed), seen_place(params, root, seen_list, listed)
    if not seen and held_out:
        raise InputError(f"params.yaml: no seen class: index_images.split takes all {len(held_out):,} classes of the "
                         "unseen role, and none is left; draw or list fewer")
    if not seen:
        raise InputError(f"params.yaml: no seen class: index_images.roles.train is null and {seen_list} "
                         "(index_images.seen) names none; set one of them, presets/lists/imagenet-1k.txt for example")
    for wnid in sorted(val - seen):
        raise InputError(f"{where(root, params.roles.val)}: class {wnid} has no training images and is in no list of "
                         f"seen classes; remove it, or add it to {place}")
    both = sorted(unseen & seen)
    if both and params.seen_among_unseen == "error":
        raise InputError(f"{where(root, params.roles.unseen)}: {both[0]} is also in {place} ({len(both)} in all); "
                         "remove one, or set index_images.seen_among_unseen to skip")
    if both and not unseen - seen:
        raise InputError(f"{where(root, params.roles.unseen)}: every class there is also in {place}; photographs of "
                         "seen classes test as index_images.roles.val")
    return [train, val, unseen - seen], listed, len(both)


def read_seen(path: Path, nouns: Taxonomy, held_out: set[str]) -> list[str]:
    """The seen classes that the list names, sorted; those in `held_out` are not.

    Raises:
        InputError: as `read_wnid_list`, or a wnid that is no noun.
    """
    wnids = read_list(path, "index_images.seen")
    if unknown := [wnid for wnid in wnids if wnid not in nouns.index]:
        raise InputError(f"{path}: {unknown[0]} is no noun synset of WordNet 3.0 ({len(unknown)} of its {len(wnids)} "
                         "wnids are none; params.yaml: index_images.seen)")
    return sorted(set(wnids) - held_out)


def seen_place(params: ChoosingParams, root: Path, seen_list: Path, listed: list[str]) -> str:
    """Where the seen classes are named, for messages."""
    places = [where(root, params.roles.train)] if params.roles.train is not None else []
    return " or ".join([*places, str(seen_list)] if listed else places)


def where(root: Path, role: str) -> str:
    """Where a role's images lie: a path, or what is no path, as a pattern or CIFAR's part, and below which folder."""
    return str(root / role) if (root / role).exists() else f"{role} in {root}"


def split_off(params: ChoosingParams, unseen: set[str], listed: Path) -> set[str]:
    """The classes of the unseen role that `split` makes unseen in every role; none if it is not used.

    Raises:
        InputError: both a list and a number, a listed class that is not there, or too many to draw.
    """
    wnids = read_list(listed, "index_images.split.list")
    if wnids and params.split.drawn:
        raise InputError(f"{listed}: names classes, but params.yaml also has index_images.split.drawn: "
                         f"{params.split.drawn}; use one of them")
    if missing := sorted(set(wnids) - unseen):
        raise InputError(f"{listed}: {len(missing)} of its {len(wnids)} classes have no images in the unseen role, the "
                         f"first {missing[0]}; set index_images.roles.unseen to where they lie, or remove them")
    if params.split.drawn > len(unseen):
        raise InputError(f"params.yaml: index_images.split.drawn is {params.split.drawn}, of {len(unseen)} classes in "
                         "the unseen role; set index_images.roles.unseen to where they lie, or draw fewer")
    drawn = np.random.default_rng(params.split.seed).permutation(sorted(unseen))[:params.split.drawn]
    return {*wnids, *drawn.tolist()}


def read_list(path: Path, key: str) -> list[str]:
    """The wnids of the list that a setting names, which may be none; raises InputError as `read_wnid_list`."""
    return read_wnid_list(path, f"wnids, one a line (params.yaml: {key})", may_be_empty=True)
