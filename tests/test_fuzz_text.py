"""Damaged files of every kind that the text side reads: the right result, or a refusal that names the file.

50 examples a reader here; `make fuzz` takes 2,000. What has no checksum may come out changed where it was changed, but
nothing of it may be lost without a word.
"""

import bz2
import gzip
import html
import io
import json
import lzma
import re
import zipfile

import numpy as np
import pytest
import zstandard
from gensim.models import KeyedVectors
from hypothesis import given
from safetensors.numpy import save

from tests.damage import damaged, fuzzed, read_or_refused
from zeroshot.image_sets.choosing import read_list
from zeroshot.labels.label_sets import read_wnids
from zeroshot.networks.outputs import read_outputs
from zeroshot.terms.foreign_vectors import read_foreign_vectors
from zeroshot.terms.vectors import SEALED, TermVectors, read_term_vectors, write_term_vectors
from zeroshot.text.files import tasks_of
from zeroshot.text.sources import BOUNDARY, articles_of, text_files

WORDS = "".join(f"Sentence {number} names a tiger shark & an okapi.\n" for number in range(40)).encode()
PACKED = {".gz": lambda data: gzip.compress(data, mtime=0), ".bz2": bz2.compress, ".xz": lzma.compress,
          ".zst": zstandard.ZstdCompressor(write_checksum=True).compress}


def articles(source):
    def read(path):
        tasks = tasks_of(text_files(path, source).files, BOUNDARY[source])
        return [article for task in tasks for article in articles_of(task, source)]
    return read


def text_of(found):
    return "".join(article.text for article in found)


def check(tmp_path, name, sound, read, right):
    """`right(found, data)` asserts whatever `read` returns for damaged `sound`; sound itself must be read."""
    right(read_or_refused(tmp_path / name, sound, read), sound)

    @given(damaged(sound))
    @fuzzed
    def fuzz(data):
        found = read_or_refused(tmp_path / name, data, read)
        if found is not None:
            right(found, data)

    fuzz()


def test_plain_text_is_read_to_the_last_letter(tmp_path):
    def right(found, data):
        assert text_of(found) == data.decode("utf-8-sig") or not data.strip()

    check(tmp_path, "a.txt", WORDS, articles("plain"), right)


@pytest.mark.parametrize("suffix", PACKED)
def test_packed_text_is_whole_or_refused(tmp_path, suffix):
    def right(found, data):
        assert text_of(found) == WORDS.decode() or not data.strip(b"\0")

    check(tmp_path, f"a.txt{suffix}", PACKED[suffix](WORDS), articles("plain"), right)


@pytest.mark.parametrize("suffix", PACKED)
def test_of_packed_streams_that_follow_one_another_none_is_lost_without_a_word(tmp_path, suffix):
    first, second = PACKED[suffix](WORDS[:900]), PACKED[suffix](WORDS[900:])

    def right(found, data):
        if text_of(found) != WORDS.decode():
            told = any(article.left_out == "files_with_trailing_bytes" for article in found)
            assert told or len(data.strip(b"\0")) <= max(len(first), len(second))

    check(tmp_path, f"a.txt{suffix}", first + second, articles("plain"), right)


DOC = '<doc id="{0}" url="u" title="T{0}">\nT{0}\n\n{1}\n</doc>\n'
DOCS = "".join(DOC.format(number, f"Shark {number} &amp;amp; fish.\nXML ends with </doc> here.") for number in range(6))


def test_no_word_of_wikiextractors_documents_is_lost(tmp_path):
    def right(found, data):
        without_tags = re.sub(r"<doc [^>\n]*>", " ", data.decode("utf-8-sig").replace("</doc>", " "))
        words = iter(" ".join(article.text for article in found).split())
        assert all(word in words for word in html.unescape(html.unescape(without_tags)).split())  # in this order

    check(tmp_path, "wiki_00", DOCS.encode(), articles("wikiextractor"), right)


def test_wikiextractors_json_is_read_line_by_line(tmp_path):
    lines = [json.dumps({"id": str(number), "url": "u", "title": "T", "text": f"Shark {number}\n\nfish é"})
             for number in range(6)]

    def right(found, data):
        texts = [json.loads(line)["text"] for line in data.decode("utf-8-sig").split("\n") if line.strip()]
        assert [article.text for article in found if not article.left_out] == texts

    check(tmp_path, "wiki_00", "\n".join(lines).encode(), articles("wikiextractor"), right)


