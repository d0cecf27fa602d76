"""Text that is damaged, doubled, or not what it seems, in ways that its first bytes do not show."""

import gzip
import os

import pytest

from zeroshot.console.errors import InputError
from zeroshot.text.files import find_files
from zeroshot.text.lexicon import MultiwordTerms
from zeroshot.text.pieces import text_pieces

LINES = b"The kit fox eats.\nA shark swims.\n"
WORDS = "the kit fox eats ; a shark swims ;"
DUMP = b"<mediawiki><page><title>t</title><ns>0</ns><revision>%s</revision></page></mediawiki>"


@pytest.fixture
def read(tmp_path):
    def read(source="plain", **files):
        """The tokens of files, whose names have _ for a dot."""
        for name, data in files.items():
            (tmp_path / name.replace("__", ".")).write_bytes(data)
        pieces = text_pieces(tmp_path, source, "text", MultiwordTerms(()), min_words=0, workers=1)
        texts = [piece.text.restricted(frozenset(piece.text.terms)) for piece in pieces]  # without empty sentences
        return " ".join(token for text in texts for token in text.tokens())
    return read


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_line_ends_a_sentence_on_every_system(read, end):
    assert read(a__txt="kit fox\nshark é\n".encode().replace(b"\n", end)) == "kit fox ; shark e ;"


@pytest.mark.parametrize("text", [LINES * 20 + bytes(9) + LINES, LINES * 20 + bytes(5000)])
def test_a_hole_in_a_text_is_refused(read, text):
    with pytest.raises(InputError, match="a.txt: byte 660 .unpacked. is NUL.*that left a hole; fetch it again"):
        read(a__txt=text)
    with pytest.raises(InputError, match="wiki_00: byte 669 .unpacked. is NUL.*; fetch it again$"):
        read("wikiextractor", wiki_00=b"<doc id>\n" + text + b"</doc>\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_sixteen_bit_text_says_how_to_convert_it(read, encoding):
    with pytest.raises(InputError, match="a.txt: not plain text, found .*`iconv -f UTF-16 -t UTF-8`"):
        read(a__txt="kit fox".encode(encoding))


@pytest.mark.parametrize("start", [b"<html lang=en>", b"<head><title>", b" <BODY>", b"<!DOCTYPE HTML>"])
def test_a_web_page_is_no_plain_text(read, start):
    with pytest.raises(InputError, match="not plain text, found HTML file; take the text out of it first"):
        read(a__txt=start + b"kit fox")


def test_a_text_beside_what_it_was_unpacked_from_is_not_read_twice(read):
    assert read(a__txt=LINES, b__txt__gz=gzip.compress(LINES)) == f"{WORDS} {WORDS}"
    with pytest.raises(InputError, match="wiki_00: the same text as 'wiki_00.gz' beside it.*keep one of them"):
        read("wikiextractor", wiki_00=b"<doc>\nfox\n</doc>\n", wiki_00__gz=gzip.compress(b"<doc>\nfox\n</doc>\n"))


def test_a_dump_without_its_text_is_refused_but_deleted_and_empty_pages_are_not(read):
    with pytest.raises(InputError, match="a.xml: a dump without its pages' text .*; fetch pages-articles"):
        read("mediawiki", a__xml=DUMP % b'<text bytes="17" id="3" />')
    for text in (b'<text bytes="17" deleted="deleted" />', b'<text bytes="17" />', b'<text bytes="0" id="3" />',
                 b"<text />", b""):
        assert read("mediawiki", a__xml=DUMP % text) == ""
    assert read("mediawiki", a__xml=DUMP % b'<text bytes="7">kit fox</text>') == "kit fox ;"


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(LINES)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="cannot be listed .Permission denied.; its texts would be missing"):
        find_files(tmp_path, lambda _: True)
