import io
import os
import tarfile
from pathlib import Path

import pytest

from tests.image_sets import jpeg, put_folder
from zeroshot.console.errors import InputError
from zeroshot.image_sets.archives import list_folder, list_tar, tar_members


def write_tar(path: Path, members: dict[str, bytes], **options) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path.read_bytes()


def contents(path: Path, listing) -> dict[str, bytes]:
    data = path.read_bytes()
    return {name.decode(): data[offset:offset + size]
            for name, offset, size in zip(listing.names, listing.offsets, listing.sizes, strict=True)}


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_offsets_and_sizes_give_each_members_bytes(tmp_path, format):
    deep = "d" * 90 + "/" + "long" * 20 + "é.JPEG"  # beyond a plain header's 100 bytes
    images = {"b.JPEG": b"second" * 200, "a.JPEG": b"first", deep: b"x" * 512, "empty.JPEG": b""}
    write_tar(tmp_path / "n.tar", images, format=format)
    listing = list_tar(tmp_path / "n.tar")
    assert contents(tmp_path / "n.tar", listing) == images
    assert list(contents(tmp_path / "n.tar", listing)) == list(images)  # the tar's order


def test_a_tar_inside_a_tar_is_read_in_place(tmp_path):
    images = [{f"{i}_{j}.JPEG": bytes([i, j]) * 600 for j in range(3)} for i in range(2)]
    inner = {f"n{i}.tar": write_tar(tmp_path / "inner.tar", images[i]) for i in range(2)}
    write_tar(tmp_path / "outer.tar", inner)
    outer = list(tar_members(tmp_path / "outer.tar"))
    assert [member.name for member in outer] == list(inner)
    for i, member in enumerate(outer):
        listing = list_tar(tmp_path / "outer.tar", member.offset_data, member.size)
        assert contents(tmp_path / "outer.tar", listing) == images[i]


def test_an_inner_tar_without_end_does_not_run_into_its_neighbour(tmp_path):
    cut = write_tar(tmp_path / "0.tar", {"a.JPEG": b"a" * 512})[:1024]  # header and content, no end-of-archive
    write_tar(tmp_path / "outer.tar", {"n0.tar": cut, "n1.tar": write_tar(tmp_path / "1.tar", {"b.JPEG": b"b"})})
    first = next(tar_members(tmp_path / "outer.tar"))
    with pytest.raises(InputError, match="truncated tar"):
        list_tar(tmp_path / "outer.tar", first.offset_data, first.size)


LITTER = {"._a.JPEG": b"\0\5\x16\7", ".DS_Store": b"Bud1", "__MACOSX/a.JPEG": b"x", "boxes.txt": b"a.JPEG 1 2",
          "@eaDir/a.JPEG/SYNOPHOTO_THUMB_M.jpg": jpeg((1, 2, 3)), "Thumbs.db": b"\xd0\xcf\x11\xe0", "README": b"read",
          "#recycle/b.JPEG": jpeg((1, 2, 3)), "desktop.ini": b"[.ShellClassInfo]", "whatever.new": b"?" * 900}
KINDS = {"hidden files": 2, "in __MACOSX/": 1, ".txt files": 1, "in @eaDir/": 1, ".db files": 1, "in #recycle/": 1,
         "files without suffix": 1, ".ini files": 1, ".new files": 1}


def test_what_is_no_image_is_counted_by_kind_whatever_it_is_called(tmp_path):
    images = {"a.JPEG": b"broken, but an image by its name", "b": jpeg((9, 9, 9)), "c.dat": jpeg((8, 8, 8))}
    write_tar(tmp_path / "n.tar", LITTER | images)
    put_folder(tmp_path / "class", LITTER | images)
    for listing in (list_tar(tmp_path / "n.tar"), list_folder(tmp_path / "class")):
        assert (sorted(listing.names), listing.ignored, listing.lost) == ([b"a.JPEG", b"b", b"c.dat"], KINDS, [])


def test_names_in_tars_are_only_names(tmp_path):
    images = {"/abs/a.JPEG": b"absolute", "../up.JPEG": b"up", "./dot.JPEG": b"dot"}
    write_tar(tmp_path / "n.tar", images)
    assert contents(tmp_path / "n.tar", list_tar(tmp_path / "n.tar")) == images


def linked(path: Path, images: dict[str, bytes], links: list[tuple[str, bytes, str]]) -> None:
    """A tar of images, and after them of links: name, type, target."""
    write_tar(path, images)
    with tarfile.open(path, "a") as archive:
        for name, kind, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)


