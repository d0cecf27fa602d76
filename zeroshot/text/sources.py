"""The kinds of text that a corpus is made from, as articles: WordNet, WikiExtractor, MediaWiki dumps, plain text."""

import html
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree import ElementTree

from zeroshot.base.packed import SUFFIXES
from zeroshot.base.signatures import HEAD, is_text, shown, text_kind
from zeroshot.console.errors import InputError, quoted
from zeroshot.text.files import SPACE, Block, Boundary, Found, find_files, named, opened

Source = Literal["wordnet", "wikiextractor", "mediawiki", "plain"]
LINES = Boundary(b"\n")
BOUNDARY = {"wordnet": LINES, "plain": LINES, "mediawiki": Boundary(b"</page>"),
            "wikiextractor": Boundary(b"</doc>", b"<doc ", lined=b"{")}
HAS_ARTICLES = {"wikiextractor", "mediawiki"}
MAIN_NAMESPACE = "0"
CONVERT = "; UTF-16 becomes UTF-8 by `iconv -f UTF-16 -t UTF-8`"
ESCAPED = 2  # times that extractors escape entities, at most: &amp;lt; is <

_DOC = re.compile(r"[\s\ufeff]*<doc [^>\n]*>")
_ANOTHER = re.compile(r'<doc id="[^"\n]*" (?:revid="[^"\n]*" )?url="')  # in a document: it has lost its own </doc>
_LINE_END = re.compile(r"[ \t\r]*(\n|\Z)")
_PAGE_TAG = re.compile(rb"</?page>")  # in a page's text they are escaped
_REDIRECT = re.compile(r"\s*#redirect", re.IGNORECASE)
_LINK = re.compile(r'<a href="[^">\n]*">|</a>')
_JSON = re.compile(rb'\{\s*"|\[\s*\{\s*"')
_DUMP = re.compile(r"(\w+)-(\d{8}|latest)-(pages-[a-z-]+?(?:-multistream)?)(\d*)\.xml")  # wiki, date, kind, part
NAMESPACES = frozenset(["", *"user wikipedia project image file mediawiki template help category portal book draft "
                        "module timedtext media special".split()])  # as titles name them; "" and others: with "talk"
_HALVES = re.compile("[\ud800-\udfff]")  # of letters: JSON can hold one alone


class Article(NamedTuple):
    """A text, or what was left out instead.

    Attributes:
        left_out: "pages_redirect", "pages_other_namespace", "pages_without_wikitext", "files_empty" or
            "files_with_trailing_bytes".
        file: whose, where a file is concerned.
        older: revisions of the page besides the newest, which is the text.
    """

    text: str
    left_out: str = ""
    file: Path | None = None
    older: int = 0


def text_files(text: Path, source: Source, setting: str = "text") -> Found:
    """Files of the user's text: `text` itself, or those under the folder `text` that are named as `source` does.

    Raises:
        InputError: nothing there, or nothing that looks like `source`, or links that lead nowhere or to folders.
    """
    if not text.exists():
        raise InputError(f"{text}: no such file or folder; `prepare_corpus.{setting}` names your text")
    found = find_files(text, lambda name: _looks_like(name, source))
    if not found.files:
        others = f"; it holds {named(found.left)}" if found.left else ""
        raise InputError(f"{text}: no file that looks like {source!r} text ({_EXPECTED[source]}) in this folder"
                         f"{others}")
    if source == "mediawiki":
        _refuse_other_dumps(found.files)
    return found


def _refuse_other_dumps(files: list[Path]) -> None:
    """Raise InputError if there are several dumps of one wiki, or one as a whole and in parts: it would count twice."""
    first: dict[str, tuple[Path, tuple[str, str, bool]]] = {}
    for path in files:
        if named_so := _DUMP.match(path.name):
            wiki, date, kind, part = named_so.groups()
            other, known = first.setdefault(wiki, (path, (date, kind, bool(part))))
            if known != (date, kind, bool(part)):
                raise InputError(f"{other}: {quoted(path.name)} beside it holds the same pages, by their names, which "
                                 "would be read twice; keep one of them, or one's parts, here")


_EXPECTED = {"wordnet": "glosses.txt", "wikiextractor": "wiki_00, wiki_01.bz2, ...", "mediawiki": "*.xml, *.xml.bz2",
             "plain": "*.txt, *.txt.gz, *.txt.bz2, *.txt.xz, *.txt.zst"}
_BEGINS: dict[bytes, Source] = {b"<mediawiki": "mediawiki", b"<doc ": "wikiextractor", b'{"': "wikiextractor"}


