"""Tiny image sets on disk for tests: real JPEGs in folders, tars, and ILSVRC's archives."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

DOG, CAT, WOLF, HORSE = "n02084071", "n02121620", "n02114100", "n02374451"


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (20, 16)) -> bytes:
    """A JPEG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


def colour_of(pixels: np.ndarray) -> list[int]:
    """Mean colour, rounded to tens: tells one-colour images apart after JPEG."""
    return (10 * np.round(pixels.reshape(-1, 3).mean(0) / 10)).astype(int).tolist()


def put_folder(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def tar_of(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def small_set(root: Path) -> Path:
    """Dogs (tar) and cats (folder) to train on, wolves (tar) unseen: 3 + 2, 1 + 1 and 2 images."""
    put_folder(root / "train", {f"{DOG}.tar": tar_of({f"d{i}.JPEG": jpeg((200, 10 * i, 0)) for i in (2, 1, 0)})})
    put_folder(root / "train" / CAT, {f"c{i}.JPEG": jpeg((0, 200, 10 * i)) for i in range(2)})
    put_folder(root / "val" / DOG, {"dv.JPEG": jpeg((200, 100, 0))})
    put_folder(root / "val", {f"{CAT}.tar": tar_of({"cv.JPEG": jpeg((0, 200, 100))})})
    put_folder(root / "unseen", {f"{WOLF}.tar": tar_of({f"w{i}.JPEG": jpeg((10 * i, 0, 200)) for i in range(2)})})
    return root
