"""The page: one HTML file that holds all it shows and asks for nothing."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

TEMPLATES = Path(__file__).parent / "templates"
LOSSLESS = 64  # pixels; images no larger are kept as they are
QUALITY = 82  # of JPEG, of the others


def render(context: dict[str, Any], data: dict[str, Any]) -> str:
    """The template filled in.

    Args:
        context: what its text shows; everything is escaped.
        data: what its script shows, JSON-able.
    """
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                                     lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    own = {name: Markup((TEMPLATES / file).read_text(encoding="utf-8"))  # noqa: S704  these two files are ours
           for name, file in (("style", "style.css"), ("script", "script.js"))}
    return environment.get_template("page.html").render(context, data=as_json(data), **own) + "\n"


def as_json(data: Any) -> Markup:
    """JSON that can stand in a <script>: no name in it can end that."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def data_uri(image: Image.Image) -> str:
    """The picture itself as an address: small ones to the pixel, larger ones as JPEG."""
    file, kind = io.BytesIO(), "png" if max(image.size) <= LOSSLESS else "jpeg"
    image.save(file, kind, **({"quality": QUALITY} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
