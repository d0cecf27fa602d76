"""What a file is, by its first bytes: for telling one format from another, and for naming what was found instead."""

import re

from zeroshot.console.errors import quoted

_COMMENTS = re.compile(rb"(?:<!--.*?-->\s*)+", re.DOTALL)
_HTML = re.compile(rb"<(?:!doctype html|(?:html|head|body|meta|title|script|style|link|div|table|center|h1|p)[\s>])",
                   re.IGNORECASE)
_SGML = re.compile(rb"<DOC[\s>]")  # of newswire; WikiExtractor's are small
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # but for tabs, line and page ends, and escape
SIGNATURES = (  # offset, bytes, name; in this order
    (0, b"\xff\xd8\xff", "JPEG"), (0, b"\x89PNG\r\n\x1a\n", "PNG"), (0, b"GIF8", "GIF"), (8, b"WEBP", "WebP"),
    (0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF"), (0, b"II+\0", "BigTIFF"), (0, b"MM\0+", "BigTIFF"), (0, b"BM", "BMP"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"), (0, b"\xffO\xffQ", "JPEG 2000"), (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"), (4, b"ftyphei", "HEIC"), (4, b"ftyphev", "HEIC"), (4, b"ftypmif1", "HEIF"),
    (0, b"\xff\x0a", "JPEG XL"), (0, b"\0\0\0\x0cJXL ", "JPEG XL"), (0, b"8BPS", "Photoshop"),
    *((0, b"P%d" % kind, "portable pixmap") for kind in range(1, 7)))
OTHERS = (
    (0, b"%PDF", "PDF"), (0, b"PK\x03\x04", "zip"), (0, b"\x1f\x8b", "gzip"), (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ", "xz"), (0, b"\x28\xb5\x2f\xfd", "zstd"), (0, b"7z\xbc\xaf", "7-Zip"), (0, b"Rar!", "RAR"),
    (257, b"ustar", "tar"), (0, b"\0\x05\x16\x07", "AppleDouble (macOS's notes on a file)"), (0, b"\x89HDF", "HDF5"),
    (0, b"\xd0\xcf\x11\xe0", "OLE (Windows' or Office's)"), (0, b"version https://git-lfs", "Git LFS pointer"),
    (0, b"SQLite format 3\0", "SQLite"), (0, b"\x93NUMPY", "NumPy"), (4, b"ftyp", "MP4"), (0, b"\x7fELF", "program"),
    (0, b"PAR1", "Parquet"), (0, b"ARROW1", "Arrow"), (0, b"\x04\x22\x4d\x18", "LZ4"),
    (0, b"\x1f\x9d", "compress (.Z)"), (0, b"PK\x05\x06", "zip"), (0, b"\xba\x16\x4f\x2f", "fastText model"),
    (0, b"{\\rtf", "RTF"), (0, b"%!PS", "PostScript"), (0, b"\xff\xfe", "UTF-16 text"), (0, b"\xfe\xff", "UTF-16 text"),
    *((0, b"\x80" + bytes([protocol]), "Python pickle") for protocol in range(2, 6)))
TEXT_KINDS = frozenset({"PDF", "HTML", "XML", "SVG", "SGML", "RTF", "PostScript", "Git LFS pointer"})  # text too
IMAGE_NAMES = frozenset(name for _, _, name in SIGNATURES)
IMAGE_SUFFIXES = frozenset(".jpeg .jpg .jpe .jfif .png .webp .bmp .dib .gif .tif .tiff .jp2 .j2k .jpx .avif .heic "
                           ".heif .jxl .ppm .pgm .pbm .pnm .tga .ico .psd .dng .cr2 .nef .arw .pcx".split())
HEAD = 512  # bytes that decide


def kind_of(head: bytes) -> str:
    """The format's name by a file's first bytes (HEAD of them will do): "JPEG", "PDF", "HTML"; "" if unknown."""
    for offset, magic, name in SIGNATURES + OTHERS:
        if head.startswith(magic, offset):
            return name
    text = head[:HEAD].lstrip(b"\xef\xbb\xbf \t\r\n")
    if comments := _COMMENTS.match(text):
        text = text[comments.end():]
    if _HTML.match(text) or text.startswith(b"<!--"):  # a comment longer than what decides
        return "HTML"
    if _SGML.match(text):
        return "SGML"
    return next((name for tag, name in ((b"<svg", "SVG"), (b"<?xml", "XML")) if text[:5].lower().startswith(tag)), "")


def said_of(head: bytes) -> str:
    """The kind in words, for messages that refuse a file; never raw bytes."""
    if not head:
        return "empty file"
    return f"{kind} file" if (kind := kind_of(head)) else "file of an unknown format"


def text_kind(head: bytes) -> str:
    """As `kind_of`, but text that only happens to begin with a signature's letters ("BM", "P1") has no kind."""
    kind = kind_of(head)
    return kind if kind in TEXT_KINDS or not is_text(head[:HEAD]) else ""


def shown(head: bytes) -> str:
    """For messages: "zip file", or, of text, how it begins, in quotes; never raw bytes."""
    if text_kind(head) or not is_text(head[:HEAD]):
        return said_of(head)
    return quoted(head[:HEAD].decode("utf-8-sig", "ignore").strip(), 40)


def is_image(head: bytes) -> bool:
    """Whether a file begins as an image of some format does, readable here or not."""
    return kind_of(head) in IMAGE_NAMES


def is_named_image(name: str) -> bool:
    """Whether a path's suffix is an image's, in whatever case."""
    return name[name.rfind("."):].lower() in IMAGE_SUFFIXES


def is_text(head: bytes) -> bool:
    """Whether a file begins as text in UTF-8 does: no other characters than printed ones and white space.

    Letters that look like a signature ("BM", "P1") do not make a text another format, so ask this first.
    """
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.end < len(head) - 3 or error.reason != "unexpected end of data":
            return False
        text = head[:error.start].decode("utf-8-sig")  # cut within a letter
    return not _CONTROL.search(text)
