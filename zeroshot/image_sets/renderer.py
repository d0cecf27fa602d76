"""Draws the demo's images: each class gets a look that is inherited down its WordNet hypernym path.

A look is a point of TRAITS standard normal numbers (ground, outline, markings, limbs ...). Down the noun graph it
walks like an autoregressive process: look(synset) = sqrt(likeness) * mean of its hypernyms' looks
+ sqrt(1 - likeness) * a touch of its own. So two classes' looks correlate by likeness^(edges between them / 2):
near relatives look alike, whether seen or unseen, as DeViSE and ConSE need it of real images.

Everything derives from (seed, wnid) by hashing: adding a class changes no other class's images.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, UInt8

HARMONICS = 6  # Fourier terms of the outline
GROUND_WAVES = ((1, 0), (0, 1), (1, 1), (1, -1))  # half periods across and down, of the ground's pattern
BODY_WAVES = (*GROUND_WAVES, (2, 0), (0, 2), (2, 1), (1, 2))  # the same, of the body's markings
SCALARS = ("length", "girth", "limb_reach", "limb_sharpness", "head_size", "head_place",
           "stripe_pitch", "stripe_slant", "stripe_bend", "stripe_weight")
BLOCKS = {  # what a look consists of: name -> shape; a pattern is a flat colour and two phases of each wave, in RGB
    "ground": (1 + 2 * len(GROUND_WAVES), 3), "body": (1 + 2 * len(BODY_WAVES), 3), "limb": (1, 3), "stripe": (1, 3),
    "outline": (2, HARMONICS), "scalars": (len(SCALARS),)}
TRAITS = sum(math.prod(shape) for shape in BLOCKS.values())  # many, so that looks tell who is whose relative

# What the drawn world is like; only its classes' looks are settings. Lengths in canvas units: an image spans -1..1.
POSE_SPREAD = (0.16, 0.16, 0.14, 0.3)  # deviations: centre across and down, log of scale, turn in radians
CONTRAST = 1.3  # of colours: how fast a trait drives a channel to 0 or 1
WAVE_WEIGHT = 0.5  # of each phase of a pattern's waves, beside 1 for its flat colour
GROUND_SHIFT = 0.2  # how far the habitat's pattern moves from image to image
BLOTCHES, BLOTCH_SPREAD, BLOTCH_COVER = 3, 0.03, 0.7  # clutter: how many, exp(-distance^2 / spread) wide, how opaque
LENGTH, GIRTH, BODY_VARIETY = 0.55, 0.45, 0.3  # half axes of a mean body; what a trait adds to their logarithms
BEND, BEND_DECAY, THINNEST = 0.3, 0.8, 0.2  # outline: its Fourier terms' weight and fall, least radius
LIMB_LONGEST, LIMB_SHORTEST, LIMB_NARROWNESS = 0.95, 0.1, 4  # limbs: their radius, and the power that makes them thin
HEAD_SMALLEST, HEAD_RANGE, HEAD_DISTANCE = 0.12, 0.3, 0.6  # least radius, a trait's part, place
SLANT = 1.2  # radians that a trait turns the stripes, and moves the head around the body
PITCH, PITCH_VARIETY, STRIPE_EDGE, STRIPE_BEND = 2, 0.45, 4, 0.6  # log of frequency, a trait's part ...
EDGE = 18  # sharpness of shapes' edges
LIGHT, CAST, NOISE = 0.15, 0.1, 0.05  # deviations of the light across an image, of its colour cast, of a pixel


def random_of(*key: object) -> np.random.Generator:
    """A generator that depends on `key` alone."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:16], "little"))


