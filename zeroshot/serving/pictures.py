"""Uploaded bytes -> a picture, checked before it is decoded, and its thumbnail."""

import base64
import io
import math

from PIL import Image

from zeroshot.base.signatures import is_image, said_of
from zeroshot.images.decoding import UnreadableImage, decode_rgb
from zeroshot.serving.limits import MEBI, PICTURE_BYTES, PIXELS, Refusal

THUMBNAIL = 320  # pixels of the longer side: sharp on a phone, too


def check_picture(data: bytes) -> None:
    """Refuse what is too large or no image before any of it is decoded.

    Only formats that zeroshot.base.signatures knows come to Pillow, which would start another program for some.

    Raises:
        Refusal: what it is and what was expected.
    """
    if len(data) > PICTURE_BYTES:
        megabytes = math.ceil(10 * len(data) / MEBI) / 10  # up, since 20.0 would be no reason
        raise Refusal(413, f"{megabytes} MB; a picture may have {PICTURE_BYTES // MEBI} MB.")
    if not is_image(data):
        raise Refusal(415, f"Not an image ({said_of(data)}); JPEG, PNG, WebP, GIF, TIFF, BMP, JPEG 2000, AVIF and "
                      "portable pixmaps can be read.")
    width, height = _size(data)
    if width * height > PIXELS:
        raise Refusal(413, f"{width:,} x {height:,} pixels; a picture may have {PIXELS // 10**6} million.")


def _size(data: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except Image.DecompressionBombError:
        raise Refusal(413, f"Far too many pixels; a picture may have {PIXELS // 10**6} million.") from None
    except Exception:  # Pillow raises nearly anything on broken bytes
        raise Refusal(415, f"The image cannot be read: {said_of(data)}, which is damaged.") from None


def thumbnail(data: bytes) -> bytes:
    """A small JPEG of a checked picture.

    Raises:
        Refusal: it is damaged.
    """
    try:
        small, sent = decode_rgb(data, least_side=THUMBNAIL), io.BytesIO()
    except UnreadableImage as error:
        raise Refusal(415, f"The image cannot be read: {error}.") from None
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    small.save(sent, "JPEG", quality=85)
    return sent.getvalue()


def inline(jpeg: bytes) -> str:
    """As an address that holds the picture itself."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
