"""Vectors in zips, tables and keys as people make them by hand, and what is left of a file that mixes its keys."""

import io
import json
import warnings
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from tests.test_embed_labels import ANIMAL, BIRD, CRANE, KIT, run
from tests.test_embed_labels import inputs as inputs  # a fixture
from zeroshot.console.errors import InputError
from zeroshot.terms.foreign_vectors import read_foreign_vectors
from zeroshot.terms.vectors import read_term_vectors

GLOVE = b"kit fox 0.5 1.5\nshark 2 3\n"
TERMS = {"kit fox": [0.5, 1.5], "shark": [2, 3]}


def read(tmp_path, data: bytes, **options) -> dict[str, list[float]]:
    (tmp_path / "vectors").write_bytes(data)
    found = read_foreign_vectors(tmp_path / "vectors", **options)
    return dict(zip(found.terms, found.vectors.tolist(), strict=True))


def zipped(members: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize("table", [
    b"kit fox,0.5,1.5\nshark,2,3\n", b'"kit fox",0.5,1.5\n"shark",2,3\n', b"kit fox, 0.5, 1.5\nshark, 2, 3\n",
    b"kit fox\t0.5\t1.5\nshark\t2\t3\n", b"2 2\nkit fox 0.5 1.5\n\nshark 2 3\n\n \n",
    b"shark 2 3\r\n\r\nkit fox 0.5 1.5\r\n"])
def test_tables_whose_terms_have_spaces_and_empty_lines(tmp_path, table):
    assert read(tmp_path, table) == TERMS


@pytest.mark.parametrize("table", [
    b",0,1\nkit fox,0.5,1.5\nshark,2,3\n", b"word,1,2\nkit fox,0.5,1.5\nshark,2,3\n", 
    b"term,x,y\nkit fox,.5,1.5\nshark,2,3", b'"","0","1"\n"kit fox",0.5,1.5\n"shark",2,3\n',
    b"\t0\t1\r\nkit fox\t0.5\t1.5\r\nshark\t2\t3\r\n",
    b"label\tlength\tweight\nkit fox\t0.5\t1.5\nshark\t2\t3\n"])
def test_a_line_that_names_the_columns_is_left_out_and_counted(tmp_path, table):
    (tmp_path / "v.csv").write_bytes(table)
    found = read_foreign_vectors(tmp_path / "v.csv")
    assert dict(zip(found.terms, found.vectors.tolist(), strict=True)) == TERMS
    assert found.left_out == {"lines_of_column_names": 1}


@pytest.mark.parametrize("table", [b"crane,0,1\nfox,3,4\n", b"crane 0 1\nfox 3 4\n", b"crane\t0\t1\nfox\t3\t4\n"])
def test_whole_numbers_in_order_are_a_vector_where_a_term_stands_before_them(tmp_path, table):
    assert read(tmp_path, table) == {"crane": [0, 1], "fox": [3, 4]}


@pytest.mark.parametrize("table", [b"0,kit fox,0.5,1.5\n1,shark,2,3\n", b",term,0,1\n0,kit fox,0.5,1.5\n1,shark,2,3\n"])
def test_row_numbers_before_the_terms_are_no_part_of_them(tmp_path, table):
    with pytest.raises(InputError, match=r"is '0,kit fox,0.5,1.5'; expected a term.*no row's number.*index=False"):
        read(tmp_path, table)
    with pytest.raises(InputError, match=r"is '0.kit fox.0.5.1.5'; expected a term.*no row's number.*index=False"):
        read(tmp_path, b"0\tkit fox\t0.5\t1.5\n1\tshark\t2\t3\n")


@pytest.mark.parametrize(("table", "number"), [
    (b"n02119789,kit fox,0.5,1.5\n", 1), (b"n02119789\tkit fox\t0.5\t1.5\n", 1), (b'"fox","animal",0.5,1.5\n', 1),
    (b"fox,,1.5\n", 1), (b"fox;0,5;1,5\n", 1), (b"\t0.5\t1.5\nfox\t2\t3\n", 2), (b"2,2\nfox,0.5,1.5\n", 2),
    (b"wnid,name,a,b\nn02119789,kit fox,0.5,1.5\n", 2)])
def test_a_column_that_is_neither_term_nor_number_is_not_taken_into_the_term(tmp_path, table, number):
    with pytest.raises(InputError, match=f"line {number} is .*; expected a term and [12] numbers"):
        read(tmp_path, table)
    assert read(tmp_path, b'"fox, kit",0.5,1.5\n"a ""b"", c",2,3\n') == {"fox, kit": [0.5, 1.5], 'a ""b"", c': [2, 3]}


def test_pythons_way_of_writing_large_numbers_is_no_number(tmp_path):
    assert read(tmp_path, b"new_york 0.5 1\n1_0 2 3\n") == {"new_york": [0.5, 1], "1_0": [2, 3]}
    for line in (b"fox 1_0 3\n", b"fox 3 1_0\n"):
        with pytest.raises(InputError, match="line 2 is 'fox"):
            read(tmp_path, b"shark 2 3\n" + line)


@pytest.mark.parametrize("numbers", [[0.5, -2], [1, 3]])
def test_binary_vectors_of_the_other_byte_order_are_refused(tmp_path, numbers):
    records = {order: b"2 2\n" + b"".join(name + b" " + np.array(numbers, order).tobytes() for name in (b"fox", b"owl"))
               for order in ("<f4", ">f4")}
    assert read(tmp_path, records["<f4"]) == {"fox": numbers, "owl": numbers}
    with pytest.raises(InputError, match="the largest number of a vector is .*e-4.*no little-endian float32"):
        read(tmp_path, records[">f4"])


@pytest.mark.parametrize("place", [0, 255, 256, 299])
def test_a_vector_that_is_not_finite_is_named_wherever_it_stands(tmp_path, place):
    lines = [b"t%d 1 2\n" % number for number in range(300)]
    lines[place] = b"bad 1 nan\n"
    with pytest.raises(InputError, match=rf"vector {place + 1} \('bad'\) holds NaN"):
        read(tmp_path, b"".join(lines))


@pytest.mark.parametrize("table", [b"fox 0,5 1,5\n", b"fox\t0,5\t1,5\n", b"fox;0.5;1.5\n", b"fox [0.5, 1.5]\n"])
def test_numbers_that_are_written_otherwise_are_refused(tmp_path, table):
    with pytest.raises(InputError, match="line 1 is 'fox.*parted by spaces, tabs or commas"):
        read(tmp_path, table)


@pytest.mark.parametrize("members", [
    {"./v.txt": GLOVE}, {"glove/v.txt": GLOVE, "glove/.DS_Store": b"x", "__MACOSX/glove/._v.txt": b"y"}])
def test_of_a_zip_hidden_files_are_none(tmp_path, members):
    assert read(tmp_path, zipped(members)) == TERMS


@pytest.mark.parametrize(("members", "message"), [
    ({}, "a zip without a file in it"), ({"folder/": b""}, "a zip without a file in it"),
    ({"v.gz": b"\x1f\x8b\x08" + bytes(9)}, "packed twice; unpack it once"),
    ({"vectors.npy": b"\x93NUMPY", "words.npy": b"\x93NUMPY"}, "NumPy's .npz; save the vectors as safetensors"),
    ({"x/data.pkl": b"\x80\2", "x/data/0": b"0"}, "torch's file; save the vectors as safetensors")])
def test_zips_without_vectors_say_what_they_are(tmp_path, members, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, zipped(members))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_zips_of_every_method_are_refused_where_damaged(tmp_path, method):
    sound = zipped({"v.txt": GLOVE * 200}, method)
    assert read(tmp_path, sound) == TERMS
    with pytest.raises(InputError, match="truncated, corrupt or encrypted zip file: (LZMA|OS)Error"):
        read(tmp_path, sound[:60] + b"\xff" * 30 + sound[90:])


def test_a_member_without_a_name_is_none(tmp_path):
    data = zipped({"vectors.txt": GLOVE}).replace(b"vectors.txt", b"\0ectors.txt")
    with pytest.raises(InputError, match="a zip without a file in it"):
        read(tmp_path, data)


def test_a_name_in_a_zip_that_is_not_what_it_says_is_refused(tmp_path):
    data = zipped({"vé.txt": GLOVE}).replace("é".encode(), b"\xff\xfe")
    with pytest.raises(InputError, match="truncated, corrupt or encrypted zip file: UnicodeDecodeError"):
        read(tmp_path, data)


def test_a_number_too_large_is_one_line(tmp_path):
    for data in (b"fox 1e40 1\n", save({"fox": np.array([1e300, 1])})):
        with warnings.catch_warnings(), pytest.raises(InputError, match="'fox'. holds NaN or infinity"):
            warnings.simplefilter("error")
            read(tmp_path, data)


def test_a_matrix_is_no_vector_of_a_term(tmp_path):
    assert read(tmp_path, save({"fox": np.ones((1, 2), np.float32)})) == {"fox": [1, 1]}
    with pytest.raises(InputError, match="tensor 'weight' is a table of 3 x 2; expected a tensor a term or wnid"):
        read(tmp_path, save({"weight": np.ones((3, 2), np.float32)}))


@pytest.mark.parametrize(("text", "by_class", "left_out"), [
    (f"crane 0 2\nanimal 1 0\nkit_fox 3 4\n{BIRD} 1 1\n", 0, {"vectors_by_class_beside_terms": 1}),
    (f"{CRANE} 0 2\n{ANIMAL} 1 0\n{KIT} 3 4\nbird 1 1\nfox 2 2\n", 3, {"vectors_by_term_beside_classes": 2}),
    ("crane 0 2\nanimal 1 0\nKit_Fox 3 4\nkit-fox 4 3\n", 0, {"vectors_in_other_spellings": 1}),
    ("crane 0 2\nanimal 1 0\nkit_fox 3 4\n", 0, {})])
def test_vectors_that_nothing_is_made_of_are_counted_by_why(inputs, capsys, text, by_class, left_out):
    (inputs / "v.txt").write_text(text)
    run(inputs, "v.txt")
    metrics = json.loads((inputs / "m.json").read_text())
    assert metrics["vectors_by_class"] == by_class
    assert {why: count for why, count in metrics.items() if why.startswith("vectors_") and why != "vectors_by_class"
            } == left_out
    said = capsys.readouterr().out
    assert all(f"left out: {count} {why.replace('_', ' ')}" in said for why, count in left_out.items())


def test_terms_in_another_encoding_are_counted_and_not_made_into_others(tmp_path):
    text = "ros\u00e9 1 2\nfox 3 4\n".encode("latin-1")
    binary = b"2 2\n" + b"".join(term + b" " + np.float32([3, 4]).tobytes() for term in (b"ros\xe9", b"fox"))
    for data in (text, binary):
        (tmp_path / "v").write_bytes(data)
        found = read_foreign_vectors(tmp_path / "v")
        assert found.terms == ["fox"] and found.vectors.tolist() == [[3, 4]]
        assert found.left_out == {"vectors_of_terms_not_utf8": 1}


def test_a_folder_of_someone_elses_is_not_advised_to_be_deleted(tmp_path):
    with pytest.raises(InputError, match="a folder that holds nothing, and none of the files"):
        read_term_vectors(tmp_path)
    (tmp_path / "glove.txt").write_bytes(GLOVE)
    with pytest.raises(InputError, match="holds 'glove.txt', and none of the files .* to one file of vectors$"):
        read_term_vectors(tmp_path)
    (tmp_path / "vocabulary.tsv").touch()
    with pytest.raises(InputError, match="vectors.npy: no such file; delete the folder"):
        read_term_vectors(tmp_path)


@pytest.mark.parametrize(("data", "message"), [
    (save({}), "holds no tensor; expected a tensor a term or wnid"),
    (zipped({"[Content_Types].xml": b"<", "xl/workbook.xml": b"<"}), "Excel's workbook; save its table as CSV")],
    ids=["safetensors", "workbook"])
def test_files_without_vectors_say_what_they_are(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, data)
