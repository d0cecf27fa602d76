import torch

from zeroshot.linear_maps import eszsl, ridge


def problem(seed=0, images=40, dim=5, classes=4, space=3):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(images, dim, generator=generator, dtype=torch.float64)
    y = torch.arange(images) % classes
    t = torch.nn.functional.normalize(torch.randn(classes, space, generator=generator, dtype=torch.float64))
    sums = torch.stack([x[y == c].sum(0) for c in range(classes)])
    return x, y, t, x.T @ x, sums


def test_ridge_is_where_the_gradient_of_its_loss_vanishes():
    x, y, t, gram, sums = problem()
    w = ridge(gram, sums, t, 0.7).requires_grad_()
    loss = (x @ w.T - t[y]).square().sum() + 0.7 * w.square().sum()
    assert torch.autograd.grad(loss, w)[0].abs().max() < 1e-10


def test_eszsl_is_where_the_gradient_of_its_loss_vanishes():
    x, y, t, gram, sums = problem(1)
    v = eszsl(gram, sums, t, 0.7, 0.3).T.clone().requires_grad_()
    true = (y[:, None] == torch.arange(4)).double()
    loss = ((x @ v @ t.T - true).square().sum() + 0.7 * (v @ t.T).square().sum()
            + 0.3 * (x @ v).square().sum() + 0.7 * 0.3 * v.square().sum())
    assert torch.autograd.grad(loss, v)[0].abs().max() < 1e-10


def test_without_regularisation_an_exact_linear_relation_is_found():
    x, y, t, _, _ = problem(2)
    exact = torch.randn(3, 5, dtype=torch.float64)
    points = x @ exact.T  # every image a class of its own, whose vector is its exact point
    found = ridge(x.T @ x, x, points, 0.0)
    torch.testing.assert_close(found, exact)
