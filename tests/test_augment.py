import numpy as np
import torch

from zeroshot.networks.preprocessing import Preprocessing
from zeroshot.training.augmentation import Augmentation, mixup, random_crop, reflect


def numbered(images, side):
    return torch.arange(images * side * side * 3, dtype=torch.int32).remainder(251).to(torch.uint8).reshape(
        images, side, side, 3)


def test_reflect_by_hand():
    assert reflect(torch.tensor([[-2, -1, 0, 3, 4, 5]]), 4).tolist() == [[2, 1, 0, 3, 2, 1]]


def test_every_crop_is_a_window_of_the_reflected_square():
    squares = numbered(20, 6)
    torch.manual_seed(0)
    crops = random_crop(squares, 5, 2, flip=True)
    enlarged = np.pad(squares.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    found = set()
    for number, crop in enumerate(crops.numpy()):
        places = [(y, x, flipped) for y in range(6) for x in range(6) for flipped in (False, True)
                  if np.array_equal(crop, enlarged[number, y:y + 5, x:x + 5][:, ::-1 if flipped else 1])]
        assert places
        found.add(places[0])
    assert len(found) > 8 and {flipped for _, _, flipped in found} == {True, False}


def test_no_padding_no_flip_is_the_image():
    squares = numbered(3, 4)
    assert torch.equal(random_crop(squares, 4, 0, flip=False), squares)


def test_central_crop_and_normalisation_by_hand():
    squares = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    squares[0, 1, 1] = torch.tensor([255, 0, 51])
    preprocessing = Preprocessing(4, 2, (0.0, 0.5, 0.2), (1.0, 0.25, 1.0))
    out = preprocessing.normalise(preprocessing.central(squares))
    assert out.shape == (1, 3, 2, 2)
    torch.testing.assert_close(out[0, :, 0, 0], torch.tensor([1.0, -2.0, 0.0]))
    assert Preprocessing.from_meta(preprocessing.to_meta()) == preprocessing


def test_randaugment_keeps_shape_and_type():
    torch.manual_seed(0)
    crops = Augmentation(padding=1, flip=True, randaugment=2, magnitude=9)(numbered(18, 8), 8)
    assert crops.shape == (18, 8, 8, 3) and crops.dtype == torch.uint8


def test_mixup_blends_inputs_and_targets_alike():
    torch.manual_seed(0)
    inputs = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)])
    mixed, targets = mixup(inputs, torch.tensor([0, 1]), 2, 1.0)
    torch.testing.assert_close(mixed[:, 0, 0, 0], targets[:, 1])
    torch.testing.assert_close(targets.sum(1), torch.ones(2))
