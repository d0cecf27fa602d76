"""The page of a little world: tests/ranking_world.py's, ranked, scored, and all that make_report reads beside it."""

import json
from pathlib import Path

import numpy as np

from stages import evaluate, make_report, rank_conse, rank_softmax
from tests.ranking_world import SEEN, SETS, WNID, build
from tests.vision import CLASSIFIERS
from zeroshot.base.artifacts import Artifact, write_artifact
from zeroshot.images.index import INDEX_FILE, PIXELS_FILE, write_index

PAPERS = Path("presets/papers/conse_tables.csv")
PARAMS = dict(label_set="unseen", images=5, side=48, answers=3, classes=100, confusions=20, seed=0)
MODELS = ("softmax", "conse-1", "conse-2", "hierse")


def build_ranked(folder: Path, vectors=None) -> Path:
    """Rankings, scores, tables, pixels, counts and a map."""
    world = build(folder, vectors)
    asked = {"index": world / "index", "label_sets": world / "label_sets"}
    rank_softmax.main(rank_softmax.Params(threads=1), features=world / "features", **asked,
                      out=world / "rankings" / "softmax.safetensors")
    rank_conse.main(rank_conse.Params(t=[1, 2], hierse_t=1, hierse_temperature=1.0, hierse_csls_neighbours=0,
                                      hierse_hubs="val", hierse_classifiers=CLASSIFIERS, handicap=0,
                                      handicap_without_val=0.0, folds=2, seed=0, threads=1, any_processor=True),
                    features=world / "features",
                    cnn=world / "cnn.safetensors",
                    lemmas=world / "lemmas.safetensors", hypernyms=world / "hypernyms.safetensors",
                    out=world / "rankings" / "conse", hierse=world / "rankings" / "hierse.safetensors",
                    hierse_classifiers=world / "classifiers.safetensors",
                    metrics=world / "metrics" / "rank_conse.json", **asked)
    pack(world / "index")
    write_settings(world)
    score(world)
    return world


def pack(index: Path) -> None:
    """Give the index pixels of its images: a colour each."""
    artifact = Artifact(index / INDEX_FILE)
    arrays = {name: artifact[name] for name in artifact.names()}
    colours = np.random.default_rng(5).integers(0, 255, (len(arrays["label"]), 1, 1, 3), np.uint8)
    write_artifact(index / PIXELS_FILE, {}, {"pixels": np.tile(colours, (1, 8, 6, 1))})
    write_index(index, artifact.meta["wnids"], arrays, pixels=Artifact(index / PIXELS_FILE).sha256, containers=[],
                made_from={})


def write_settings(world: Path) -> None:
    (world / "params.yaml").write_text(json.dumps({
        "x-threads": 1, "x-mine": {"of": "an anchor"},  # a user's own
        "rank_conse": {"t": [1, 2], "threads": 1}, "make_tables": {"same_size": 0.03}, "make_report": PARAMS,
        "index_images": {"images": "/home/somebody/pictures", "roles": {"train": "train", "unseen": None}}}))
    (world / "metrics").mkdir(exist_ok=True)
    (world / "metrics" / "index_images.json").write_text(json.dumps({"unreadable_skipped": 1234, "entries_ignored": 0}))
    sources = {"labels": 3, "term": 2, "words": 1, "hypernym": 0, "without": 0}
    (world / "metrics" / "embed_labels.json").write_text(json.dumps({f"seen/{key}": n for key, n in sources.items()}))
    rows = [f"{wnid},{number}.5,{number % 3}.25,{('other', 'dog')[number % 2]}\n"
            for number, wnid in enumerate(sorted([*SEEN, *SETS["unseen"]]))]
    (world / "places.csv").write_text("wnid,x,y,kind\n" + "".join(rows))


def name_the_pug(monkeypatch, name: str) -> None:
    """Let the taxonomy that make_report reads have that name for the pug."""
    real = make_report.read_taxonomy

    def renamed(folder):
        nouns = real(folder)
        nouns.lemmas[nouns.index[WNID["pug"]]][0] = name
        return nouns
    monkeypatch.setattr(make_report, "read_taxonomy", renamed)


def score(world: Path) -> None:
    """Score all rankings that are there."""
    for path in sorted((world / "rankings").rglob("*.safetensors")):
        evaluate.main(evaluate.Params(resamples=100, seed=0), model=path.stem, rankings=path,
                      taxonomy=world / "taxonomy", label_sets=world / "label_sets", out=world / "metrics" / path.stem,
                      headline=world / "headline.json", scores=world / "scores" / f"{path.stem}.csv",
                      classes=world / "scores" / "classes" / f"{path.stem}.csv")


def make_page(world: Path, out: Path, scores: Path | None = None, **changed) -> str:
    """Run the stage; the page."""
    make_report.main(make_report.Params(**{**PARAMS, **changed}), scores=scores or world / "scores",
                     published=PAPERS, rankings=world / "rankings", index=world / "index", images=world,
                     label_vectors=world / "lemmas.safetensors", places=world / "places.csv",
                     taxonomy=world / "taxonomy", label_sets=world / "label_sets", counted=world / "metrics",
                     settings=world / "params.yaml", out=out)
    return out.read_text(encoding="utf-8")
