"""Text as people have it: packings, layouts of folders, extractors' ways, and what is refused, each on tiny files."""

import bz2
import gzip
import json
import lzma

import pytest
import zstandard

from stages.prepare_corpus import NO_TEXT, Params, sources_of
from tests.test_prepare_corpus import prepare
from tests.test_prepare_corpus import taxonomy as taxonomy  # a fixture
from tools.stage_deps import PROJECT
from zeroshot.base.params import read_yaml
from zeroshot.console.errors import InputError
from zeroshot.taxonomy import make_taxonomy, write_taxonomy

TEXT = "A tiger shark swims.\nAn okapi does not.\n"
SENTENCES = ["a tiger shark swims", "an okapi does not"]
PACKED = {"gz": lambda data: gzip.compress(data, mtime=0), "bz2": bz2.compress, "xz": lzma.compress,
          "zst": zstandard.ZstdCompressor().compress}


@pytest.fixture
def read(tmp_path, taxonomy):
    """Sentences and metrics of files, name -> bytes, in a folder."""
    def run(files, source="plain", **settings):
        folder = tmp_path / "text"
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
        sentences, _, metrics = prepare(tmp_path, taxonomy, folder, source=source, **settings)
        return sentences, metrics
    return run


@pytest.mark.parametrize("kind", PACKED)
def test_text_is_unpacked_whatever_it_is_called(read, kind):
    for name in (f"a.txt.{kind}", "b.txt"):
        assert read({name: PACKED[kind](TEXT.encode())})[0][:2] == SENTENCES


@pytest.mark.parametrize("kind", PACKED)
def test_zeros_behind_packed_text_are_padding(read, kind):
    packed = PACKED[kind](TEXT.encode())
    sentences, metrics = read({f"a.txt.{kind}": packed + bytes(512) + packed + bytes(64)})
    assert sentences == SENTENCES * 2 and metrics["files_with_trailing_bytes"] == 0


def test_bytes_behind_bzip2_are_told_and_counted(read, capsys):
    sentences, metrics = read({"a.txt.bz2": bz2.compress(TEXT.encode()) + b"appended by some tool"})
    assert sentences == SENTENCES and metrics["files_with_trailing_bytes"] == 1
    assert "with bytes behind their end, which were not read: 1, 'a.txt.bz2'" in capsys.readouterr().out


@pytest.mark.parametrize("kind", PACKED)
def test_a_stream_with_a_damaged_beginning_is_not_taken_for_that(read, kind):
    second = bytearray(PACKED[kind](TEXT.encode()))
    second[1] ^= 1
    with pytest.raises(InputError, match=f"a.txt.{kind}: truncated or corrupt"):
        read({f"a.txt.{kind}": PACKED[kind](TEXT.encode()) + bytes(second)})


def test_an_empty_file_among_many_is_told_and_counted(read, capsys):
    sentences, metrics = read({"a.txt": TEXT, "b.txt": "", "c.txt.gz": gzip.compress(b"")})
    assert sentences == SENTENCES and (metrics["files"], metrics["files_empty"]) == (3, 2)
    assert "Empty files: 2, 'b.txt', 'c.txt.gz'" in capsys.readouterr().out


def test_only_empty_files_are_refused(read):
    with pytest.raises(InputError, match="text: the text holds no words"):
        read({"a.txt": "", "b.txt": "\n"})


def test_files_with_another_ending_are_told_and_counted(read, capsys):
    files = {"a.txt": TEXT, "b.md": "lost", "C.TXT": TEXT, "._a.txt": b"\0\5\26\7", "@eaDir/a.txt": "x", "d": "no"}
    sentences, metrics = read(files)
    assert sentences == SENTENCES * 2 and metrics["files"] == 2 and metrics["files_left"] == 4
    said = capsys.readouterr().out
    assert "Files not read, by their names no such text: 4" in said and "'b.md'" in said and "'d'" in said


