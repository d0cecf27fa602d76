import io

import numpy as np
import pytest
import scipy.io

from zeroshot.image_sets.mat_files import read_structs

FIELDS = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("children", "O"), ("height", "O")]
ROWS = [(1.0, "n02119789", "kit fox, Vulpes", [], 0), (300, "n02100735", "café", [3.0, 4.5], 2),
        (2.0, "n1", "x", [7], 70_000)]


def mat_file(rows, **options) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, {"before": np.arange(5), "synsets": np.array(rows, FIELDS).reshape(-1, 1), "after": "x"},
                     **options)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_what_scipy_writes_is_read(compressed):
    found = read_structs(mat_file(ROWS, do_compression=compressed), "synsets")
    assert [(row["ILSVRC2012_ID"], row["WNID"], row["words"], row["height"]) for row in found] == [
        (row[0], row[1], row[2], row[4]) for row in ROWS]
    assert [row["children"] for row in found] == [[], [3.0, 4.5], 7]


def test_other_files_are_refused():
    for data in (b"", b"MATLAB 7.3" * 40, mat_file(ROWS)[:-200], mat_file(ROWS)[:300]):
        with pytest.raises(ValueError):
            read_structs(data, "synsets")
    with pytest.raises(ValueError, match="no struct others"):
        read_structs(mat_file(ROWS), "others")
    flipped = bytearray(mat_file(ROWS, do_compression=True))
    flipped[len(flipped) // 2] ^= 1
    with pytest.raises(Exception, match="Error -3|no struct|not as expected|incorrect"):
        read_structs(bytes(flipped), "synsets")
