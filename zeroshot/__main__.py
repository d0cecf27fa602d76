"""Use a trained model: `python -m zeroshot name cat.jpg`, and so embed, search and serve; docs/naming.md shows them."""

import zeroshot.base.processor  # noqa: F401  isort: skip  (before numpy and torch)
import zeroshot.running.collecting  # noqa: F401  isort: skip
import zeroshot.running.freed_memory  # noqa: F401  isort: skip
import zeroshot.running.quick_torch  # noqa: F401  isort: skip
import zeroshot.running.spinning  # noqa: F401  isort: skip
from zeroshot.running.ending import end  # isort: skip  (before all that asks to be called at the end)

import argparse
import io
import os
import sys
from pathlib import Path

from zeroshot.console.ends import ended
from zeroshot.console.progress import let_bars_vanish
from zeroshot.naming import commands, quick_timm
from zeroshot.serving.command import add_flags, serve


def parser() -> argparse.ArgumentParser:
    """What the command line takes; see zeroshot.naming.commands for what is done."""
    root = argparse.ArgumentParser(prog="python -m zeroshot", description="Use a trained zero-shot model.")
    of_all = argparse.ArgumentParser(add_help=False)
    for taker, default in ((root, Path("data/model")), (of_all, argparse.SUPPRESS)):  # before the command, or behind it
        taker.add_argument("--from", dest="folder", type=Path, default=default, metavar="FOLDER",
                           help="the model's folder, which may be copied anywhere (default: data/model)")
    pictures = argparse.ArgumentParser(add_help=False)
    pictures.add_argument("pictures", nargs="+", metavar="PICTURE",
                          help="files, folders, tars, patterns; - for standard input: an image, or paths, one a line")
    commands_of = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    name = commands_of.add_parser("name", parents=[of_all, pictures], help="what do pictures show?")
    name.add_argument("--labels", action=Joined,
                      help="the candidates: a label set of the run, a file of labels, one a line, or your own with "
                           "commas between them: words, wnids or word=wnid")
    name.add_argument("--model", action=Joined,
                      help="which of the folder's models, several with commas between them; all: every one")
    name.add_argument("--top", type=int, default=5, metavar="N", help="answers a picture (default: %(default)s)")
    name.set_defaults(run=commands.name)

    embed = commands_of.add_parser("embed", parents=[of_all, pictures], help="where do pictures lie? for other tools")
    embed.add_argument("--out", type=Path, required=True, metavar="FILE", help=".safetensors or .csv")
    embed.add_argument("--model", action=Joined, help="whose label space; features: the network's own v(image)")
    embed.set_defaults(run=commands.embed)

    search = commands_of.add_parser("search", parents=[of_all], help="which pictures are nearest to words?")
    search.add_argument("words", nargs="?", metavar="WORDS", help="terms and names of labels; of several the mean")
    search.add_argument("--in", dest="pictures", nargs="+", action="extend", metavar="PLACE",
                        help="folders, tars, files, patterns, or an image index of the pipeline (default: data/index)")
    search.add_argument("--images", type=Path, help="where the files of an image index lie, if it does not hold them")
    search.add_argument("--model", action=Joined, help="in whose label space")
    search.add_argument("--top", type=int, default=20, metavar="N", help="pictures (default: %(default)s)")
    search.add_argument("--sheet", type=Path, metavar="FILE", help="besides, the pictures found as one, .png or .jpg")
    search.set_defaults(run=commands.search)
    page = commands_of.add_parser("serve", parents=[of_all], help="the same as a page on this machine")
    add_flags(page)
    page.set_defaults(run=serve)
    for command in (name, search):
        form = command.add_mutually_exclusive_group()
        form.add_argument("--json", dest="form", action="store_const", const="json", help="a list of objects")
        form.add_argument("--csv", dest="form", action="store_const", const="csv", help="a table with a heading")
    return root


class Joined(argparse.Action):
    """An option that stands several times is one with commas: none is forgotten."""

    def __call__(self, parser, options, value, option=None) -> None:
        before = getattr(options, self.dest)
        setattr(options, self.dest, value if before is None else f"{before},{value}")


def main() -> int:
    """Run a command; returns the exit status: 1 if nothing could be read, or for what the user can mend."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files are not always in the terminal's letters
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is None:  # closed by a shell; notes would go to standard output
        sys.stderr = open(os.devnull, "w")
    options = parser().parse_args()
    let_bars_vanish()
    return ended("zeroshot", lambda: options.run(options))


if __name__ == "__main__":
    quick_timm.in_a_process_of_its_own()
    end(main())
