"""CIFAR's parts as roles: which classes each has, by wnid, and its images in the index's order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from zeroshot.console.errors import InputError, quoted
from zeroshot.image_sets.choosing import ChoosingParams, split_roles
from zeroshot.image_sets.cifar_files import BYTES, SIDE, VERSIONS, Part, read_part
from zeroshot.image_sets.class_names import ClassNames
from zeroshot.images.index import ROLES
from zeroshot.taxonomy import Taxonomy

PLACES = {f"{dataset}{suffix}": tuple((dataset, part) for part in parts)
          for dataset in VERSIONS
          for suffix, parts in (("/train", ("train",)), ("/test", ("test",)), ("", ("train", "test")))}


@dataclass(frozen=True)
class CifarRole:
    """A role's images.

    Attributes:
        parts: where they are stored.
        labels: of each image, all parts' one after the other: its place in `classes`.
        classes: sorted wnids that have images.
        wanted: those that the role takes.
    """

    parts: list[Part]
    labels: Int64[np.ndarray, "images"]
    classes: list[str]
    wanted: set[str]

    def rows(self) -> Int64[np.ndarray, "kept"]:
        """Images of the wanted classes, sorted by class, then by place."""
        wanted = np.array([wnid in self.wanted for wnid in self.classes], bool)
        order = np.argsort(self.labels, kind="stable")
        return order[wanted[self.labels[order]]]

    def pixels(self, rows: Int64[np.ndarray, "some"]) -> UInt8[np.ndarray, "some 32 32 3"]:
        """RGB of these images."""
        found, start = np.empty((len(rows), BYTES), np.uint8), 0
        for part in self.parts:
            here = (rows >= start) & (rows < start + len(part.stored))
            found[here] = part.stored[rows[here] - start]
            start += len(part.stored)
        return found.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)


@dataclass(frozen=True)
class Cifar:
    """What `choose_cifar` found; `listed` and `left_out` as in `Chosen`."""

    roles: list[CifarRole]
    listed: list[str]
    left_out: int

    @property
    def wnids(self) -> list[str]:
        return sorted(set(self.listed).union(*(role.wanted for role in self.roles)))

    def arrays(self) -> dict[str, np.ndarray]:
        """The index's columns `role` and `label`."""
        place = {wnid: number for number, wnid in enumerate(self.wnids)}
        numbers = [np.array([place.get(wnid, -1) for wnid in role.classes], np.int32) for role in self.roles]
        labels = [number[role.labels[role.rows()]] for number, role in zip(numbers, self.roles, strict=True)]
        return {"role": np.repeat(np.arange(len(labels), dtype=np.uint8), list(map(len, labels))),
                "label": np.concatenate(labels)}

    def pixels(self, at_once: int) -> Iterator[UInt8[np.ndarray, "some 32 32 3"]]:
        """All images in the index's order, some at a time."""
        for role in self.roles:
            rows = role.rows()
            for start in range(0, len(rows), at_once):
                yield role.pixels(rows[start:start + at_once])


def datasets_of(params: ChoosingParams) -> list[str]:
    """The data sets that the roles name. Raises InputError: a role that is no part of CIFAR, or val among train."""
    roles = dict(zip(ROLES, (params.roles.train, params.roles.val, params.roles.unseen), strict=True))
    for name, place in roles.items():
        if place is not None and place not in PLACES:
            raise InputError(f"params.yaml: index_images.roles.{name} is {quoted(place)}; where `source` is cifar, "
                             f"expected one of {', '.join(PLACES)}")
    if shared := set(PLACES.get(roles["train"], ())) & set(PLACES.get(roles["val"], ())):
        raise InputError(f"params.yaml: index_images.roles: train and val both take {'/'.join(sorted(shared)[0])}; "
                         "expected other images to validate on")
    return list(dict.fromkeys(dataset for place in roles.values() if place for dataset, _ in PLACES[place]))


def choose_cifar(params: ChoosingParams, root: Path, nouns: Taxonomy, names: Path, seen_list: Path, unseen_list: Path,
                 *, published: bool) -> Cifar:
    """Every role's images, their classes checked as `choose_sources` does.

    Args:
        names: table of name and wnid.
        published: whether MD5 sums must be the published ones.

    Raises:
        InputError: see `read_part`, `datasets_of` and `split_roles`; a label without wnid, or two with the same.
    """
    datasets_of(params)
    table = ClassNames(nouns, names)
    places = (params.roles.train, params.roles.val, params.roles.unseen)
    parts = {one: read_part(root, *one, published=published)
             for place in places if place is not None for one in PLACES[place]}
    wnids = {one: [table.wnid(name, part.where) for name in part.names] for one, part in parts.items()}
    table.refuse()
    found = [_role(place, parts, wnids) for place in places]
    wanted, listed, left_out = split_roles(params, root, nouns, [set(classes) for _, _, classes in found], seen_list,
                                           unseen_list)
    return Cifar([CifarRole(*role, classes) for role, classes in zip(found, wanted, strict=True)], listed, left_out)


def _role(place: str | None, parts: dict[tuple[str, str], Part], wnids: dict[tuple[str, str], list[str]]
          ) -> tuple[list[Part], np.ndarray, list[str]]:
    here = PLACES[place] if place is not None else ()
    for one in here:
        _check_distinct(parts[one], wnids[one])
    shown = np.array([wnid for one in here for wnid in np.array(wnids[one])[parts[one].labels]], str)
    classes, labels = np.unique(shown, return_inverse=True)
    return [parts[one] for one in here], labels.astype(np.int64), classes.tolist()


def _check_distinct(part: Part, wnids: list[str]) -> None:
    first: dict[str, str] = {}
    for name, wnid in zip(part.names, wnids, strict=True):
        if first.setdefault(wnid, name) != name:
            raise InputError(f"{part.where}: its labels {quoted(first[wnid])} and {quoted(name)} have the same wnid, "
                             f"{wnid}; give them different ones (params.yaml: index_images.names)")
