"""Pictures that were found, as one picture."""

import importlib.util
import math
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from zeroshot.base.files import atomic_write
from zeroshot.console.errors import InputError
from zeroshot.images.decoding import UnreadableImage
from zeroshot.naming import output
from zeroshot.naming.answers import Found
from zeroshot.naming.pictures import Picture
from zeroshot.naming.reading import open_picture
from zeroshot.naming.written import check_place, told

SIDE, GAP, CAPTION, COLUMNS = 220, 12, 40, 5  # pixels; pictures in a row
MOST = 1000  # pictures on a sheet; JPEG ends at 65,500 pixels, and 200 MB of memory are enough
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
INK, PAPER, FAINT = "#1a1a1a", "#ffffff", "#666666"


def check_sheet(path: Path) -> None:
    """Raise InputError if no sheet can be written there."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"--sheet {path}: expected a name that ends in .png or .jpg")
    if not path.resolve().parent.is_dir():
        raise InputError(f"--sheet {path}: there is no such folder")
    check_place("--sheet", path)


def spare(path: Path, pictures: Sequence[Picture]) -> None:
    """Raise InputError if a sheet would be written over one of these."""
    for picture in pictures:
        if isinstance(picture.content, str) and os.path.basename(picture.content) == path.name and (
                os.path.realpath(picture.content) == os.path.realpath(path)):
            raise InputError(f"--sheet {path}: is one of the pictures that are searched, and would be written over; "
                             "give another path, or remove it")


def write_sheet(path: Path, title: str, found: list[tuple[Picture, Found]]) -> str:
    """Write MOST pictures or fewer in rows of COLUMNS, best first, each with its rank, score and name below.

    Returns:
        what was written, in words.
    """
    found, of = found[:MOST], f" of the {len(found):,} found" if len(found) > MOST else ""
    columns = min(COLUMNS, len(found))
    rows, head = math.ceil(len(found) / columns), 36
    size = (GAP + columns * (SIDE + GAP), head + rows * (SIDE + CAPTION + GAP))
    sheet = Image.new("RGB", size, PAPER)
    draw, large, small = ImageDraw.Draw(sheet), _font(18), _font(13)
    draw.text((GAP, 8), _fit(draw, title, large, size[0] - 2 * GAP), INK, large)
    for place, (picture, one) in enumerate(found):
        left, top = GAP + place % columns * (SIDE + GAP), head + place // columns * (SIDE + CAPTION + GAP)
        try:
            thumb = open_picture(picture)
        except UnreadableImage:  # it has changed since it was placed
            thumb = Image.new("RGB", (SIDE, SIDE), FAINT)
        scale = SIDE / max(thumb.size)
        thumb = thumb.resize([max(1, round(side * scale)) for side in thumb.size],
                             Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS)
        sheet.paste(thumb, (left + (SIDE - thumb.width) // 2, top + (SIDE - thumb.height) // 2))
        draw.text((left, top + SIDE + 3), f"{place + 1}   {one.score:.3f}", INK, small)
        draw.text((left, top + SIDE + 20), _fit(draw, Path(one.picture).name, small, SIDE), FAINT, small)
    with told("--sheet", path), atomic_write(path, "wb") as file:
        sheet.save(file, FORMATS[path.suffix.lower()])
    return f"{path}: the {'first ' if of else ''}{output.counted(len(found), 'picture')}{of}"


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's, where that is installed: it has the letters of nearly all names, Pillow's own only plain ones."""
    found = importlib.util.find_spec("matplotlib")
    path = Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf" if found and found.origin else Path()
    return ImageFont.truetype(path, size) if path.is_file() else ImageFont.load_default(size)


def _fit(draw: ImageDraw.ImageDraw, text: str, font, width: int) -> str:
    """The text, without its middle where it is too long."""
    kept = len(text)
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    shown = text
    while draw.textlength(shown, font) > width and kept > 4:
        kept -= 1
        shown = f"{text[:kept // 2]}…{text[len(text) - (kept - kept // 2):]}"
    return shown
