import numpy as np
import pytest

from zeroshot.image_sets.renderer import TRAITS, class_looks, draw_images, random_of

CHAIN = {"a": ["top"], "b": ["top"], "a1": ["a"], "a2": ["a"], "b1": ["b"]}


def test_a_look_is_its_hypernyms_and_a_touch_of_its_own():
    own = {wnid: random_of(3, wnid).standard_normal(TRAITS) for wnid in ("top", "a", "a1")}
    expected = own["top"]
    for wnid in ("a", "a1"):
        expected = np.sqrt(0.7) * expected + np.sqrt(0.3) * own[wnid]
    assert np.allclose(class_looks(["a1"], CHAIN, seed=3, likeness=0.7)[0], expected, atol=1e-6)


def test_looks_correlate_by_likeness_to_half_the_distance():
    drawn = np.stack([class_looks(["a1", "a2", "b1"], CHAIN, seed=seed, likeness=0.6) for seed in range(300)])
    aunt, sister = ((drawn[:, 0] * drawn[:, other]).mean() for other in (2, 1))
    assert sister == pytest.approx(0.6, abs=0.03)  # two edges
    assert aunt == pytest.approx(0.36, abs=0.03)  # four edges
    assert drawn.std() == pytest.approx(1, abs=0.02)


def test_a_class_looks_the_same_whatever_the_others():
    alone = class_looks(["a2"], CHAIN, seed=1, likeness=0.8)
    assert np.array_equal(alone[0], class_looks(["b1", "a1", "a2"], CHAIN, seed=1, likeness=0.8)[2])
    assert not np.array_equal(alone, class_looks(["a2"], CHAIN, seed=2, likeness=0.8))


def test_images_are_repeatable_differ_from_each_other_and_fill_the_range():
    look = class_looks(["a1"], CHAIN, seed=1, likeness=0.8)[0]
    first, again = (draw_images(look, 6, random_of(1, "a1", "train"), size=32, variation=0.3) for _ in range(2))
    assert np.array_equal(first, again)
    assert (first.shape, first.dtype) == ((6, 32, 32, 3), np.uint8)
    assert len({image.tobytes() for image in first}) == 6
    assert all(image.std() > 10 for image in first)


def test_images_of_a_class_are_nearer_to_each_other_than_to_another_class():
    looks = class_looks(["a1", "b1"], CHAIN, seed=5, likeness=0.5)
    one, other = (draw_images(look, 50, random_of(5, i), size=16, variation=0.2).astype(float).mean((1, 2))
                  for i, look in enumerate(looks))
    within = np.linalg.norm(one[:25].mean(0) - one[25:].mean(0))
    assert within < 0.5 * np.linalg.norm(one.mean(0) - other.mean(0))
