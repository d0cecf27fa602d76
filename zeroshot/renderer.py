"""Draws the demo's images: each class gets a look that is inherited down its WordNet hypernym path.

A look is a point of TRAITS standard normal numbers (colours, outline, markings, ground ...). Down the noun graph it
walks like an autoregressive process: look(synset) = sqrt(likeness) * mean of its hypernyms' looks
+ sqrt(1 - likeness) * a touch of its own. So two classes' looks correlate by likeness^(edges between them / 2):
near relatives look alike, whether seen or unseen, as DeViSE and ConSE need it of real images.

Everything derives from (seed, wnid) by hashing: adding a class changes no other class's images.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, UInt8

HARMONICS = 6  # Fourier terms of the outline
COLOURS = ("ground", "body", "marking", "limb")
SCALARS = ("length", "girth", "limb_reach", "limb_sharpness", "head_size", "head_place", "stripe_pitch", "stripe_slant",
           "stripe_bend", "stripe_weight", "patch_weight", "ground_pitch", "ground_slant", "ground_weight")
TRAITS = 3 * len(COLOURS) + 2 * HARMONICS + len(SCALARS)


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
    looks = look + variation * rng.standard_normal((count, TRAITS), np.float32)
    colours, outline, trait = _split(looks)
    pose = _poses(count, rng)
    x, y = _canvas(size, pose)
    image = _ground(colours["ground"], trait, size, rng)
    image = _paint(image, colours["limb"], _limbs(x, y, trait))
    image = _paint(image, _markings(x, y, colours, trait), _body(x, y, outline, trait))
    return _photograph(image, rng)


def _split(looks: np.ndarray):
    """Colours in 0..1 by name [images, 1, 1, 3], the outline's complex coefficients, scalars by name [images, 1, 1]."""
    count = len(looks)
    coloured, waves, scalars = np.split(looks, [3 * len(COLOURS), 3 * len(COLOURS) + 2 * HARMONICS], axis=1)
    chroma = _squash(1.3 * coloured).reshape(count, len(COLOURS), 1, 1, 3)
    outline = waves[:, :HARMONICS] + 1j * waves[:, HARMONICS:]
    return ({name: chroma[:, i] for i, name in enumerate(COLOURS)}, outline.astype(np.complex64),
            {name: scalars[:, i, None, None] for i, name in enumerate(SCALARS)})


def _squash(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def _poses(count: int, rng: np.random.Generator):
    """Centre x and y (canvas units), scale, and turn in radians, each [images, 1, 1]."""
    spread = np.array([0.16, 0.16, 0.14, 0.3], np.float32)
    x, y, scale, turn = (spread * rng.standard_normal((count, 4), np.float32)).T[:, :, None, None]
    return x, y, np.exp(scale), turn


def _canvas(size: int, pose) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of every pixel in the object's own frame, [images, size, size]; the canvas spans -1..1."""
    left, top, scale, turn = pose
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = (axis[None, None, :] - left) / scale, (axis[None, :, None] - top) / scale
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)


def _ground(colour: np.ndarray, trait, size: int, rng: np.random.Generator) -> np.ndarray:
    """The habitat: a colour with waves, their phase at random, and some blotches of clutter."""
    count = len(colour)
    phase, *place = rng.uniform(-1, 1, (7, count, 1, 1)).astype(np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    along = axis[None, None, :] * np.cos(trait["ground_slant"]) + axis[None, :, None] * np.sin(trait["ground_slant"])
    waves = np.sin(np.exp(1.6 + 0.5 * trait["ground_pitch"]) * along + np.pi * phase)
    image = colour + (0.25 * _squash(trait["ground_weight"]) * waves)[..., None]
    for left, top in zip(place[::2], place[1::2], strict=True):
        near = np.exp(-((axis[None, None, :] - left) ** 2 + (axis[None, :, None] - top) ** 2) / 0.03)
        image = _paint(image, rng.uniform(0, 1, (count, 1, 1, 3)).astype(np.float32), 0.7 * near)
    return image


def _limbs(x: np.ndarray, y: np.ndarray, trait) -> np.ndarray:
    """Cover 0..1 of limbs: spokes around the body, and a head beside it."""
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    spokes = 2 + 3 * _squash(2 * trait["limb_sharpness"])
    reach = 0.95 * _squash(trait["limb_reach"] - 0.3) * np.abs(np.cos(spokes * angle / 2)) ** 4 + 0.1
    head = 0.12 + 0.3 * _squash(trait["head_size"] - 0.5)
    towards = 1.2 * trait["head_place"]
    off = np.hypot(x - 0.6 * np.cos(towards), y + 0.6 * np.sin(towards))
    return np.maximum(_soft(reach - radius), _soft(head - off))


def _body(x: np.ndarray, y: np.ndarray, outline: np.ndarray, trait) -> np.ndarray:
    """Cover 0..1 of the body: r(angle) = 1 + sum of Fourier terms, stretched by length and girth."""
    x, y = x / (0.55 * np.exp(0.3 * trait["length"])), y / (0.45 * np.exp(0.3 * trait["girth"]))
    point = x + 1j * y
    radius = np.abs(point)
    turn = point / np.maximum(radius, 1e-6)
    edge, power = np.ones_like(radius), turn
    for k in range(HARMONICS):
        power = power * turn  # the first term would only move the body
        edge = edge + 0.3 / (k + 2) ** 0.8 * (outline[:, k, None, None] * power).real
    return _soft(np.maximum(edge, 0.2) - radius)


def _soft(inside: np.ndarray) -> np.ndarray:
    return _squash(np.clip(18 * inside, -20, 20))


def _markings(x: np.ndarray, y: np.ndarray, colours, trait) -> np.ndarray:
    """The body's own colours: stripes that may bend into rings, and a patch on one half."""
    along = x * np.cos(1.2 * trait["stripe_slant"]) + y * np.sin(1.2 * trait["stripe_slant"])
    bent = along + 0.6 * trait["stripe_bend"] * (x * x + y * y)
    waves = np.sin(np.exp(2 + 0.45 * trait["stripe_pitch"]) * bent)
    stripes = _squash(4 * waves) * _squash(1.5 * trait["stripe_weight"])
    patch = _soft(0.25 * y + 0.1 * trait["patch_weight"]) * _squash(1.5 * trait["patch_weight"])
    return _paint(colours["body"], colours["marking"], np.maximum(stripes, patch))


def _paint(image: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return image + (colour - image) * cover[..., None]


def _photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light from a random side, a cast of colour, sensor noise; uint8."""
    count, size = image.shape[:2]
    axis = np.linspace(-0.15, 0.15, size, dtype=np.float32)
    side, down = rng.standard_normal((2, count, 1, 1), np.float32)
    light = 1 + side * axis[None, None, :] + down * axis[None, :, None]
    cast = 1 + 0.1 * rng.standard_normal((count, 1, 1, 3), np.float32)
    image = image * light[..., None] * cast + 0.05 * rng.standard_normal(image.shape, np.float32)
    return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8)
