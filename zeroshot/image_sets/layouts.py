"""Finds the classes of each role, in every layout in which ImageNet is kept.

A role (train, val, unseen) is one of
    a folder of class folders and/or class tars             (the 2011 release, Tiny ImageNet, torchvision's ImageFolder)
    a tar of class tars                                     (ILSVRC2012_img_train.tar, fall11_whole.tar)
    a folder or tar, or several by a pattern (*), of images whose classes a table or their names tell, see truths.py
                                                            (ILSVRC2012_img_val.tar, Kaggle's val/, Hugging Face's tars)
Classes are named by wnid (n01482330, n01482330-shark), or by words, see class_names.py.
"""

import contextlib
import os
import posixpath
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from zeroshot.base.signatures import HEAD, is_image, is_named_image
from zeroshot.console.errors import InputError, quoted
from zeroshot.image_sets.archives import in_words, litter, open_container, tar_members
from zeroshot.image_sets.class_names import ClassNames
from zeroshot.image_sets.truths import LEADING, TABLES, named_wnid
from zeroshot.images.index import VAL

EXPECTED = ("expected a folder of class folders or tars (named by wnid, or by words), one of ILSVRC's tars, or images "
            "whose classes a table tells")
HINTS = {  # found instead of a role -> what to set
    "ILSVRC/Data/CLS-LOC": "Kaggle's ImageNet is here: set index_images.roles to ILSVRC/Data/CLS-LOC/train and .../val",
    "tiny-imagenet-200": "set index_images.images to the folder tiny-imagenet-200 in it",
    "data/train_images_0.tar": "Hugging Face's ImageNet is here: set index_images.roles to 'data/train_images_*.tar' "
                               "and 'data/val_images.tar'",
    "data/train_images_0.tar.gz": "Hugging Face's ImageNet is here: gunzip data/*.tar.gz, since compressed images "
                                  "cannot be read in place, and set index_images.roles to 'data/train_images_*.tar' "
                                  "and 'data/val_images.tar'"}
COMPRESSED = (".gz", ".tgz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar")


@dataclass(frozen=True)
class Source:
    """Where the images of one class, or of several that are told otherwise, lie.

    Attributes:
        role: 0 train, 1 val, 2 unseen.
        wnid: their class; None where a table or their names tell it.
        container: path relative to the images' root, with "/": a tar or a folder.
        start: first byte of the tar in the container: 0 unless it lies inside another.
        size: bytes of the tar, None for folders.
        truth: where `wnid` is None, the table; None: the images' names.
    """

    role: int
    wnid: str | None
    container: str
    start: int = 0
    size: int | None = None
    truth: str | None = None


@dataclass
class Role:
    """What was found for a role.

    Attributes:
        sources: sorted by wnid.
        told: how classes are told -> number of sources, for people.
        ignored: kind -> number of entries that are neither classes nor images.
        links: links to folders, which DVC does not look behind.
    """

    sources: list[Source] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)

    def said(self) -> str:
        return ", ".join(f"{what} ({number:,})" for what, number in self.told.items())