def test_links_to_images_in_a_tar_are_images(tmp_path):
    linked(tmp_path / "n.tar", {"d/a.JPEG": b"first", "b.JPEG": b"second", "c.txt": b"third"}, [
        ("hard.JPEG", tarfile.LNKTYPE, "d/a.JPEG"), ("d/soft.JPEG", tarfile.SYMTYPE, "../b.JPEG"),
        ("twice.JPEG", tarfile.SYMTYPE, "./d/soft.JPEG"), ("folder", tarfile.DIRTYPE, "")])
    listing = list_tar(tmp_path / "n.tar")
    assert contents(tmp_path / "n.tar", listing) == {
        "d/a.JPEG": b"first", "b.JPEG": b"second", "hard.JPEG": b"first", "d/soft.JPEG": b"second",
        "twice.JPEG": b"second"}
    assert (listing.ignored, listing.lost) == ({".txt files": 1}, [])


def test_links_to_nothing_and_special_members_are_lost_if_images_by_name_else_ignored(tmp_path):
    links = [("gone.JPEG", tarfile.SYMTYPE, "/etc/passwd"), ("hard.JPEG", tarfile.LNKTYPE, "nowhere.JPEG"),
             ("one.JPEG", tarfile.SYMTYPE, "other.JPEG"), ("other.JPEG", tarfile.SYMTYPE, "one.JPEG"),
             ("link.txt", tarfile.SYMTYPE, "x"), ("pipe.JPEG", tarfile.FIFOTYPE, ""), ("pipe", tarfile.FIFOTYPE, "")]
    linked(tmp_path / "n.tar", {"a.JPEG": b"real"}, links)
    listing = list_tar(tmp_path / "n.tar")
    assert listing.names == [b"a.JPEG"]
    assert listing.ignored == {".txt files": 1, "files without suffix": 1}
    reasons = {name.decode(): reason for name, reason in listing.lost}
    assert set(reasons) == {"gone.JPEG", "hard.JPEG", "one.JPEG", "other.JPEG", "pipe.JPEG"}
    assert "link to '/etc/passwd'" in reasons["gone.JPEG"] and "special" in reasons["pipe.JPEG"]


@pytest.mark.parametrize(("damage", "message"), [
    (lambda data: data[:700], "truncated tar"),  # in the first member's content
    (lambda data: data[:2048 + 100], "truncated tar"),  # in the second member's header
    (lambda data: data[:4096], "truncated tar.*end-of-archive"),
    (lambda data: data[:2048] + b"\xff" * 512 + data[2560:], "damaged tar"),
    (lambda data: data[:2048] + data[2048 + 512 + 1500:], "damaged tar: 6,180 bytes .* no whole blocks"),  # no b.JPEG
    (lambda data: data + data, "something follows the tar's end at byte 4,096.*joined by cat"),
    (lambda data: data + bytes(2 << 20), "ends at byte 4,096, but .* bytes follow.*incomplete download"),
    (lambda data: b"", "empty file"),
    (lambda data: b"\x1f\x8b" + data[2:], "gzip"),
    (lambda data: b"JFIF" * 1000, "not a readable tar"),
], ids=["content", "header", "end", "damaged", "a member cut out", "joined", "preallocated", "empty", "gzip", "no tar"])
def test_broken_tars_are_named(tmp_path, damage, message):
    data = write_tar(tmp_path / "n.tar", {"a.JPEG": b"a" * 1500, "b.JPEG": b"b" * 1500})
    (tmp_path / "n.tar").write_bytes(damage(data))
    with pytest.raises(InputError, match=f"n.tar.*{message}"):
        list_tar(tmp_path / "n.tar")


def test_a_folder_is_listed_by_name_at_any_depth_through_links_to_files(tmp_path):
    (tmp_path / "class/images").mkdir(parents=True)
    (tmp_path / "class/images/z.JPEG").write_bytes(b"zz")
    (tmp_path / "elsewhere.JPEG").write_bytes(b"else")
    (tmp_path / "class/b.JPEG").symlink_to(tmp_path / "elsewhere.JPEG")
    listing = list_folder(tmp_path / "class")
    assert (listing.names, listing.sizes.tolist()) == ([b"b.JPEG", b"images/z.JPEG"], [4, 2])
    assert listing.offsets.tolist() == [-1, -1]


def test_a_link_to_a_folder_inside_a_class_is_refused(tmp_path):
    put_folder(tmp_path / "class", {"a.JPEG": b"a"})
    (tmp_path / "class/more").symlink_to(tmp_path)
    with pytest.raises(InputError, match="class/more: a link to a folder inside a class, which DVC"):
        list_folder(tmp_path / "class")


def test_a_pipe_in_a_folder_is_ignored(tmp_path):
    put_folder(tmp_path / "class", {"a.JPEG": b"a"})
    os.mkfifo(tmp_path / "class/pipe.JPEG")
    assert (list_folder(tmp_path / "class").names, list_folder(tmp_path / "class").ignored) == (
        [b"a.JPEG"], {".jpeg files": 1})


def test_a_dangling_link_is_an_error(tmp_path):
    (tmp_path / "a.JPEG").symlink_to(tmp_path / "gone.JPEG")
    with pytest.raises(InputError, match="a.JPEG.*not there"):
        list_folder(tmp_path)
