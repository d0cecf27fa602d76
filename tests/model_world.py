"""A little model's folder for the tests of naming: a random network, thirteen nouns, every kind of model."""

import contextlib
import io
import json
import zipfile

import numpy as np
import torch
import yaml
from PIL import Image

from stages import export_model
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.closed_form.models import ClosedForm, write_closed_form
from zeroshot.images.index import write_index
from zeroshot.labels.label_sets import all_labels, read_label_sets, write_label_sets
from zeroshot.labels.label_vectors import LabelVectors, write_label_vectors
from zeroshot.networks.preprocessing import Preprocessing
from zeroshot.networks.saved import DeviseNetwork, read_cnn, write_cnn, write_devise
from zeroshot.networks.visual_model import build_visual
from zeroshot.taxonomy import make_taxonomy, write_taxonomy
from zeroshot.terms.vectors import TermVectors, write_term_vectors

NOUNS = {"entity": [], "animal": ["entity"], "dog": ["animal"], "cat": ["animal"], "husky": ["dog"], "pug": ["dog"],
         "artefact": ["entity"], "car": ["artefact"], "ship": ["artefact"], "canoe": ["ship"], "crane bird": ["animal"],
         "crane machine": ["artefact"], "tapir": ["animal"]}
WNID = {name: f"n{number:08d}" for number, name in enumerate(NOUNS)}
SEEN = sorted(WNID[name] for name in ("cat", "husky", "car"))
OUTSIDE = ("tapir", "crane machine")  # nouns that are no labels
SETS = {"seen": SEEN, "unseen": sorted([WNID["pug"], WNID["canoe"]]), "2-hops": [WNID["pug"]], "3-hops": [],
        "21k": sorted(set(WNID.values()) - set(SEEN) - {WNID[name] for name in OUTSIDE})}
TERMS = ["animal", "dog", "cat", "husky", "pug", "car", "ship", "canoe", "crane", "tapir", "striped", "red", "entity"]
DIM, SIDE = 6, 16
HANDICAP = 0.25
NETWORK = {"tap": "pooled", "batch": 4, "precision": "float32", "channels_last": True, "deterministic": True,
           "threads": 1, "any_processor": True}
TEXT = {"source": "wordnet", "times": 1, "also": {"source": "plain", "times": 0}, "glosses": 0, "chains": {"times": 0}}


def lemmas_of(name):
    return [name.split()[0]] if name.startswith("crane") else [name]


def write_wordnet(path):
    """index.noun alone: the machine is crane's first meaning."""
    lines = ["  1 licence  "]
    for name in sorted(set(NOUNS) - {"crane bird", "crane machine"}):
        lines.append(f"{name} n 1 0 1 0 {WNID[name][1:]}  ")
    lines.append(f"crane n 2 1 @ 2 0 {WNID['crane machine'][1:]} {WNID['crane bird'][1:]}  ")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("index.noun", "\n".join(lines) + "\n")


