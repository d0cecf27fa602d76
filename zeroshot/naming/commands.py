"""The commands of `python -m zeroshot`, on the same functions that Python code calls."""

import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from zeroshot.base.artifacts import write_artifact
from zeroshot.base.files import atomic_write
from zeroshot.console.errors import InputError
from zeroshot.console.progress import beside_bars
from zeroshot.naming import output
from zeroshot.naming.answers import Named
from zeroshot.naming.labels import Labels
from zeroshot.naming.model import FEATURES, Model, checked_top
from zeroshot.naming.pictures import Picture, find_pictures
from zeroshot.naming.written import check_place, told

NOTES = 8  # told at most
INDEX = "data/index"  # where `search` looks if it is told nothing


def name(options: Namespace) -> int:
    """What pictures show."""
    model = Model(options.folder)
    checked_top(options.top)
    asked = model.models if options.model == "all" else model.asked(options.model)
    chosen = model.labels(options.labels)
    tell(chosen.notes)
    if options.model == "all":
        asked = able(model, asked, chosen)
    count = len(chosen.own) or model.label_sets[chosen.name]
    output.tell_choice(model, asked, options.model is None, chosen.name, count, plain=options.form is None)
    named = model.stream(find(options.pictures), chosen, options.top, asked, "naming")
    with Readable("named") as counted:
        {None: output.table, "json": output.as_json, "csv": output.as_csv}[options.form](counted(named))
    return counted.status


def able(model: Model, asked: list[str], chosen: Labels) -> list[str]:
    """Those models that can name some of these labels; why others cannot is told. Raises InputError if none can."""
    why = {name: model.why_not(name, chosen) for name in asked}
    found = [name for name in asked if not why[name]]
    if not found:
        raise InputError(why[asked[0]])
    tell([f"{why[name].partition(';')[0]}; it is left out" for name in asked if why[name]])
    return found


def embed(options: Namespace) -> int:
    """Where pictures lie, in a file."""
    if options.out.suffix.lower() not in (".safetensors", ".csv"):
        raise InputError(f"--out {options.out}: expected a name that ends in .safetensors or .csv")
    check_place("--out", options.out)
    model = Model(options.folder)
    space = model.with_space(options.model, (FEATURES,))
    names, parts = [], []
    with Readable("placed") as counted:
        for part, points, faults in model.points(find(options.pictures), space, "placing"):
            for number, picture in enumerate(part):
                counted.add(picture.name, faults.get(number, ""))
            kept = [number for number in range(len(part)) if number not in faults]
            names += [part[number].name for number in kept]
            parts.append(points[kept])
    if names:
        with told("--out", options.out):
            write_points(options.out, names, np.concatenate(parts), {"model": model.folder.sha256, "space": space})
        print(f"{options.out}: {output.counted(len(names), 'point')} of {parts[0].shape[1]:,} dimensions, in the space "
              f"of {space}")
    return counted.status


def write_points(path: Path, names: list[str], points: np.ndarray, meta: dict) -> None:
    """Write points with names: a sealed artifact (array `points`, meta `names`), or a table with a heading."""
    if path.suffix.lower() == ".safetensors":
        write_artifact(path, {**meta, "names": names}, {"points": points})
        return
    with atomic_write(path) as file:
        writer = output.csv_writer(file)
        writer.writerow(["picture", *(f"d{number}" for number in range(points.shape[1]))])
        writer.writerows([output.encodable(name), *map(repr, row)] for name, row in
                         zip(names, points.astype(float).round(7).tolist(), strict=True))


def search(options: Namespace) -> int:
    """Which pictures are nearest to words."""
    from zeroshot.naming.search import Search
    from zeroshot.naming.sheet import check_sheet, spare, write_sheet

    if options.words is None:
        raise InputError("search: no words, or --in took them, to which all that follows it belongs; expected "
                         "`search \"striped animal\" --in holiday`")
    if options.sheet:
        check_sheet(options.sheet)
    model = Model(options.folder)
    query = Search(model, options.words, options.model)
    if not options.pictures and not Path(INDEX).exists():
        raise InputError(f"{INDEX}: the run's own pictures are not here; name others, with --in")
    pictures = find(options.pictures, options.images) if options.pictures else find_pictures(INDEX, options.images)
    if not pictures:
        raise InputError(f"{INDEX}: the run's index holds no images; name pictures, with --in")
    if options.sheet:
        spare(options.sheet, pictures)
    found, faults = query.nearest(pictures, options.top, "placing")
    tell(query.notes)
    output.tell_search(query, len(pictures) - len(faults))
    with Readable("searched") as counted:
        counted.read = len(pictures) - len(faults)
        for number, fault in faults.items():
            counted.add(pictures[number].name, fault)
    {None: output.found_table, "json": output.found_json, "csv": output.found_csv}[options.form](found)
    if options.sheet and found:
        print(write_sheet(options.sheet, query.said, [(pictures[one.number], one) for one in found]), file=sys.stderr)
    return counted.status


def find(given: list[str], images: Path | None = None) -> list[Picture]:
    """The pictures meant. Raises InputError if there are none."""
    pictures = find_pictures(given, images)
    if not pictures:
        raise InputError("no pictures; expected files, folders, tars or patterns")
    return pictures


class Readable:
    """Tells of pictures that cannot be read, as they come and all in all.

    Attributes:
        read: how many could be.
        status: the command's: 1 if none could be read.
    """

    def __init__(self, what: str):
        self._what, self.read, self._lost = what, 0, 0

    def __enter__(self) -> "Readable":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self._lost and kind is None:
            print(f"{self._lost:,} of {self._lost + self.read:,} could not be read; {self.read:,} {self._what}",
                  file=sys.stderr)

    @property
    def status(self) -> int:
        return 0 if self.read else 1

    def add(self, picture: str, fault: str) -> None:
        """Count a picture; `fault`: why it cannot be read, "" if it can."""
        if fault:
            self._lost += 1
            with beside_bars():
                print(f"{output.shown(picture)}: {fault}", file=sys.stderr)
        else:
            self.read += 1

    def __call__(self, named: Iterable[Named]) -> Iterator[Named]:
        for one in named:
            self.add(one.picture, one.error)
            yield one


def tell(notes: list[str]) -> None:
    """What was decided for labels, on standard error."""
    for note in notes[:NOTES]:
        print(output.wrapped(output.shown(note)), file=sys.stderr)
    if len(notes) > NOTES:
        print(f"and so for {len(notes) - NOTES:,} more labels", file=sys.stderr)
