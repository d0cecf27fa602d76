"""How answers look in a terminal, as JSON and as CSV."""

import codecs
import csv
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

from zeroshot.console.progress import beside_bars
from zeroshot.naming.answers import Answer, Found, Named
from zeroshot.naming.model import Model

if TYPE_CHECKING:
    from zeroshot.naming.search import Search

PATH = 4  # hypernyms shown, as far as there is room for them
NARROW, WIDE = 24, 48  # characters of a column of words, WIDE where there is room for it
BESIDE = 56  # of what else stands in a line: score, wnid, seen, and the first hypernym as a rule
COLUMNS = ("picture", "model", "rank", "score", "words", "wnid", "seen", "path", "gloss", "error")


def tell_choice(model: Model, asked: list[str], by_default: bool, labels: str, count: int, *, plain: bool) -> None:
    """Which models answer and why, among which labels; on standard output only beside a table."""
    why = f" (the default: {model.why_default})" if by_default else ""
    said = f"{', '.join(asked)}{why}; {counted(count, 'label')}: {labels}"
    print(wrapped(said), file=sys.stdout if plain else sys.stderr)


def wrapped(text: str) -> str:
    return textwrap.fill(text, _columns(), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _columns() -> int:
    return shutil.get_terminal_size((120, 50)).columns


def counted(count: int, what: str) -> str:
    """1 picture, 2 pictures."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def shown(name: str) -> str:
    """A file's name, on one line; what cannot be printed, or would tell a terminal to do something, as its number."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)


def encodable(name: str) -> str:
    """A file's name for a file in UTF-8; bytes that are none as their numbers."""
    return name.encode(errors="backslashreplace").decode()


def table(named: Iterable[Named]) -> None:
    """Answers for people: one model's with their hypernyms, several models' side by side."""
    for one in named:
        if one.error:  # which standard error tells
            continue
        several = len(one.answers) > 1
        lines = _side_by_side(one.answers) if several else map(_line, *one.answers.values())
        with beside_bars():
            print("", shown(one.picture), *lines, sep="\n")


def _line(answer: Answer) -> str:
    seen, wide = "seen" if answer.seen else "never seen", min(WIDE, max(NARROW, _columns() - BESIDE))
    line = f"  {answer.score:7.3f}  {_cut(shown(answer.words), wide):{wide}}  {answer.wnid or '':9}  {seen:10} "
    for name in answer.path[:PATH]:
        if len(line) + 3 + len(name) > _columns():
            break
        line += f" < {name}"
    return line.rstrip()


def _side_by_side(answers: dict[str, list[Answer]]) -> Iterable[str]:
    """A column a model, as many beside each other as fit; * marks seen labels."""
    models, fit = list(answers), max(1, (_columns() - 2) // (NARROW + 11))
    for start in range(0, len(models), fit):
        some = models[start:start + fit]
        yield "  " + "".join(f"{name:{NARROW + 11}}" for name in some).rstrip()
        for rank in range(max(len(answers[name]) for name in some)):
            cells = [answers[name][rank] if rank < len(answers[name]) else None for name in some]
            yield "  " + "".join(_cell(cell) for cell in cells).rstrip()
    yield "  * seen: the network was trained on pictures of it"


def _cell(answer: Answer | None) -> str:
    if answer is None:
        return " " * (NARROW + 11)
    return f"{answer.score:7.3f} {'*' if answer.seen else ' '}{_cut(shown(answer.words), NARROW):{NARROW}}  "


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most - 1] + "…"


def as_json(named: Iterable[Named]) -> None:
    """One JSON list, a picture a line: picture, and answers by model or error."""
    _json_list({"picture": one.picture, **({"error": one.error} if one.error else {"answers": {
        model: list(map(_as_object, answers)) for model, answers in one.answers.items()}})} for one in named)


def _json_list(objects: Iterable[dict[str, Any]]) -> None:
    """Where the output has not all letters, those that it lacks are escaped as JSON has it."""
    plain = codecs.lookup(sys.stdout.encoding or "utf-8").name != "utf-8"
    print("[", end="")
    for number, one in enumerate(objects):
        with beside_bars():
            print(",\n " if number else "", json.dumps(one, ensure_ascii=plain), sep="", end="", flush=True)
    print("]")


def _as_object(answer: Answer) -> dict[str, Any]:
    return {**answer._asdict(), "score": round(answer.score, 6)}


def csv_writer(file: IO[str]):
    return csv.writer(file, lineterminator="\n")


def as_csv(named: Iterable[Named]) -> None:
    """A row an answer; a picture that cannot be read has one row, with `error`."""
    writer = csv_writer(sys.stdout)
    writer.writerow(COLUMNS)
    for one in named:
        rows = [[one.picture, *[""] * (len(COLUMNS) - 2), one.error]] if one.error else [
            [one.picture, model, rank, f"{answer.score:.6f}", answer.words, answer.wnid or "", answer.seen,
             " < ".join(answer.path), answer.gloss, ""]
            for model, answers in one.answers.items() for rank, answer in enumerate(answers, 1)]
        with beside_bars():
            writer.writerows(rows)


def tell_search(query: "Search", pictures: int) -> None:
    """How the words were taken, and where the points are kept."""
    print(wrapped(f"{query.said}, in the space of {query.model_name}; {counted(pictures, 'picture')}; their points "
                  f"are kept in {query.cache} (remove it as you like)"), file=sys.stderr)


def found_table(found: list[Found]) -> None:
    """A line a picture, the nearest first."""
    for rank, one in enumerate(found, 1):
        print(f"{rank:4}  {one.score:6.3f}  {shown(one.picture)}")


def found_json(found: list[Found]) -> None:
    _json_list({"picture": one.picture, "score": round(one.score, 6)} for one in found)


def found_csv(found: list[Found]) -> None:
    writer = csv_writer(sys.stdout)
    writer.writerow(("rank", "score", "picture"))
    writer.writerows((rank, f"{one.score:.6f}", one.picture) for rank, one in enumerate(found, 1))
