"""The image side's stages, one after the other, on the tiny world of tests/vision.py."""

import numpy as np
import torch

from stages import (
    embed_images,
    extract_features,
    finetune_devise,
    pretrain_cnn,
    rank_closed_form,
    rank_conse,
    rank_devise,
    rank_softmax,
    train_devise,
)
from tests.vision import CLASSIFIERS, EMBED, EXTRACT, FINETUNE, MAP, PRETRAIN, WNIDS, make_index
from zeroshot.base.artifacts import Artifact
from zeroshot.closed_form.models import ClosedForm, write_closed_form
from zeroshot.labels.label_sets import write_label_sets
from zeroshot.labels.label_vectors import LabelVectors, read_label_vectors, write_label_vectors
from zeroshot.networks import batches

DIM = 5
OTHERS = [f"n1{number:07d}" for number in range(500)]  # labels without images, in more blocks than are looked at
AUGMENTED = {"mixup": 0.2, "randaugment": 3, "dropout": 0.1}
NOT_DRAWN = {"crop_padding": 0, "flip": False}
MAPS = {"truncated": {}, "sampled": {"scaling": "standardise", "bias": True, "dropout": 0.1, "optimiser": "adagrad"},
        "all": {"loss": "hinge_rank_euclidean", "scaling": "none", "optimiser": "adamw", "learning_rate": 0.01}}


def make_world(folder):
    make_index(folder / "index")
    write_label_sets(folder / "label_sets", {"seen": WNIDS[:4], "unseen": WNIDS[4:], "2-hops": WNIDS[4:5], "3-hops": [],
                                         "21k": [*WNIDS[4:], *OTHERS]})
    for seed, name in enumerate(("lemmas", "hypernyms")):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((40, DIM)).astype(np.float32)
        rows = np.sort(rng.integers(len(WNIDS), len(WNIDS) + len(OTHERS), 1000))  # synonyms, and vectors that are equal
        vectors = np.concatenate([vectors[:len(WNIDS)], vectors[rng.integers(40, size=len(rows))]])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        write_label_vectors(folder / f"{name}.safetensors", LabelVectors(
            [*WNIDS, *OTHERS], vectors, np.concatenate([np.arange(len(WNIDS)), rows]).astype(np.int32)))


def run_stages(world, out, *, drawn=True, **changed):
    """All of them; not `drawn`: with nothing drawn at random on the device. `changed`: settings of what sees pixels."""
    plain = {} if drawn else {"optimiser": "sgd", "learning_rate": 0.01}
    train_cnn(world, out, **(AUGMENTED if drawn else NOT_DRAWN), **changed)
    extract(world, out, **changed)
    for false_labels in MAPS:
        train_map(world, out, false_labels=false_labels, **plain)
    finetune(world, out, **({} if drawn else {"false_labels": "all", **NOT_DRAWN}), **plain, **changed)
    embed(world, out, **changed)
    rank_images(world, out)


def train_cnn(world, out, **changed):
    params = pretrain_cnn.Params(**{**PRETRAIN, "epochs": 1, **changed})
    pretrain_cnn.main(params, index=world / "index", images=world, weights=world, weights_list=world,
                      out=out / "cnn.safetensors", metrics=out / "cnn.json", curve=out / "cnn.csv")


def extract(world, out, **changed):
    extract_features.main(extract_features.Params(**{**EXTRACT, **changed}), index=world / "index", images=world,
                          cnn=out / "cnn.safetensors", out=out, metrics=out / "features.json")


def train_map(world, out, **changed):
    name = changed["false_labels"]
    params = train_devise.Params(**{**MAP, "epochs": 1, **MAPS[name], **changed})
    train_devise.main(params, features=out, index=world / "index", label_vectors=world / "lemmas.safetensors",
                      out=out / f"{name}.safetensors", metrics=out / f"{name}.json", curve=out / f"{name}.csv")


def finetune(world, out, **changed):
    finetune_devise.main(finetune_devise.Params(**{**FINETUNE, "epochs": 1, **changed}), index=world / "index",
                         images=world, cnn=out / "cnn.safetensors", map=out / "truncated.safetensors",
                         label_vectors=world / "lemmas.safetensors", out=out / "net.safetensors",
                         metrics=out / "net.json", curve=out / "net.csv")


def embed(world, out, **changed):
    embed_images.main(embed_images.Params(**{**EMBED, **changed}), index=world / "index", images=world, features=out,
                      network=out / "net.safetensors", out=out / "points.safetensors")


def rank_images(world, out):
    asked, lemmas = {"index": world / "index", "label_sets": world / "label_sets"}, world / "lemmas.safetensors"
    rank_softmax.main(rank_softmax.Params(threads=1), features=out, out=out / "softmax.safetensors", **asked)
    rank_devise.main(rank_devise.Params(threads=1, any_processor=True), points=out / "points.safetensors",
                     label_vectors=lemmas, out=out / "devise.safetensors", **asked)
    rank_conse.main(rank_conse.Params(t=[1, 3], hierse_t=1, hierse_temperature=1.0,
                                      hierse_csls_neighbours=0, hierse_hubs="val", hierse_classifiers=CLASSIFIERS,
                                      handicap="auto",
                                      handicap_without_val=0.0, folds=2, seed=0, threads=1, any_processor=True),
                    features=out, cnn=out / "cnn.safetensors",
                    lemmas=lemmas, hypernyms=world / "hypernyms.safetensors", out=out / "conse",
                    hierse=out / "hierse.safetensors",
                    hierse_classifiers=out / "classifiers.safetensors", metrics=out / "conse.json", **asked)
    write_models(out / "models", Artifact(out / "features.safetensors").sha256, read_label_vectors(lemmas).sha256)
    rank_closed_form.main(rank_closed_form.Params(handicap="auto", threads=1, any_processor=True),
                          models=out / "models", features=out, label_vectors=lemmas, out=out / "closed_form", **asked)


def write_models(folder, features, labels):
    """A linear model, and one that places the labels itself; each with CSLS and without."""
    draw = torch.Generator().manual_seed(3)
    map, centre = torch.randn(DIM, 64, generator=draw), torch.randn(64, generator=draw)
    anchors, weights = torch.randn(2, 4, DIM, generator=draw)
    models = {"linear": ClosedForm(map, centre), "placed": ClosedForm(map, centre, anchors, weights, 2.0)}
    for name, model in models.items():
        for neighbours in (0, 3):
            write_closed_form(folder / f"{name}-{neighbours}.safetensors", model, {
                "features": features, "labels": labels, "seen_handicap": 0.1, "csls_neighbours": neighbours})


def train_streamed(world, out, **changed):
    """On packed pixels that are too many for the GPU."""
    share, batches.RESIDENT_SHARE = batches.RESIDENT_SHARE, 0
    train_cnn(world, out, **changed)
    batches.RESIDENT_SHARE = share