def test_names_that_are_no_utf8_are_told_too(tmp_path, read, capsys):
    (tmp_path / "text").mkdir()
    with open(bytes(tmp_path / "text") + b"/caf\xe9.md", "w") as file:
        file.write("x")
    assert read({"a.txt": TEXT})[1]["files_left"] == 1
    assert "'caf?.md'" in capsys.readouterr().out


def test_links(tmp_path, read):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.txt").write_text("seen")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "b.txt").symlink_to(tmp_path / "elsewhere" / "b.txt")
    assert read({"a.txt": TEXT})[0] == [*SENTENCES, "seen"]  # a link to a file is that file
    (tmp_path / "text" / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="more: a link to a folder, which DVC does not follow"):
        read({})
    (tmp_path / "text" / "more").unlink()
    (tmp_path / "text" / "gone.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="gone.txt: a link to nothing"):
        read({})


def test_a_text_that_is_itself_a_link_is_read(tmp_path, taxonomy):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text(TEXT)
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    assert prepare(tmp_path, taxonomy, tmp_path / "linked")[0] == SENTENCES


@pytest.mark.parametrize(("data", "found"), [
    (b"PK\3\4\24\0\0\0\10\0", "zip file"), (b"PAR1\25\4\25", "Parquet file"),
    (b"%PDF-1.5\n%\xe2\xe3\xcf\xd3", "PDF file"), ("shark".encode("utf-16"), "UTF-16 text file"),
    (b"\x80\4\x95", "Python pickle file"), (b"7z\xbc\xaf", "7-Zip"), (b"\0\1\2\3shark", "file of an unknown"),
    (b"<!DOCTYPE html><p>shark", "HTML file; take the text out"), (b"version https://git-lfs.github.com/", "Git LFS"),
    (b"<mediawiki version='0.10'>", "is its `source` mediawiki?"), (b"<doc id='1'>x</doc>", "`source` wikiextractor?"),
    (b'{"id": "1", "text": "x"}\n', "`source` wikiextractor?")])
def test_what_is_no_plain_text_is_named_by_its_signature(read, data, found):
    with pytest.raises(InputError, match=rf"a.txt: .*found .*{found.replace('?', '.')}") as told:
        read({"a.txt": data})
    assert "\\x" not in str(told.value)


def test_text_that_begins_like_a_signature_is_text(read):
    assert read({"a.txt": "BMW builds cars.\n", "b.txt": "P1 is a sign.\n", "c.txt": "\ufeffSQLite format\n"})[0] == [
        "bmw builds cars", "p1 is a sign", "sqlite format"]


DOC = '<doc id="{0}" url="u" title="T">\nT\n\n{1}\n</doc>\n'


def test_wikiextractors_documents_as_they_come(read):
    """A mark of byte order, a </doc> in the text, entities escaped once and twice, one document on a line."""
    documents = "\ufeff" + DOC.format(1, "shark &amp; okapi &amp;lt;br&amp;gt; end") + "\ufeff" + DOC.format(
        2, "a </doc> within") + '<doc id="3" url="u" title="T">short</doc>\n'
    sentences, metrics = read({"wiki_00": documents}, "wikiextractor")
    assert sentences == ["t", "shark okapi br end", "t", "a within", "short"] and metrics["articles"] == 3


@pytest.mark.parametrize("block", [1 << 18, 60])
def test_blocks_are_cut_between_documents_only(read, monkeypatch, block):
    monkeypatch.setattr("zeroshot.text.files.SMALL", 1)
    monkeypatch.setattr("zeroshot.text.files.BLOCK", block)
    documents = "".join(DOC.format(number, f"a </doc> within {number}") for number in range(9))
    sentences, metrics = read({"wiki_00": documents}, "wikiextractor")
    assert sentences[1::2] == [f"a within {number}" for number in range(9)] and metrics["articles"] == 9


@pytest.mark.parametrize("block", [1 << 18, 60])
def test_wikiextractors_json(read, monkeypatch, block):
    monkeypatch.setattr("zeroshot.text.files.SMALL", 1)
    monkeypatch.setattr("zeroshot.text.files.BLOCK", block)
    lines = [json.dumps({"id": str(number), "url": "u", "title": "T", "text": f"Shark {number} &lt; é \ud800.\n"})
             for number in range(9)]
    sentences, metrics = read({"wiki_00.bz2": bz2.compress("\n".join(lines).encode())}, "wikiextractor")
    assert sentences == [f"shark {number} e" for number in range(9)] and metrics["articles"] == 9


@pytest.mark.parametrize("line", ['{"text": "cut', '{"title": "no text"}', '{"text": 5}', "[1]", "{" * 100])
def test_broken_json_is_refused(read, line):
    with pytest.raises(InputError, match="wiki_00: truncated or damaged: line 2 of what begins at byte 0"):
        read({"wiki_00": '{"text": "shark"}\n' + line}, "wikiextractor")


def test_a_document_that_lost_its_end_is_not_the_next_ones(read):
    with pytest.raises(InputError, match="truncated, or no WikiExtractor output"):
        read({"wiki_00": DOC.format(1, "x").replace("</doc>", "</dXc>") + DOC.format(2, "y")}, "wikiextractor")


def test_of_all_revisions_the_newest_is_taken(read):
    revision = "<revision><timestamp>{}</timestamp><text>{}</text></revision>"
    page = "<page><title>P</title><ns>0</ns>" + revision.format("2010-01-01T00:00:00Z", "old") + revision.format(
        "2020-01-01T00:00:00Z", "newest") + revision.format("2015-01-01T00:00:00Z", "#redirect [[X]]") + "</page>\n"
    sentences, metrics = read({"a.xml": f"<mediawiki>\n{page}</mediawiki>\n", "b.xml": ""}, "mediawiki")
    assert sentences == ["newest"] and metrics["revisions_older"] == 2 and metrics["files_empty"] == 1


def test_a_folder_without_such_text_says_what_it_holds(read):
    with pytest.raises(InputError, match="no file that looks like 'mediawiki' text .*; it holds 'a.txt'"):
        read({"a.txt": TEXT}, "mediawiki")


@pytest.fixture
def world(tmp_path, taxonomy):
    (taxonomy / "glosses.txt").write_text("shark: a fish\nokapi: never in the text\n")
    (tmp_path / "second.txt").write_text("second text here\n")
    return tmp_path


def test_several_texts_are_one_corpus(world, taxonomy):
    also = {"source": "plain", "text": str(world / "second.txt"), "times": 2}
    sentences, lexicon, metrics = prepare(world, taxonomy, "the shark swims\nit swims\n", also=also, glosses=1,
                                          chains={"length": 1, "times": 1})
    assert sentences == ["the shark swims", "second text here", "shark a fish",  # at 1/4, in the sources' order
                         "great_white_shark shark",  # at 1/2
                         "it swims", "second text here", "okapi never in the text"]
    assert metrics["words_read"] == 5 + 2 * 3 + 8 + 4 == metrics["words_kept"]
    assert [metrics[f"{name}/{figure}"] for name in ("text", "also", "glosses", "chains")
            for figure in ("times", "words", "sentences")] == [1, 5, 2, 2, 6, 2, 1, 8, 2, 1, 4, 1]
    assert lexicon[0] == "shark\t3" and sum(int(line.split("\t")[1]) for line in lexicon) == metrics["terms"] == 21


def test_counts_are_of_all_texts_together(world, taxonomy):
    also = {"source": "plain", "text": str(world / "second.txt"), "times": 1}
    text = "second shark\n"
    assert prepare(world, taxonomy, text, also=also, min_count=2)[0] == ["second shark", "second"]
    assert prepare(world, taxonomy, text, also=also | {"times": 0}, min_count=2)[0] == ["shark"]
    assert prepare(world, taxonomy, text, times=2, min_count=2)[0] == ["second shark"] * 2


@pytest.mark.parametrize(("length", "last"), [(1, "d_e c"), (2, "d_e c b"), (3, "d_e c b x"), (9, "d_e c b x a")])
def test_chains_are_a_noun_and_its_nearest_hypernyms(tmp_path, length, last):
    """By edges up, then by wnid: d's hypernym is c, c's are b and x, which are kinds of a. An instance has them too."""
    nouns = {"n00000001": (["a"], [], [], ""), "n00000002": (["b", "other"], ["n00000001"], [], ""),
             "n00000003": (["x"], ["n00000001"], [], ""), "n00000004": (["c"], ["n00000002", "n00000003"], [], ""),
             "n00000005": (["d e"], [], ["n00000004"], "")}
    write_taxonomy(tmp_path / "taxonomy", make_taxonomy(nouns))
    chains = {"length": length, "times": 1}
    sentences, lexicon, metrics = prepare(tmp_path, tmp_path / "taxonomy", "", times=0, chains=chains)
    assert sentences[:2] == ["b a", "x a"] and sentences[3] == last and metrics["chains/sentences"] == 4
    assert metrics["words_read"] == metrics["words_kept"] == len(" ".join(sentences).replace("_", " ").split())
    assert prepare(tmp_path, tmp_path / "taxonomy", "", times=0, chains=chains, multiword=False)[0][3] == last.replace(
        "_", " ")


def test_the_terms_of_a_chain_never_merge_with_each_other(tmp_path):
    """Not even where terms are merged anew, since the rare "old auction" is left out: "auction sale" is a lemma too."""
    nouns = {"n00000001": (["sale"], [], [], ""), "n00000002": (["auction", "auction sale"], ["n00000001"], [], ""),
             "n00000003": (["old auction"], ["n00000002"], [], "")}
    write_taxonomy(tmp_path / "taxonomy", make_taxonomy(nouns))
    sentences, _, _ = prepare(tmp_path, tmp_path / "taxonomy", "auction sale\nsale\n" * 2, label_min_count=2,
                              chains={"length": 1, "times": 1})
    assert sorted(sentences) == ["auction sale", "auction_sale", "auction_sale", "old auction auction", "sale", "sale"]


def test_the_mixture_depends_on_no_number_of_workers(world, taxonomy, monkeypatch):
    monkeypatch.setattr("zeroshot.text.files.SMALL", 1)
    monkeypatch.setattr("zeroshot.text.files.BLOCK", 200)
    monkeypatch.setattr("zeroshot.text.files.TASK", 300)
    text = "".join(f"shark {number} swims\n" for number in range(200))
    settings = {"glosses": 7, "chains": {"length": 2, "times": 5}, "label_min_count": 4, "min_count": 2}
    assert prepare(world, taxonomy, text, **settings) == prepare(world, taxonomy, text, workers=3, **settings)


def test_a_text_without_words_is_refused_beside_others_too(world, taxonomy):
    with pytest.raises(InputError, match="text.txt: the file is empty"):
        prepare(world, taxonomy, "", glosses=1)


def test_something_must_be_read(world, taxonomy):
    with pytest.raises(ValueError, match="above 0: else there is no text"):
        prepare(world, taxonomy, TEXT, times=0)


def test_the_file_that_stands_for_no_text_is_not_read(tmp_path):
    settings = read_yaml(PROJECT / "params.yaml")["prepare_corpus"]
    assert settings["also"] == {"source": "plain", "text": NO_TEXT, "times": 0} and (PROJECT / NO_TEXT).is_file()
    asked = Params(**{**settings, "also": {**settings["also"], "times": 2}})
    with pytest.raises(InputError, match="presets/no-text.txt, which stands for no text, and `also.times` 2; expected"):
        sources_of(asked, tmp_path, PROJECT / NO_TEXT, tmp_path)
