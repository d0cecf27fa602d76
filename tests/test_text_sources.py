import bz2
import re
from pathlib import Path

import pytest
from gensim.test.utils import datapath

from zeroshot.console.errors import InputError
from zeroshot.text import files as text_files
from zeroshot.text.files import tasks_of
from zeroshot.text.sources import BOUNDARY, articles_of
from zeroshot.text.sources import text_files as files_of

PAGE = "<page><title>{0}</title><ns>{1}</ns>{2}<revision><text xml:space='preserve'>{3}</text></revision></page>\n"
DUMP = "<mediawiki version='0.10'>\n{}</mediawiki>\n"


def articles(path, source):
    tasks = tasks_of(files_of(path, source).files, BOUNDARY[source])
    return [article for task in tasks for article in articles_of(task, source)]


def dump(tmp_path, *pages):
    path = tmp_path / "wiki-pages-articles.xml.bz2"
    path.write_bytes(bz2.compress(DUMP.format("".join(pages)).encode()))
    return path


def test_a_dump_gives_its_articles_and_says_what_it_drops(tmp_path):
    found = articles(dump(
        tmp_path,
        PAGE.format("Shark", 0, "", "'''Sharks''' are [[fish|fishes]].{{cite|x}}&lt;ref&gt;gone&lt;/ref&gt;"),
        PAGE.format("Sharks", 0, '<redirect title="Shark" />', "#REDIRECT [[Shark]]"),
        PAGE.format("Squalus", 0, "", "#redirect [[Shark]]"),
        PAGE.format("Talk:Shark", 1, "", "nice"),
    ), "mediawiki")
    assert [article.left_out for article in found] == ["", "pages_redirect", "pages_redirect", "pages_other_namespace"]
    assert found[0].text.replace("'", "") == "Sharks are fishes."


@pytest.mark.parametrize("block", [text_files.BLOCK, 1000])
def test_a_real_dump(monkeypatch, block):
    monkeypatch.setattr(text_files, "SMALL", 10)
    monkeypatch.setattr(text_files, "BLOCK", block)
    path = Path(datapath("enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"))
    found = articles(path, "mediawiki")
    assert len(found) == len(re.findall(b"<page>", bz2.open(path).read())) == 206
    kept = [article.text for article in found if not article.left_out]
    assert len(kept) == 106
    anarchism = next(text for text in kept if "Anarchism" in text)
    assert "political philosophy" in anarchism and "{{" not in anarchism and "[[" not in anarchism


def test_several_dumps_and_multistream(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "SMALL", 10)
    head, tail = DUMP.split("{}")
    for part in ("1.xml-p1p9.bz2", "2.xml-p10p19.bz2"):
        streams = [head, PAGE.format("A", 0, "", f"one {part}"), PAGE.format("B", 0, "", "two"), tail]
        (tmp_path / f"pages-articles{part}").write_bytes(b"".join(bz2.compress(stream.encode()) for stream in streams))
    (tmp_path / "pages-articles-index.txt.bz2").write_bytes(bz2.compress(b"1:2:A"))
    assert [article.text[:5] for article in articles(tmp_path, "mediawiki")] == ["one 1", "two", "one 2", "two"]


@pytest.mark.parametrize(("content", "message"), [
    (DUMP.format(PAGE.format("A", 0, "", "text"))[:-20], "truncated.*</mediawiki>"),
    ("<html></html>", "no MediaWiki dump"),
    (DUMP.format("<page><title>A</page>"), "corrupt page at byte 27"),
    (DUMP.format("<pXge><title>A</title></page>"), "page at byte 49 .*: </page> without its <page> before it"),
    (DUMP.format("<page></page><page></pXge><page></page>"), "page at byte 53 .*: <page> without the </page> before"),
    (DUMP.format("<page></page><page></pXge>"), "page at byte 40 .*: <page> without its </page>"),
])
def test_a_broken_dump_is_refused(tmp_path, content, message):
    path = tmp_path / "dump.xml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        articles(path, "mediawiki")


DOC = '<doc id="1" url="u" title="T">\n{}\n</doc>\n'


def test_wikiextractor_folders(tmp_path):
    (tmp_path / "AB").mkdir()
    (tmp_path / "AA").mkdir()
    (tmp_path / "AB" / "wiki_00").write_text(DOC.format("third"))
    documents = DOC.format("first &amp; x") + DOC.format("second")
    (tmp_path / "AA" / "wiki_00.bz2").write_bytes(bz2.compress(documents.encode()))
    (tmp_path / "README").write_text("not part of it")
    assert [article.text.strip() for article in articles(tmp_path, "wikiextractor")] == ["first & x", "second", "third"]


@pytest.mark.parametrize("content", ["no documents here\n", DOC.format("x")[:-10], DOC.format("x") + "stray\n"])
def test_broken_wikiextractor_output_is_refused(tmp_path, content):
    path = tmp_path / "wiki_00"
    path.write_text(content)
    with pytest.raises(InputError, match="wiki_00: truncated, or no WikiExtractor output: in the .* bytes from 0"):
        articles(path, "wikiextractor")


def test_plain_text_of_any_packing(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt.bz2").write_bytes(bz2.compress(b"two\n"))
    assert [article.text for article in articles(tmp_path, "plain")] == ["one\n", "two\n"]


def test_faults_of_plain_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match="a.txt: not UTF-8 at byte 3"):
        articles(tmp_path, "plain")
    with pytest.raises(InputError, match="no file that looks like 'mediawiki'"):
        files_of(tmp_path, "mediawiki")
    with pytest.raises(InputError, match="no such file or folder"):
        files_of(tmp_path / "absent", "plain")