def _looks_like(name: str, source: Source) -> bool:
    name = name.lower()
    suffix = Path(name).suffix
    plain = name.removesuffix(suffix) if suffix in SUFFIXES else name
    if source == "wikiextractor":
        return plain.startswith("wiki_")
    if source == "mediawiki":  # multistream dumps name their parts ...xml-p1p41242.bz2
        return ".xml" in plain and not any(other in plain for other in ("index", "-rss.xml", "-abstract"))
    return plain.endswith((".txt", ".text")) or (suffix in SUFFIXES and "." not in plain)


def articles_of(task: list[Block], source: Source) -> Iterator[Article]:
    """The articles of a task in their order; for text without articles, a block is one.

    Raises:
        InputError: broken archive, markup or UTF-8, NUL bytes, or a file that ends inside an article; names file and
            offset.
    """
    read = {"wikiextractor": _wikiextractor, "mediawiki": _mediawiki}.get(source, _plain)
    for block in opened(task, BOUNDARY[source]):
        if block.trailing:
            yield Article("", "files_with_trailing_bytes", block.path)
        if block.last and not block.offset and not block.data.strip(SPACE):
            yield Article("", "files_empty", block.path)
        else:
            yield from read(block)


def _plain(block: Block) -> Iterator[Article]:
    head = block.data[:HEAD]
    if not block.offset and (text_kind(head) or b"\0" in head or _source_of(head) or _is_json(head)):
        raise InputError(f"{block.path}: not plain text, found {shown(head)}{_hint(head, 'plain')}")
    yield Article(_decoded(block))


def _source_of(head: bytes) -> str:
    """The kind of source that a file begins as, "" if none but plain text."""
    text = head[:HEAD].lstrip(SPACE)
    return next((source for begin, source in _BEGINS.items() if text.startswith(begin)), "")


def _hint(head: bytes, taken: Source) -> str:
    """What to do with a file that is not what it was taken for."""
    if (source := _source_of(head)) not in ("", taken):
        return f"; is its `source` {source}?"
    if _is_json(head):
        return '; of JSON, only lines of {"text": ...} are read, as `source: wikiextractor`'
    return _conversion(head) or ("; take the text out of it first" if text_kind(head[:HEAD]) else "")


def _is_json(head: bytes) -> bool:
    return bool(_JSON.match(head[:HEAD].lstrip(SPACE)))


def _conversion(head: bytes) -> str:
    kind = text_kind(head[:HEAD])
    fewer, more = sorted((head[:HEAD:2].count(0), head[1:HEAD:2].count(0)))  # UTF-16's zeros are every other byte
    return CONVERT if kind == "UTF-16 text" or not (kind or fewer) and more > len(head[:HEAD]) / 4 else ""


def _wikiextractor(block: Block) -> Iterator[Article]:
    text = _decoded(block)
    if text[:64].lstrip("\ufeff \t\r\n").startswith("{"):
        yield from map(Article, _json_lines(block, text))
        return
    pieces, document = text.split("</doc>"), ""
    for piece, following in pairwise(pieces):
        document += piece
        if not (_DOC.match(following) or following.isspace() or not following or _ends_line(piece, following)):
            document += " "  # in place of a </doc> that the text itself holds
            continue
        start = _DOC.match(document)
        if not start or _ANOTHER.search(document, start.end()):
            raise _no_document(block, document)
        yield Article(_unescaped(document[start.end():]))
        document = ""
    if rest := (document + pieces[-1]).strip():
        raise _no_document(block, rest)


def _ends_line(before: str, behind: str) -> bool:
    """Whether a </doc> between these has a line of its own, as extractors write it."""
    return before.rstrip(" \t").endswith("\n") and bool(_LINE_END.match(behind))


def _unescaped(text: str) -> str:
    for _ in range(ESCAPED):
        if "&" not in text:
            break
        text = html.unescape(text)
    # As extractors write with --links; nearly all texts lack even the first letter.
    return _LINK.sub("", text) if "<" in text and '<a href="' in text else text


def _json_lines(block: Block, text: str) -> Iterator[str]:
    """The texts that WikiExtractor's --json writes, an article a line."""
    for number, line in enumerate(text.lstrip("\ufeff").split("\n"), 1):
        if not line.strip():
            continue
        try:
            body = json.loads(line)["text"]
            body.startswith("")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InputError(f"{block.path}: truncated or damaged: line {number} of what begins at byte "
                             f"{block.offset:,} (unpacked) is {quoted(line, 40)}; expected WikiExtractor's --json: "
                             '{"id": ..., "text": ...} in every line') from None
        yield _HALVES.sub(" ", _unescaped(body))


