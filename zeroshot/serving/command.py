"""`python -m zeroshot serve`."""

import argparse
import importlib.util
import sys
from pathlib import Path

from zeroshot.console.errors import InputError

NEEDED = {"starlette": "starlette", "uvicorn": "uvicorn", "python_multipart": "python-multipart", "jinja2": "jinja2"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What the command takes besides the model's folder."""
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="images that can be searched by words")
    parser.add_argument("--host", default="127.0.0.1",
                        help="address to listen at (default: %(default)s, which this machine alone reaches)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes any that is free (default: %(default)s)")


def serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C; returns the exit status.

    Raises:
        InputError: no model, a folder without images, an address that cannot be listened at, or requirements that are
            not installed.
    """
    check_installed()
    from zeroshot.naming.model import Model  # not at the top: other commands need none of it, and may lack it
    from zeroshot.serving.app import build_app
    from zeroshot.serving.desk import Desk
    from zeroshot.serving.models import ServedModel
    from zeroshot.serving.photographs import Photographs
    from zeroshot.serving.server import address_of, bind, run, warning

    with bind(options.host, options.port) as listening:
        model = Model(options.folder)
        served = ServedModel(model)
        served.warm_up()
        photographs = Photographs(model, options.photographs.expanduser()) if options.photographs else None
        if said := warning(options.host):
            print(said, file=sys.stderr)
        print(f"{options.folder}: {served.about}")
        print(f"Open {address_of(listening)} in a browser; Ctrl-C ends it.", flush=True)
        run(build_app(served, photographs, options.host, Desk()), listening)
    print("\nEnded.")
    return 0


def check_installed() -> None:
    """Raise InputError if what only this command needs is missing."""
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(f"serve: {', '.join(missing)} not installed; `make serve` does it, or "
                         "`pip install -r requirements-serve.txt -c constraints.txt`")
