"""Where names go beside the points of a map, so that none lies on another name or on a point."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

DIRECTIONS = (0, 45, -45, 180, 135, -135, 90, -90, 22, -22, 158, -158)  # degrees, the ones that read best first
GAP = 2.0  # between a mark and its name
APART = 4.0  # and, at least, between a name and the other marks and names, so that one sees whose it is
Boxes = Float[np.ndarray, "names 4"]  # left, low, right, high


def place_names(points: Float[np.ndarray, "names 2"], sizes: Float[np.ndarray, "names 2"],
                frame: tuple[float, float], mark: float) -> tuple[Boxes, Bool[np.ndarray, "names"]]:
    """A box for each name, in the points' units.

    Names are placed in their order, each in its first free place; where none is, in the one that covers least.

    Args:
        sizes: width and height of each name.
        frame: width and height of the map, from 0; names stay inside.
        mark: half the side of a point's mark.

    Returns:
        boxes; and which of them cover nothing.
    """
    marks = np.concatenate([points - mark, points + mark], axis=1)
    boxes, free = np.empty((len(points), 4)), np.zeros(len(points), bool)
    for name, (point, size) in enumerate(zip(points, sizes, strict=True)):
        tried = candidates(point, size, mark)
        covered = overlaps(tried, np.concatenate([boxes[:name], np.delete(marks, name, axis=0)])).sum(axis=1)
        outside = np.maximum(0, -tried[:, :2]).sum(1) + np.maximum(0, tried[:, 2:] - frame).sum(1)
        cost = covered + 1000 * outside
        boxes[name], free[name] = tried[cost.argmin()], cost.min() == 0
    return boxes, free


def place_free_names(points: Float[np.ndarray, "names 2"], sizes: Float[np.ndarray, "names 2"],
                     frame: tuple[float, float], marks: Float[np.ndarray, "names"], order: Sequence[int]
                     ) -> dict[int, Float[np.ndarray, "4"]]:
    """A box for each name that has a free place, name -> box; names are placed in `order`.

    Args:
        sizes, frame: as in place_names.
        marks: half the side of each point's mark.
    """
    margin = APART * np.array([-1, -1, 1, 1])
    taken = np.concatenate([points - marks[:, None], points + marks[:, None]], axis=1) + margin
    boxes: dict[int, np.ndarray] = {}
    for name in order:
        tried = candidates(points[name], sizes[name], marks[name])
        inside = (tried[:, :2] >= 0).all(axis=1) & (tried[:, 2:] <= frame).all(axis=1)
        free = inside & ~overlaps(tried, np.delete(taken, name, axis=0)).any(axis=1)
        if free.any():
            boxes[name] = tried[free.argmax()]
            taken = np.concatenate([taken, boxes[name][None] + margin])
    return boxes


def candidates(point: np.ndarray, size: np.ndarray, mark: float) -> Float[np.ndarray, "places 4"]:
    """Boxes around a point, in the order of DIRECTIONS, each touching a circle around it from outside."""
    angles = [math.radians(degrees) for degrees in DIRECTIONS]
    towards = np.array([[math.cos(angle), math.sin(angle)] for angle in angles])
    middles = point + towards * (mark + GAP) + np.sign(np.round(towards, 6)) * size / 2
    return np.concatenate([middles - size / 2, middles + size / 2], axis=1)


def overlaps(these: Float[np.ndarray, "a 4"], those: Float[np.ndarray, "b 4"]) -> Float[np.ndarray, "a b"]:
    """Area that each pair of boxes shares."""
    low = np.maximum(these[:, None, :2], those[None, :, :2])
    high = np.minimum(these[:, None, 2:], those[None, :, 2:])
    return np.prod(np.maximum(0, high - low), axis=2)
