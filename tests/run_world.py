"""A little world's pipeline in a git repository, with DVC's cache of each run's artifacts."""

import contextlib
import shutil
import subprocess

import numpy as np
import yaml
from dvc.repo import Repo

from stages import rank_devise
from tests.ranking_world import build
from zeroshot.base.artifacts import Artifact, write_artifact

DEVISE = {"cmd": "rank ${item}", "deps": ["data/points.safetensors", "data/label_sets", "data/index"],
          "outs": ["data/rankings/${item}.safetensors"]}
PIPELINE = {"stages": {
    "build_taxonomy": {"cmd": "make taxonomy", "outs": ["data/taxonomy"]},
    "index_images": {"cmd": "make index", "outs": ["data/index"]},
    "build_label_sets": {"cmd": "make label sets", "deps": ["data/taxonomy"], "outs": ["data/label_sets"]},
    "train_devise": {"cmd": "train", "deps": ["data/index"], "params": ["train_devise"],
                     "outs": ["data/points.safetensors"]},
    "rank_devise": {"foreach": ["devise"], "do": DEVISE},
    "rank_conse": {"cmd": "mix", "deps": ["data/index", "data/label_sets"], "outs": ["data/rankings/conse"]}}}


def git(folder, *arguments):
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], cwd=folder, check=True,
                   capture_output=True)


def commit_outs(folder):
    with contextlib.chdir(folder), Repo() as repo:
        repo.commit(force=True)


def make_run(folder, seed, images=12, repack=False):
    """Artifacts of a run that is trained on `seed`, and params.yaml; DVC commits them as if the stages had run."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    data = build(folder / "data", images=images)
    source = Artifact(data / "points.safetensors")
    points = np.random.default_rng(seed).normal(size=source.shape("points")).astype(np.float32)
    write_artifact(data / "points.safetensors", {}, {"points": points, "row": source["row"]})
    if repack:
        index = Artifact(data / "index" / "images.safetensors")
        arrays = {name: index[name] for name in index.names()}
        write_artifact(index.path, {**index.meta, "made_from": {"pack": 32}}, arrays)
    rank(data)
    (folder / "params.yaml").write_text(yaml.safe_dump({"train_devise": {"seed": seed, "margin": 0.1}}))
    commit_outs(folder)


def rank(data):
    (data / "rankings" / "conse").mkdir(parents=True, exist_ok=True)
    for vectors, out in (("lemmas", "devise"), ("hypernyms", "conse/conse-10")):
        rank_devise.main(rank_devise.Params(threads=1, any_processor=True), points=data / "points.safetensors",
                         index=data / "index", label_vectors=data / f"{vectors}.safetensors",
                         label_sets=data / "label_sets", out=data / "rankings" / f"{out}.safetensors")
