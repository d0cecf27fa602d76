import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stages import fit_closed_form
from tests.test_train_devise import make_features
from tests.vision import WNIDS, make_index, make_labels
from zeroshot.base.artifacts import Artifact, why_not_made
from zeroshot.closed_form.models import ClassSums, ClosedForm, read_closed_form
from zeroshot.console.errors import InputError
from zeroshot.images.index import PIXELS_FILE, TRAIN, VAL, ImageIndex, write_index
from zeroshot.labels.label_vectors import read_label_vectors

PARAMS = dict(
    label_vectors="lemmas", strengths=[0.01, 1], label_strengths=[1], shrinkages=[0.1, 1], sharpnesses=[1, 10],
    width=64, csls_neighbours=0, folds=2, seed=0, threads=1, any_processor=True)


@pytest.fixture
def world(tmp_path):
    make_features(tmp_path, make_index(tmp_path / "index"))
    make_labels(tmp_path / "labels.safetensors")
    return tmp_path


def run(world, **changed):
    fit_closed_form.main(fit_closed_form.Params(**{**PARAMS, **changed}), features=world, index=world / "index",
                         label_vectors=world / "labels.safetensors", out=world / "fitted",
                         metrics=world / "metrics.json")


def fit(world, **changed):
    run(world, **changed)
    return ({name: read_closed_form(world / "fitted" / f"{name}.safetensors") for name in fit_closed_form.MODELS},
            json.loads((world / "metrics.json").read_text()))


@pytest.mark.parametrize("name", fit_closed_form.MODELS)
def test_the_model_is_that_of_all_training_images_at_the_chosen_settings(world, name):
    models, metrics = fit(world)
    index, rows = ImageIndex.read(world / "index"), ImageIndex.read(world / "index").rows(TRAIN)
    x = torch.from_numpy(Artifact(world / "features.safetensors")["features"][rows]).double()
    t = torch.from_numpy(read_label_vectors(world / "labels.safetensors").of(index.seen)[0]).double()
    sums = torch.stack([x[index.labels[rows] == c].sum(0) for c in range(4)])
    method, asked = fit_closed_form.MODELS[name]
    chosen = [metrics[name][setting] for setting in asked]
    expected = method(ClassSums(x.T @ x, sums, torch.full((4,), 12.0, dtype=torch.float64)), t)(*chosen)
    found, file = models[name]
    torch.testing.assert_close(found.points(x.float()) @ found.places(t.float()).T,
                               (expected.points(x) @ expected.places(t).T).float(), rtol=1e-2, atol=1e-4)
    assert metrics["train_images"] == 48 and file.meta["seen_handicap"] == metrics[name]["seen_handicap"]


def test_unseen_images_and_labels_change_nothing(world):
    first, metrics = fit(world)
    make_features(world, make_index(world / "index"), unseen=np.nan)
    make_labels(world / "labels.safetensors", without=WNIDS[4:])
    second, again = fit(world)
    assert metrics == again
    for name, (model, _) in first.items():
        for part, value in vars(model).items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(getattr(second[name][0], part))) if (
                value is not None) else getattr(second[name][0], part) is None


def test_harmonic_curve_by_hand():
    """Two seen classes, one held out; the point of its image is a little nearer to a seen vector."""
    vectors = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    val = fit_closed_form.Validation(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.6, 0, 0.55]]), torch.tensor([0, 1, 2]))
    held = torch.tensor([False, False, True])
    curve = fit_closed_form.harmonic_curve(ClosedForm(torch.eye(3), torch.zeros(3)), vectors, val, held)
    length = (0.6**2 + 0.55**2) ** 0.5
    needed = (0.6 - 0.55) / length  # 0.0614: from the handicap 0.07 on the held-out image is right, and all others
    expected = torch.where(fit_closed_form.HANDICAPS > needed, 1.0, 0.0).double()
    expected[-1] = 0.0  # a handicap of 1 lets the seen ones tie with 0, and lose
    torch.testing.assert_close(curve, expected)


