import pytest
import torch

from zeroshot.closed_form.models import ClosedForm
from zeroshot.closed_form.sketch import Sketch


@pytest.mark.parametrize(("dim", "width"), [(7, 3), (6, 3), (5, 5), (4, 1)])
def test_against_a_plain_loop(dim, width):
    sketch, x = Sketch.draw(dim, width, 0), torch.randn(2, dim)
    expected = torch.zeros(2, width)
    for number, dimension in enumerate(sketch.order.tolist()):
        expected[:, number % width] += sketch.sign[dimension] * x[:, dimension]
    torch.testing.assert_close(sketch(x), expected)
    assert sketch(x[:0]).shape == (0, width)  # as of a chunk whose classes all lack a vector
    assert sorted(sketch.order.tolist()) == list(range(dim)) and set(sketch.sign.abs().tolist()) == {1.0}


def test_inner_products_are_right_on_average():
    x, y = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    products = []
    for seed in range(2000):
        short = Sketch.draw(50, 10, seed)(torch.stack([x, y]))
        products.append((short[0] @ short[1]).item())
    error = torch.tensor(products).std().item() / len(products) ** 0.5
    assert torch.tensor(products).mean().item() == pytest.approx((x @ y).item(), abs=4 * error)
    assert abs((x @ y).item()) > 8 * error  # so that zero would not do


def test_an_unfolded_model_places_images_where_the_folded_one_places_their_sketches():
    sketch, x = Sketch.draw(11, 4, 1), torch.randn(3, 11)
    model = ClosedForm(torch.randn(2, 4), torch.randn(4))
    torch.testing.assert_close(sketch.unfolded(model).points(x), model.points(sketch(x)))
