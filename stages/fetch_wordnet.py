"""WordNet 3.0's database files, from wherever they can be had, in one zip with reproducible bytes.

Sources: NLTK's downloader; Debian's package `wordnet-base`, downloaded and unpacked without root; or the user's
own copy. What decides everything later, the noun synsets with their names and hypernyms, is
compared with WordNet 3.0's by checksum. Other bytes may differ between packagings (the offsets of some adjectives do,
by one), so the whole files are not. 28 MB; seconds.
"""

import hashlib
import io
import re
import shutil
import socket
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from stages import run_stage
from zeroshot.base.files import atomic_write
from zeroshot.base.params import StageParams
from zeroshot.console.errors import InputError

SYNSETS = {"data.adj": 18_156, "data.adv": 3_621, "data.noun": 82_115, "data.verb": 13_767}  # how many each holds
LEMMAS = {"index.adj": 21_479, "index.adv": 4_481, "index.noun": 117_798, "index.verb": 11_529}  # wnstats(7WN)
FILES = (*SYNSETS, *LEMMAS)
# Of the text that `hierarchy` makes of WordNet 3.0's data.noun.
HIERARCHY_SHA256 = "0e01703c59669d9b7690d221ea48e0eac0ecd2e51bfac8a7d9b03459371319e7"
# The lexicographer files, in WordNet's fixed order, with their part of speech (1 noun, 2 verb, 3 adjective, 4 adverb).
LEXNAMES = (
    "adj.all 3|adj.pert 3|adv.all 4|noun.Tops 1|noun.act 1|noun.animal 1|noun.artifact 1|noun.attribute 1|noun.body 1|"
    "noun.cognition 1|noun.communication 1|noun.event 1|noun.feeling 1|noun.food 1|noun.group 1|noun.location 1|"
    "noun.motive 1|noun.object 1|noun.person 1|noun.phenomenon 1|noun.plant 1|noun.possession 1|noun.process 1|"
    "noun.quantity 1|noun.relation 1|noun.shape 1|noun.state 1|noun.substance 1|noun.time 1|verb.body 2|verb.change 2|"
    "verb.cognition 2|verb.communication 2|verb.competition 2|verb.consumption 2|verb.contact 2|verb.creation 2|"
    "verb.emotion 2|verb.motion 2|verb.perception 2|verb.possession 2|verb.social 2|verb.stative 2|verb.weather 2|"
    "adj.ppl 3").split("|")
PACKAGE = "wordnet-base"  # Debian's; what else it needs to run is not needed to be read
PATIENCE = 10  # seconds without an answer before a download is given up
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can state


class Params(StageParams):
    source: str


