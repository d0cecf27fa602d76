import hashlib
import zipfile
from pathlib import Path

import pytest

from stages import fetch_wordnet
from stages.fetch_wordnet import Params, fetch, hierarchy, main, read_files
from zeroshot.console.errors import InputError


@pytest.fixture
def wordnet(monkeypatch, mini_wordnet) -> dict[str, bytes]:
    """The mini WordNet, taken for the real one."""
    monkeypatch.setattr(fetch_wordnet, "SYNSETS", {"data.adj": 2, "data.adv": 1, "data.noun": 5, "data.verb": 1})
    monkeypatch.setattr(fetch_wordnet, "LEMMAS", {"index.adj": 2, "index.adv": 1, "index.noun": 7, "index.verb": 1})
    monkeypatch.setattr(fetch_wordnet, "HIERARCHY_SHA256",
                        hashlib.sha256(hierarchy(mini_wordnet["data.noun"])).hexdigest())
    return mini_wordnet


def lay_out(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def zipped(path: Path, files: dict[str, bytes], prefix: str = "wordnet/") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(prefix + name, content)
    return path


def test_hierarchy_takes_names_and_parents_only(mini_wordnet):
    lines = hierarchy(mini_wordnet["data.noun"]).split(b"\n")
    offsets = [line[:8].decode() for line in lines]
    assert lines[1] == f"{offsets[1]} animal living_beast @{offsets[0]}".encode()
    assert lines[4] == f"{offsets[4]} Laika @i{offsets[3]}".encode()
    assert hierarchy(mini_wordnet["data.noun"].replace(b"barks", b"BARKS")) == b"\n".join(lines)


def test_folder_and_zip_give_the_same_bytes(wordnet, tmp_path):
    main(Params(source=str(lay_out(tmp_path / "a b" / "dict", wordnet))), out=tmp_path / "1.zip")
    main(Params(source=str(zipped(tmp_path / "in.zip", wordnet))), out=tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert archive.namelist() == sorted([*wordnet, "lexnames"])
        assert archive.read("lexnames").decode().splitlines()[3] == "03\tnoun.Tops\t1"
        assert len(archive.read("lexnames").decode().splitlines()) == 45


def test_nltk_comes_first_and_debian_is_not_asked(wordnet, tmp_path, monkeypatch):
    monkeypatch.setattr("nltk.download", lambda name, download_dir, **_:
                        zipped(Path(download_dir) / "corpora" / "wordnet.zip", wordnet))
    monkeypatch.setattr(fetch_wordnet, "from_debian", lambda folder: pytest.fail("asked"))
    files, where = fetch("auto", tmp_path)
    assert where == "nltk" and files["data.noun"] == wordnet["data.noun"]


def test_debian_comes_next(wordnet, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no internet")

    monkeypatch.setattr("nltk.download", refuse)
    monkeypatch.setattr(fetch_wordnet, "from_debian", lambda folder: lay_out(folder, wordnet))
    assert fetch("auto", tmp_path)[1] == "debian"


def test_no_source_names_each_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("nltk.download", lambda *_, **__: False)
    monkeypatch.setattr(fetch_wordnet.shutil, "which", lambda program: None)
    with pytest.raises(InputError, match=r"(?s)nltk: its downloader brought no.*debian: apt-get.*fetch_wordnet.source"):
        fetch("auto", tmp_path)


def test_apt_without_lists_updates_private_ones(wordnet, tmp_path, monkeypatch):
    calls = []

    def run(command, folder):
        calls.append(command)
        if command[:2] == ["apt-get", "download"] and len(calls) > 1:
            (folder / "wordnet-base_3.0_all.deb").touch()
        if command[0] == "dpkg":
            lay_out(folder / "usr" / "share" / "wordnet", wordnet)
        return "no package lists" if len(calls) == 1 else ""

    monkeypatch.setattr(fetch_wordnet, "_run", run)
    monkeypatch.setattr(fetch_wordnet.shutil, "which", lambda program: program)
    read_files(fetch_wordnet.from_debian(tmp_path / "debian"))
    assert [command[1] for command in calls] == ["download", "update", "download", "-x"]
    assert f"-oDir::State::Lists={tmp_path}/debian/lists" in calls[1]


def test_refusals(wordnet, tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read_files(tmp_path / "nowhere")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(InputError, match="no whole zip file"):
        read_files(tmp_path / "text.zip")
    whole = zipped(tmp_path / "whole.zip", wordnet).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(InputError, match="no whole zip file"):
        read_files(tmp_path / "cut.zip")
    with pytest.raises(InputError, match="lacks index.verb"):
        read_files(lay_out(tmp_path / "part", {name: wordnet[name] for name in wordnet if name != "index.verb"}))
    with pytest.raises(InputError, match="data.noun holds 4 synsets; WordNet 3.0's holds 5"):
        read_files(lay_out(tmp_path / "short", wordnet | {"data.noun": wordnet["data.noun"][:-60]}))
    with pytest.raises(InputError, match="is not WordNet 3.0's"):
        read_files(lay_out(tmp_path / "other", wordnet | {"data.noun": wordnet["data.noun"].replace(b"dog", b"god")}))


def test_a_damaged_count_is_refused(wordnet, tmp_path):
    damaged = wordnet["data.noun"].replace(b" n 02 dog", b" n zz dog")
    with pytest.raises(InputError, match="data.noun is damaged .*'zz'.*take a whole copy"):
        read_files(lay_out(tmp_path / "damaged", wordnet | {"data.noun": damaged}))


@pytest.mark.parametrize("name", ["index.adj", "index.adv", "index.noun", "index.verb", "data.adj", "data.verb"])
@pytest.mark.parametrize("kept", [slice(0), slice(-1), slice(-20)])
def test_a_file_cut_short_is_refused(wordnet, tmp_path, name, kept):
    with pytest.raises(InputError, match=f"{name} holds .*cut short.*take a whole copy"):
        read_files(lay_out(tmp_path / "cut", wordnet | {name: wordnet[name][kept]}))


def test_real_one_is_wordnet_3(wordnet_zip):
    assert len(read_files(wordnet_zip)) == 9