PAGE = ("<page><title>P</title><ns>0</ns><revision><timestamp>2020-01-02T00:00:00Z</timestamp><text>new {0}</text>"
        "</revision><revision><timestamp>2010-01-02T00:00:00Z</timestamp><text>old</text></revision></page>\n")


def test_every_page_of_a_dump_is_an_article_or_counted(tmp_path):
    dump = "<mediawiki version='0.10'>\n" + "".join(PAGE.format(number) for number in range(4)) + "</mediawiki>\n"

    def right(found, data):
        assert len(found) == data.count(b"<page>") or not data.strip()

    check(tmp_path, "d.xml", dump.encode(), articles("mediawiki"), right)


NAMES = ["the", "tiger_shark", "fox", "n02119789"]
VECTORS = np.round(np.random.default_rng(0).standard_normal((4, 12)), 3).astype(np.float32)


def keyed():
    vectors = KeyedVectors(12)
    vectors.add_vectors(NAMES, VECTORS)
    return vectors


def exported(tmp_path, **options) -> bytes:
    keyed().save_word2vec_format(str(tmp_path / "exported"), **options)
    return (tmp_path / "exported").read_bytes()


def sane(found, _):
    assert found.vectors.shape == (len(found.terms), found.vectors.shape[1]) and np.isfinite(found.vectors).all()


def same(found, _):
    assert found.terms == NAMES and (found.vectors == VECTORS).all()


def test_lines_of_glove_are_vectors_or_counted(tmp_path):
    def right(found, data):
        sane(found, data)
        assert len(found.terms) + sum(found.left_out.values()) == data.rstrip(b"\n").count(b"\n") + 1

    check(tmp_path, "glove.txt", exported(tmp_path, write_header=False), read_foreign_vectors, right)


@pytest.mark.parametrize("binary", [False, True])
def test_word2vecs_header_is_believed_and_checked(tmp_path, binary):
    def right(found, data):
        sane(found, data)
        header = re.match(rb"(?:\xef\xbb\xbf)?(\d+)[ \t]+\d+\s*\n", data)
        assert not header or len(found.terms) + sum(found.left_out.values()) == int(header[1])

    check(tmp_path, "vectors", exported(tmp_path, binary=binary), read_foreign_vectors, right)


@pytest.mark.parametrize("separator", [b"\t", b","])
def test_tables_of_numbers(tmp_path, separator):
    table = exported(tmp_path, write_header=False).replace(b" ", separator)
    check(tmp_path, "table", table, read_foreign_vectors, sane)


@pytest.mark.parametrize("suffix", PACKED)
def test_packed_vectors_are_the_same_or_refused(tmp_path, suffix):
    check(tmp_path, f"v{suffix}", PACKED[suffix](exported(tmp_path)), read_foreign_vectors, same)


def test_zipped_vectors_are_the_same_or_refused(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("glove.txt"), exported(tmp_path, write_header=False))
    check(tmp_path, "v.zip", file.getvalue(), read_foreign_vectors, same)


def test_safetensors_of_vectors(tmp_path):
    check(tmp_path, "v.safetensors", save(dict(zip(NAMES, VECTORS, strict=True))), read_foreign_vectors, sane)


def test_gensims_file(tmp_path):
    keyed().save(str(tmp_path / "saved.kv"))
    check(tmp_path, "v.kv", (tmp_path / "saved.kv").read_bytes(), read_foreign_vectors, sane)


@pytest.mark.parametrize("name", [*SEALED, "sha256.txt"])
def test_our_own_folder_is_sealed(tmp_path, name):
    folder = tmp_path / "term_vectors"
    write_term_vectors(folder, TermVectors(NAMES, np.arange(4), VECTORS))
    check(folder, name, (folder / name).read_bytes(), lambda _: read_term_vectors(folder), same)


LIST = "\ufeff# mine\r\nn02119789 kit fox\r\nN01482330\r\n\r\nn00015388,animal\r\n"


@pytest.mark.parametrize("read", [read_wnids, lambda path: read_list(path, "a.list"), read_outputs])
def test_every_line_of_a_list_is_a_wnid_or_refused(tmp_path, read):
    def right(found, data):
        lines = [line.strip().lstrip("\ufeff") for line in re.split("\r\n|\r|\n", data.decode("utf-8-sig"))]
        lines = [line for line in lines if line and line[0] != "#"]
        assert len(found) == len(lines) and all(re.fullmatch(r"n[0-9]{8}|-", wnid) for wnid in found)

    check(tmp_path, "list.txt", LIST.encode(), read, right)