def main(params: Params, *, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files, where = fetch(params.source, Path(folder))
    pack(out, files)
    print(f"WordNet 3.0 from {where}: {len(files)} files, {sum(map(len, files.values())) / 1e6:.0f} MB unpacked")


def fetch(source: str, folder: Path) -> tuple[dict[str, bytes], str]:
    """The files of WordNet 3.0 by name, and where they came from; `folder` is for temporary files.

    Raises:
        InputError: no source has it; the reason of each is given.
    """
    known: dict[str, Callable[[Path], Path]] = {"nltk": from_nltk, "debian": from_debian}
    if source not in ("auto", *known):
        return read_files(Path(source)), source
    refusals = []
    for name in known if source == "auto" else [source]:
        try:
            return read_files(known[name](folder / name)), name
        except InputError as error:
            refusals.append(f"  {name}: {error}")
    raise InputError("\n".join([
        "WordNet 3.0 could not be had:", *refusals,
        "  Connect to the internet or to a Debian or Ubuntu package mirror, or set `fetch_wordnet.source` to",
        "  a folder or zip with data.noun and the rest (NLTK's corpora/wordnet.zip, or a copy of /usr/share/wordnet)"]))


def from_nltk(folder: Path) -> Path:
    """What NLTK's downloader brings: the path of a zip or a folder."""
    import nltk

    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        nltk.download("wordnet", download_dir=str(folder), quiet=True, raise_on_error=True,
                      print_error_to=io.StringIO())
    except Exception as error:  # its errors are of many kinds, none of them ours
        raise InputError(f"its download failed ({str(error) or type(error).__name__})") from None
    finally:
        socket.setdefaulttimeout(timeout)
    for found in (folder / "corpora" / "wordnet.zip", folder / "corpora" / "wordnet"):
        if found.exists():
            return found
    raise InputError("its downloader brought no corpora/wordnet")


def from_debian(folder: Path) -> Path:
    """The folder with the files of Debian's package, downloaded and unpacked as an ordinary user."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise InputError("apt-get or dpkg is not installed here")
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True)
    patience = [f"-oAcquire::{method}::Timeout={PATIENCE}" for method in ("http", "https")] + ["-oAcquire::Retries=1"]
    private = [f"-oDir::State::Lists={lists}", "-oDir::Cache::pkgcache=", "-oDir::Cache::srcpkgcache="]
    if _run(["apt-get", "download", *patience, PACKAGE], folder):  # no package lists here, or outdated ones
        failure = (_run(["apt-get", "update", *patience, *private], folder)
                   or _run(["apt-get", "download", *patience, *private, PACKAGE], folder))
        if failure:
            raise InputError(f"apt-get download failed ({failure})")
    package = next(folder.glob(f"{PACKAGE}_*.deb"))
    if failure := _run(["dpkg", "-x", package.name, "."], folder):
        raise InputError(f"{package.name}: dpkg cannot unpack it ({failure})")
    return folder / "usr" / "share" / "wordnet"


def _run(command: list[str], folder: Path) -> str:
    """Run a program in `folder`; "" if it went well, else the last line of its complaint."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


def read_files(path: Path) -> dict[str, bytes]:
    """The files by name, from a folder or a zip that holds them at any depth, checked.

    Raises:
        InputError: not there, damaged, incomplete, or no WordNet 3.0.
    """
    try:
        files = _read_folder(path) if path.is_dir() else _read_zip(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file or folder; expected one that holds data.noun and the rest") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:  # the last: encrypted
        raise InputError(f"{path}: no whole zip file ({error})") from None
    missing = [name for name in FILES if name not in files]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; expected {', '.join(FILES)}")
    check(files, path)
    return files | {"lexnames": lexnames_file()}


def _read_folder(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.rglob("*")) if file.name in FILES and file.is_file()}


def _read_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {Path(name).name: archive.read(name) for name in archive.namelist() if Path(name).name in FILES}


def check(files: dict[str, bytes], path: Path) -> None:
    """Refuse what is no WordNet 3.0 or is cut short.

    Raises:
        InputError: naming the file.
    """
    for rows, row, counts in (("synsets", rb"^\d{8} ", SYNSETS), ("lemmas", rb"^\S", LEMMAS)):
        for name, expected in counts.items():
            found = len(re.findall(row, files[name], re.MULTILINE))
            whole_lines = files[name].endswith(b"\n")
            if found != expected or not whole_lines:
                guess = "cut short, or another version" if whole_lines else "cut short within a line"
                raise InputError(f"{path}: {name} holds {found:,} {rows}; WordNet 3.0's holds {expected:,}; "
                                 f"it is {guess}; take a whole copy")
    try:
        found = hashlib.sha256(hierarchy(files["data.noun"])).hexdigest()
    except ValueError as error:
        raise InputError(f"{path}: data.noun is damaged ({error}, for a number of words); take a whole copy") from None
    if found != HIERARCHY_SHA256:
        raise InputError(f"{path}: data.noun is not WordNet 3.0's, or is damaged: its nouns and hypernyms have the "
                         f"checksum {found[:16]}..., expected {HIERARCHY_SHA256[:16]}... (ImageNet's wnids are offsets "
                         "of 3.0 alone; 3.1 and 2.1 will not do)")


def hierarchy(data_noun: bytes) -> bytes:
    """What later stages take from data.noun besides its glosses: one line per synset: its offset, names and hypernyms.

    `data.noun` (wndb(5WN)): offset, lexicographer file, type, number of words in hex, (word, id) pairs, number of
    pointers, (symbol, offset, type, source/target) each, "|", gloss; "@" points to a hypernym, "@i" to an instance's.
    """
    rows = []
    for line in data_noun.split(b"\n"):
        fields = line.partition(b"|")[0].split()
        if not re.match(rb"\d{8} ", line) or len(fields) < 4:
            continue  # the licence
        words = int(fields[3], 16)
        pointers = fields[5 + 2 * words:]
        parents = sorted(symbol + target for symbol, target in zip(pointers[::4], pointers[1::4], strict=False)
                         if symbol in (b"@", b"@i"))
        rows.append(b" ".join([fields[0], *fields[4:4 + 2 * words:2], *parents]))
    return b"\n".join(sorted(rows))


def lexnames_file() -> bytes:
    """NLTK's file `lexnames`: number, name, part of speech. Debian's packages lack it."""
    return "".join(f"{number:02d}\t{row.replace(' ', chr(9))}\n" for number, row in enumerate(LEXNAMES)).encode()


def pack(out: Path, files: dict[str, bytes]) -> None:
    """Write a zip whose bytes depend on the files alone."""
    with atomic_write(out, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, files[name])  # stored: deflate's bytes vary with the zlib at hand


if __name__ == "__main__":
    run_stage(main)
