import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zeroshot.base.signatures import is_image, is_named_image, kind_of
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
    with pytest.raises(UnreadableImage, match=r"not an image \(HTML file\)"):
        check_header(b"<html>")


# --- more than eight bits: white is what the file says

RAMP = np.array([[0, 1, 2], [3, 4, 5]])  # in sixths of what each test makes of it


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write in colour."""
    height, width = values.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if values.ndim == 2 else values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)), (b"IDAT", zlib.compress(rows)),
              (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + name + data + struct.pack(
        ">I", zlib.crc32(name + data)) for name, data in chunks)


def tiff(values: np.ndarray, *, bits: int | None = None, **tags: int) -> bytes:
    """A TIFF of one channel; 12 `bits` are packed, two values in three bytes, which Pillow reads but cannot write."""
    file = io.BytesIO()
    numbers = {"white": 281, "photometric": 262}
    Image.fromarray(values).save(file, "TIFF", tiffinfo={numbers[name]: value for name, value in tags.items()})
    if bits != 12:
        return file.getvalue()
    pairs = values.astype(np.uint16).reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    data = packed.astype(np.uint8).tobytes()
    entries = [(256, 3, 1, values.shape[1]), (257, 3, 1, values.shape[0]), (258, 3, 1, 12), (259, 3, 1, 1),
               (262, 3, 1, 1), (273, 4, 1, 122), (277, 3, 1, 1), (278, 3, 1, values.shape[0]), (279, 4, 1, len(data))]
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (head + b"\0" * 4).ljust(122, b"\0") + data


def grey(data: bytes) -> list[int]:
    pixels = np.asarray(decode_rgb(data))
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0].ravel().tolist()


SIXTHS = [0, 51, 102, 153, 204, 255]


@pytest.mark.parametrize(("data", "expected"), [
    (png16(RAMP * 13107), SIXTHS), (png16(np.repeat((RAMP * 13107)[..., None], 3, 2)), SIXTHS),
    (tiff((RAMP * 13107).astype(np.uint16)), SIXTHS),
    (tiff((RAMP * 13107).astype(np.uint16), photometric=0), SIXTHS[::-1]),
    (tiff((RAMP * 819).astype(np.uint16), white=4095), SIXTHS),  # 12 bits in 16, said so
    (tiff((RAMP * 51).astype(np.uint16), white=255), SIXTHS),
    (tiff((RAMP * 200).astype(np.uint16), white=1000), SIXTHS),
    (tiff((np.array([[0, 819, 1638, 2457], [3276, 4095, 0, 4095]])).astype(np.uint16), bits=12), SIXTHS + [0, 255]),
    (b"P5 3 2 4095\n" + (RAMP * 819).astype(">u2").tobytes(), SIXTHS),
    (tiff((RAMP / 5).astype(np.float32)), SIXTHS), (tiff((RAMP * 51).astype(np.float32)), SIXTHS),
    (tiff((RAMP / 50).astype(np.float32)), [0, 5, 10, 15, 20, 26]),  # dark, on a scale that is known
    (png16(np.zeros((2, 3), int)), [0] * 6), (tiff(np.zeros((2, 3), np.float32)), [0] * 6)],
    ids=["png", "png rgb", "tiff", "tiff white is zero", "white 4095", "white 255", "white 1000", "12 bits", "pgm 4095",
         "float 1", "float 255", "dark float", "black", "black float"])
def test_more_than_eight_bits_are_scaled_by_what_the_file_says(data, expected):
    assert grey(data) == expected


@pytest.mark.parametrize(("data", "reason"), [
    (png16(RAMP * 819), "above a sixteenth of white"), (png16(RAMP * 51), "above a sixteenth"),
    (png16(np.repeat((RAMP * 819)[..., None], 3, 2)), "above a sixteenth"),
    (png16(np.dstack([RAMP * 819] * 3 + [np.full((2, 3), 65535)])), "above a sixteenth"),
    (png16(np.dstack([RAMP * 819, np.full((2, 3), 65535)])), "above a sixteenth"),
    (tiff((RAMP * 819).astype(np.uint16)), "above a sixteenth"),
    (b"P5 3 2 65535\n" + (RAMP * 819).astype(">u2").tobytes(), "above a sixteenth"),
    (tiff((RAMP * 13107).astype(np.int32)), "32-bit signed or unsigned integers"),
    (tiff((RAMP * 100).astype(np.float32)), "floating values from 0 to 500; expected 0 to 1"),
    (tiff((RAMP - 1).astype(np.float32)), "from -1 to 4"), (tiff((RAMP / 2).astype(np.float32)), "from 0 to 2.5"),
    (tiff(np.full((2, 3), np.nan, np.float32)), "from nan to nan")],
    ids=["png 12", "png 8", "rgb 12", "rgba 12", "la 12", "tiff 12", "pgm", "int32", "500", "negative", "2.5", "nan"])
def test_what_would_come_out_black_or_white_is_unreadable(data, reason):
    with pytest.raises(UnreadableImage, match=reason):
        decode_rgb(data)


@pytest.mark.parametrize(("data", "kind", "image"), [
    (encoded(Image.new("RGB", (2, 2)), "JPEG"), "JPEG", True),
    (encoded(Image.new("RGB", (2, 2)), "WEBP"), "WebP", True),
    (encoded(Image.new("RGB", (2, 2)), "TIFF"), "TIFF", True),
    (encoded(Image.new("RGB", (9, 9)), "JPEG2000"), "JPEG 2000", True),
    (encoded(Image.new("RGB", (9, 9)), "AVIF"), "AVIF", True), (b"\0\0\0\x18ftypheic", "HEIC", True),
    (b"%PDF-1.4", "PDF", False), (b"\n<!DOCTYPE HTML>", "HTML", False), (b"PK\x03\x04", "zip", False),
    (b"\x1f\x8b\x08", "gzip", False), (b"\0\x05\x16\x07", "AppleDouble (macOS's notes on a file)", False),
    (b"", "", False), (b"words", "", False)])
def test_formats_are_known_by_their_first_bytes(data, kind, image):
    assert (kind_of(data), is_image(data)) == (kind, image)


def test_names_of_images():
    assert all(map(is_named_image, ("a.JPEG", "x/b.jpg", "c.PnG", "d.e.webp")))
    assert not any(map(is_named_image, ("boxes.txt", "JPEG", "Thumbs.db", "a.jpg.gz", "")))


@pytest.mark.parametrize(("data", "reason"), [
    (b"\xfe\x01\x02" * 100, r"not an image \(file of an unknown format\)"), (b"%PDF-1.4 ...", "PDF file"),
    (b"\0\0\0\x18ftypheicmif1", "HEIC file, which is damaged or of a kind"), (b"II*\0" + b"\xff" * 99, "TIFF file")])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_reasons_name_the_format_and_hold_no_raw_bytes(data, reason):
    with pytest.raises(UnreadableImage, match=reason) as told:
        decode_rgb(data)
    assert "\\x" not in str(told.value)
