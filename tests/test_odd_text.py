"""Text that is damaged, doubled, or not what it seems, in ways that its first bytes do not show."""

import bz2
import gzip
import json
import os

import pytest
import zstandard

from zeroshot.base.packed import open_unpacked
from zeroshot.base.signatures import kind_of
from zeroshot.console.errors import InputError
from zeroshot.text import files
from zeroshot.text.files import find_files
from zeroshot.text.lexicon import MultiwordTerms
from zeroshot.text.pieces import text_pieces
from zeroshot.text.sources import text_files

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


@pytest.mark.parametrize(("start", "found"), [
    (b"<!-- saved from url -->\n<!-- x --><html>", "HTML"), (b"<!-- " + b"x" * 600, "HTML"),
    (b"<Meta charset=a>", "HTML"), (b"<title>Fox</title>", "HTML"), (b"<div id=a>", "HTML"),
    (b"\xef\xbb\xbf <p>fox", "HTML"),
    (b'<DOC id="AFP" type="story">', "SGML"), (b"<?XML version='1.0'?>", "XML"), (b"<!-- a --><svg>", "SVG"),
    (b"<!-- a note -->\nThe kit fox.", ""), (b"<unk> fox", ""), (b"<s> fox </s>", ""), (b"<pound> fox", "")])
def test_markup_is_told_by_its_first_tag(start, found):
    assert kind_of(start) == found


@pytest.mark.parametrize("text", ['[\n {"text": "kit fox"}]', '{ "text": "kit fox" }', '{\n"id": 1,\n"text": ""}'])
def test_json_is_no_plain_text(read, text):
    with pytest.raises(InputError, match='not plain text, found .*; of JSON, only lines of {"text": ...} are read'):
        read(a__txt=text.encode())
    assert read(a__txt=b"{kit} [fox] \"shark\"") == "kit fox shark ;"


def test_bytes_that_are_no_text_are_not_taken_for_sixteen_bit_text(read):
    with pytest.raises(InputError, match="found file of an unknown format$"):
        read(a__txt=b"]\0\0\x80\0\xff\xff" + bytes(9) + LINES)


@pytest.mark.parametrize("text", ['The <a href="kit%20fox">kit fox</a> eats.',
                                  'The &lt;a href=&quot;kit%20fox&quot;&gt;kit fox&lt;/a&gt; eats.'])
def test_of_links_that_extractors_leave_the_text_stays(read, text):
    assert read("wikiextractor", wiki_00=f"<doc id>\n{text}\n</doc>\n".encode()) == "the kit fox eats ;"
    assert read("wikiextractor", wiki_00=json.dumps({"text": text}).encode()) == "the kit fox eats ;"


def dump(*pages: str) -> bytes:
    return f"<mediawiki>{''.join(f'<page>{page}</page>' for page in pages)}</mediawiki>".encode()


def test_pages_that_are_no_articles_are_told_by_title_where_nothing_else_does(read):
    pages = [f"<title>{title}</title><revision><text>fox {number}</text></revision>" for number, title in enumerate(
        ["Fox", "Talk:Fox", "User talk: A", "template:x", "Star Trek: Fox", "Small talk: x", "Image:a.jpg"])]
    assert read("mediawiki", a__xml=dump(*pages)) == "fox 0 ; fox 4 ; fox 5 ;"


def test_pages_of_other_content_than_wikitext_are_left_out(read):
    page = "<title>Q1</title><ns>0</ns><revision><model>%s</model><text>kit fox</text></revision>"
    assert read("mediawiki", a__xml=dump(page % "wikitext", page % "wikibase-item")) == "kit fox ;"


@pytest.mark.parametrize(("one", "other"), [
    ("enwiki-20200101-pages-articles.xml", "enwiki-20200101-pages-articles-multistream.xml"),
    ("enwiki-20200101-pages-articles.xml.bz2", "enwiki-20200101-pages-articles1.xml-p1p41242.bz2"),
    ("enwiki-20200101-pages-articles.xml.bz2", "enwiki-latest-pages-articles.xml.bz2"),
    ("enwiki-20200101-pages-articles.xml.bz2", "enwiki-20200101-pages-meta-current.xml.bz2")])
def test_one_wiki_is_not_read_twice(tmp_path, one, other):
    for name in (one, other):
        (tmp_path / name).write_bytes(bz2.compress(dump()))
    with pytest.raises(InputError, match="beside it holds the same pages, by their names.*keep one of them"):
        text_files(tmp_path, "mediawiki")


def test_parts_of_a_dump_and_other_wikis_belong_together(tmp_path):
    names = ["enwiki-20200101-pages-articles1.xml-p1p9.bz2", "enwiki-20200101-pages-articles2.xml-p10p99.bz2",
             "simplewiki-20200101-pages-articles.xml.bz2"]
    others = ["enwiki-20200101-abstract.xml", "enwiki-20200101-pages-articles1.xml-p1p9.bz2-rss.xml"]
    for name in names + others:
        (tmp_path / name).write_bytes(b"")
    found = text_files(tmp_path, "mediawiki")
    assert ([path.name for path in found.files], [path.name for path in found.left]) == (names, others)


def test_zstds_longest_window_is_read(tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=31)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    (tmp_path / "a.zst").write_bytes(packer.compress(LINES) + packer.flush())
    assert open_unpacked(tmp_path / "a.zst").read() == LINES


def test_text_without_spaces_is_cut_between_letters(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BLOCK", 10)
    monkeypatch.setattr(files, "LONGEST", 20)
    monkeypatch.setattr("zeroshot.base.packed.READ", 7)
    (tmp_path / "a.txt").write_text(text := "狐狸" * 30 + "é" * 30 + "🦊" * 30, encoding="utf-8")
    blocks = [block.data.decode() for block in files.blocks_of(tmp_path / "a.txt", files.Boundary(b"\n"))]
    assert "".join(blocks) == text and len(blocks) > 9
