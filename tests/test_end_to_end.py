"""The whole pipeline on a miniature of real input: folders and tars of image files, plain text, dvc.yaml's commands.

Stages run in this process, in the order and with the arguments that DVC resolves, so a run takes seconds.
"""

import importlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import zeroshot
from stages import run_stage
from tests.serving_world import ask, post
from zeroshot.base.artifacts import Artifact
from zeroshot.base.files import sha256_of
from zeroshot.base.params import read_yaml
from zeroshot.labels.label_sets import read_label_sets, read_wnids
from zeroshot.ranking.rankings import Rankings
from zeroshot.running.scratch import PROJECT

SEEN = ["n02084071", "n02121620", "n01503061", "n02512053", "n02958343", "n02691156"]  # dog cat bird fish car airplane
UNSEEN = ["n02123394", "n02129165", "n01613294", "n02924116"]  # Persian cat, lion, eagle, bus
COLOUR = {wnid: np.array(colour) for wnid, colour in zip(
    [*SEEN, *UNSEEN], np.random.default_rng(0).integers(40, 215, (10, 3)), strict=True)}
SMALL = {
    "index_images": {"source": "folders", "images": "pictures", "pack": 16, "workers": 1, "max_unreadable": 0.1},
    "build_label_sets": {"universe": "universe.txt"},
    "prepare_corpus": {"source": "plain", "text": "text", "workers": 1},
    "train_skipgram": {"dim": 16, "epochs": 2, "window": 5},
    "train_devise": {"epochs": 5}, "rank_conse": {"hierse_classifiers": {"share": 1.0}}, "evaluate": {"resamples": 100},
    "pretrain_cnn": {"resize": 16, "image_size": 16, "epochs": 2, "batch": 16, "arch": "resnet8",
                     "workers": 0},
    "finetune_devise": {"epochs": 1, "batch": 16},
}