def build_parts(folder, *, pack=None, frozen=True, **meta):
    """Everything that export_model reads."""
    rng = np.random.default_rng(7)
    torch.manual_seed(7)
    write_taxonomy(folder / "taxonomy", make_taxonomy(
        {WNID[name]: (lemmas_of(name), [WNID[above] for above in parents], [], f"what {name} means")
         for name, parents in NOUNS.items()}))
    write_wordnet(folder / "wordnet.zip")
    write_label_sets(folder / "label_sets", SETS)
    wnids = all_labels(read_label_sets(folder / "label_sets"))
    write_term_vectors(folder / "terms", TermVectors(TERMS, np.arange(len(TERMS), 0, -1),
                                                    rng.normal(size=(len(TERMS), DIM)).astype(np.float32)))
    for name in ("lemmas", "hypernyms"):
        vectors = rng.normal(size=(len(wnids), DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        write_label_vectors(folder / f"{name}.safetensors", LabelVectors(
            wnids, vectors, np.arange(len(wnids), dtype=np.int32),
            {"synonyms": "first", "fallback": "none", "center": False, "hypernyms": 1.0, **meta}))
    seal = {name: Artifact(folder / f"{name}.safetensors").sha256 for name in ("lemmas", "hypernyms")}
    (folder / "index").mkdir()
    write_index(folder / "index", SEEN, {"role": np.ones(2, np.uint8), "label": np.zeros(2, np.int32)},
                pixels="x" if pack else None, containers=[], made_from={})
    if pack:
        write_artifact(folder / "index" / "pixels.safetensors", {}, {"pixels": np.zeros((2, pack, pack, 3), np.uint8)})
    cnn = build_visual("resnet8", classes=3, stem="standard", dropout=0.0).eval()
    write_cnn(folder / "cnn.safetensors", cnn, arch="resnet8", stem="standard", dropout=0.0, wnids=SEEN,
              preprocessing=Preprocessing(SIDE, SIDE, (0.5,) * 3, (0.25,) * 3), made_from={})
    write_devise(folder / "devise.safetensors", DeviseNetwork(cnn, torch.nn.Linear(64, DIM, bias=False), "pooled"),
                 frozen=frozen, cnn=read_cnn(folder / "cnn.safetensors"), made_from={"labels": seal["lemmas"]})
    write_models(folder, seal, wnids)
    (folder / "scores").mkdir()
    (folder / "scores" / "hierse.csv").write_text(
        "model,label_set,metric,k,value\nhierse,21k,hit,1,0.25\nhierse,21k,hit,5,0.5\nhierse,21k,hp,5,0.1\n"
        "hierse,21k,images,,40\nhierse,21k,candidates,,8\n")
    (folder / "scores" / "ridge.csv").write_text("not measured: no test images\n")
    (folder / "hierse.json").write_text(json.dumps({"hierse": {"held_out_harmonic": 0.4, "seen_handicap": HANDICAP}}))
    (folder / "closed.json").write_text(json.dumps({"ridge": {"held_out_harmonic": 0.3}, "train_images": 5}))
    (folder / "params.yaml").write_text(yaml.safe_dump({
        "extract_features": NETWORK, "pretrain_cnn": {"pretrained": "none"}, "prepare_corpus": TEXT,
        "embed_labels": {"member": ""}}))
    return folder


def write_models(folder, seal, wnids):
    draw = torch.Generator().manual_seed(3)
    linear = ClosedForm(torch.randn(DIM, 64, generator=draw), torch.randn(64, generator=draw))
    anchors, weights = torch.randn(3, DIM, generator=draw), torch.randn(3, 5, generator=draw)
    placed = ClosedForm(torch.randn(5, 64, generator=draw), torch.zeros(64), anchors, weights, 2.0)
    for name, model in (("ridge", linear), ("exemplars", placed)):
        write_closed_form(folder / "closed_form" / f"{name}.safetensors", model,
                          {"labels": seal["hypernyms"], "seen_handicap": HANDICAP, "csls_neighbours": 0})
    bias = {"bias": np.where(np.isin(wnids, SEEN), -HANDICAP, 0).astype(np.float32)}
    for path, kind, arrays, settings in (
            ("conse/conse-2", "lemmas", {}, {"t": 2}), ("hierse", "hypernyms", bias, {"t": 2, "temperature": 3.0}),
            ("ridge", "hypernyms", bias, {}), ("exemplars", "hypernyms", bias, {})):
        write_artifact(folder / "rankings" / f"{path}.safetensors",
                       {"wnids": wnids, "settings": settings, "made_from": {"labels": seal[kind]}}, arrays)


def export(folder, out, terms=100):
    with contextlib.chdir(folder):  # where params.yaml lies
        export_model.main(
            export_model.Params(terms=terms), cnn=folder / "cnn.safetensors", devise=folder / "devise.safetensors",
            closed_form=folder / "closed_form",
            hierse_classifiers=folder / "classifiers.safetensors", label_vectors=folder,
            label_sets=folder / "label_sets", term_vectors=folder / "terms",
            taxonomy=folder / "taxonomy", wordnet=folder / "wordnet.zip",
            index=folder / "index", rankings=folder / "rankings", scores=folder / "scores",
            chosen=folder / "closed.json", chosen_hierse=folder / "hierse.json", out=out)
    return out


def picture(seed, size=(20, 24), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def png(image):
    """The bytes of its file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
