"""Text files, packed or not, as blocks of bytes: streamed, and never passed off as whole when cut short."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from zeroshot.base.packed import SUFFIXES, Unpacked
from zeroshot.console.errors import InputError, quoted

BLOCK = 1 << 18  # unpacked bytes of a block, about 40,000 words: small enough for a processor's cache
SMALL = 3 << 19  # a file of at most this many bytes on disk is left to a worker to read and unpack
TASK = 3 << 19  # bytes of the blocks or small files of a task: many, since counts are merged task by task
LONGEST = 64 << 20  # unpacked bytes without a boundary after which a block ends anyway
SPACE = b" \t\r\n\xef\xbb\xbf"  # and a mark of byte order
FOREIGN = ("@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN")  # folders that systems make


class Boundary(NamedTuple):
    """Where an unpacked file may be cut.

    Attributes:
        end: after this, ...
        begin: ... if this follows, with nothing but white space between.
        lined: a file that begins so is cut after lines instead.
    """

    end: bytes
    begin: bytes = b""
    lined: bytes = b"\n"

    def of(self, data: bytes | bytearray) -> "Boundary":
        """Itself, or lines, by a file's beginning."""
        return Boundary(b"\n") if self.begin and bytes(data[:64]).lstrip(SPACE).startswith(self.lined) else self

    def holds(self, buffer: bytearray, place: int) -> bool:
        """Whether the `end` that stands before `place` is a boundary."""
        return not self.begin or bytes(buffer[place:place + 64]).lstrip(SPACE).startswith(self.begin)


class Block(NamedTuple):
    """A stretch of an unpacked file that ends at a boundary, or a whole small file still to be read."""

    path: Path
    offset: int  # of its first byte in the unpacked file
    data: bytes | None  # None: a whole small file, to be read where the block is worked on
    packed: int  # bytes of the file on disk that were read for it: what progress is measured in
    last: bool  # the file ends here
    trailing: int = 0  # bytes on disk behind a packed file's end, that were not read


class Found(NamedTuple):
    """The files of a text, sorted by path, and those that are left unread since their names are not a text's."""

    files: list[Path]
    left: list[Path]


def find_files(text: Path, wanted: Callable[[str], bool]) -> Found:
    """`text` itself, or all files under the folder `text` whose name is `wanted`.

    Raises:
        InputError: a link to a folder, behind which DVC sees nothing, or to nothing; a folder that cannot be listed; a
            file both packed and unpacked.
    """
    if text.is_file():
        return Found([text], [])
    files, left = [], []
    for folder, folders, names in os.walk(text, onerror=_refuse_unreadable):
        place = Path(folder)
        if linked := [name for name in sorted(folders) if (place / name).is_symlink()]:
            raise InputError(f"{place / linked[0]}: a link to a folder, which DVC does not follow, so that changes "
                             f"behind it would go unseen ({len(linked)} such here); name the folder itself in "
                             "params.yaml, or put it here by `cp -al` (hard links)")
        hidden = any(part.startswith(".") or part in FOREIGN for part in place.relative_to(text).parts)
        for path in [place / name for name in names]:
            if not path.exists():
                raise InputError(f"{path}: a link to nothing; mend or remove it")
            is_wanted = path.is_file() and not hidden and not path.name.startswith(".") and wanted(path.name)
            (files if is_wanted else left).append(path)
    _refuse_twins(files)
    return Found(sorted(files), sorted(left))


def _refuse_unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); its texts would be missing")


def _refuse_twins(files: list[Path]) -> None:
    """Raise InputError if a file lies beside what it was unpacked from: its text would count twice."""
    first: dict[Path, Path] = {}
    for path in sorted(files):
        unpacked = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
        if (other := first.setdefault(unpacked, path)) != path:
            raise InputError(f"{other}: the same text as {quoted(path.name)} beside it, by their names, so that it "
                             "would be read twice; keep one of them here")


def named(paths: list[Path], most: int = 5) -> str:
    """The first of some files for people, whatever their names are made of."""
    more = f" and {len(paths) - most:,} more" if len(paths) > most else ""
    return ", ".join(quoted(path.name) for path in paths[:most]) + more


def tasks_of(paths: list[Path], boundary: Boundary) -> Iterator[list[Block]]:
    """The files in the order of `paths`, small ones untouched, large ones cut into blocks, some blocks a task."""
    task, size = [], 0
    for path in paths:
        whole = path.stat().st_size
        for block in [Block(path, 0, None, whole, True)] if whole <= SMALL else blocks_of(path, boundary):
            task.append(block)
            size += block.packed if block.data is None else len(block.data)
            if size >= TASK:
                yield task
                task, size = [], 0
    if task:
        yield task


def opened(task: list[Block], boundary: Boundary) -> Iterator[Block]:
    """The blocks of a task, those of its small files too."""
    for block in task:
        yield from [block] if block.data is not None else blocks_of(block.path, boundary)


def blocks_of(path: Path, boundary: Boundary) -> Iterator[Block]:
    """Cut the unpacked file after the last boundary in every BLOCK bytes; the last block holds the rest.

    Raises:
        InputError: truncated or corrupt, with the offset in the file on disk.
    """
    buffer, offset, used = bytearray(), 0, 0
    unpacked = Unpacked(path)
    for piece in unpacked:
        buffer += piece
        if not offset:
            boundary = boundary.of(buffer)
        while end := _cut(buffer, boundary):
            yield Block(path, offset, bytes(buffer[:end]), unpacked.packed - used, False)
            used, offset = unpacked.packed, offset + end
            del buffer[:end]
    yield Block(path, offset, bytes(buffer), unpacked.packed - used, True, unpacked.trailing)


def _cut(buffer: bytearray, boundary: Boundary) -> int:
    """Where the first block of the buffer ends; 0 if more must be read to know."""
    if len(buffer) < BLOCK:
        return 0
    length = len(boundary.end)
    found = buffer.rfind(boundary.end, 0, BLOCK)
    while found >= 0 and not boundary.holds(buffer, found + length):
        found = buffer.rfind(boundary.end, 0, found)
    if found < 0:
        found = buffer.find(boundary.end, BLOCK - length)
        while found >= 0 and not boundary.holds(buffer, found + length):
            found = buffer.find(boundary.end, found + 1)
    if found >= 0:
        return found + length
    return 0 if len(buffer) < LONGEST else buffer.rfind(b" ") + 1 or _last_letter(buffer)


def _last_letter(buffer: bytearray) -> int:
    """Where the last letter begins in UTF-8, which may be cut."""
    end = len(buffer)
    return next((place for place in range(end - 1, end - 5, -1) if buffer[place] & 0xC0 != 0x80), end)
