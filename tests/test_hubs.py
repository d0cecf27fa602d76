"""Hubs that no image tells of: the classifier's rows stand for images."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import rank_conse
from tests.ranking_world import SEEN, WNID, build
from tests.test_rank_conse import PARAMS, rank
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.closed_form.models import classifiers
from zeroshot.images.index import ImageIndex
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors
from zeroshot.ranking import conse
from zeroshot.ranking.conse import Mixer, Rows

CLASSES = [f"n{number:08d}" for number in range(6)]


def mixer_of(rng, t, wnids=CLASSES):
    vectors = rng.normal(size=(len(wnids), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = LabelVectors(wnids, vectors, np.arange(len(wnids), dtype=np.int32))
    return Mixer.among(labels, wnids, t, torch.device("cpu"))


def unbiased(weights):
    return Rows(weights, torch.zeros(len(weights)))


def plain_stand_ins(rows, vectors, t):
    points = []
    for row in rows:
        cosines = [row @ other / np.linalg.norm(row) / np.linalg.norm(other) for other in rows]
        nearest = sorted(range(len(rows)), key=lambda y: -cosines[y])[:t]
        point = sum(max(cosines[y], 0) * vectors[y] for y in nearest)
        points.append(point / np.linalg.norm(point))
    return np.array(points)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 7))
def test_stand_ins_against_a_plain_loop(seed, t, piece):
    rng = np.random.default_rng(seed)
    mixer, rows = mixer_of(rng, t), rng.normal(size=(6, 3)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conse, "AT_ONCE", piece)
        found = torch.cat(list(mixer.stand_ins(unbiased(torch.from_numpy(rows)))))
    np.testing.assert_allclose(found, plain_stand_ins(rows, mixer.vectors.numpy(), t), atol=1e-4)


def test_stand_ins_by_hand():
    """Of T = 1 each is its own label; equal rows mix equally; a row of zeros has some point too."""
    mixer = mixer_of(np.random.default_rng(0), 1, CLASSES[:3])
    rows = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(torch.cat(list(mixer.stand_ins(unbiased(torch.eye(3))))), mixer.vectors)
    points = torch.cat(list(mixer._replace(t=2).stand_ins(unbiased(rows))))
    both = mixer.vectors[0] + mixer.vectors[1]
    torch.testing.assert_close(points[:2], (both / both.norm()).expand(2, -1))
    assert torch.cat(list(mixer.stand_ins(unbiased(rows * 0)))).isfinite().all()


def test_beside_predicted_classifiers_a_stand_in_lies_where_an_image_like_its_row_would():
    rng = np.random.default_rng(2)
    rows = Rows(*(torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for shape in ((6, 9), (6,))))
    alone = mixer_of(rng, 2)
    model = classifiers(rows.weights.double(), rows.bias.double(), alone.vectors.double(), 100)(0.1, 2.0)
    mixer = alone._replace(beside=model.to(torch.float32), share=3.0)
    without = torch.tensor([False, True, False, False, False, False])
    mixed, beside = torch.cat(list(mixer.stand_ins(rows, without))).split([4, 5], 1)  # six centred rows span five
    taken, vectors = rows.weights[~without].numpy(), alone.vectors[~without].numpy()
    np.testing.assert_allclose(2 * mixed, plain_stand_ins(taken, vectors, 2), atol=1e-5)
    centred = (rows.weights - rows.weights.mean(0)).numpy()
    cosines = beside.numpy() @ beside.numpy().T / 0.75  # three quarters of the unit length, squared
    span = np.linalg.svd(centred)[2][:5]
    seen = [row @ span.T / np.linalg.norm(row @ span.T) for row in taken]
    np.testing.assert_allclose(cosines, np.array(seen) @ np.array(seen).T, atol=1e-4)


@pytest.mark.parametrize("name, shape", [("classifier.weight", (3, 5)), ("classifier.0.weight", (3, 5, 1, 1))])
def test_rows_of_linear_layers_and_of_convolutions(tmp_path, name, shape):
    weight = np.arange(15, dtype=np.float32).reshape(shape)
    write_artifact(tmp_path / "cnn.safetensors", {}, {
        "body.weight": np.zeros((2, 2), np.float32), name: weight,
        name.replace("weight", "bias"): np.array([1, 2, 3], np.float32)})
    mixer = mixer_of(np.random.default_rng(0), 1, CLASSES[:3])
    mixer = mixer._replace(columns=torch.tensor([0, 2]))
    rows = Rows.read(tmp_path / "cnn.safetensors", mixer)
    assert np.array_equal(rows.weights, weight.reshape(3, 5)[[0, 2]]) and rows.bias.tolist() == [1, 3]


@pytest.fixture
def world(tmp_path):
    world = build(tmp_path)
    rows = np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)
    write_artifact(world / "cnn.safetensors", {"wnids": SEEN}, {"classifier.weight": rows})
    return world


def expected_bias(world, neighbours):
    labels = read_label_vectors(world / "hypernyms.safetensors")
    points = plain_stand_ins(Artifact(world / "cnn.safetensors")["classifier.weight"], labels.of(SEEN)[0], 2)
    hubness = np.zeros(len(labels.wnids), np.float32)
    for label in range(len(labels.wnids)):
        hubness[label] = max(np.sort(points @ row)[-neighbours:].mean()
                             for row in labels.vectors[labels.row_label == label])
    return -hubness / 2


def test_without_validation_images_the_classifiers_rows_tell_hubs(world, capsys):
    params, index = rank_conse.Params(**{**PARAMS, "hierse_csls_neighbours": 2}), ImageIndex.read(world / "index")
    assert not rank_conse.do_rows_tell_hubs(params, index)
    assert "hubs" not in capsys.readouterr().out
    index.roles = np.where(index.roles == 1, 2, index.roles)
    assert rank_conse.do_rows_tell_hubs(params, index)
    said = capsys.readouterr().out
    assert "no validation images to tell hubs by; the classifier's rows do, one for each seen class" in said


def test_classes_tell_hubs_where_validation_images_could(world, capsys):
    rank(world, 1, hierse_t=2, hierse_csls_neighbours=2, hierse_hubs="classes")
    by_classes = Artifact(world / "hierse.safetensors")["bias"]
    np.testing.assert_allclose(by_classes, expected_bias(world, 2), atol=1e-5)
    rank(world, 1, hierse_t=2, hierse_csls_neighbours=2)
    assert not np.allclose(Artifact(world / "hierse.safetensors")["bias"], by_classes)
    assert "hubs by" not in capsys.readouterr().out


def test_where_hubs_are_not_asked_for_the_network_is_not_read(world):
    (world / "cnn.safetensors").unlink()
    rank(world, 1, hierse_hubs="classes")
    assert "bias" not in Artifact(world / "hierse.safetensors")


def test_a_seen_label_without_vector_has_no_stand_in(tmp_path):
    rng = np.random.default_rng(1)
    world = build(tmp_path, {name: rng.normal(size=4) for name in WNID if name != "cat"})
    write_artifact(world / "cnn.safetensors", {}, {"classifier.weight": rng.normal(size=(3, 5)).astype(np.float32)})
    mixer = Mixer.of(world / "lemmas.safetensors", SEEN, 2, torch.device("cpu"))
    rows = Rows.read(world / "cnn.safetensors", mixer)
    kept = [output for output, wnid in enumerate(SEEN) if wnid != WNID["cat"]]
    weight = Artifact(world / "cnn.safetensors")["classifier.weight"]
    assert np.array_equal(rows.weights, weight[kept]) and len(mixer.vectors) == 2 and not rows.bias.any()
