"""Bytes of an image file -> RGB pixels, with Pillow; one rule for every mode, size and orientation.

- CMYK, greyscale, palette and 16-bit images become 8-bit RGB; transparency is laid on white.
- EXIF orientation is applied, as far as it can be read. Of an animation the first frame counts.
- PostScript is a program, not an image: it is unreadable, whatever interpreter is installed.
- A file that is cut short is unreadable; so is one of more than 179 M pixels (Pillow's bomb limit).
- White is what the file says, never the image's own maximum, which would change brightness from image to image: the
  full range of 16 bits in PNG (by its standard), BitsPerSample or MaxSampleValue in TIFF, the header's maximum in PGM.
  Where all values lie below a sixteenth of that, as where 8 or 12 bits were saved as 16, the image would come out black
  and is unreadable.
- Floating values are on the scale 0..1 where none exceeds 1, else on 0..255; beyond these, and in the dark sixteenth of
  0..255, they are unreadable. So are 32-bit integers, which have no agreed white.
"""

import contextlib
import io
import re
import warnings

import numpy as np
from PIL import Image, ImageOps

from zeroshot.base.signatures import is_image, said_of

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is fine, too large raises

SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")
HALVED = re.compile(r"(RGB|RGBA|RGBX+|RGBa|RGBAX+|LA|CMYK);16[BLN]")  # of which Pillow keeps each value's upper byte
DARK = 16  # of 255: no photograph is this dark throughout
TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_WHITE = 258, 262, 281  # tags
RAW = re.compile(r"""b(['"]).*?\1""")


class UnreadableImage(ValueError):
    """The bytes are no image that Pillow can decode in full."""


def decode_rgb(data: bytes, *, least_side: int | None = None) -> Image.Image:
    """Decode an image file to mode RGB, upright.

    Args:
        least_side: decode JPEG at 1/2, 1/4 or 1/8 scale where both sides stay at least this long (pixels);
            several times faster when the image is to be shrunk anyway.

    Raises:
        UnreadableImage: not an image, cut short, or too large; the message says which.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format == "EPS":
                raise UnreadableImage("PostScript, which is a program; convert it")
            if least_side is not None:
                image.draft(None, (least_side, least_side))
            halved = any(HALVED.search(str(tile[-1])) for tile in image.tile)
            image.load()
            if halved:
                _refuse_dark(np.asarray(image)[..., :4 if image.mode == "CMYK" else 3], 255)
            return upright_rgb(image)
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on broken bytes
        raise UnreadableImage(_reason(error, data)) from None


def decode_square(data: bytes, side: int) -> np.ndarray:
    """Decode to uint8 [side, side, 3]: shorter side resized to `side`, centre crop, as one bicubic, antialiased step.

    JPEGs of at least four times the size are decoded at a reduced scale that keeps at least twice `side`.
    """
    return square_of(decode_rgb(data, least_side=2 * side), side)


def square_of(image: Image.Image, side: int) -> np.ndarray:
    """The same of an image that is decoded already, mode RGB: uint8 [side, side, 3]."""
    width, height = image.size
    shorter = min(width, height)
    left, top = (width - shorter) / 2, (height - shorter) / 2
    box = (left, top, left + shorter, top + shorter)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box))


def check_header(data: bytes) -> None:
    """Raise UnreadableImage unless `data`, perhaps only the first bytes of a file, opens as an image."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.size  # noqa: B018
    except Exception as error:
        raise UnreadableImage(_reason(error, data)) from None


def upright_rgb(image: Image.Image) -> Image.Image:
    """A loaded image of any mode as RGB, turned as its EXIF data say; that may happen in place.

    Raises:
        UnreadableImage: values on a scale whose white nobody knows.
    """
    with contextlib.suppress(Exception):  # a note on the image that is damaged leaves the image sound
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode in SIXTEEN_BIT:  # Pillow would clip at 255 instead of scaling
        return Image.fromarray(_of_sixteen_bits(image)).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(_of_floats(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _of_sixteen_bits(image: Image.Image) -> np.ndarray:
    """uint8 [height, width], on the scale whose white the file tells."""
    values, tags = np.asarray(image).astype(np.int64), getattr(image, "tag_v2", {})
    bits = (tags.get(TIFF_BITS) or (16,))[0]
    if bits > 16 or values.min() < 0:
        raise UnreadableImage(f"{bits}-bit signed or unsigned integers have no agreed white; save with 8 bits")
    white = tags.get(TIFF_WHITE) or 2**bits - 1
    white = white[0] if isinstance(white, tuple) else white
    if tags.get(TIFF_PHOTOMETRIC) == 0:
        values = white - values
    shift = int(white).bit_length() - 8
    scaled = values >> shift if white == 2**(shift + 8) - 1 and shift >= 0 else values * 255 // white
    _refuse_dark(scaled if values.any() else None, white)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _refuse_dark(scaled: np.ndarray | None, white: int) -> None:
    """Raise UnreadableImage where nothing is brighter than DARK of 255; None is known to be black."""
    if scaled is not None and scaled.max(initial=0) < DARK:
        raise UnreadableImage(f"no value above a sixteenth of white ({white:,}), as where 8 or 12 bits were saved as "
                              "16: it would come out black; save with 8 bits, or over the full range")


def _of_floats(values: np.ndarray) -> np.ndarray:
    """uint8, from 0..1, or from 0..255 where there are values above 1."""
    least, most = values.min(), values.max()
    if not (least >= 0 and (most <= 1 or DARK <= most <= 255)):  # nor NaN
        raise UnreadableImage(f"floating values from {least:.6g} to {most:.6g}; expected 0 to 1, or 0 to 255")
    return np.round(values * (255 if most <= 1 else 1)).astype(np.uint8)


def _reason(error: Exception, data: bytes) -> str:
    if not data:
        return "empty file"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"{said_of(data)}, which is damaged or of a kind that cannot be read here" if is_image(data) else (
            f"not an image ({said_of(data)})")
    said = RAW.sub("...", str(error)).encode("ascii", "replace").decode()  # no raw bytes
    return f"{type(error).__name__}: {' '.join(said.split())[:150]}"
