import pytest

from zeroshot.console.errors import InputError
from zeroshot.labels.label_sets import ALL_LABEL_SETS, read_label_sets, read_wnids, write_label_sets

A, B, C = "n00000001", "n00000002", "n00000003"


def test_round_trip(tmp_path):
    write_label_sets(tmp_path, {"seen": [B, A], "unseen": [C], "2-hops": [], "3-hops": [C], "21k": [C, B]})
    sets = read_label_sets(tmp_path)
    assert tuple(sets) == ALL_LABEL_SETS and len(sets) == 9
    assert sets["seen"] == [A, B] and sets["2-hops"] == [] and sets["2-hops+seen"] == [A, B]
    assert sets["unseen+seen"] == [A, B, C] == sets["21k+seen"]
    assert (tmp_path / "21k.txt").read_text() == f"{B}\n{C}\n"


@pytest.mark.parametrize("content, fault", [
    ("", "holds no wnid"),
    (f"{A}\nn123\n", "line 2 begins 'n123'"),
    (f"{A}\n{B}\n{A}\n", "stands twice, in lines 1 and 3"),
    (f"{A}dog\n", "expected a wnid"),
])
def test_refusals(tmp_path, content, fault):
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(InputError, match=fault):
        read_wnids(tmp_path / "list.txt")


def test_files_that_are_no_lists(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_wnids(tmp_path / "none.txt")
    with pytest.raises(InputError, match="no text file but a folder"):
        read_wnids(tmp_path)
    (tmp_path / "windows.txt").write_bytes(f"{B}\r\n\r\n{A}\r\n".encode())
    assert read_wnids(tmp_path / "windows.txt") == [A, B]