def class_looks(wnids: Sequence[str], hypernyms: Mapping[str, Sequence[str]], *, seed: int,
                likeness: float) -> Float32[np.ndarray, "classes traits"]:
    """Look of each class, every trait standard normal over classes.

    Args:
        hypernyms: wnid -> its hypernyms (none for the root), for all ancestors too.
        likeness: 0 to 1, what a synset shares with its hypernym (as variance).
    """
    looks: dict[str, np.ndarray] = {}

    def look(wnid: str) -> np.ndarray:
        if wnid not in looks:
            own = random_of(seed, wnid).standard_normal(TRAITS)
            parents = [look(parent) for parent in hypernyms.get(wnid, ())]
            shared = np.sqrt(likeness) * np.mean(parents, axis=0) if parents else 0
            looks[wnid] = shared + np.sqrt(1 - likeness if parents else 1) * own
        return looks[wnid]

    return np.stack([look(wnid) for wnid in wnids]).astype(np.float32)


def draw_images(look: Float32[np.ndarray, " traits"], count: int, rng: np.random.Generator, *, size: int,
                variation: float) -> UInt8[np.ndarray, "images size size 3"]:
    """Draw `count` images of one class, RGB, no two alike.

    Args:
        size: height and width in pixels.
        variation: how far single images stray from the class's look, in units of the looks' own spread;
            place, scale, turn, light, clutter and noise vary besides.
    """
    look = look + variation * rng.standard_normal((count, TRAITS), np.float32)
    traits = _split(look)
    scalar = {name: traits["scalars"][:, i, None, None] for i, name in enumerate(SCALARS)}
    x, y = _canvas(size, _poses(count, rng))
    image = _ground(traits["ground"], size, rng)
    image = _paint(image, _squash(CONTRAST * traits["limb"][:, None]), _limbs(x, y, scalar))
    image = _paint(image, _markings(x, y, traits, scalar), _body(x, y, traits["outline"], scalar))
    return _photograph(image, rng)


def _split(look: np.ndarray) -> dict[str, np.ndarray]:
    """A look [images, traits] as its blocks, each [images, *shape]."""
    ends = np.cumsum([math.prod(shape) for shape in BLOCKS.values()])
    parts = np.split(look, ends[:-1], axis=1)
    return {name: part.reshape(len(look), *shape) for (name, shape), part in zip(BLOCKS.items(), parts, strict=True)}


def _pattern(x: np.ndarray, y: np.ndarray, waves: tuple[tuple[int, int], ...], weights: np.ndarray) -> np.ndarray:
    """A field of colours 0..1 [images, size, size, 3]: a flat one and waves, weighted by a block of traits."""
    across, down = np.exp(0.5j * np.pi * x), np.exp(0.5j * np.pi * y)
    across, down = ({0: 1, 1: wave, 2: wave * wave, -1: wave.conj()} for wave in (across, down))
    fields = [np.ones_like(x)]
    for right, below in waves:
        wave = np.broadcast_to(across[right] * down[below], x.shape)
        fields += [wave.real, wave.imag]
    waving = np.stack(fields, -1).reshape(len(x), -1, len(fields)) @ (weights * _falling(len(fields)))
    return _squash(CONTRAST * waving).reshape(*waving.shape[:1], *x.shape[1:], 3)


def _falling(fields: int) -> np.ndarray:
    """Weight of the flat colour (1) and of each wave's phases, [fields, 1]."""
    return np.array([1.0] + [WAVE_WEIGHT] * (fields - 1), np.float32)[:, None]


def _squash(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def _poses(count: int, rng: np.random.Generator):
    """Centre x and y (canvas units), scale, and turn in radians, each [images, 1, 1]."""
    poses = np.array(POSE_SPREAD, np.float32) * rng.standard_normal((count, 4), np.float32)
    x, y, scale, turn = poses.T[:, :, None, None]
    return x, y, np.exp(scale), turn


def _canvas(size: int, pose) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of every pixel in the object's own frame, [images, size, size]; the canvas spans -1..1."""
    left, top, scale, turn = pose
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = (axis[None, None, :] - left) / scale, (axis[None, :, None] - top) / scale
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)


