"""The kinds of text that a corpus is made from, as articles: WordNet, WikiExtractor, MediaWiki dumps, plain text."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree import ElementTree

from zeroshot.console.errors import InputError
from zeroshot.text.files import UNPACKERS, Block, opened

Source = Literal["wordnet", "wikiextractor", "mediawiki", "plain"]
BOUNDARY = {"wordnet": b"\n", "plain": b"\n", "wikiextractor": b"</doc>", "mediawiki": b"</page>"}
HAS_ARTICLES = {"wikiextractor", "mediawiki"}
MAIN_NAMESPACE = "0"

_DOC = re.compile(r"\s*<doc [^>]*>")
_PAGE_TAG = re.compile(rb"</?page>")  # in a page's text they are escaped
_REDIRECT = re.compile(r"\s*#redirect", re.IGNORECASE)


class Article(NamedTuple):
    """A text, or why a page gives none: "redirect" or "namespace"."""

    text: str
    dropped: str = ""


def text_files(text: Path, source: Source) -> list[Path]:
    """Files of the user's text: `text` itself, or all under the folder `text`, sorted by path.

    Raises:
        InputError: nothing there, or nothing that looks like `source`.
    """
    if text.is_file():
        return [text]
    if not text.is_dir():
        raise InputError(f"{text}: no such file or folder; `prepare_corpus.text` names your text")
    files = sorted(file for file in text.rglob("*") if file.is_file() and _looks_like(file, source))
    if not files:
        raise InputError(f"{text}: no file that looks like {source!r} text ({_EXPECTED[source]}) in this folder")
    return files


_EXPECTED = {"wordnet": "glosses.txt", "wikiextractor": "wiki_00, wiki_01.bz2, ...", "mediawiki": "*.xml, *.xml.bz2",
             "plain": "*.txt, *.txt.gz, *.txt.bz2, *.txt.zst"}


def _looks_like(file: Path, source: Source) -> bool:
    name = file.name.removesuffix(file.suffix) if file.suffix in UNPACKERS else file.name
    if source == "wikiextractor":
        return name.startswith("wiki_")
    if source == "mediawiki":  # multistream dumps name their parts ...xml-p1p41242.bz2
        return ".xml" in name and "index" not in name
    return name.endswith(".txt") or (file.suffix in UNPACKERS and "." not in name)


def articles_of(task: list[Block], source: Source) -> Iterator[Article]:
    """The articles of a task in their order; for text without articles, a block is one.

    Raises:
        InputError: broken archive, markup or UTF-8, or a file that ends inside an article; names file and offset.
    """
    read = {"wikiextractor": _wikiextractor, "mediawiki": _mediawiki}.get(source, _plain)
    for block in opened(task, BOUNDARY[source]):
        yield from read(block)


def _plain(block: Block) -> Iterator[Article]:
    yield Article(_decoded(block))


def _wikiextractor(block: Block) -> Iterator[Article]:
    *documents, rest = _decoded(block).split("</doc>")
    for document in documents:
        start = _DOC.match(document)
        if not start:
            raise _no_document(block, document)
        body = document[start.end():]
        yield Article(html.unescape(body) if "&" in body else body)
    if rest and not rest.isspace():
        raise _no_document(block, rest)


def _mediawiki(block: Block) -> Iterator[Article]:
    _check_dump(block)
    for start, stop in _pages(block):
        try:
            page = ElementTree.fromstring(block.data[start:stop])
        except ElementTree.ParseError as error:
            raise _corrupt_page(block, start, str(error)) from None
        yield _page_article(page)


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


def _page_article(page: ElementTree.Element) -> Article:
    markup = page.findtext("revision/text") or ""
    if page.findtext("ns", MAIN_NAMESPACE) != MAIN_NAMESPACE:
        return Article("", "namespace")
    if page.find("redirect") is not None or _REDIRECT.match(markup):
        return Article("", "redirect")
    from zeroshot.text.markup import plain_text  # here, since only this source needs gensim, a second's import

    return Article(plain_text(markup))


def _check_dump(block: Block) -> None:
    if block.offset == 0 and b"<mediawiki" not in block.data[:4096]:
        raise InputError(f"{block.path}: no MediaWiki dump: it starts with {block.data[:40]!r}; "
                         "expected <mediawiki ...>")
    if block.last and not block.data.rstrip().endswith(b"</mediawiki>"):
        raise InputError(f"{block.path}: truncated: the dump ends at byte {block.offset + len(block.data)} (unpacked) "
                         "without </mediawiki>; fetch it again")


def _no_document(block: Block, found: str) -> InputError:
    return InputError(f"{block.path}: truncated, or no WikiExtractor output: in the {len(block.data):,} bytes from "
                      f"{block.offset:,} (unpacked) found {found.strip()[:40]!r}, expected <doc ...> ... </doc>")


def _decoded(block: Block) -> str:
    try:
        return block.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{block.path}: not UTF-8 at byte {block.offset + error.start} (unpacked); "
                         "convert it with iconv") from None
