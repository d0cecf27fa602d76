import bz2
import gzip

import pytest
import zstandard

from zeroshot.base import packed
from zeroshot.console.errors import InputError
from zeroshot.text import files as text_files
from zeroshot.text.files import Boundary, blocks_of, opened, tasks_of

LINES = b"".join(b"line %d of the text\n" % number for number in range(5000))
LINES_END = Boundary(b"\n")
PACK = {".txt": bytes, ".bz2": bz2.compress, ".gz": lambda data: gzip.compress(data, mtime=0),
        ".zst": zstandard.ZstdCompressor().compress}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(packed, "READ", 1000)
    monkeypatch.setattr(text_files, "BLOCK", 10_000)


@pytest.mark.parametrize("suffix", PACK)
def test_blocks_end_at_boundaries_and_make_up_the_file(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(PACK[suffix](LINES))
    blocks = list(blocks_of(path, LINES_END))
    assert b"".join(block.data for block in blocks) == LINES
    assert len(blocks) > 3 and all(block.data.endswith(LINES_END) for block in blocks[:-1])
    assert [block.offset for block in blocks] == [sum(len(b.data) for b in blocks[:i]) for i in range(len(blocks))]
    assert [block.last for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert sum(block.packed for block in blocks) == path.stat().st_size


@pytest.mark.parametrize("suffix", [".bz2", ".gz", ".zst"])
def test_streams_that_follow_one_another_are_one_text(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(PACK[suffix](LINES[:30_000]) + PACK[suffix](LINES[30_000:]))
    assert b"".join(block.data for block in blocks_of(path, LINES_END)) == LINES


@pytest.mark.parametrize("suffix", [".bz2", ".gz", ".zst"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_archive_is_refused_with_file_and_offset(tmp_path, suffix, share):
    path, whole = tmp_path / f"text{suffix}", PACK[suffix](LINES)
    path.write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(InputError, match=rf"text{suffix}: truncated or corrupt .* at byte \d+"):
        list(blocks_of(path, LINES_END))


@pytest.mark.parametrize("suffix", [".bz2", ".gz"])  # zstd's frames need not hold a checksum
def test_a_corrupt_archive_is_refused(tmp_path, suffix):
    path, broken = tmp_path / f"text{suffix}", bytearray(PACK[suffix](LINES))
    broken[len(broken) // 2] ^= 0x55
    path.write_bytes(broken)
    with pytest.raises(InputError, match="truncated or corrupt"):
        list(blocks_of(path, LINES_END))


def test_an_archive_that_is_none_is_refused(tmp_path):
    (tmp_path / "text.bz2").write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match="text.bz2: truncated or corrupt"):
        list(blocks_of(tmp_path / "text.bz2", LINES_END))


def test_an_empty_file_is_a_block_without_bytes(tmp_path):
    (tmp_path / "text.txt").touch()
    assert [block.data for block in blocks_of(tmp_path / "text.txt", LINES_END)] == [b""]


def test_one_endless_line_is_cut_between_words(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST", 20_000)
    path = tmp_path / "text.txt"
    path.write_bytes(b"word " * 20_000)
    blocks = [block.data for block in blocks_of(path, LINES_END)]
    assert b"".join(blocks) == b"word " * 20_000
    assert max(map(len, blocks)) < 25_000 and all(len(block) % 5 == 0 for block in blocks)


def test_small_files_are_tasks_and_large_ones_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "SMALL", 100)
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    small.write_bytes(LINES[:50])
    large.write_bytes(LINES)
    monkeypatch.setattr(text_files, "TASK", 25_000)
    tasks = list(tasks_of([small, large], LINES_END))
    blocks = [block for task in tasks for block in task]
    assert blocks[0].data is None and all(block.data is not None for block in blocks[1:])
    assert 3 <= len(tasks) < len(blocks)
    assert b"".join(block.data for task in tasks for block in opened(task, LINES_END)) == LINES[:50] + LINES
