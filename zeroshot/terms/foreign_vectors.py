"""Term vectors, or vectors by class, in the forms that other tools write: word2vec, GloVe, ConceptNet, gensim, tables.

    text       a term and its numbers a line, parted by spaces, tabs or commas, with or without a first line that counts
    binary     word2vec's
    gensim     KeyedVectors.save, Word2Vec.save, in one file
    safetensors  a tensor a term or wnid
    packed     any text or binary one in gzip, bzip2, xz or zstd, whatever it is called, or in a zip
"""

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from zeroshot.base.packed import READ, open_unpacked
from zeroshot.base.signatures import HEAD, is_text, said_of, shown, text_kind
from zeroshot.console.errors import InputError, quoted
from zeroshot.terms.binary_vectors import LONGEST_TERM, read_binary
from zeroshot.terms.gensim_files import read_gensim
from zeroshot.terms.rows import ReadVectors, Rows

HEADER = re.compile(rb"(\d{1,15})[ \t]+(\d{1,15})\s*")  # of word2vec: how many terms, of what width
WIDEST = 100_000  # numbers of a vector
LONGEST_LINE = LONGEST_TERM + 40 * WIDEST  # bytes
NAMES_OF_TERMS = (b"", b"term", b"word", b"token", b"name", b"label", b"class", b"wnid")  # columns' names, in tables
INDEX = re.compile(rb"""["']?\d*["']?[,\t]""")  # a column of row numbers before the terms
QUOTED = re.compile(rb'"(?:[^"]|"")*"')  # a term of a table by commas, which may hold some
BOM = b"\xef\xbb\xbf"
_HIDDEN = re.compile(r"(?:^|/)(?:\.[^./]|__MACOSX/)")
EXPECTED = ("expected word2vec text or binary, GloVe text, gensim's KeyedVectors, safetensors, or a table of a name "
            "and numbers a line")
INSTEAD = {
    "fastText model": "fastText's own model (.bin); take its .vec, or in Python "
                      "`gensim.models.fasttext.load_facebook_vectors(...).save_word2vec_format('vectors.txt')`",
    "Git LFS pointer": "a Git LFS pointer, which only stands for the file; fetch it with `git lfs pull`",
    "HTML": "an HTML page, so the download was a web page; fetch the file itself",
    "UTF-16 text": "UTF-16 text; convert it by `iconv -f UTF-16 -t UTF-8`",
    **dict.fromkeys(("gzip", "bzip2", "xz", "zstd", "zip"), "packed twice; unpack it once by hand")}
ZIPPED = {  # the end of a member's name -> what such a zip is
    "data.pkl": "torch's file; save the vectors as safetensors, a tensor a term",
    ".npy": "NumPy's .npz; save the vectors as safetensors, a tensor a term, or as text",
    "xl/workbook.xml": "Excel's workbook; save its table as CSV"}


def read_foreign_vectors(path: Path, wanted: Callable[[str], bool] | None = None, member: str = "") -> ReadVectors:
    """The vectors of a file; which form it has is told by its first bytes.

    Args:
        wanted: terms to keep; of the others only the width is checked. None: all.
        member: which file of a zip; empty: the only one.

    Raises:
        InputError: cut short, wrong width or no number, or another format; names the line or the vector.
    """
    rows = Rows(path, wanted)
    with open(path, "rb") as file:
        head = file.read(HEAD)
    kind = text_kind(head)
    if kind == "zip":
        return _read_zip(path, member, rows)
    if member or path.suffix.lower() == ".zip":
        raise InputError(f"{path}: no zip file, found {shown(head)}; fetch it again, or name it as what it is "
                         "and leave `embed_labels.member` in params.yaml empty")
    if kind == "Python pickle":
        return read_gensim(path, rows)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return _read_safetensors(path, rows)
    with open_unpacked(path) as stream, np.errstate(over="ignore"):  # of 1e40 comes infinity, which is refused
        return _read_stream(path, stream, rows)


def _read_zip(path: Path, member: str, rows: Rows) -> ReadVectors:
    try:
        with zipfile.ZipFile(path) as archive:
            name = _member_of(path, archive.namelist(), member)
            with archive.open(name) as file, io.BufferedReader(file, READ) as stream, np.errstate(over="ignore"):
                return _read_stream(path, stream, rows)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, UnicodeDecodeError, EOFError, RuntimeError,
            NotImplementedError, OSError) as error:
        raise InputError(f"{path}: truncated, corrupt or encrypted zip file: {type(error).__name__}; fetch it again, "
                         "or unpack it by hand") from None