def find_role(root: Path, role: int, place: str, names: ClassNames, ground_truth: str | None = None) -> Role:
    """The classes under `root`/`place`, sorted by wnid.

    Args:
        place: path, or pattern with * of several.
        names: resolves class names; those that it cannot are left out here and refused by it later.
        ground_truth: table of images' classes below `root`; None: one of TABLES, where it lies near.

    Raises:
        InputError: missing, empty, a link to nothing, loose images among classes, a compressed archive, a class twice.
    """
    found, place = Role(), place or "."
    for setting, path in (("roles", place), ("ground_truth", ground_truth or "")):
        if Path(path).is_absolute() or ".." in Path(path).parts or path.startswith("~"):
            raise InputError(f"params.yaml: index_images.{setting}: {path!r} does not lie below index_images.images, "
                             "all that DVC watches; name the folder above both there, and paths below it here")
    place = posixpath.normpath(place)  # train/ and ./train are the same images as train
    for one in _places(root, place, found):
        path = root / one
        if not os.path.exists(path):  # pathlib's raises where a name is too long
            hint = next((f"; {said}" for there, said in HINTS.items() if (root / there).exists()), "")
            if root.is_file():
                hint = f"; {root} is a file: name the folder that it lies in there, and the file itself as the role"
            raise InputError(f"{path}: no such folder or tar; {EXPECTED} (params.yaml: index_images.images and .roles)"
                             f"{hint}")
        finder = _Finder(root, role, one, names, ground_truth, found)
        found.sources += finder.in_folder() if path.is_dir() else finder.in_tar()
    if not found.sources and not names.faults:
        raise InputError(f"{root / place}: {_but(found.ignored) or 'empty'}; {EXPECTED}")
    found.sources.sort(key=lambda source: (source.wnid or "", source.container))
    for one, other in zip(found.sources, found.sources[1:], strict=False):
        if one.wnid == other.wnid and one.wnid is not None:
            raise InputError(f"{root / place}: class {one.wnid} is there twice ({one.container}, {other.container}); "
                             "keep one")
    return found


def _places(root: Path, place: str, found: Role) -> list[str]:
    """A path, or those that a pattern fits; hidden ones (macOS's ._x.tar) are counted as passed over in `found`."""
    if "*" not in place:
        return [place]
    fitting = [path.relative_to(root).as_posix() for path in root.glob(place)]
    shown = [path for path in fitting if not posixpath.basename(path).startswith(".")]
    if len(shown) < len(fitting):
        found.ignored["hidden files"] += len(fitting) - len(shown)
    return sorted(shown) or [place]


def _but(ignored: Counter[str]) -> str:
    """What a place without images holds instead, in words."""
    return f"holds no image and no class, but {in_words(ignored)}" if ignored else ""