def image_file(wnid: str, seed: int, kind: str) -> bytes:
    """A plain colour with noise: enough for a CNN to learn something."""
    rng = np.random.default_rng([seed, int(wnid[1:])])
    pixels = np.clip(COLOUR[wnid] + rng.normal(0, 20, (24, 20, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("L" if kind == "grey" else "RGB").save(buffer, "JPEG" if kind == "grey" else kind)
    return buffer.getvalue()


def write_images(root: Path) -> None:
    """train/ as tars, val/ and unseen/ as folders; a greyscale JPEG, PNGs, WebPs; one file that is no image."""
    for role, wnids, count in (("train", SEEN, 12), ("val", SEEN, 4), ("unseen", UNSEEN, 4)):
        for wnid in wnids:
            files = {f"{i}.img": image_file(wnid, i + 100 * len(role), ("JPEG", "PNG", "WEBP", "grey")[i % 4])
                     for i in range(count)}
            (root / role).mkdir(parents=True, exist_ok=True)
            if role == "train":
                with tarfile.open(root / role / f"{wnid}.tar", "w") as tar:
                    for name, content in files.items():
                        member = tarfile.TarInfo(name)
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
            else:
                (root / role / wnid).mkdir()
                for name, content in files.items():
                    (root / role / wnid / name).write_bytes(content)
    broken = root / "val" / SEEN[0] / "0.img"
    broken.rename(broken.with_suffix(".JPEG")).write_bytes(b"this is no image, whatever its name says")


def merged(base: Mapping, changes: Mapping) -> dict:
    return {**base, **{key: merged(base[key], value) if isinstance(value, Mapping) else value
                       for key, value in changes.items()}}


def make_project(folder: Path, taxonomy: Path, wordnet: Path) -> None:
    """A copy of the project's tracked and new files, with small input and small params."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True).stdout.split("\0")):
        if (PROJECT / name).is_file() and not name.startswith(("tests/", "metrics/", "results/", ".git")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    shutil.copytree(taxonomy, folder / "data" / "taxonomy")
    shutil.copy(wordnet, folder / "data" / "wordnet.zip")
    shutil.copy(taxonomy.parent / "universe.txt", folder)
    shutil.rmtree(folder / "plots", ignore_errors=True)
    write_images(folder / "pictures")
    glosses = (taxonomy / "glosses.txt").read_text()
    (folder / "text").mkdir()
    (folder / "text" / "a.txt").write_text(glosses + "\n".join([*(
        f"a {name} is seen" for name in ("dog", "cat", "bird", "fish", "car", "airplane", "lion", "eagle", "bus"))]))
    demo = read_yaml(PROJECT / "presets" / "demo.yaml")
    demo = {name: section | ({"threads": 1} if "threads" in section else {}) for name, section in demo.items()}
    (folder / "params.yaml").write_text(json.dumps(merged(demo, SMALL)))


def resolved_commands(folder: Path) -> list[str]:
    """Every stage's command in an order that respects the graph, as DVC resolves params and foreach."""
    from dvc.repo import Repo
    from networkx import topological_sort

    if not (folder / ".dvc" / "tmp").exists():
        Repo.init(str(folder), no_scm=True, force=True).close()
    with Repo(str(folder)) as repo:
        order = reversed(list(topological_sort(repo.index.graph)))
        return [stage.cmd for stage in order if "fetch_wordnet" not in stage.cmd and "build_taxonomy" not in stage.cmd]


def run_all(commands: list[str]) -> None:
    for command in commands:
        _, _, module, *arguments = shlex.split(command)  # python -m stages.x ...
        sys.argv = [module, *arguments]
        run_stage(importlib.import_module(module).main)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, part_of_taxonomy, wordnet_zip):
    """Two runs that are the same, and one without unseen classes, which takes over the first one's term vectors.

    No command depends on which classes there are.
    """
    folders = [tmp_path_factory.mktemp(name) for name in ("run one", "run two", "no unseen")]
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "argv", sys.argv)
    patch.setattr("stages.PARENT", os.getppid())
    patch.setenv("ZEROSHOT_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
    for folder in folders:
        make_project(folder, part_of_taxonomy, wordnet_zip)
        patch.chdir(folder)
        if folder == folders[0]:
            commands = resolved_commands(folder)
        if folder == folders[2]:
            params = read_yaml(Path("params.yaml"))
            params["index_images"]["roles"]["unseen"] = None
            Path("params.yaml").write_text(json.dumps(params))
            for made in ("corpus", "term_vectors"):
                shutil.copytree(folders[0] / "data" / made, folder / "data" / made)
            commands = [command for command in commands
                        if not {"stages.prepare_corpus", "stages.train_skipgram"} & {*command.split()}]
        run_all(commands)
    patch.undo()
    return folders


def made(folder: Path) -> list[Path]:
    tops = (folder / top for top in ("data", "metrics", "plots"))
    return [path for top in tops for path in sorted(top.rglob("*")) if path.is_file()]


def test_every_model_has_metrics_for_every_set_that_it_can_rank(runs):
    for model in ("devise", "random", "conse-1", "conse-10", "conse-1000", "hierse", "exemplars"):
        for label_set in ("seen", "unseen", "unseen+seen"):
            metrics = json.loads((runs[0] / "metrics" / model / f"{label_set}.json").read_text())
            assert {f"{kind}@{k}" for kind in ("hit", "hp") for k in (1, 2, 5, 10, 20)} <= set(metrics)
            assert metrics["hit@1"] == metrics["hp@1"] and metrics["images"] == (23 if label_set == "seen" else 16)
    assert (runs[0] / "metrics" / "softmax" / "seen.json").exists()


def test_without_unseen_classes_the_seen_ones_are_evaluated(runs):
    for model in ("softmax", "devise", "conse-10", "hierse", "exemplars"):
        assert [path.name for path in (runs[2] / "metrics" / model).iterdir()] == ["seen.json"]
    assert (runs[2] / "plots" / "answers.png").exists() and (runs[2] / "plots" / "label_map.png").exists()


def test_an_unreadable_image_is_counted_and_listed(runs):
    assert SEEN[0] in (runs[0] / "data" / "index" / "skipped.tsv").read_text()


def test_the_tables_hold_what_the_metrics_hold(runs):
    results = pd.read_csv(runs[0] / "metrics" / "tables" / "results.csv")
    assert list(results.columns) == ["model", "label_set", "metric", "k", "value"]
    row = results.query("model == 'conse-10' and label_set == 'unseen' and metric == 'hit' and k == 5")
    metrics = json.loads((runs[0] / "metrics" / "conse-10" / "unseen.json").read_text())
    assert row["value"].item() == pytest.approx(metrics["hit@5"])
    assert read_wnids(runs[0] / "data" / "label_sets" / "unseen.txt") == sorted(UNSEEN)


def test_two_runs_give_the_same_bytes_everywhere(runs):
    first, second = ({str(path.relative_to(folder)): sha256_of(path) for path in made(folder)} for folder in runs[:2])
    assert first == second and len(first) > 60


def against_us(answers, true):
    """The labels, the true one behind all others of its score, as in rankings."""
    scores = {answer.wnid: answer.score for answer in answers}
    return sorted(scores, key=lambda wnid: (-scores[wnid], wnid == true, wnid))


def test_naming_gives_the_pipelines_answers_to_the_label(runs):
    data = runs[0] / "data"
    model, sets = zeroshot.load_model(data / "model"), read_label_sets(data / "label_sets")
    assert set(model.models) == {"softmax", "devise", "conse-1", "conse-10", "conse-1000", "hierse", "ridge", "eszsl",
                                 "exemplars"}
    pixels = Artifact(data / "index" / "pixels.safetensors")["pixels"]
    compared = 0
    for label_set in model.label_sets:
        able = [name for name in model.models if name != "softmax" or label_set.split("+")[-1] == "seen"]
        named = model.name(list(pixels), label_set, 21, able)
        for name in able:
            folder = data / "rankings" / ("conse" if name.startswith("conse") else "")
            ranked = Rankings(folder / f"{name}.safetensors", sets)
            if label_set not in ranked.names:
                continue
            wnids = np.array([*ranked.wnids, ""])  # "" where there are fewer than 20
            arrays = (ranked[f"{label_set}/{array}"] for array in ("row", "true", "top"))
            for row, true, top in zip(*arrays, strict=True):
                found = against_us(named[row].answers[name], ranked.wnids[true])[:20]
                assert found == [wnid for wnid in wnids[top] if wnid], (name, label_set, row)
                compared += 1
    assert compared > 500


def test_the_model_is_served_as_a_page(runs):
    """The command as it is typed, from its address on standard output to Ctrl-C."""
    folder = runs[0]
    image = folder / "pictures" / "unseen" / UNSEEN[1] / "1.img"
    command = [sys.executable, "-m", "zeroshot", "serve", "--photographs", "pictures/unseen", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "ZEROSHOT_SCRATCH": str(folder / "points")}) as server:
        try:
            about, opened = server.stdout.readline(), server.stdout.readline()
            assert about.endswith(" labels of WordNet, 6 of them trained on with images.\n")
            port = int(re.fullmatch(r"Open http://127\.0\.0\.1:(\d+)/ in a browser; Ctrl-C ends it\.\n", opened)[1])
            named = zeroshot.load_model(folder / "data" / "model").name(image, "unseen+seen", 3, "hierse,devise")[0]
            status, _, page = post(port, (image.name, image.read_bytes()), model=["hierse", "devise"],
                                   set="unseen+seen", top="3")
            wnids = re.findall(r'seen</span> (n\d{8})', page)
            assert status == 200 and sorted(wnids) == sorted(
                answer.wnid for answers in named.answers.values() for answer in answers)
            _, _, found = ask(port, "/search?words=lion")
            row = re.search(r'<img src="/photographs/(\d+)"', found)[1]
            assert ask(port, f"/photographs/{row}")[1]["Content-Type"] == "image/jpeg"
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0 and server.stdout.read() == "\nEnded.\n"
