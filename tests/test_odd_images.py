"""Class folders, tars, tables and files of images that are odd but sound, and damage that must not be passed off."""

import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.cifar_archives import SEEN, binary_files
from tests.image_sets import CAT, DOG, jpeg, put_folder, tar_of
from tests.test_layouts import metrics, shown
from tests.test_layouts import run as run  # a fixture
from zeroshot.base.lists import read_wnid_list
from zeroshot.console.errors import InputError
from zeroshot.image_sets.archives import list_tar
from zeroshot.image_sets.cifar_files import read_part
from zeroshot.image_sets.truths import stem
from zeroshot.images.decoding import UnreadableImage, decode_rgb
from zeroshot.images.index import TRAIN, VAL

RED, GREEN = jpeg((200, 0, 0)), jpeg((0, 200, 0), (24, 16))


def members(*entries: tuple[str, bytes | str], links: bytes = tarfile.SYMTYPE) -> bytes:
    """A tar of members in their order, names as often as they come; a text is a link's target."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = links, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def contents(path) -> dict[str, bytes]:
    found, data = list_tar(path), path.read_bytes()
    assert len(set(found.names)) == len(found.names)
    return {name.decode(): data[at:at + size] for name, at, size in zip(found.names, found.offsets, found.sizes,
                                                                        strict=True)}


def test_of_members_of_one_name_the_last_counts(tmp_path):
    path = tmp_path / "x.tar"
    path.write_bytes(members(("a.jpg", RED), ("b.jpg", RED), ("link.jpg", "a.jpg"), ("./a.jpg", GREEN)))
    assert contents(path) == {"b.jpg": RED, "link.jpg": GREEN, "./a.jpg": GREEN}
    assert list_tar(path).ignored == {"older members of the same name": 1}
    path.write_bytes(members(("a.jpg", RED), ("a.jpg", "b.jpg"), ("b.jpg", GREEN)))  # a link takes a file's place
    assert contents(path) == {"a.jpg": GREEN, "b.jpg": GREEN}


def test_a_sparse_member_is_lost_and_not_taken_for_a_cut(tmp_path):
    """Its size is that of what it stands for, more than the tar holds."""
    member = tarfile.TarInfo("big.jpg")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "big.jpg",
                          "GNU.sparse.realsize": str(1 << 20)}
    chart = b"1\n0\n3\n".ljust(512, b"\0") + b"abc"
    member.size, file = len(chart), io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(chart))
        member = tarfile.TarInfo("a.jpg")
        member.size = len(RED)
        archive.addfile(member, io.BytesIO(RED))
    (tmp_path / "x.tar").write_bytes(file.getvalue())
    assert contents(tmp_path / "x.tar") == {"a.jpg": RED}
    assert list_tar(tmp_path / "x.tar").lost == [(b"big.jpg", "no plain file, but a sparse or special one")]


@pytest.mark.parametrize("place", ["train", "train.tar", "classes.tar"])
def test_wnids_in_capitals_are_wnids(run, tmp_path, place):
    images = {f"{wnid.upper()}{more}": image for wnid, more, image in ((DOG, "", RED), (CAT, "-cat", GREEN))}
    data = {"train": {f"train/{name}/a.jpg": image for name, image in images.items()},
            "train.tar": {"train.tar": tar_of({f"{name}/a.jpg": image for name, image in images.items()})},
            "classes.tar": {"classes.tar": tar_of({f"{name}.tar": tar_of({"a.jpg": image})
                                                   for name, image in images.items()})}}[place]
    put_folder(tmp_path / "images", data)
    assert shown(run(tmp_path / "images", train=place, val=None, unseen=None), TRAIN) == [DOG, CAT]


@pytest.mark.parametrize("table", ["LOC_val_solution.csv", "val/val_annotations.txt"])
def test_names_with_dots_are_told_apart(run, tmp_path, table):
    rows = [("v.1", DOG), ("v.2", CAT.upper()), ("v.3.x", DOG)]
    text = ("ImageId,PredictionString\n" + "".join(f"{name},{wnid} 0 0 1 1\n" for name, wnid in rows)
            if table.endswith("csv") else "".join(f"{name}.JPEG\t{wnid}\t0\n" for name, wnid in rows))
    put_folder(tmp_path / "images", {
        f"train/{DOG}/a.jpg": RED, f"train/{CAT}/a.jpg": RED, table: text.encode(),
        **{f"val/{'' if table.endswith('csv') else 'images/'}{name}.JPEG": RED for name, _ in rows}})
    assert shown(run(tmp_path / "images", unseen=None), VAL) == [DOG, DOG, CAT]
    assert [stem(name) for name in ("a/b.c.JPEG", "a.d/b", ".x/c.png", "v.1")] == ["b.c", "b", "c", "v.1"]


def test_the_images_folder_itself_is_a_role(run, tmp_path):
    put_folder(tmp_path / "images", {f"{DOG}/a.jpg": RED, f"{CAT}/a.jpg": GREEN})
    for place in ("", "."):
        assert shown(run(tmp_path / "images", train=place, val=None, unseen=None), TRAIN) == [DOG, CAT]


@pytest.mark.parametrize("name", [CAT, f"{CAT}.tar", "notes.txt"])
def test_links_in_a_circle_are_refused_in_a_line(run, tmp_path, name):
    put_folder(tmp_path / "images", {f"train/{DOG}/a.jpg": RED})
    os.symlink(name, tmp_path / "images" / "train" / name)
    with pytest.raises(InputError, match=f"{name}: neither a folder nor a file"):
        run(tmp_path / "images", val=None, unseen=None)


def test_a_place_whose_name_is_too_long_is_refused_in_a_line(run, tmp_path):
    with pytest.raises(InputError, match="xxx: no such folder or tar"):
        run(tmp_path, train="x" * 300, val=None, unseen=None)


def test_a_tar_of_something_else_says_what_it_holds(run, tmp_path):
    put_folder(tmp_path, {"t.tar": tar_of({f"{DOG}.tar.gz": b"\x1f\x8b", f"{CAT}.tar.gz": b"\x1f\x8b"})})
    with pytest.raises(InputError, match=r"holds neither <wnid>.tar files nor images \(but 2 .gz files\)"):
        run(tmp_path, train="t.tar", val=None, unseen=None)


@pytest.mark.parametrize("line", [f"{DOG} {CAT}", f"{DOG},{CAT}", f'"{DOG}"; "{CAT.upper()}", dog'])
def test_a_line_of_several_wnids_is_refused(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"{line}\n")
    with pytest.raises(InputError, match="line 1 holds several wnids .* the first would count; expected one a line"):
        read_wnid_list(tmp_path / "list.txt", "wnids")
    (tmp_path / "list.txt").write_text(f"{DOG} a dog, no {CAT}\n{CAT} {CAT}x\n")  # remarks
    assert read_wnid_list(tmp_path / "list.txt", "wnids") == [DOG, CAT]


def test_a_damaged_note_on_an_image_leaves_the_image(tmp_path):
    note, file = PngImagePlugin.PngInfo(), io.BytesIO()
    note.add_text("Raw profile type exif", "\nexif\n 4\nzzzz")
    Image.new("RGB", (4, 4), (200, 30, 40)).save(file, "PNG", pnginfo=note)
    assert (np.asarray(decode_rgb(file.getvalue())) == (200, 30, 40)).all()


def test_no_interpreter_is_called_for_a_program(monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("a program was run"))
    with pytest.raises(UnreadableImage, match="PostScript, which is a program"):
        decode_rgb(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n")


def test_the_stage_counts_what_is_older(run, tmp_path):
    put_folder(tmp_path / "images", {f"train/{DOG}.tar": members(("a.jpg", RED), ("a.jpg", GREEN))})
    assert shown(run(tmp_path / "images", val=None, unseen=None), TRAIN) == [DOG]
    assert metrics(tmp_path)["entries_ignored"] == 1


def test_names_of_cifars_labels_may_begin_with_a_byte_order_mark(tmp_path):
    files = binary_files("cifar-100")
    name = "cifar-100-binary/fine_label_names.txt"
    put_folder(tmp_path, {**files, name: b"\xef\xbb\xbf" + files[name].replace(b"\n", b"\r\n")})
    assert read_part(tmp_path, "cifar-100", "test", published=False).names == SEEN


@pytest.mark.parametrize("name", ["cifar-100-binary.tar.gz", "cifar-100-binary.tar"])
def test_cifars_archive_is_read_by_its_first_bytes_whatever_its_name(tmp_path, name):
    for mode in ("w", "w:gz"):
        (tmp_path / name).write_bytes(tar_of(binary_files("cifar-100"), mode))
        assert read_part(tmp_path, "cifar-100", "test", published=False).names == SEEN
    (tmp_path / name).write_bytes(b"<!DOCTYPE html><title>sign in</title>")
    with pytest.raises(InputError, match="truncated or damaged archive .ReadError; found HTML file.; fetch it again"):
        read_part(tmp_path, "cifar-100", "test", published=False)


@pytest.mark.parametrize(("head", "said"), [
    (b"PK\3\4", "not a readable tar, but a zip file, .*; unpack it$"),
    (b"\x1f\x8b\x08", "gzip-compressed, .*; gunzip it$"),
    (b"7z\xbc\xaf", "a 7-Zip file, .*; unpack it$"), (RED, "not a readable tar, but a JPEG file; fetch it again")])
def test_what_is_no_tar_is_not_to_be_fetched_again_where_it_can_be_unpacked(run, tmp_path, head, said):
    put_folder(tmp_path / "images", {"train": head + bytes(600)})
    with pytest.raises(InputError, match=said):
        run(tmp_path / "images", val=None, unseen=None)