class _Finder:
    """Looks at one place; notes what it passes over in `found`."""

    def __init__(self, root: Path, role: int, place: str, names: ClassNames, ground_truth: str | None, found: Role):
        self.root, self.role, self.place, self.path = root, role, place, root / place
        self.names, self.ground_truth, self.found = names, ground_truth, found

    def in_folder(self) -> list[Source]:
        self._note_link(self.path)
        try:
            entries = sorted(os.scandir(self.path), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be listed ({error.strerror})") from None
        if {"images", TABLES[0]} <= {entry.name for entry in entries}:  # Tiny ImageNet's val
            self.found.ignored[".txt files"] += 1
            return [self._told(f"{self.place}/images", None, f"{self.place}/{TABLES[0]}")]
        classes, images, ignored = [], [], Counter()
        for entry in entries:
            if kind := litter(entry.name + ("/x" if _is_folder(entry) else "")):
                ignored[kind] += 1
            elif _is_folder(entry) or entry.name.lower().endswith(".tar"):
                classes.append(entry)
            elif self._is_image(entry):
                images.append(entry)
            else:
                ignored[f"{Path(entry.name).suffix.lower() or 'suffixless'} files"] += 1
        if classes and images:
            raise InputError(f"{images[0].path}: an image in no class's folder ({len(images)} such images beside "
                             f"{len(classes)} classes); move it into its class's, or remove it")
        if images:  # `list_folder` will count what is beside them
            return [self._told(self.place, None, self._truth_for(images[0].name))]
        self.found.ignored += ignored
        return [source for entry in classes if (source := self._class(entry))]

    def _is_image(self, entry: os.DirEntry) -> bool:
        if not _is_file(entry):
            raise InputError(f"{entry.path}: neither a folder nor a file (a link to nothing?); mend or remove it")
        if entry.name.lower().endswith(COMPRESSED):
            raise InputError(f"{entry.path}: compressed, so that images in it cannot be read in place; gunzip or "
                             "unpack it (a plain .tar may stay one)")
        if is_named_image(entry.name):
            return True
        with open_container(Path(entry.path)) as file:
            return is_image(file.read(HEAD))

    def _class(self, entry: os.DirEntry) -> Source | None:
        is_folder = _is_folder(entry)
        name = entry.name if is_folder else entry.name[:-len(".tar")]
        if (wnid := self.names.wnid(name, self.place)) is None:
            if is_folder and (inner := _class_within(entry.path)):
                self.names.add_hint(name, f" (it holds {inner}: if its folders are the classes, set the role in "
                                          f"index_images.roles to {posixpath.join(self.place, name)})")
            return None
        if is_folder:
            self._note_link(Path(entry.path))
        elif not _is_file(entry):
            raise InputError(f"{entry.path}: neither a folder nor a file (a link to nothing?); mend or remove it")
        by = "wnid" if name.lower().startswith(wnid) else "words"
        self.found.told[f"class {'folders' if is_folder else 'tars'} named by {by}"] += 1
        return Source(self.role, wnid, f"{self.place}/{entry.name}", 0, None if is_folder else entry.stat().st_size)

    def _note_link(self, path: Path) -> None:
        if path.is_symlink():
            self.found.links.append(str(path))

    def in_tar(self) -> list[Source]:
        """Sources of a tar of class tars, or the whole of a tar of images."""
        sources, ignored = [], Counter()
        for member in tar_members(self.path):
            name = member.name.split("/")[-1]
            if member.isdir():
                continue
            if kind := litter(member.name):
                ignored[kind] += 1
            elif name.lower().endswith(".tar") and member.isreg():
                wnid = self.names.wnid(name[:-len(".tar")], self.place)
                self.found.told["class tars in a tar"] += 1
                sources += [Source(self.role, wnid, self.place, member.offset_data, member.size)] if wnid else []
            elif is_named_image(name) and not sources:
                return [self._told(self.place, self.path.stat().st_size, self._truth_for(member.name))]
            elif is_named_image(name):
                raise InputError(f"{self.path}: holds class tars and the image {quoted(member.name, 200)} beside them; "
                                 f"{EXPECTED}")
            else:
                ignored[f"{Path(name).suffix.lower() or 'suffixless'} files"] += 1
        self.found.ignored += ignored
        if not sources and not self.names.faults:
            but = f" (but {in_words(ignored)})" if ignored else ""
            raise InputError(f"{self.path}: holds neither <wnid>.tar files nor images{but}; {EXPECTED}")
        return sources

    def _told(self, container: str, size: int | None, truth: str | None) -> Source:
        told = f"whose classes {truth} tells" if truth else "whose names tell their classes"
        self.found.told[f"images in a {'tar' if size else 'folder'} {told}"] += 1
        return Source(self.role, None, container, 0, size, truth)

    def _truth_for(self, name: str) -> str | None:
        """The table that tells the classes of images like this one, below the root; None where their names do."""
        if named_wnid(name) and (self.ground_truth is None or self.role != VAL):
            return None
        if self.ground_truth is not None:
            return self.ground_truth
        for folder in [Path(self.place), *Path(self.place).parents]:
            for table in TABLES:
                if (self.root / folder / table).exists():
                    return (folder / table).as_posix()
        words = " (folders named by words do where they are unpacked)" if "/" in name else ""
        raise InputError(f"{self.path}: holds {quoted(name, 200)}, whose class nothing tells{words}; expected a wnid "
                         "in its name, or set index_images.ground_truth to a table below index_images.images: "
                         "ILSVRC2012_devkit_t12.tar.gz, LOC_val_solution.csv or val_annotations.txt")


def _class_within(folder: str) -> str:
    """The name of a class's folder or tar in a folder, by wnid; "" if there is none."""
    with contextlib.suppress(OSError):
        return min((entry.name for entry in os.scandir(folder) if LEADING.match(entry.name)), default="")
    return ""


def _is_folder(entry: os.DirEntry) -> bool:
    with contextlib.suppress(OSError):  # links in a circle
        return entry.is_dir()
    return False


def _is_file(entry: os.DirEntry) -> bool:
    with contextlib.suppress(OSError):
        return entry.is_file()
    return False
