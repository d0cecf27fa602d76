"""Vectors as other tools ship them: packings, tables, keys, headers, and what is refused with how to export it."""

import bz2
import gzip
import io
import json
import lzma
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import zstandard
from gensim.models import FastText, KeyedVectors, Word2Vec
from safetensors.numpy import save

from tests.test_embed_labels import ANIMAL, BIRD, CRANE, KIT, LAIKA, MACHINE, run
from tests.test_embed_labels import inputs as inputs  # a fixture
from zeroshot.base import packed
from zeroshot.console.errors import InputError
from zeroshot.terms import rows
from zeroshot.terms.foreign_vectors import read_foreign_vectors

NAMES = ["the", "tiger_shark", "Kit", "fox"]
VECTORS = np.array([[1, 2, 3], [-4, 5.5, 0], [0.25, 0, 1], [7, 8, 9]], np.float32)
GLOVE = "".join(f"{name} {' '.join(map(str, row))}\n" for name, row in zip(NAMES, VECTORS, strict=True))
PACKED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.ZstdCompressor().compress}


def read(tmp_path, data, name="vectors", **options):
    (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return read_foreign_vectors(tmp_path / name, **options)


def zipped(members: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return file.getvalue()


def expect(found, names=tuple(NAMES), vectors=VECTORS, **left_out):
    assert found.terms == list(names) and np.array_equal(found.vectors, vectors) and found.left_out == left_out


@pytest.mark.parametrize("kind", PACKED)
def test_packed_files_are_told_by_their_first_bytes(tmp_path, kind):
    for name in (f"v.{kind}", "v.txt", "v"):
        expect(read(tmp_path, PACKED[kind](GLOVE.encode()), name))


def test_a_zip_of_one_file_is_read_in_place(tmp_path):
    expect(read(tmp_path, zipped({"glove.txt": GLOVE})))
    expect(read(tmp_path, zipped({"glove.txt": GLOVE, "__MACOSX/._glove.txt": "litter"})))


def test_of_a_zip_of_several_files_one_is_named(tmp_path):
    several = zipped({"a.txt": GLOVE, "b.txt": "the 1 2\n"})
    with pytest.raises(InputError, match=r"holds 2 files \('a.txt', 'b.txt'\); name one in `embed_labels.member`"):
        read(tmp_path, several)
    expect(read(tmp_path, several, member="b.txt"), ["the"], [[1, 2]])
    with pytest.raises(InputError, match="'c.txt' not among them"):
        read(tmp_path, several, member="c.txt")
    with pytest.raises(InputError, match="no zip file, found 'the 1.0 2.0.*`embed_labels.member`.*empty"):
        read(tmp_path, GLOVE, member="a.txt")


def test_a_damaged_or_encrypted_zip_is_refused(tmp_path):
    sound = zipped({"glove.txt": GLOVE})
    encrypted = bytearray(sound)
    encrypted[6] |= 1
    encrypted[sound.index(b"PK\1\2") + 8] |= 1
    for data in (sound[:-10], sound.replace(sound[50:52], b"\0\0"), bytes(encrypted)):
        with pytest.raises(InputError, match="vectors: truncated, corrupt or encrypted zip file"):
            read(tmp_path, data)


@pytest.mark.parametrize("separator", ["\t", ",", "  ", " \t "])
@pytest.mark.parametrize("header", ["", "4 3\n", "4\t3\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_tables_by_tabs_commas_and_spaces(tmp_path, separator, header, end):
    expect(read(tmp_path, header + GLOVE.replace(" ", separator).replace("\n", end)))


def test_conceptnets_keys(tmp_path):
    table = "/c/de/hai 9 9\n/c/en/tiger_shark 1 2\n/c/en/fox 3 4\n/c/fr/renard 9 9\n"
    expect(read(tmp_path, f"4 2\n{table}"), ["tiger_shark", "fox"], [[1, 2], [3, 4]], vectors_of_other_languages=2)


def test_an_all_zero_vector_is_counted(tmp_path):
    expect(read(tmp_path, GLOVE + "unk 0 0 0\n"), vectors_all_zero=1)


def test_a_header_that_counts_one_too_many(tmp_path, capsys):
    expect(read(tmp_path, "5 3\n" + GLOVE), vectors_announced_but_missing=1)
    assert "its first line counts 5 vectors; it ends on a whole line after 4, which were" in capsys.readouterr().out
    for header, text in (("5 3\n", GLOVE[:-1]), ("6 3\n", GLOVE), ("3 3\n", GLOVE)):
        with pytest.raises(InputError, match=f"ends after line 5 with 4 vectors; expected {header[0]}"):
            read(tmp_path, header + text)


def test_two_lines_that_lost_the_end_between_are_not_one(tmp_path):
    for lost in ("", " ", "X"):
        with pytest.raises(InputError, match="line 2 is 'tiger_shark"):
            read(tmp_path, GLOVE.replace("0.0\n", f"0.0{lost}", 1))


@pytest.mark.parametrize("dim", [3, 10, 300])
@pytest.mark.parametrize("term", ["north american river", "new york", "abc def", "vitamin c", "ab cde fghijkl"])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_spaces_in_terms_of_binary_files_are_found_out(tmp_path, dim, term, place):
    """As gensim's own export writes them; without the space it is read."""
    vectors = np.random.default_rng(dim).standard_normal((5, dim)).astype(np.float32)
    for spaced in (False, True):
        names = [*NAMES[:place], term if spaced else term.replace(" ", "_"), *NAMES[place:]]
        keyed = KeyedVectors(dim)
        keyed.add_vectors(names, vectors)
        keyed.save_word2vec_format(str(tmp_path / "v.bin"), binary=True)
        if not spaced:
            expect(read_foreign_vectors(tmp_path / "v.bin"), names, vectors)
            continue
        with pytest.raises(InputError, match=r"v.bin: (vector .*a term with a space in it|goes on after its).*"
                                             r"export it as text, in gensim by `.save_word2vec_format\('vectors.txt'"):
            read_foreign_vectors(tmp_path / "v.bin")
        keyed.save_word2vec_format(str(tmp_path / "v.txt"))
        expect(read_foreign_vectors(tmp_path / "v.txt"), names, vectors)


def test_memory_is_by_the_terms_that_are_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "GROWTH", 1 << 12)
    monkeypatch.setattr(packed, "READ", 1 << 14)
    count, dim = 3000, 200
    (tmp_path / "v.txt").write_text("".join(f"w{i} {'1 ' * dim}\n" for i in range(count)))
    tracemalloc.start()
    found = read_foreign_vectors(tmp_path / "v.txt", lambda term: term in ("w7", "w2999"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expect(found, ["w7", "w2999"], np.ones((2, dim)), vectors_not_needed=count - 2)
    assert peak < count * dim * 4 / 8


def test_fasttexts_own_model_is_named(tmp_path):
    with pytest.raises(InputError, match="fastText's own model .*load_facebook_vectors.*save_word2vec_format"):
        read(tmp_path, struct.pack("<ii", 793712314, 12) + bytes(100), "cc.en.300.bin")


@pytest.mark.parametrize("model", [Word2Vec, FastText])
def test_gensims_models_whose_vectors_lie_elsewhere_are_named(tmp_path, model):
    trained = model([["shark", "fish"], ["shark", "sea"]], vector_size=3, min_count=1)
    trained.save(str(tmp_path / "m"), sep_limit=1)
    exported = rf"gensim.models.{model.__name__}.load\(...\).wv.save_word2vec_format\('vectors.txt'\)"
    with pytest.raises(InputError, match=rf"m: gensim's {model.__name__}, but it holds no vectors.*{exported}"):
        read_foreign_vectors(tmp_path / "m")


@pytest.mark.parametrize(("data", "found"), [
    (b"\x93NUMPY\1\0v\0{'descr': '<f4'", "NumPy file"), (b"PAR1\x15\4\x15\0", "Parquet file"), (b"%PDF-1.4\n", "PDF"),
    (b"<!doctype html>", "an HTML page"), (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip file"), (b"\1\2\3\4\5\6\7\x0f" * 4, "line 1 is no text"), (b"", "empty file")])
def test_other_formats_are_named_by_their_signature(tmp_path, data, found):
    with pytest.raises(InputError, match=f"vectors: .*{found}") as told:
        read(tmp_path, data)
    assert "\\x" not in str(told.value) and "\n" not in str(told.value)


def test_safetensors_by_name(tmp_path):
    expect(read(tmp_path, save(dict(zip(NAMES, VECTORS, strict=True)))), sorted(NAMES),
           VECTORS[np.argsort(NAMES)])
    with pytest.raises(InputError, match="tensor 'b' has 2 numbers; expected .* of 1 numbers as the first"):
        read(tmp_path, save({"a": np.ones(1), "b": np.ones(2)}))
    with pytest.raises(InputError, match="truncated or damaged safetensors file"):
        read(tmp_path, save({"a": np.ones(9)})[:-3])


BY_CLASS = {CRANE: [0, 3], ANIMAL: [2, 0], KIT.upper(): [3, 4], "n99999999": [1, 1], LAIKA: [1, 0]}


@pytest.mark.parametrize("form", ["text", "word2vec", "binary", "safetensors", "csv.gz"])
def test_vectors_by_class_take_the_terms_place(inputs, form):
    names, vectors = list(BY_CLASS), np.array(list(BY_CLASS.values()), np.float32)
    lines = "".join(f"{name} {x} {y}\n" for name, (x, y) in BY_CLASS.items())
    data = {"text": lines.encode(), "word2vec": f"5 2\n{lines}".encode(),
            "binary": b"5 2\n" + b"".join(name.encode() + b" " + row.tobytes()
                                          for name, row in zip(names, vectors, strict=True)),
            "safetensors": save(dict(zip(names, vectors, strict=True))),
            "csv.gz": gzip.compress(lines.replace(" ", ",").encode())}[form]
    (inputs / "classes").write_bytes(data)
    lemmas, random, hypernyms = run(inputs, "classes")
    assert lemmas.meta["by_class"] and hypernyms.meta["by_class"]  # export_model and naming go by it
    assert lemmas.wnids == random.wnids == [ANIMAL, BIRD, CRANE, MACHINE, KIT]
    assert lemmas.row_label.tolist() == [0, 2, 4]  # crane the machine shares a lemma with the bird, and no vector
    assert np.allclose(lemmas.vectors, [[1, 0], [0, 1], [0.6, 0.8]])
    assert np.allclose(hypernyms.vectors[1], [0.5 ** 0.5] * 2)  # bird has no vector and passes animal's on
    metrics = json.loads((inputs / "m.json").read_text())
    assert (metrics["vectors_by_class"], metrics["vectors_not_needed"], metrics["ambiguous_terms"]) == (4, 1, 0)


def test_a_word_that_looks_like_a_wnid_makes_no_vectors_by_class(inputs):
    (inputs / "terms.txt").write_text(f"Crane 0 2\nanimal 1 0\nkit_fox 3 4\n{BIRD} 1 1\n")
    assert run(inputs, "terms.txt")[0].row_label.tolist() == [0, 2, 3, 4]
    assert json.loads((inputs / "m.json").read_text())["vectors_by_class"] == 0


def test_a_zips_member_is_a_setting_of_the_stage(inputs):
    (inputs / "v.zip").write_bytes(zipped({"a.txt": "crane 0 2\nanimal 1 0\nkit_fox 3 4\n", "b.txt": "x 1\n"}))
    assert np.allclose(run(inputs, "v.zip", member="a.txt")[0].vectors, [[1, 0], [0, 1], [0, 1], [0.6, 0.8]])
