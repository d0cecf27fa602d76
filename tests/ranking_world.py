"""A little world for the tests of ranking and evaluation: ten nouns, an image index, features, label vectors."""

import numpy as np

from zeroshot.base.artifacts import write_artifact
from zeroshot.images.index import ImageIndex, write_index
from zeroshot.labels.label_sets import write_label_sets
from zeroshot.labels.label_vectors import LabelVectors, write_label_vectors
from zeroshot.taxonomy import make_taxonomy, write_taxonomy

NOUNS = {"entity": [], "animal": ["entity"], "dog": ["animal"], "cat": ["animal"], "husky": ["dog"], "pug": ["dog"],
         "artefact": ["entity"], "car": ["artefact"], "ship": ["artefact"], "canoe": ["ship"]}
WNID = {name: f"n{number:08d}" for number, name in enumerate(NOUNS)}
SEEN = sorted(WNID[name] for name in ("cat", "husky", "car"))
SETS = {"seen": SEEN, "unseen": sorted([WNID["pug"], WNID["canoe"]]), "2-hops": [WNID["pug"]],
        "3-hops": [], "21k": sorted(set(WNID.values()) - set(SEEN))}


def build(folder, vectors=None, images=9, seed=0):
    """Write taxonomy, index, splits, labels and features; `vectors` maps names to rows, those left out have none."""
    rng = np.random.default_rng(seed)
    write_taxonomy(folder / "taxonomy", make_taxonomy(
        {WNID[name]: ([name], [WNID[parent] for parent in parents], [], name) for name, parents in NOUNS.items()}))
    write_label_sets(folder / "label_sets", SETS)
    wnids = sorted([*SEEN, *SETS["unseen"]])
    shown = [SEEN, SEEN, SETS["unseen"]]  # by role: train, val, unseen
    pairs = sorted((role, wnids.index(classes[i % len(classes)])) for role, classes in enumerate(shown)
                   for i in range(images))
    roles, shows = np.array(pairs).T
    arrays = {"role": roles.astype(np.uint8), "label": shows.astype(np.int32)}
    arrays |= {"container": np.zeros(len(pairs), np.int32), "offset": 512 * np.arange(len(pairs)),
               "size": np.zeros(len(pairs), np.int32)}
    (folder / "index").mkdir()
    write_index(folder / "index", wnids, arrays, pixels=None, containers=[], made_from={})
    index = ImageIndex.read(folder / "index")
    row = np.concatenate([index.rows(1), index.rows(2)])
    (folder / "features").mkdir()
    write_artifact(folder / "features" / "logits.safetensors", {"wnids": SEEN, "index": index.sha256},
                   {"logits": rng.normal(size=(len(row), 3)).astype(np.float32), "row": row})
    write_artifact(folder / "points.safetensors", {},
                   {"points": rng.normal(size=(len(row), 4)).astype(np.float32), "row": row})
    labels = sorted(set(WNID.values()))
    if vectors is None:
        vectors = {name: rng.normal(size=(1 + (name == "dog"), 4)) for name in NOUNS}
    rows = [(labels.index(WNID[name]), row) for name, several in vectors.items() for row in np.atleast_2d(several)]
    rows.sort(key=lambda pair: pair[0])
    matrix = np.array([vector for _, vector in rows], np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    row_label = np.array([label for label, _ in rows], np.int32)
    write_label_vectors(folder / "lemmas.safetensors", LabelVectors(labels, matrix, row_label))
    write_label_vectors(folder / "hypernyms.safetensors", LabelVectors(labels, np.roll(matrix, 1, 0), row_label))
    return folder