def test_held_out_accuracy_is_the_mean_over_classes_among_those_alone():
    vectors = F.normalize(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
    points = torch.tensor([[0.9, 1], [1.0, 0], [1.0, 0.1], [0, 1.0]])
    val, held = fit_closed_form.Validation(points, torch.tensor([0, 0, 0, 1])), torch.tensor([True, True, False])
    accuracy = fit_closed_form.unseen_accuracy(ClosedForm(torch.eye(2), torch.zeros(2)), vectors, val, held)
    assert accuracy == pytest.approx((2 / 3 + 1) / 2)


def test_too_few_classes_for_the_folds(world):
    with pytest.raises(InputError, match="`fit_closed_form.folds` is 3, for which 6 seen classes .* found 4"):
        fit(world, folds=3)


@pytest.mark.parametrize(("without", "of_one", "why"), [
    (WNIDS[3:4], False, "training images of 3 seen classes with a vector; settings take 4 to choose by"),
    ((), True, "validation images of 1 of the classes trained on; settings take 2 to choose by")])
def test_where_no_folds_could_do_there_are_no_models_and_the_files_say_why(world, without, of_one, why):
    make_labels(world / "labels.safetensors", without=without)
    if of_one:
        index = ImageIndex.read(world / "index")
        kept = np.flatnonzero((index.roles != VAL) | (index.labels == 2))
        write_index(world / "index", index.wnids, {"role": index.roles[kept], "label": index.labels[kept]},
                    pixels=Artifact(world / "index" / PIXELS_FILE).sha256, containers=[], made_from={})
    run(world)
    assert {why_not_made(world / "fitted" / f"{name}.safetensors") for name in fit_closed_form.MODELS} == {why}
    assert json.loads((world / "metrics.json").read_text())["seen_labels"] == 4 - len(without)


def test_hubs_are_told_by_images_of_other_classes_alone():
    """Class 2 is held out; each class loses half its mean cosine to both images of the others."""
    vectors = torch.eye(3)
    x = torch.tensor([[1.0, 0, 0], [0.82, 0.61, 0], [0.61, 0, 0.5]])
    val, held = fit_closed_form.Validation(x, torch.tensor([0, 1, 2])), torch.tensor([False, False, True])
    model = ClosedForm(torch.eye(3), torch.zeros(3))
    curve = fit_closed_form.harmonic_curve(model, vectors, val, held, csls_neighbours=2)
    cosines = F.normalize(x) @ vectors.T
    cosines = cosines - cosines[:2].mean(0) / 2
    for handicap, found in zip(fit_closed_form.HANDICAPS, curve, strict=True):
        right = (cosines - torch.tensor([1, 1, 0]) * handicap).argmax(1) == val.classes
        seen, unseen = right[:2].double().mean(), right[2].double()
        assert found == pytest.approx(float(2 * seen * unseen / (seen + unseen)) if seen + unseen else 0.0)


def test_hubs_are_corrected_while_choosing_and_then_while_ranking(world, monkeypatch):
    asked = []
    monkeypatch.setattr(fit_closed_form, "hubness", lambda some, k: asked.append(k) or torch.zeros(some[0].shape[1]))
    models, metrics = fit(world, csls_neighbours=3)
    assert metrics == fit(world)[1]  # of hubs that are none
    choices = 2 + 2 * 1 + 2 * 2 * 2  # of ridge, ESZSL, exemplars
    assert set(asked) == {3} and len(asked) == 2 * choices + 2 * 3  # each by two folds; and the curves
    assert all(file.meta["csls_neighbours"] == 3 for _, file in models.values())


def test_wide_features_are_folded_and_the_models_unfolded(world):
    models, metrics = fit(world, width=5)
    dim = Artifact(world / "features.safetensors").shape("features")[1]
    assert metrics["dimensions"] == 5 < dim
    assert all(model.map.shape[1] == len(model.centre) == dim for model, _ in models.values())


def test_it_does_not_matter_how_many_features_are_folded_at_a_time(world, monkeypatch):
    first = fit(world, width=5)[1]
    monkeypatch.setattr(fit_closed_form, "FOLDED", 3)
    assert fit(world, width=5)[1] == first


def test_a_part_without_validation_images_is_refused(world, monkeypatch):
    monkeypatch.setattr(fit_closed_form, "folds_of", lambda *_: torch.tensor([0, 0, 1, 1]))
    whole = fit_closed_form.Validation.read

    def half(*arguments):
        x, c = whole(*arguments)
        return fit_closed_form.Validation(x[c < 2], c[c < 2])

    monkeypatch.setattr(fit_closed_form.Validation, "read", half)
    with pytest.raises(InputError, match="validation images of 2 of the 4 seen classes with a vector, none in one"):
        fit(world)
