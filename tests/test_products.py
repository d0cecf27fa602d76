import numpy as np
import pytest
import torch

from zeroshot.base.processor import are_products_settled, has_avx2
from zeroshot.ranking.products import product_with

pytestmark = pytest.mark.skipif(not has_avx2(), reason="other processors take torch's own product")


def drawn(rows, dim, seed):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, dim), np.float32))


@pytest.mark.parametrize("rows, dim, threads", [(48, 3, 1), (160, 100, 2), (37, 500, 1), (1600, 64, 2), (48, 1024, 1)])
def test_any_processor_adds_up_in_the_order_of_the_dimensions(rows, dim, threads):
    """Each step is rounded once, to float32: longdouble holds a product of two of them, and nearly any sum."""
    assert are_products_settled() and np.finfo(np.longdouble).nmant >= 63
    matrix, points = drawn(rows, dim, 0), drawn(256, dim, 1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = product_with(matrix)(points).numpy()
    finally:
        torch.set_num_threads(before)
    total = np.zeros((min(rows, 40), 256), np.float32)
    for left, right in zip(matrix.numpy()[-40:].T, points.numpy().T, strict=True):
        total = (np.outer(left.astype(np.longdouble), right.astype(np.longdouble)) + total).astype(np.float32)
    assert np.array_equal(found[-40:], total)


@pytest.mark.parametrize("product", ["any processor's", "MKL's", "oneDNN's"])
def test_equal_rows_give_equal_products(product, monkeypatch):
    if product != "any processor's":
        monkeypatch.delenv("MKL_CBWR")
    assert are_products_settled() == (product == "any processor's")
    monkeypatch.setattr("zeroshot.ranking.products.is_amd_with_avx512", lambda: product == "oneDNN's")
    products = product_with(drawn(1, 300, 0).repeat(1008, 1))(drawn(256, 300, 1))
    assert products.shape == (1008, 256) and (products == products[0]).all()


@pytest.mark.parametrize("amd", [True, False])
def test_either_librarys_product_is_the_product(amd, monkeypatch):
    monkeypatch.delenv("MKL_CBWR")
    monkeypatch.setattr("zeroshot.ranking.products.is_amd_with_avx512", lambda: amd)
    matrix, points = drawn(160, 300, 0), drawn(256, 300, 1)
    expected = matrix.double() @ points.double().T
    assert torch.allclose(product_with(matrix)(points).double(), expected, rtol=0, atol=1e-3)
