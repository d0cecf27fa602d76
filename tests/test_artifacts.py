import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from zeroshot.base.artifacts import Artifact, ArtifactWriter, write_artifact
from zeroshot.console.errors import InputError

DTYPES = [np.bool_, np.uint8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64]


@given(st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), min_size=1, max_size=3)), max_size=5))
def test_every_array_comes_back_and_other_readers_agree(tmp_path_factory, kinds):
    path = tmp_path_factory.mktemp("a") / "x.safetensors"
    arrays = {f"a{i}": np.arange(np.prod(shape), dtype=np.int64).reshape(shape).astype(dtype)
              for i, (dtype, shape) in enumerate(kinds)}
    write_artifact(path, {"made": "é", "n": 3}, arrays)
    ours, library = Artifact(path), safetensors.numpy.load_file(path)
    assert ours.meta == {"made": "é", "n": 3} and ours.names() == sorted(arrays)
    for name, array in arrays.items():
        for back in (ours[name], ours.memmap(name), library[name]):
            np.testing.assert_array_equal(back, array)
            assert back.dtype == array.dtype


def test_rows_written_in_pieces_equal_the_whole_and_bytes_repeat(tmp_path):
    array = np.random.default_rng(0).random((10, 3)).astype(np.float32)
    write_artifact(tmp_path / "whole", {}, {"x": array})
    with ArtifactWriter(tmp_path / "pieces", {}, {"x": ((10, 3), np.float32)}) as writer:
        writer.write("x", 4, array[4:])
        writer.write("x", 0, array[:4])
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "pieces").read_bytes()
    np.testing.assert_array_equal(Artifact(tmp_path / "pieces").rows("x", 3, 7), array[3:7])


def test_every_single_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "x"
    write_artifact(path, {"k": "v"}, {"x": np.arange(4, dtype=np.float32)})
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1:])
        with pytest.raises(InputError, match="x: (damaged|not one of)"):
            Artifact(path)


def test_a_cut_file_a_foreign_file_and_none_are_told_apart(tmp_path):
    write_artifact(tmp_path / "cut", {}, {"x": np.zeros(100)})
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-8])
    with pytest.raises(InputError, match="damaged"):
        Artifact(tmp_path / "cut")
    (tmp_path / "foreign").write_bytes(json.dumps({"a": 1}).encode() * 9)
    with pytest.raises(InputError, match="not one of"):
        Artifact(tmp_path / "foreign")
    with pytest.raises(InputError, match="no such file"):
        Artifact(tmp_path / "none")


def test_an_exception_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "x"
    write_artifact(path, {}, {"x": np.zeros(2)})
    before = path.read_bytes()
    with pytest.raises(RuntimeError), ArtifactWriter(path, {}, {"x": ((2,), np.float32)}):
        raise RuntimeError
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["x"]
