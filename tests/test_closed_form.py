import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zeroshot.closed_form.models import (
    ClassSums,
    classifiers,
    eszsl,
    exemplars,
    kernel,
    read_closed_form,
    ridge,
    write_closed_form,
)


def problem(seed=0, images=40, dim=5, classes=4, space=3):
    """Features x, classes y, unit label vectors t, and the sums that the fits take."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(images, dim, generator=generator, dtype=torch.float64)
    y = torch.arange(images) % classes
    t = F.normalize(torch.randn(classes, space, generator=generator, dtype=torch.float64))
    return x, y, t, sums_of(x, y, classes)


def sums_of(x, y, classes):
    return ClassSums(x.T @ x, torch.stack([x[y == c].sum(0) for c in range(classes)]),
                     torch.bincount(y, minlength=classes).double())


def test_ridge_is_where_the_gradient_of_its_loss_vanishes():
    x, y, t, sums = problem()
    w = ridge(sums, t)(0.7).map.clone().requires_grad_()
    loss = (x @ w.T - t[y]).square().sum() + 0.7 * sums.gram.diagonal().mean() * w.square().sum()
    assert torch.autograd.grad(loss, w)[0].abs().max() < 1e-10


def test_eszsl_is_where_the_gradient_of_its_loss_vanishes():
    x, y, t, sums = problem(1)
    v = eszsl(sums, t)(0.7, 0.3).map.T.clone().requires_grad_()
    true = (y[:, None] == torch.arange(4)).double()
    strength, label_strength = 0.7 * sums.gram.diagonal().mean(), 0.3 * (t.T @ t).diagonal().mean()
    loss = ((x @ v @ t.T - true).square().sum() + strength * (v @ t.T).square().sum()
            + label_strength * (x @ v).square().sum() + strength * label_strength * v.square().sum())
    assert torch.autograd.grad(loss, v)[0].abs().max() < 1e-10


def test_without_regularisation_ridge_finds_an_exact_linear_relation():
    x, *_ = problem(2)
    exact = torch.randn(3, 5, dtype=torch.float64)
    every_image_a_class = sums_of(x, torch.arange(40), 40)
    torch.testing.assert_close(ridge(every_image_a_class, x @ exact.T)(0.0).map, exact)


def test_exemplars_against_a_plain_computation():
    """Images whitened by a matrix root, class means, an exemplar a label one by one, all in the full space."""
    x, y, t, sums = problem(3)
    model = exemplars(sums, t)(0.2, 0.5, 3.0)
    means = np.stack([x[y == c].numpy().mean(0) for c in range(4)])
    centre = means.mean(0)
    within = sum(np.outer(image - means[c], image - means[c]) for image, c in zip(x.numpy(), y, strict=True)) / len(x)
    covariance = within + 0.5 * np.trace(within) / 5 * np.eye(5)
    root = np.linalg.inv(np.linalg.cholesky(covariance))  # root' root is the inverse of the covariance
    targets = (means - centre) @ root.T
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    similar = np.exp(3.0 * (t.numpy() @ t.numpy().T - 1))
    weights = np.linalg.inv(similar + 0.2 * np.eye(4)) @ targets
    new_labels = F.normalize(torch.randn(6, 3, dtype=torch.float64))
    expected = np.exp(3.0 * (new_labels.numpy() @ t.numpy().T - 1)) @ weights
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    cosines = model.points(x[:7]) @ model.places(new_labels).T  # up to the images' lengths, which no ranking sees
    torch.testing.assert_close(cosines, torch.from_numpy((x[:7].numpy() - centre) @ root.T @ expected.T))
    torch.testing.assert_close(model.places(new_labels).norm(dim=1), torch.ones(6, dtype=torch.float64))


def test_a_seen_label_lies_where_its_images_are_if_nothing_is_smoothed():
    x, y, t, sums = problem(4)
    model = exemplars(sums, t)(1e-9, 0.1, 5.0)
    mean_points = F.normalize(model.points(torch.stack([x[y == c].mean(0) for c in range(4)])))
    torch.testing.assert_close(model.places(t), mean_points, atol=1e-5, rtol=0)


def test_one_image_a_class_leaves_the_axes_as_they_are():
    x, _, _, _ = problem(5, images=4)
    t = F.normalize(torch.randn(4, 3, dtype=torch.float64))
    model = exemplars(sums_of(x, torch.arange(4), 4), t)(1e-9, 1.0, 5.0)
    between = F.normalize(x - x.mean(0))
    torch.testing.assert_close(model.places(t) @ model.places(t).T, between @ between.T, atol=1e-5, rtol=0)


def test_the_kernel_is_gaussian_in_the_distance_of_unit_vectors():
    a, b = F.normalize(torch.randn(3, 4)), F.normalize(torch.randn(5, 4))
    torch.testing.assert_close(kernel(a, b, 7.0), torch.exp(-3.5 * torch.cdist(a, b).square()), atol=1e-5, rtol=1e-4)


def test_on_disk_and_back(tmp_path):
    x, _, t, sums = problem(6)
    for fitted in (ridge(sums, t)(1.0), exemplars(sums, t)(1.0, 1.0, 3.0)):
        write_closed_form(tmp_path / "model", fitted, {"tap": "pooled"})
        again, file = read_closed_form(tmp_path / "model")
        assert file.meta["tap"] == "pooled" and again.sharpness == fitted.sharpness
        torch.testing.assert_close(again.points(x.float()), fitted.points(x).float())
        torch.testing.assert_close(again.places(t.float()), fitted.places(t).float())

@pytest.fixture
def rows_and_vectors():
    draw = torch.Generator().manual_seed(4)
    rows, bias = (torch.randn(*shape, generator=draw).double() for shape in ((7, 5), (7,)))
    return rows, bias, F.normalize(torch.randn(9, 4, generator=draw).double())


def test_classifiers_against_plain_loops_on_features(rows_and_vectors):
    """The logits alone give what kernel regression to the centred rows gives on the features' part in their span."""
    rows, bias, vectors = rows_and_vectors
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(5)).double()
    taken = torch.tensor([True, True, False, True, True, True, False])
    model = classifiers(rows, bias, vectors[:7], 100)(0.1, 2.0, taken)
    found = F.normalize(model.points(x @ rows.T + bias)) @ model.places(vectors).T
    centred = (rows - rows.mean(0)).numpy()  # they span all of the features' space
    targets = [row / np.linalg.norm(row) for row, is_taken in zip(centred, taken, strict=True) if is_taken]
    anchors = vectors[:7][taken].numpy()
    similar = np.array([[np.exp(2 * (a @ b - 1)) for b in anchors] for a in anchors])
    weights = np.linalg.solve(similar + 0.1 * np.eye(5), np.array(targets))
    for image, scores in zip(x.numpy(), found, strict=True):
        for vector, score in zip(vectors.numpy(), scores, strict=True):
            row = sum(np.exp(2 * (vector @ anchor - 1)) * weight
                      for anchor, weight in zip(anchors, weights, strict=True))
            assert score == pytest.approx(row @ image / np.linalg.norm(row) / np.linalg.norm(image), abs=1e-9)


def test_classifiers_keep_the_first_directions_and_no_mean(rows_and_vectors):
    rows, bias, vectors = rows_and_vectors
    assert classifiers(rows, bias, vectors[:7], 3)(0.1, 2.0).map.shape == (3, 7)
    assert classifiers(rows[:3], bias[:3], vectors[:3], 100)(0.1, 2.0).map.shape == (2, 3)  # three rows less their mean
    logits = torch.randn(4, 7, generator=torch.Generator().manual_seed(6)).double()
    for shifted_rows, shifted_logits in ((rows + 3, logits), (rows, logits + 5)):  # no softmax sees either
        model = classifiers(shifted_rows, bias, vectors[:7], 3)(0.1, 2.0)
        torch.testing.assert_close(model.points(shifted_logits),
                                   classifiers(rows, bias, vectors[:7], 3)(0.1, 2.0).points(logits))