def _ground(weights: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """The habitat: its pattern, seen from a place nearby, and some blotches of clutter."""
    count = len(weights)
    x, y, *place = rng.uniform(-1, 1, (2 + 2 * BLOTCHES, count, 1, 1)).astype(np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    right, below = np.broadcast_arrays(axis[None, None, :] + GROUND_SHIFT * x, axis[None, :, None] + GROUND_SHIFT * y)
    image = _pattern(right, below, GROUND_WAVES, weights)
    for left, top in zip(place[::2], place[1::2], strict=True):
        near = np.exp(-((axis[None, None, :] - left) ** 2 + (axis[None, :, None] - top) ** 2) / BLOTCH_SPREAD)
        image = _paint(image, rng.uniform(0, 1, (count, 1, 1, 3)).astype(np.float32), BLOTCH_COVER * near)
    return image


def _limbs(x: np.ndarray, y: np.ndarray, scalar) -> np.ndarray:
    """Cover 0..1 of limbs: spokes around the body, and a head beside it."""
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    spokes = 2 + 3 * _squash(2 * scalar["limb_sharpness"])
    spoke = np.abs(np.cos(spokes * angle / 2)) ** LIMB_NARROWNESS
    reach = LIMB_LONGEST * _squash(scalar["limb_reach"] - 0.3) * spoke + LIMB_SHORTEST
    head = HEAD_SMALLEST + HEAD_RANGE * _squash(scalar["head_size"] - 0.5)
    towards = SLANT * scalar["head_place"]
    off = np.hypot(x - HEAD_DISTANCE * np.cos(towards), y + HEAD_DISTANCE * np.sin(towards))
    return np.maximum(_soft(reach - radius), _soft(head - off))


def _body(x: np.ndarray, y: np.ndarray, outline: np.ndarray, scalar) -> np.ndarray:
    """Cover 0..1 of the body: r(angle) = 1 + sum of Fourier terms, stretched by length and girth."""
    x = x / (LENGTH * np.exp(BODY_VARIETY * scalar["length"]))
    y = y / (GIRTH * np.exp(BODY_VARIETY * scalar["girth"]))
    point = x + 1j * y
    radius = np.abs(point)
    turn = point / np.maximum(radius, 1e-6)
    bends = outline[:, 0] + 1j * outline[:, 1]
    edge, power = np.ones_like(radius), turn
    for k in range(HARMONICS):
        power = power * turn  # the first term would only move the body
        edge = edge + BEND / (k + 2) ** BEND_DECAY * (bends[:, k, None, None] * power).real
    return _soft(np.maximum(edge, THINNEST) - radius)


def _soft(inside: np.ndarray) -> np.ndarray:
    return _squash(np.clip(EDGE * inside, -20, 20))


def _markings(x: np.ndarray, y: np.ndarray, traits, scalar) -> np.ndarray:
    """The body's own colours: its pattern, and stripes over it that may bend into rings."""
    slant = SLANT * scalar["stripe_slant"]
    along = x * np.cos(slant) + y * np.sin(slant)
    bent = along + STRIPE_BEND * scalar["stripe_bend"] * (x * x + y * y)
    waves = np.sin(np.exp(PITCH + PITCH_VARIETY * scalar["stripe_pitch"]) * bent)
    stripes = _squash(STRIPE_EDGE * waves) * _squash(1.5 * scalar["stripe_weight"] - 1)
    return _paint(_pattern(x, y, BODY_WAVES, traits["body"]), _squash(CONTRAST * traits["stripe"][:, None]), stripes)


def _paint(image: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return image + (colour - image) * cover[..., None]


def _photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light from a random side, a cast of colour, sensor noise; uint8."""
    count, size = image.shape[:2]
    axis = np.linspace(-LIGHT, LIGHT, size, dtype=np.float32)
    side, down = rng.standard_normal((2, count, 1, 1), np.float32)
    light = 1 + side * axis[None, None, :] + down * axis[None, :, None]
    cast = 1 + CAST * rng.standard_normal((count, 1, 1, 3), np.float32)
    image = image * light[..., None] * cast + NOISE * rng.standard_normal(image.shape, np.float32)
    return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)
