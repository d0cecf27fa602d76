"""Lists and tables of the user's, a line an entry: read as people write them, on whatever system."""

import re
from pathlib import Path

from zeroshot.console import refusals

NO_LABEL = "-"  # a line that stands for no class, where the lines' order counts
_BARE = re.compile(r"n[0-9]{8}")
_WNID = re.compile(r"""["']?([nN][0-9]{8})["']?(?=[\s,;]|$)""")
_ANOTHER = re.compile(r"""[\s,;]+["']?[nN][0-9]{8}["']?(?=[\s,;]|$)""")


def text_lines(path: Path, expected: str) -> list[tuple[int, str]]:
    """Number and text of each line, without white space at its ends; empty lines and those that begin with # left out.

    Args:
        expected: what the file should hold and which setting names it, for messages.

    Raises:
        InputError: missing, or no UTF-8 text.
    """
    try:
        data = path.read_bytes()
        lines = lines_of(data.decode())
    except OSError as error:
        raise refusals.unreadable_list(path, error, expected) from None
    except UnicodeDecodeError:
        raise refusals.not_utf8(path, data, expected) from None
    return [(number, text) for number, line in enumerate(lines, 1) if (text := line.strip()) and text[0] != "#"]


def lines_of(text: str) -> list[str]:
    """The lines of a text of whatever system, without marks of byte order, which stay within where files were joined.

    str.splitlines would end a line at eight more characters, within what is for people.
    """
    return text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_wnid_list(path: Path, expected: str, *, gaps: bool = False, may_be_empty: bool = False) -> list[str]:
    """The wnids of a list in its order, in lower case: the first thing in each line; a space, tab, comma or semicolon
    parts it from what follows, which is for people.

    Args:
        expected: as in `text_lines`.
        gaps: NO_LABEL may stand for a wnid, and is kept.
        may_be_empty: a list without wnids is one.

    Raises:
        InputError: missing, no text, a line that begins otherwise or with several wnids, a wnid twice, or none at all.
    """
    first_line: dict[str, int] = {}
    entries, bare = [], _BARE.fullmatch
    for number, line in text_lines(path, expected):
        if gaps and line.split()[0] == NO_LABEL:
            entries.append(NO_LABEL)
            continue
        wnid = line if bare(line) else _first_wnid(path, number, line, expected)
        entries.append(wnid)
        if first_line.setdefault(wnid, number) != number:
            raise refusals.twice(path, wnid, first_line[wnid], number)
    if not first_line and not may_be_empty:
        raise refusals.no_wnids(path, expected)
    return entries


def _first_wnid(path: Path, number: int, line: str, expected: str) -> str:
    if not (found := _WNID.match(line)):
        raise refusals.no_wnid(path, number, line, expected)
    if _ANOTHER.match(line, found.end()):
        raise refusals.several_wnids(path, number, line, expected)
    return found[1].lower()
