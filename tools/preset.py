"""`make preset NAME=...`: put a preset in place as params.yaml.

presets/demo.yaml is complete and explains every key. Any other preset holds only what it has otherwise, below a head
that tells its paper, command, data, cost and figures to expect; merged onto the demo it makes a complete params.yaml.
"""

import contextlib
import difflib
import functools
import io
import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ruamel.yaml

from tools.stage_deps import PROJECT
from zeroshot.base.files import atomic_write
from zeroshot.base.params import read_yaml
from zeroshot.console.ends import ended
from zeroshot.console.errors import InputError

DEMO = "demo"  # the preset that the others are merged onto
PRESETS = PROJECT / "presets"


def main(name: str, root: Path = PROJECT) -> None:
    """Write the preset's params.yaml, keep an edited one that it replaces, print what is what."""
    presets, params = root / "presets", root / "params.yaml"
    text = merged(name, presets)
    kept = keep_edits(params, presets)
    with atomic_write(params, "wb") as file:
        file.write(text)
    print(report(name, text, presets))
    if kept:
        print(f"params.yaml had edits that no preset explains: they are kept in {kept.name}")


def preset_names(presets: Path = PRESETS) -> list[str]:
    return sorted(path.stem for path in presets.glob("*.yaml"))


def merged(name: str, presets: Path = PRESETS) -> bytes:
    """A complete params.yaml: the demo's, byte for byte, but for the values of preset `name` and a line that names it.

    Raises:
        InputError: no such preset, not valid YAML, or keys that the demo lacks (all of them at once).
    """
    if name not in preset_names(presets):
        asked = f"no preset is called `{name}`" if name else "no preset is named (`make preset NAME=...`)"
        raise InputError(f"{asked}; there are {', '.join(preset_names(presets))}")
    demo = (presets / f"{DEMO}.yaml").read_bytes()
    if name == DEMO:
        return demo
    path = presets / f"{name}.yaml"
    try:
        given = path.read_bytes()
    except OSError:
        given = b""  # `load` says why
    return _merged(path, given, demo)


@functools.lru_cache  # what is in place is compared with every preset, and a merge takes long
def _merged(path: Path, given: bytes, demo: bytes) -> bytes:
    """`given` is what `path` holds."""
    name, overlay, document = path.stem, load(path), round_trip().load(demo)
    if faults := misplaced_keys(overlay, document):
        raise InputError("\n".join(f"presets/{name}.yaml: {fault}" for fault in faults))
    for (*above, key), value in leaves(overlay):
        put(document, above, key, value)
    return named(name, dump(document)).encode()


def load(path: Path) -> dict:
    """A preset's settings as plain values, read as DVC reads them."""
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise InputError(f"{path.parent.name}/{path.name}: holds no settings; expected `section:`, then `key: value` "
                         "lines")
    return document


