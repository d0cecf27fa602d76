"""Tiny CIFAR archives in the published formats: a colour a label, two training images and one test image each."""

import io
import pickle
from pathlib import Path

import numpy as np

from tests.image_sets import put_folder, tar_of

SEEN, UNSEEN = ["apple", "bear", "wolf", "pickup_truck"], ["cat", "truck"]
TRAIN, TEST = 2, 1  # images a label
COLOURS = {name: (40 * number + 10, 200 - 30 * number, 20 * number) for number, name in enumerate(SEEN + UNSEEN)}


def stored(names: list[str], labels: list[int]) -> np.ndarray:
    """uint8 [images, 3072], each image of its label's colour, but for its first pixel, which counts the images."""
    pixels = np.array([np.repeat(COLOURS[names[label]], 1024) for label in labels], np.uint8)
    pixels[:, 0] = np.arange(len(labels))
    return pixels


def labels_of(names: list[str], each: int) -> list[int]:
    """In an order of no meaning, as the originals have it."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(names)), each)).tolist()


def python_files(dataset: str, train: int = TRAIN, test: int = TEST) -> dict[str, bytes]:
    """Path in the archive -> content, of the python version."""
    if dataset == "cifar-100":
        parts = {"train": labels_of(SEEN, train), "test": labels_of(SEEN, test)}
        files = {f"cifar-100-python/{part}": _batch(SEEN, labels, "fine_labels") | {"coarse_labels": labels}
                 for part, labels in parts.items()}
        files["cifar-100-python/meta"] = {"fine_label_names": SEEN, "coarse_label_names": SEEN}
    else:
        batches = {f"data_batch_{number}": train for number in range(1, 6)} | {"test_batch": test}
        files = {f"cifar-10-batches-py/{name}": _batch(UNSEEN, labels_of(UNSEEN, each), "labels")
                 for name, each in batches.items()}
        files["cifar-10-batches-py/batches.meta"] = {"label_names": UNSEEN, "num_vis": 3072}
    return {name: pickle.dumps(content, protocol=2) for name, content in files.items()}


def _batch(names: list[str], labels: list[int], key: str) -> dict:
    return {"batch_label": b"a batch", key: labels, "data": stored(names, labels),
            "filenames": [f"{names[label]}.png" for label in labels]}


def binary_files(dataset: str) -> dict[str, bytes]:
    """The same of the binary version."""
    if dataset == "cifar-100":
        return {"cifar-100-binary/fine_label_names.txt": "\n".join(SEEN).encode() + b"\n",
                **{f"cifar-100-binary/{part}.bin": _rows(SEEN, labels_of(SEEN, each), 2)
                   for part, each in (("train", TRAIN), ("test", TEST))}}
    batches = {f"data_batch_{number}.bin": TRAIN for number in range(1, 6)} | {"test_batch.bin": TEST}
    return {"cifar-10-batches-bin/batches.meta.txt": "\n".join(UNSEEN).encode() + b"\n\n",
            **{f"cifar-10-batches-bin/{name}": _rows(UNSEEN, labels_of(UNSEEN, each), 1)
               for name, each in batches.items()}}


def _rows(names: list[str], labels: list[int], heads: int) -> bytes:
    head = np.tile(np.array(labels, np.uint8)[:, None], heads)
    return np.concatenate([head, stored(names, labels)], 1).tobytes()


def put_archives(root: Path, version: str = "python", **counts: int) -> Path:
    """Both data sets' archives in `root`."""
    root.mkdir(parents=True, exist_ok=True)
    for dataset in ("cifar-100", "cifar-10"):
        files = python_files(dataset, **counts) if version == "python" else binary_files(dataset)
        (root / f"{dataset}-{version}.tar.gz").write_bytes(tar_of(files, "w:gz"))
    return root


def put_unpacked(root: Path, version: str = "python") -> Path:
    """What the archives unpack to."""
    for dataset in ("cifar-100", "cifar-10"):
        put_folder(root, python_files(dataset) if version == "python" else binary_files(dataset))
    return root


def python2_pickle(labels: list[int], data: bytes) -> bytes:
    """As Python 2 wrote {'data': array, 'fine_labels': labels}: strings of bytes, numpy.core's own names."""
    out = io.BytesIO()
    out.write(b"\x80\x02}q\x01(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R")
    out.write(b"(K\x01K" + bytes([len(data) // 3072]) + b"M\x00\x0c\x86")
    out.write(b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN")
    out.write(b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + len(data).to_bytes(4, "little") + data + b"tb")
    out.write(b"U\x0bfine_labels](" + b"".join(b"K" + bytes([label]) for label in labels) + b"eu.")
    return out.getvalue()
