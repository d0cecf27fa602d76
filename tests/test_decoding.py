import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zeroshot.images.decoding import UnreadableImage, check_header, decode_rgb, decode_square


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(("mode", "kind", "colour", "expected"), [
    ("RGB", "PNG", (10, 200, 30), (10, 200, 30)),
    ("L", "JPEG", 90, (90, 90, 90)),
    ("CMYK", "JPEG", (0, 0, 0, 255), (0, 0, 0)),
    ("CMYK", "JPEG", (0, 0, 0, 0), (255, 255, 255)),
    ("1", "PNG", 1, (255, 255, 255)),
    ("RGBA", "PNG", (0, 0, 0, 0), (255, 255, 255)),
    ("RGBA", "PNG", (200, 0, 0, 255), (200, 0, 0)),
    ("LA", "PNG", (0, 0), (255, 255, 255)),
    ("I;16", "PNG", 0x8000, (128, 128, 128)),
    ("RGB", "WEBP", (255, 255, 255), (255, 255, 255)),
])
def test_every_mode_becomes_rgb(mode, kind, colour, expected):
    image = decode_rgb(encoded(Image.new(mode, (9, 7), colour), kind))
    assert (image.mode, image.size) == ("RGB", (9, 7))
    assert np.abs(np.asarray(image).astype(int) - expected).max() <= 2


def test_palette_with_a_transparent_entry_is_laid_on_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 1)
    pixels = np.asarray(decode_rgb(encoded(image, "PNG", transparency=0)))
    assert pixels[0, 0].tolist() == [0, 0, 255]
    assert pixels[1, 1].tolist() == [255, 255, 255]


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (8, 4))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright: top left goes top right
    upright = decode_rgb(encoded(image, "PNG", exif=exif))
    assert upright.size == (4, 8)
    assert upright.getpixel((3, 0)) == (255, 255, 255)


def test_square_is_the_centre_at_the_shorter_side():
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    assert np.array_equal(decode_square(encoded(Image.fromarray(pixels), "PNG"), 10), pixels[:, 10:20])


def test_square_of_a_large_jpeg_is_near_that_of_its_full_decoding():
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(ramp[None, :, None], (640, 640, 3)).copy())
    quick = decode_square(encoded(image, "JPEG", quality=95), 32).astype(int)
    full = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(quick - full).max() <= 4


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(8, 20), st.sampled_from(["PNG", "JPEG"]))
def test_square_of_any_size_has_the_wanted_side(width, height, side, kind):
    square = decode_square(encoded(Image.new("RGB", (width, height), (50, 100, 150)), kind), side)
    assert square.shape == (side, side, 3)
    assert np.abs(square.astype(int) - [50, 100, 150]).max() <= 3


def test_a_sliver_does_not_blow_up_memory():
    assert decode_square(encoded(Image.new("RGB", (1, 30000)), "PNG"), 64).shape == (64, 64, 3)


@pytest.mark.parametrize("data", [b"", b"<html>gone</html>", encoded(Image.new("RGB", (64, 64)), "JPEG")[:300]],
                         ids=["empty", "html", "cut short"])
def test_broken_bytes_are_unreadable(data):
    with pytest.raises(UnreadableImage):
        decode_rgb(data)


def test_a_header_is_enough_for_the_header_check():
    data = encoded(Image.effect_noise((256, 256), 50), "JPEG")
    check_header(data[:1000])
    with pytest.raises(UnreadableImage, match="not an image"):
        check_header(b"<html>")