def leaves(document: Mapping, above: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Every value that is no mapping, with the keys that lead to it."""
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


def misplaced_keys(overlay: Mapping, demo: Mapping) -> list[str]:
    """What an overlay sets and the demo does not have, a sentence each."""
    known = [dotted(keys) for keys, _ in leaves(demo)]
    faults = []
    for keys, value in leaves(overlay):
        key = dotted(keys)
        if inner := [other.removeprefix(f"{key}.") for other in known if other.startswith(f"{key}.")]:
            faults.append(f"`{key}` is {shown(value)}; expected some of its keys {', '.join(inner)}")
        elif key not in known:
            near = near_spellings(key, known)
            hint = f"did you mean `{'` or `'.join(near)}`?" if near else "presets/demo.yaml has them all"
            faults.append(f"unknown key `{key}`; {hint}")
    return faults


def near_spellings(key: str, known: list[str]) -> list[str]:
    """Three at most: of the keys whose last names are spelt like this one's, those that are most alike as a whole."""
    last = {other: other.rpartition(".")[2] for other in known}
    alike = difflib.get_close_matches(key.rpartition(".")[2], set(last.values()), cutoff=0.7)
    near = [other for other in known if last[other] in alike]
    return sorted(near, key=lambda other: -difflib.SequenceMatcher(None, key, other).ratio())[:3]


def put(document: Mapping, above: list[str], key: str, value: Any) -> None:
    """Change one value; its comment stays, two spaces behind it or where it was, and a list stays on its line."""
    for section in above:
        document = document[section]
    if comment := document.ca.items.get(key, [None] * 3)[2]:
        was, end = (document.lc.col + len(f"{key}: {shown(content)}") + 2 for content in (document[key], value))
        aligned = comment.start_mark.column > was  # with its neighbours'
        comment.start_mark.column = max(end, comment.start_mark.column * aligned)
    if isinstance(value, list):
        value = ruamel.yaml.comments.CommentedSeq(value)
        value.fa.set_flow_style()
    document[key] = value


class Representer(ruamel.yaml.RoundTripRepresenter):
    """Writes what YAML 1.1 and 1.2 read alike: `1.0e-05`, not `1e-05`; and `null`, as the demo does."""

    def represent_float(self, number: float):
        mantissa, e, exponent = repr(number).partition("e")
        return self.represent_scalar("tag:yaml.org,2002:float", mantissa + ".0" * ("." not in mantissa) + e + exponent)

    def represent_none(self, _: None):
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


Representer.add_representer(float, Representer.represent_float)
Representer.add_representer(type(None), Representer.represent_none)


def round_trip() -> ruamel.yaml.YAML:
    """Reads and writes YAML 1.2 with its comments, quotes and line breaks."""
    yaml = ruamel.yaml.YAML()
    yaml.Representer, yaml.preserve_quotes, yaml.width = Representer, True, sys.maxsize
    return yaml


def dump(document: Mapping) -> str:
    text = io.StringIO()
    round_trip().dump(document, text)
    return text.getvalue()


def named(name: str, text: str) -> str:
    """With a line below the demo's first comment that says which preset this is."""
    lines = text.splitlines(keepends=True)
    end = len(list(itertools.takewhile(lambda line: line.startswith("#"), lines)))
    lines.insert(end, f"# Preset `{name}`: presets/{name}.yaml tells its paper, data, cost and figures to expect.\n")
    return "".join(lines)


def keep_edits(params: Path, presets: Path) -> Path | None:
    """Copy a params.yaml that is no preset's to params.yaml.bak (bak2 ... where that holds another); return which."""
    if not params.exists() or (edited := params.read_bytes()) in texts(presets):
        return None
    for number in itertools.count(1):
        backup = params.with_name(f"{params.name}.bak{number if number > 1 else ''}")
        if not backup.exists():
            with atomic_write(backup, "wb") as file:
                file.write(edited)
        if backup.read_bytes() == edited:
            return backup


def texts(presets: Path) -> list[bytes]:
    """Every preset's params.yaml; one that cannot be merged has none."""
    found = []
    for name in preset_names(presets):
        with contextlib.suppress(InputError):
            found.append(merged(name, presets))
    return found


def report(name: str, text: bytes, presets: Path) -> str:
    """The preset's head, and each value that the demo has otherwise."""
    head = [] if name == DEMO else [*head_of(presets / f"{name}.yaml"), ""]
    demo, here = (dict(leaves(round_trip().load(text))) for text in ((presets / f"{DEMO}.yaml").read_bytes(), text))
    changed = [f"  {dotted(keys)}: {shown(demo[keys])} -> {shown(value)}" for keys, value in here.items()
               if demo[keys] != value]
    what = ". What the demo has otherwise:" if changed else ""
    return "\n".join([*head, f"params.yaml is now the preset `{name}`{what}", *changed])


def head_of(overlay: Path) -> list[str]:
    lines = overlay.read_text(encoding="utf-8").splitlines()
    return [line[2:] for line in itertools.takewhile(lambda line: line.startswith("#"), lines)]


def dotted(keys: tuple) -> str:
    return ".".join(map(str, keys))


def shown(value: Any) -> str:
    """As YAML in one line."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)


if __name__ == "__main__":
    sys.exit(ended("preset", lambda: main(" ".join(sys.argv[1:]))))
