"""A model as one folder, which holds all that naming needs and can be copied anywhere.

    data/model/model.json            what the files below are, by size and checksum; models, settings, figures, versions
    data/model/README.md             the model card
    data/model/cnn.safetensors       the softmax CNN, as pretrain_cnn writes it
    data/model/devise.safetensors    DeViSE's map, and its network where that was fine-tuned
    data/model/<model>.safetensors   ridge, eszsl, exemplars: their maps, as fit_closed_form writes them
    data/model/lemmas.safetensors, hypernyms.safetensors   label vectors, as embed_labels writes them
    data/model/labels.safetensors    meta["wnids"], all labels; member bool [sets, labels], whether a label is in
                                     meta["sets"]; bias.<model> float32 [labels], what is added to its score
    data/model/terms.safetensors     vectors float16 [terms, dim], unit length, of meta["terms"]
    data/model/nouns.tsv             WordNet's nouns, as build_taxonomy writes them, meanings cut short
    data/model/senses.tsv            a noun's term, tab, the wnids that it may mean in WordNet's order; sorted

Whatever was not trained is not there: the stage's own metadata say so.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from zeroshot.base.artifacts import Artifact
from zeroshot.base.files import sha256_of, write_json
from zeroshot.console.errors import InputError, quoted

FORMAT = 1  # of the folder; another number is another version, which is refused
MANIFEST, CARD = "model.json", "README.md"
AGAIN = "copy the whole folder again, or `dvc repro export_model`"

T = TypeVar("T")


def write_manifest(folder: Path, about: dict[str, Any]) -> None:
    """Write model.json beside the finished files: `about`, and each file's size and checksum."""
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in sorted(folder.iterdir())
             if path.name not in (MANIFEST, CARD) and not path.name.startswith(".")}
    content = {"format": FORMAT, **about, "files": files}
    write_json(folder / MANIFEST, {"sha256": _seal(content), **content})


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class ModelFolder:
    """The folder, checked as far as that costs nothing; each file's checksum is compared when it is read.

    Attributes:
        path: where it lies.
        about: what model.json says.
        sha256: its checksum, which covers all files'.

    Raises:
        InputError: no such folder, none of these, of another version, half copied or damaged.
    """

    def __init__(self, path: Path):
        self.path = path.absolute()  # the program may go elsewhere before all is read
        self.about = _read_manifest(path)
        self.sha256: str = self.about["sha256"]
        for name, listed in self.about["files"].items():
            file = path / name
            if not file.is_file():
                raise InputError(f"{file}: is missing, so this model is half copied; {AGAIN}")
            if (found := file.stat().st_size) != listed["bytes"]:
                raise InputError(f"{file}: {found:,} bytes, expected {listed['bytes']:,}: half copied or edited; "
                                 f"{AGAIN}")

    def __contains__(self, name: str) -> bool:
        return name in self.about["files"]

    def read(self, name: str, reader: Callable[[Path], T], seal: Callable[[T], str] = lambda read: read.sha256) -> T:
        """A sealed file, by its own reader.

        Args:
            seal: the file's own checksum, of what `reader` returned.

        Raises:
            InputError: damaged, or of another model.
        """
        path = self.path / name
        try:
            read = reader(path)
        except InputError as error:
            raise InputError(f"{str(error).partition(';')[0]}; {AGAIN}") from None
        except OSError as error:
            raise _unreadable(path, error) from None
        if seal(read) != self.about["seals"].get(name):
            raise InputError(f"{path}: of another model than {MANIFEST} beside it; {AGAIN}")
        return read

    def artifact(self, name: str) -> Artifact:
        """A sealed file's arrays."""
        return self.read(name, Artifact)

    def text(self, name: str) -> str:
        """A table's text. Raises InputError if it is damaged."""
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise _unreadable(self.path / name, error) from None
        if hashlib.sha256(content).hexdigest() != self.about["files"][name]["sha256"]:
            raise InputError(f"{self.path / name}: damaged or edited: its checksum is not the one in {MANIFEST}; "
                             f"{AGAIN}")
        return content.decode()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        what = "holds no model.json" if folder.is_dir() else "no folder, but a file" if folder.exists() else (
            "no such folder")
        raise InputError(f"{folder}: {what}; expected a model as `dvc repro export_model` writes it (data/model), "
                         "whole") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        about = json.loads(content)
        version, sealed = about["format"], about.pop("sha256")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: damaged, or no model's description; {AGAIN}") from None
    if version != FORMAT:
        raise InputError(f"{path}: a model of version {quoted(str(version), 20)}, which another version of zeroshot "
                         f"wrote; this one reads version {FORMAT}: `dvc repro export_model` with this one, or take "
                         "that one")
    if _seal(about) != sealed:
        raise InputError(f"{path}: damaged or edited: its checksum does not fit what it says; {AGAIN}")
    return {**about, "sha256": sealed}


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read ({(error.strerror or type(error).__name__).lower()}); {AGAIN}")
