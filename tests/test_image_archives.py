import io
import tarfile
from pathlib import Path

import pytest

from zeroshot.console.errors import InputError
from zeroshot.image_sets.archives import list_folder, list_tar


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
    outer = list_tar(tmp_path / "outer.tar")
    for i, (start, size) in enumerate(zip(outer.offsets, outer.sizes, strict=True)):
        listing = list_tar(tmp_path / "outer.tar", int(start), int(size))
        assert contents(tmp_path / "outer.tar", listing) == images[i]


def test_an_inner_tar_without_end_does_not_run_into_its_neighbour(tmp_path):
    cut = write_tar(tmp_path / "0.tar", {"a.JPEG": b"a" * 512})[:1024]  # header and content, no end-of-archive
    write_tar(tmp_path / "outer.tar", {"n0.tar": cut, "n1.tar": write_tar(tmp_path / "1.tar", {"b.JPEG": b"b"})})
    outer = list_tar(tmp_path / "outer.tar")
    with pytest.raises(InputError, match="truncated tar"):
        list_tar(tmp_path / "outer.tar", int(outer.offsets[0]), int(outer.sizes[0]))


def test_links_absolute_names_and_junk_are_ignored_and_counted(tmp_path):
    names = ["/etc/passwd", "../up.JPEG", "._a.JPEG", ".DS_Store", "__MACOSX/a.JPEG", "boxes.txt"]
    write_tar(tmp_path / "n.tar", {name: b"x" for name in names} | {"a.JPEG": b"real"})
    with tarfile.open(tmp_path / "n.tar", "a") as archive:
        for name, kind in (("soft.JPEG", tarfile.SYMTYPE), ("hard.JPEG", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    listing = list_tar(tmp_path / "n.tar")
    assert (listing.names, listing.ignored) == ([b"a.JPEG"], len(names) + 3)


@pytest.mark.parametrize(("damage", "message"), [
    (lambda data: data[:700], "truncated tar"),  # in the first member's content
    (lambda data: data[:2048 + 100], "truncated tar"),  # in the second member's header
    (lambda data: data[:4096], "truncated tar.*end-of-archive"),
    (lambda data: data[:2048] + b"\xff" * 512 + data[2560:], "damaged tar"),
    (lambda data: b"", "empty file"),
    (lambda data: b"\x1f\x8b" + data[2:], "gzip"),
    (lambda data: b"JFIF" * 1000, "not a readable tar"),
], ids=["content", "header", "end", "damaged", "empty", "gzip", "no tar"])
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
    (tmp_path / "class/loop").symlink_to(tmp_path)
    (tmp_path / "class/._b.JPEG").write_bytes(b"junk")
    listing = list_folder(tmp_path / "class")
    assert (listing.names, listing.sizes.tolist(), listing.ignored) == ([b"b.JPEG", b"images/z.JPEG"], [4, 2], 1)
    assert listing.offsets.tolist() == [-1, -1]


def test_a_dangling_link_is_an_error(tmp_path):
    (tmp_path / "a.JPEG").symlink_to(tmp_path / "gone.JPEG")
    with pytest.raises(InputError, match="a.JPEG.*not there"):
        list_folder(tmp_path)