def _member_of(path: Path, names: list[str], member: str) -> str:
    """The file of a zip to read: the one that is named, or the only one; systems' own and hidden ones are none."""
    found = list(dict.fromkeys(name for name in names if name and not name.endswith("/") and not _HIDDEN.search(name)))
    for end, what in ZIPPED.items():
        if not member and any(name.endswith(end) for name in found):
            raise InputError(f"{path}: {what}; {EXPECTED}")
    if not found:
        raise InputError(f"{path}: a zip without a file in it; {EXPECTED}")
    if member in found or not member and len(found) == 1:
        return member or found[0]
    listed = ", ".join(quoted(name, 80) for name in found[:20]) + (", ..." if len(found) > 20 else "")
    lacking = f", {quoted(member, 80)} not among them" if member else ""
    files = "1 file" if len(found) == 1 else f"{len(found)} files"
    raise InputError(f"{path}: holds {files} ({listed}){lacking}; name one in `embed_labels.member` in params.yaml")


def _read_safetensors(path: Path, rows: Rows) -> ReadVectors:
    """Vectors by tensors' names, all of one length."""
    try:
        with safe_open(path, "numpy") as file:
            dim = None
            for name in file.keys():
                with np.errstate(over="ignore"):
                    row = np.asarray(file.get_tensor(name), np.float32)
                if row.size != max(row.shape, default=1):
                    raise InputError(f"{path}: tensor {quoted(name)} is a table of {' x '.join(map(str, row.shape))}; "
                                     "expected a tensor a term or wnid, its name the term, its numbers the vector")
                row = row.reshape(-1)
                rows.dim = dim = dim or len(row)
                if not len(row) or len(row) != dim:
                    raise InputError(f"{path}: tensor {quoted(name)} has {len(row)} numbers; expected a tensor a term "
                                     f"or wnid, of {dim} numbers as the first")
                if (wanted := rows.wants(name)) is not None:
                    rows.add(wanted, row)
        if not rows.number:
            raise InputError(f"{path}: holds no tensor; expected a tensor a term or wnid")
    except (SafetensorError, TypeError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: truncated or damaged safetensors file, or of a number format that numpy lacks "
                         f"({type(error).__name__}); save it anew, as float32") from None
    return rows.whole()


def _read_stream(path: Path, file: io.BufferedReader, rows: Rows) -> ReadVectors:
    head = file.peek(HEAD)
    kind = text_kind(head[:HEAD])
    if kind or not head:
        raise InputError(f"{path}: {INSTEAD.get(kind, 'no vectors, found ' + said_of(head))}; {EXPECTED}")
    if head.startswith(BOM):
        file.read(len(BOM))
    lines = iter(partial(file.readline, LONGEST_LINE), b"")
    first = next(lines, b"")
    if not (header := HEADER.fullmatch(first)):
        return _read_text(path, chain([first], lines), None, rows)
    count, dim = int(header[1]), int(header[2])
    if not count or not 0 < dim <= WIDEST:
        raise InputError(f"{path}: its first line announces {count} terms of width {dim}; expected at least "
                         f"one, of width 1 to {WIDEST}")
    rows.dim = dim
    start = file.peek(LONGEST_TERM)
    fields = start.partition(b"\n")[0].split()
    if is_text(start[:HEAD]) or len(fields) > dim and _numbers(fields[-dim:]):
        return _read_text(path, lines, (count, dim), rows)
    return read_binary(path, file, count, dim, rows)


def _numbers(fields: list[bytes]) -> bool:
    """Whether all are numbers, as text; Python's 1_0 is none."""
    try:
        return len(list(map(float, fields))) == len(fields) and b"_" not in b" ".join(fields)
    except ValueError:
        return False


