import numpy as np
import pytest

from zeroshot.base.artifacts import write_artifact
from zeroshot.console.errors import InputError
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors, write_label_vectors

WNIDS = ["n00000001", "n00000002", "n00000003"]
VECTORS = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
LABELS = LabelVectors(WNIDS, VECTORS, np.array([0, 0, 2], np.int32), {"dim": 2})


def test_round_trip(tmp_path):
    write_label_vectors(tmp_path / "labels.safetensors", LABELS)
    labels = read_label_vectors(tmp_path / "labels.safetensors")
    assert labels.wnids == WNIDS and labels.meta == {"dim": 2} and len(labels.sha256) == 64
    assert (labels.vectors == VECTORS).all() and labels.row_label.tolist() == [0, 0, 2]
    assert labels.has_vector.tolist() == [True, False, True]


def test_targets_are_first_rows():
    vectors, has = LABELS.of([WNIDS[2], WNIDS[1], WNIDS[0]])
    assert has.tolist() == [True, False, True]
    assert np.allclose(vectors, [[0.6, 0.8], [0, 0], [1, 0]]) and vectors.dtype == np.float32


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="1 wnids are not among the labels, n00000009"):
        LABELS.of(["n00000009"])
    write_artifact(tmp_path / "other.safetensors", {}, {"points": VECTORS})
    with pytest.raises(InputError, match="holds points; expected label vectors"):
        read_label_vectors(tmp_path / "other.safetensors")