def _mediawiki(block: Block) -> Iterator[Article]:
    _check_dump(block)
    for start, stop in _pages(block):
        try:
            page = ElementTree.fromstring(block.data[start:stop])
        except ElementTree.ParseError as error:
            raise _corrupt_page(block, start, str(error)) from None
        yield _page_article(page, block.path)


def _pages(block: Block) -> Iterator[tuple[int, int]]:
    """Where each page starts and stops in the block; a block ends at the end of a page."""
    start = None
    for tag in _PAGE_TAG.finditer(block.data):
        opens = tag.group() == b"<page>"
        if opens == (start is not None):
            raise _corrupt_page(block, tag.start(), f"{tag.group().decode()} without "
                                                    f"{'the </page>' if opens else 'its <page>'} before it")
        if not opens:
            yield start, tag.end()
        start = tag.start() if opens else None
    if start is not None:
        raise _corrupt_page(block, start, "<page> without its </page>")


def _corrupt_page(block: Block, position: int, fault: str) -> InputError:
    return InputError(f"{block.path}: corrupt page at byte {block.offset + position} of the unpacked dump: {fault}; "
                      "fetch it again")


def _page_article(page: ElementTree.Element, path: Path) -> Article:
    revisions = page.findall("revision")
    newest = max(enumerate(revisions), key=lambda pair: (pair[1].findtext("timestamp", ""), pair[0]), default=None)
    markup, older = newest[1].findtext("text") or "" if newest else "", max(0, len(revisions) - 1)
    if newest and not markup:
        _check_no_stub(path, newest[1].find("text"))
    if not _in_main_namespace(page):
        return Article("", "pages_other_namespace", older=older)
    if newest and newest[1].findtext("model", "wikitext") != "wikitext":  # Wikidata's are JSON
        return Article("", "pages_without_wikitext", older=older)
    if page.find("redirect") is not None or _REDIRECT.match(markup):
        return Article("", "pages_redirect", older=older)
    from zeroshot.text.markup import plain_text  # here, since only this source needs gensim, a second's import

    return Article(plain_text(markup), older=older)


def _in_main_namespace(page: ElementTree.Element) -> bool:
    """By its number, which dumps before 2011 lack, else by what stands before a colon in its title."""
    if (number := page.findtext("ns")) is not None:
        return number == MAIN_NAMESPACE
    prefix, colon, _ = page.findtext("title", "").partition(":")
    return not colon or prefix.strip().lower().removesuffix("talk").strip() not in NAMESPACES


def _check_no_stub(path: Path, text: ElementTree.Element | None) -> None:
    """Raise InputError if instead of a text there is the place of one in MediaWiki's database."""
    if text is not None and {"id", "location"} & text.attrib.keys() and text.get("bytes") != "0":
        raise InputError(f"{path}: a dump without its pages' text (stub-*): the first page that has some holds only "
                         "its number; fetch pages-articles*.xml.bz2")


def _check_dump(block: Block) -> None:
    if block.offset == 0 and b"<mediawiki" not in block.data[:4096]:
        raise InputError(f"{block.path}: no MediaWiki dump, found {shown(block.data)}; expected <mediawiki ...>"
                         f"{_hint(block.data, 'mediawiki')}")
    if block.last and not block.data.rstrip().endswith(b"</mediawiki>"):
        raise InputError(f"{block.path}: truncated: the dump ends at byte {block.offset + len(block.data)} (unpacked) "
                         "without </mediawiki>; fetch it again")


def _no_document(block: Block, found: str) -> InputError:
    return InputError(f"{block.path}: truncated, or no WikiExtractor output: in the {len(block.data):,} bytes from "
                      f"{block.offset:,} (unpacked) found {shown(found.strip().encode())}, expected "
                      f"<doc ...> ... </doc>{'' if block.offset else _hint(block.data, 'mediawiki')}")


def _decoded(block: Block) -> str:
    try:
        text = block.data.decode("utf-8" if block.offset else "utf-8-sig")
    except UnicodeDecodeError as error:
        head = block.data[:HEAD]
        if not block.offset and not is_text(head) and (text_kind(head) or b"\0" in head):
            raise InputError(f"{block.path}: no text, found {shown(head)}{_conversion(head)}") from None
        raise InputError(f"{block.path}: not UTF-8 at byte {block.offset + error.start} (unpacked); "
                         "convert it with iconv") from None
    if "\0" in text:
        at = block.offset + block.data.index(b"\0")
        raise InputError(f"{block.path}: byte {at:,} (unpacked) is NUL, which no text holds: damaged, or a download "
                         f"that left a hole; fetch it again{_conversion(block.data)}")
    return text
