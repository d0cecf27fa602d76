import gzip
import pickle
import tracemalloc

import numpy as np
import pytest
from gensim.models import KeyedVectors, Word2Vec

from zeroshot.base import packed
from zeroshot.base.files import sha256_of
from zeroshot.console.errors import InputError
from zeroshot.terms import rows
from zeroshot.terms.vectors import SEALED, TermVectors, read_term_vectors, write_term_vectors

NAMES = ["the", "great_white_shark", "façade", "3"]
VECTORS = np.array([[1, 2, 3], [-0.5, 0.25, 1e-3], [7, 0, 0], [1, 1, 1.5]], np.float32)


@pytest.fixture
def folder(tmp_path):
    write_term_vectors(tmp_path / "terms", TermVectors(NAMES, np.array([9, 3, 2, 1]), VECTORS))
    return tmp_path / "terms"


@pytest.fixture
def keyed():
    vectors = KeyedVectors(3)
    vectors.add_vectors(NAMES, VECTORS)
    return vectors


def test_a_folder_comes_back_as_it_was_written(folder):
    terms = read_term_vectors(folder)
    assert terms.terms == NAMES and terms.counts.tolist() == [9, 3, 2, 1]
    assert terms.vectors.dtype == np.float32 and np.array_equal(terms.vectors, VECTORS)