def _read_text(path: Path, lines: Iterator[bytes], announced: tuple[int, int] | None, rows: Rows) -> ReadVectors:
    """Lines `term number number ...`; a term may hold spaces (some of GloVe's do) once the width is known."""
    start, head = 2 if announced else 1, list(islice(lines, 2))
    if not announced and _names_columns(head):
        rows.leave_out("lines_of_column_names")
        start, head = 2, head[1:]
    first = head[0] if head else b""
    comma = b"," if _is_by_commas(first) else None
    rows.dim = dim = announced[1] if announced else _width(first.strip().split(comma))
    if not dim:
        raise _no_vector(path, start, first, dim)
    if dim > WIDEST:
        raise InputError(f"{path}: line {start} holds {dim:,} numbers or more; expected a term and at most {WIDEST:,}, "
                         "and a line a term")
    number, line = start - 1, b""
    for number, line in enumerate(chain(head, lines), start):
        numbers = line.split(comma)
        if comma or len(numbers) != dim + 1:
            if not line.strip():
                continue
            numbers = line.strip().rsplit(comma, dim)
            if _holds_columns(numbers[0], comma):
                raise _no_vector(path, number, line, dim)
        term = numbers.pop(0)
        if len(numbers) != dim or _is_odd(term, numbers, line):
            raise _no_vector(path, number, line, dim)
        if (wanted := rows.wants(term.strip(b'"') if comma else term)) is not None:
            try:
                row = np.array(numbers, np.float32)
            except ValueError:
                raise _no_vector(path, number, line, dim) from None
            rows.add(wanted, row)
    found = rows.number
    if announced and found == announced[0] - 1 and line.endswith(b"\n"):
        print(f"{quoted(str(path), 200)}: its first line counts {announced[0]:,} vectors; it ends on a whole line "
              f"after {found:,}, which were taken")
        rows.leave_out("vectors_announced_but_missing")
    elif announced and found != announced[0] or not found:
        raise InputError(f"{path}: ends after line {number} with {found} vectors; "
                         f"expected {announced[0] if announced else 'at least one'}")
    return rows.whole()


def _names_columns(lines: list[bytes]) -> bool:
    """Whether the first of two lines names the columns of a table, in words or by 0, 1, 2 as pandas does."""
    if len(lines) < 2:
        return False
    separator = max(b",", b"\t", key=lines[1].count)
    names, fields = ([field.strip(b'" \r\n') for field in line.split(separator)] for line in lines)
    dim = _width(lines[1].strip().split(separator))
    if not dim or len(names) != len(fields):
        return False
    in_order = names[-dim:] in ([b"%d" % column for column in range(begin, begin + dim)] for begin in (0, 1))
    return not any(_numbers([name]) for name in names) or in_order and names[0].lower() in NAMES_OF_TERMS


def _is_by_commas(line: bytes) -> bool:
    """Whether commas part more numbers than spaces and tabs do; one alone may be the end of 0,5."""
    by_commas = _width(line.strip().split(b","))
    return by_commas > _width(line.split()) and (by_commas > 1 or len(line.split()) == 1)


def _width(fields: list[bytes]) -> int:
    """How many numbers end a line, a term being before them."""
    width = 0
    while width < len(fields) - 1 and _numbers(fields[-1 - width:len(fields) - width]):
        width += 1
    return width


def _holds_columns(term: bytes, comma: bytes | None) -> bool:
    """Whether a term is several columns of a table: row numbers, names beside wnids, empty cells, numbers like 0,5."""
    return b"\t" in term or comma is not None and comma in term and not QUOTED.fullmatch(term)


def _is_odd(term: bytes, numbers: list[bytes], line: bytes) -> bool:
    """Whether a term and its numbers are not what they seem, though they are as many as expected."""
    return (b" " in term and _holds_a_vector(term, len(numbers)) or b"\0" in term
            or line.rfind(b"_") > len(term) and not _numbers(numbers))


def _holds_a_vector(term: bytes, dim: int) -> bool:
    """Whether what stands before a line's numbers is a term and a vector too: two lines that lost the end between."""
    fields = term.split()
    return len(fields) > dim and (dim == 1 or _numbers(fields[1:dim]))


def _no_vector(path: Path, number: int, line: bytes, dim: int) -> InputError:
    if not is_text(line[:HEAD]):
        return InputError(f"{path}: line {number} is no text; {EXPECTED}; or it is damaged: fetch it again")
    index = " (and no row's number before them: in pandas, `index=False`)" if INDEX.match(line) else ""
    return InputError(f"{path}: line {number} is {quoted(line[:60].decode('utf-8', 'replace').strip())}; expected a "
                      f"term and {dim or 'some'} numbers, parted by spaces, tabs or commas{index}")
