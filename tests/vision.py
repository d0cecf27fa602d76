"""A tiny image set and label vectors for the tests of the training stages: classes that differ by their colour."""

import numpy as np

from tests.image_sets import jpeg
from zeroshot.base.artifacts import Artifact, ArtifactWriter
from zeroshot.images.index import INDEX_FILE, PIXELS_FILE, ImageIndex, write_index
from zeroshot.labels.label_vectors import LabelVectors, write_label_vectors

CLASSIFIERS = {"share": 0, "dimensions": 8, "strength": 0.01, "sharpness": 3.0}  # of rank_conse; they do not count
WNIDS = [f"n0000000{number}" for number in range(1, 7)]  # the last two are unseen
COUNTS = {0: 12, 1: 4, 2: 5}  # role -> images a class
SIDE = 16

PRETRAIN = dict(
    arch="resnet8", stem="strided", dropout=0.0, pretrained="none", weights="data/weights", sha256="",
    weights_outputs="seen", weights_list="unused", weights_normalisation="published",
    resize=SIDE, image_size=SIDE, mean=[0.5, 0.5, 0.5], deviation=[0.2, 0.2, 0.2],
    crop_padding=1, flip=True, randaugment=0, randaugment_magnitude=9, mixup=0.0, optimiser="sgd", learning_rate=0.1,
    momentum=0.9, weight_decay=0.0, schedule="cosine", label_smoothing=0.0, epochs=3, batch=16, precision="float32",
    channels_last=True, compile=False, deterministic=True, max_unreadable=0.001, threads=1, any_processor=True,
    workers=0, seed=1)
EXTRACT = dict(tap="pooled", batch=8, precision="float32", channels_last=True, deterministic=True, max_unreadable=0.001,
               threads=1, any_processor=True, workers=0)
MAP = dict(
    label_vectors="lemmas", loss="hinge_rank", margin=0.1, false_labels="truncated", samples=2, bias=False, dropout=0.0,
    scaling="rms",
    optimiser="sgd", learning_rate=1.0, momentum=0.9, weight_decay=0.0, schedule="cosine", epochs=5, batch=16,
    threads=1, any_processor=True, seed=1)
FINETUNE = dict(
    epochs=2, share=1.0, loss="hinge_rank", margin=0.1, false_labels="truncated", samples=2, dropout=0.0,
    frozen_norms=True, crop_padding=1, flip=True, optimiser="adagrad", learning_rate=0.001, momentum=0.0,
    weight_decay=0.0, schedule="constant", batch=16, precision="float32", channels_last=True, compile=False,
    deterministic=True, max_unreadable=0.001, threads=1, any_processor=True, workers=0, seed=1)
EMBED = dict(batch=8, precision="float32", channels_last=True, deterministic=True, max_unreadable=0.001, threads=1,
             any_processor=True, workers=0)


def make_index(folder, *, poison_unseen=False) -> ImageIndex:
    """Four seen classes and two unseen ones; `poison_unseen` changes the unseen images' pixels."""
    rng = np.random.default_rng(0)
    colours = rng.integers(40, 216, (len(WNIDS), 3))
    rows = [(role, label) for role in COUNTS for label in range(len(WNIDS)) if (label >= 4) == (role == 2)
            for _ in range(COUNTS[role])]
    roles, labels = np.array(rows).T
    noise = rng.integers(-40, 41, (len(rows), SIDE, SIDE, 3))
    pixels = (colours[labels][:, None, None] + noise).clip(0, 255).astype(np.uint8)
    if poison_unseen:
        pixels[roles == 2] = 255 - pixels[roles == 2]
    folder.mkdir(parents=True, exist_ok=True)
    with ArtifactWriter(folder / PIXELS_FILE, {}, {"pixels": (pixels.shape, np.uint8)}) as writer:
        writer.write("pixels", 0, pixels)
    seal = Artifact(folder / PIXELS_FILE).sha256
    write_index(folder, WNIDS, {"role": roles.astype(np.uint8), "label": labels.astype(np.int32)}, pixels=seal,
                containers=[], made_from={})
    assert (folder / INDEX_FILE).exists()
    return ImageIndex.read(folder)


def make_index_in_place(folder) -> None:
    """The seen classes in files, 8 training and 4 validation images; one of each, 5 and the very last, is broken."""
    names = [f"{number}.JPEG".encode() for number in range(12)]
    (folder / "images").mkdir()
    for number, name in enumerate(names):
        data = b"broken" if number in (5, 11) else jpeg((20 * number, 0, 0))
        (folder / "images" / name.decode()).write_bytes(data)
    sizes = [(folder / "images" / name.decode()).stat().st_size for name in names]
    arrays = {"role": np.repeat([0, 1], [8, 4]).astype(np.uint8), "label": np.tile(np.arange(4), 3).astype(np.int32),
              "container": np.zeros(12, np.int32), "offset": np.full(12, -1), "size": np.array(sizes),
              "names": np.frombuffer(b"".join(names), np.uint8), "name_end": np.cumsum([len(name) for name in names])}
    write_index(folder / "index", WNIDS[:4], arrays, pixels=None, containers=["."], made_from={})


def make_labels(path, *, without=(), dim=5):
    """Unit vectors for all of WNIDS but those in `without`."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((len(WNIDS), dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kept = np.array([number for number, wnid in enumerate(WNIDS) if wnid not in without], np.int32)
    write_label_vectors(path, LabelVectors(WNIDS, vectors[kept], kept))