@pytest.mark.parametrize("name", ["vectors.npy", "vocabulary.tsv"])
def test_one_flipped_bit_is_found(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: damaged or edited"):
        read_term_vectors(folder)


def test_a_folder_without_its_seal_is_refused(folder):
    (folder / "sha256.txt").unlink()
    with pytest.raises(InputError, match="sha256.txt: no such file"):
        read_term_vectors(folder)


def expect_same(path):
    terms = read_term_vectors(path)
    assert terms.terms == NAMES and np.allclose(terms.vectors, VECTORS)
    assert terms.counts.tolist() == [0] * 4


@pytest.mark.parametrize(("binary", "header"), [(False, True), (True, True), (False, False)])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_word2vec_and_glove_files(tmp_path, keyed, binary, header, suffix):
    path = tmp_path / "vectors"
    keyed.save_word2vec_format(str(path), binary=binary, write_header=header)
    if suffix:
        (tmp_path / "vectors.gz").write_bytes(gzip.compress(path.read_bytes()))
    expect_same(tmp_path / f"vectors{suffix}")


def test_word2vec_binary_with_line_ends(tmp_path):
    rows = [name.encode() + b" " + row.tobytes() + b"\n" for name, row in zip(NAMES, VECTORS, strict=True)]
    (tmp_path / "vectors.bin").write_bytes(b"4 3\n" + b"".join(rows))
    expect_same(tmp_path / "vectors.bin")


def test_glove_terms_may_hold_spaces(tmp_path):
    (tmp_path / "glove.txt").write_text("the 1 2 3\n. . . 4 5 6\n")
    assert read_term_vectors(tmp_path / "glove.txt").terms == ["the", ". . ."]


@pytest.mark.parametrize("header", [b"", b"4 3\n"])
def test_a_mark_of_byte_order_and_a_missing_last_line_end(tmp_path, header):
    lines = [" ".join([name, *map(str, row)]) for name, row in zip(NAMES, VECTORS, strict=True)]
    (tmp_path / "vectors.txt").write_bytes(b"\xef\xbb\xbf" + header + "\n".join(lines).encode())
    expect_same(tmp_path / "vectors.txt")


def test_of_repeated_terms_the_first_is_kept(tmp_path):
    (tmp_path / "glove.txt").write_text("the 1 2\nthe 3 4\nof 5 6\nthe 7 8\na 9 9\n")
    terms = read_term_vectors(tmp_path / "glove.txt")
    assert terms.terms == ["the", "of", "a"] and terms.vectors.tolist() == [[1, 2], [5, 6], [9, 9]]
    assert terms.left_out == {"vectors_repeated": 2}


def test_our_own_folder_repeats_no_term(folder):
    (folder / "vocabulary.tsv").write_text("the\t9\nof\t3\nthe\t2\na\t1\n")
    (folder / "sha256.txt").write_text("".join(f"{sha256_of(folder / name)}  {name}\n" for name in SEALED))
    with pytest.raises(InputError, match="the"):
        read_term_vectors(folder)


def test_reading_takes_little_more_memory_than_the_vectors(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "GROWTH", 1 << 16)
    monkeypatch.setattr(packed, "READ", 1 << 14)
    count, dim = 2000, 250
    (tmp_path / "vectors.txt").write_text("".join(f"w{i} {'1 ' * dim}".strip() + "\n" for i in range(count)))
    tracemalloc.start()
    read_term_vectors(tmp_path / "vectors.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * count * dim * 4  # a chunk of the check is as large as this small matrix


def test_gensim_keyed_vectors(tmp_path, keyed):
    keyed.save(str(tmp_path / "vectors.kv"))
    expect_same(tmp_path / "vectors.kv")


def test_gensim_files_with_the_vectors_beside_them_are_refused(tmp_path, keyed):
    keyed.save(str(tmp_path / "vectors.kv"), separately=["vectors"])
    assert (tmp_path / "vectors.kv.vectors.npy").exists()
    with pytest.raises(InputError, match=r"file of their own \(...vectors.npy\).*save_word2vec_format"):
        read_term_vectors(tmp_path / "vectors.kv")


def test_a_whole_gensim_model(tmp_path):
    model = Word2Vec([["shark", "fish"], ["shark", "sea"]], vector_size=3, min_count=1)
    model.save(str(tmp_path / "model"))
    terms = read_term_vectors(tmp_path / "model")
    assert terms.terms == model.wv.index_to_key and np.array_equal(terms.vectors, model.wv.vectors)


class Malicious:
    def __reduce__(self):
        return print, ("code of the file runs",)


def test_a_pickle_runs_no_code(tmp_path, capsys):
    (tmp_path / "vectors.kv").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(InputError, match="refers to builtins.print, which is not let in.*save_word2vec_format"):
        read_term_vectors(tmp_path / "vectors.kv")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("content", "message"), [
    (b"the 1 2 3\nof 1 2\n", "line 2 .*expected a term and 3 numbers"),
    (b"the 1 2 3\nof 1 x 3\n", "line 2 "),
    (b"the 1 2 3\nof 1 2", "line 2 "),
    (b"9999999999 3\nthe 1 2 3\n", "ends after line 2 with 1 vectors; expected 9999999999"),
    (b"the" + b" 1" * 100_001, "line 1 holds 100,001 numbers or more; expected a term and at most 100,000"),
    (b"3 9999999999\nthe 1 2 3\n", "announces 3 terms of width 9999999999; expected at least one, of width 1 to"),
    (b"4 3\nthe 1 2 3\nof 1 2 3\n", "ends after line 3 with 2 vectors; expected 4"),
    (b"3 3\nthe 1 2 3\nof 1 2 3", "ends after line 3 with 2 vectors; expected 3"),
    (b"the 1 2 3\nof 1 nan 3\n", r"vector 2 \('of'\) holds NaN"),
    (b"", "found empty file"),
    (b"2 2\nthe " + np.ones(2, "<f4").tobytes() + b"of " + np.ones(1, "<f4").tobytes(), "truncated in vector 2 of 2"),
    (b"1 2\nthe " + np.ones(2, "<f4").tobytes() + b"of ", "goes on after its 1 vectors"),
    (pickle.dumps({"no": "vectors"}), "holds no vectors|no terms"),
    (pickle.dumps([1, 2, 3])[:-4], "cannot be read safely"),
])
def test_faults_of_files_name_the_place(tmp_path, content, message):
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_term_vectors(path)


def test_a_missing_or_truncated_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_term_vectors(tmp_path / "absent")
    (tmp_path / "vectors.gz").write_bytes(gzip.compress(b"the 1 2 3\n" * 50)[:-12])
    with pytest.raises(InputError, match="truncated or corrupt gzip file"):
        read_term_vectors(tmp_path / "vectors.gz")
