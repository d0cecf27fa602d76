"""`python -m zeroshot serve`."""

import argparse
import importlib.util
from pathlib import Path

from zeroshot.console.errors import InputError

NEEDED = {"starlette": "starlette", "uvicorn": "uvicorn", "python_multipart": "python-multipart", "jinja2": "jinja2"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--model", type=Path, default=Path("data/model"), help="the model's folder (data/model)")
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="images that can be searched by words")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at (8000); 0 takes any that is free")


def main(model: Path, photographs: Path | None, host: str, port: int) -> None:
    """Serve until Ctrl-C.

    Raises:
        InputError: no model, a folder without images, an address that cannot be listened at, or requirements that are
            not installed.
    """
    check_installed()
    from zeroshot.naming.model import Model  # not at the top: what a command does not use is not loaded
    from zeroshot.serving.app import build_app
    from zeroshot.serving.desk import Desk
    from zeroshot.serving.models import ServedModel
    from zeroshot.serving.server import address_of, bind, run, warning

    with bind(host, port) as listening:
        loaded = Model(model)
        served = ServedModel(loaded)
        searched = open_folder(loaded, photographs) if photographs else None
        served.warm_up()
        if said := warning(host):
            print(said)
        print(f"{model}: {served.about}\nOpen {address_of(listening)} in a browser; Ctrl-C ends it.", flush=True)
        run(build_app(served, searched, host, Desk()), listening)
    print("\nEnded.")


def open_folder(model: "Model", folder: Path) -> "Photographs":
    from zeroshot.serving.photographs import Photographs

    return Photographs(model, folder)


def check_installed() -> None:
    """Raise InputError if what only this command needs is missing."""
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(f"serve: {', '.join(missing)} not installed; `make serve` does it, or "
                         "`pip install -r requirements-serve.txt -c constraints.txt`")
