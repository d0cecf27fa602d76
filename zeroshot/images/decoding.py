"""Bytes of an image file -> RGB pixels, with Pillow; one rule for every mode, size and orientation.

- CMYK, greyscale, palette and 16-bit images become 8-bit RGB; transparency is laid on white.
- EXIF orientation is applied. Of an animation the first frame counts.
- A file that is cut short is unreadable; so is one of more than 179 M pixels (Pillow's bomb limit).
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is fine, too large raises

SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")


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
            if least_side is not None:
                image.draft(None, (least_side, least_side))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except Exception as error:  # Pillow's decoders raise nearly anything on broken bytes
        raise UnreadableImage(_reason(error, data)) from None


def decode_square(data: bytes, side: int) -> np.ndarray:
    """Decode to uint8 [side, side, 3]: shorter side resized to `side`, centre crop, as one bicubic, antialiased step.

    JPEGs of at least four times the size are decoded at a reduced scale that keeps at least twice `side`.
    """
    image = decode_rgb(data, least_side=2 * side)
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


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BIT:  # Pillow would clip at 255 instead of scaling
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _reason(error: Exception, data: bytes) -> str:
    if not data:
        return "empty file"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"not an image (begins with {data[:8]!r})"
    return f"{type(error).__name__}: {error}"
