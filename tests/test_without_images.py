"""Runs without any image, or with those of some roles: each stage that has nothing to do says so and ends well."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stages import (
    draw_figures,
    draw_label_map,
    embed_images,
    evaluate,
    explain_failures,
    extract_features,
    finetune_devise,
    fit_closed_form,
    index_images,
    make_report,
    make_tables,
    pretrain_cnn,
    rank_closed_form,
    rank_conse,
    rank_devise,
    rank_softmax,
    train_devise,
)
from tests.image_sets import jpeg, put_folder
from tests.ranking_world import NOUNS, SEEN, WNID
from tests.report_world import PARAMS as REPORT
from tests.test_fit_closed_form import PARAMS as FIT
from tests.test_index_images import SETTINGS as INDEX
from tests.test_rank_conse import PARAMS as CONSE
from tests.vision import EMBED, EXTRACT, FINETUNE, MAP, PRETRAIN, SIDE
from zeroshot.base.artifacts import Artifact, why_not_made
from zeroshot.console.errors import InputError, NotMade
from zeroshot.images.index import TRAIN, UNSEEN, VAL, ImageIndex
from zeroshot.labels.label_sets import read_label_sets, write_label_sets
from zeroshot.labels.label_vectors import LabelVectors, write_label_vectors
from zeroshot.labels.seen_labels import SeenLabels
from zeroshot.networks.visual_model import build_visual
from zeroshot.ranking.rankings import Rankings
from zeroshot.taxonomy import make_taxonomy, write_taxonomy

PUBLISHED = Path("presets/papers/conse_tables.csv").resolve()
CLOSED_FORM = ("ridge", "eszsl", "exemplars")
LISTED = "".join(wnid + "\n" for wnid in SEEN)


class World:
    """The pipeline from images to tables in a folder; `roles` name those that have images."""

    def __init__(self, folder: Path, listed: str = LISTED):
        self.folder, self.listed = folder, listed
        write_taxonomy(folder / "taxonomy", make_taxonomy(
            {WNID[name]: ([name], [WNID[parent] for parent in parents], [], name) for name, parents in NOUNS.items()}))
        labels = sorted(WNID.values())
        vectors = np.random.default_rng(0).normal(size=(len(labels), 4)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        for kind in ("lemmas", "hypernyms"):
            write_label_vectors(folder / f"{kind}.safetensors",
                                LabelVectors(labels, vectors, np.arange(len(labels), dtype=np.int32)))
        torch.manual_seed(0)
        torch.save(build_visual("resnet8", classes=len(SEEN), stem="strided", dropout=0).state_dict(),
                   folder / "weights.pth")

    def index(self, images: Path, **roles) -> ImageIndex:
        (self.folder / "seen.txt").write_text(self.listed)
        (self.folder / "none.txt").touch()
        roles = {"train": None, "val": None, "unseen": None, **roles}
        params = index_images.Params.model_validate({**INDEX, "roles": roles, "pack": SIDE})
        images.mkdir(exist_ok=True)
        index_images.main(params, images=images, names=self.folder / "none.txt", seen_list=self.folder / "seen.txt",
                          unseen_list=self.folder / "none.txt", demo_classes=images, taxonomy=self.folder / "taxonomy",
                          out=self.folder / "index", metrics=self.folder / "index.json")
        index = ImageIndex.read(self.folder / "index")
        write_label_sets(self.folder / "label_sets", {"seen": index.seen, "unseen": index.unseen, "2-hops": [],
                                                      "3-hops": [], "21k": sorted({*WNID.values()} - {*index.seen})})
        return index

    def see(self, **changes) -> None:
        here = self.folder
        pretrain_cnn.main(
            pretrain_cnn.Params(**{**PRETRAIN, "pretrained": "file", "epochs": 0, **changes}), index=here / "index",
            images=here, weights=here / "weights.pth", weights_list=here, out=here / "cnn.safetensors",
            metrics=here / "cnn.json", curve=here / "cnn.csv")
        extract_features.main(extract_features.Params(**EXTRACT), index=here / "index", images=here,
                              cnn=here / "cnn.safetensors", out=here / "features", metrics=here / "features.json")

    def learn(self, **changes) -> None:
        here, read = self.folder, {"index": self.folder / "index", "label_vectors": self.folder / "lemmas.safetensors"}
        train_devise.main(train_devise.Params(**MAP), features=here / "features", out=here / "map.safetensors",
                          metrics=here / "map.json", curve=here / "map.csv", **read)
        finetune_devise.main(finetune_devise.Params(**FINETUNE), images=here, cnn=here / "cnn.safetensors",
                             map=here / "map.safetensors", out=here / "network.safetensors",
                             metrics=here / "network.json", curve=here / "network.csv", **read)
        fit_closed_form.main(fit_closed_form.Params(**{**FIT, **changes}), features=here / "features",
                             out=here / "closed_form", metrics=here / "closed_form.json", **read)
        embed_images.main(embed_images.Params(**EMBED), index=here / "index", images=here,
                          network=here / "network.safetensors", features=here / "features",
                          out=here / "points.safetensors")

    def rank(self, **changes) -> None:
        here, out = self.folder, self.folder / "rankings"
        read = {"index": here / "index", "label_sets": here / "label_sets"}
        rank_softmax.main(rank_softmax.Params(threads=1), features=here / "features", out=out / "softmax.safetensors",
                          **read)
        rank_devise.main(rank_devise.Params(threads=1, any_processor=True), points=here / "points.safetensors",
                         label_vectors=here / "lemmas.safetensors", out=out / "devise.safetensors", **read)
        rank_closed_form.main(rank_closed_form.Params(handicap="auto", threads=1, any_processor=True),
                              models=here / "closed_form", features=here / "features",
                              label_vectors=here / "lemmas.safetensors", out=out, **read)
        rank_conse.main(rank_conse.Params(**{**CONSE, "handicap": "auto", "handicap_without_val": 0.25, **changes}),
                        features=here / "features", cnn=here / "cnn.safetensors", lemmas=here / "lemmas.safetensors",
                        hypernyms=here / "hypernyms.safetensors", out=out / "conse", hierse=out / "hierse.safetensors",
                        hierse_classifiers=here / "classifiers.safetensors",
                        metrics=here / "conse.json", **read)

    def tell(self) -> None:
        here = self.folder
        for model in ("softmax", "devise", "hierse", "conse-1", *CLOSED_FORM):
            place = here / "rankings" / ("conse" if model.startswith("conse") else "") / f"{model}.safetensors"
            evaluate.main(evaluate.Params(resamples=100, seed=0), model=model, rankings=place,
                          taxonomy=here / "taxonomy", label_sets=here / "label_sets", out=here / "metrics" / model,
                          headline=here / "headline" / f"{model}.json", scores=here / "scores" / f"{model}.csv",
                          classes=here / "classes" / f"{model}.csv")
        (here / "params.yaml").write_text("rank_conse: {t: [1]}\nmake_tables: {same_size: 0.03}\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(here)
            make_tables.main(make_tables.Params(same_size=0.03), scores=here / "scores", classes=here / "classes",
                             taxonomy=here / "taxonomy", published=PUBLISHED, out=here / "tables",
                             plot=here / "hit.png")
        explain_failures.main(explain_failures.Params(label_set="21k", neighbours=3, hops=2), out=here / "tables",
                              rankings=here / "rankings", features=here / "features", taxonomy=here / "taxonomy",
                              label_vectors=here / "lemmas.safetensors", label_sets=here / "label_sets")
        draw_figures.main(draw_figures.Params(label_set="unseen", models=["devise", "conse-1", "hierse"], images=3,
                                              answers=2, seed=0),
                          rankings=here / "rankings", index=here / "index", images=here, taxonomy=here / "taxonomy",
                          label_sets=here / "label_sets", answers=here / "answers.png")
        draw_label_map.main(draw_label_map.Params(labels=10, perplexity=2, seed=0), taxonomy=here / "taxonomy",
                            label_vectors=here / "lemmas.safetensors", label_sets=here / "label_sets",
                            label_map=here / "map.png", places=here / "places.csv")
        (here / "counted").mkdir()
        make_report.main(make_report.Params(**REPORT), scores=here / "scores", published=PUBLISHED,
                         rankings=here / "rankings", index=here / "index", images=here,
                         label_vectors=here / "lemmas.safetensors", places=here / "places.csv",
                         taxonomy=here / "taxonomy", label_sets=here / "label_sets", counted=here / "counted",
                         settings=here / "params.yaml", out=here / "report.html")

    def read(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text())


def photographs(folder: Path, role: str, names, each: int = 4) -> None:
    for name in names:
        colour = (40 * int(WNID[name][-1]) % 256, 255 - 25 * int(WNID[name][-1]), 9 * int(WNID[name][-1]))
        put_folder(folder / role / WNID[name], {f"{number}.JPEG": jpeg(colour) for number in range(each)})


def test_without_any_image_every_stage_ends_well_and_nothing_is_measured(tmp_path, capsys):
    world = World(tmp_path)
    index = world.index(tmp_path / "images")
    assert (index.seen, index.unseen, len(index)) == (SEEN, [], 0)
    assert (tmp_path / "index" / "seen.txt").read_text() == LISTED
    assert world.read("index.json")["seen_classes_without_train"] == 3
    world.see()
    assert Artifact(tmp_path / "features" / "logits.safetensors").shape("logits") == (0, 3)
    assert "val_hit@1" not in world.read("cnn.json")
    world.learn()
    world.rank(hierse_csls_neighbours=2)
    world.tell()
    for path in ("map", "network", "points", "closed_form/ridge", "rankings/devise", "rankings/eszsl"):
        with pytest.raises(NotMade, match="not made: no training images of a seen class"):
            Artifact(tmp_path / f"{path}.safetensors")
    hierse = Rankings(tmp_path / "rankings" / "hierse.safetensors", read_label_sets(tmp_path / "label_sets"))
    assert hierse.names == [] and world.read("conse.json")["hierse"] == {"seen_handicap": 0.25}
    assert world.read("headline/devise.json") == world.read("headline/hierse.json") == {}
    assert world.read("metrics/hierse/not_measured.json") == {"why": "no test images"}
    bias = Artifact(tmp_path / "rankings" / "hierse.safetensors")["bias"]
    assert len(set(bias.tolist())) > 3  # hubs are known without an image
    assert (tmp_path / "tables" / "overview.md").read_text() == (
        "Nothing was measured.\n\nNot measured, no test images: Softmax baseline, ConSE(1), HierSE.\nNot measured, no "
        "training images of a seen class with a vector: DeViSE, Ridge regression, ESZSL, Predicted exemplars.\n")
    assert (tmp_path / "tables" / "results.csv").read_text() == "model,label_set,metric,k,value\n"
    assert (tmp_path / "answers.png").stat().st_size and (tmp_path / "hit.png").stat().st_size
    said = capsys.readouterr().out
    for words in ("train: no images (its role is null)", "no validation images to choose HierSE's handicap by; it is "
                  "0.25", "no validation images to tell hubs by", "draw_figures: no test images",
                  "DeViSE is not measured: no training images"):
        assert words in said


def test_unseen_photographs_alone_are_measured_where_no_training_is_needed(tmp_path):
    world = World(tmp_path)
    photographs(tmp_path / "images", "unseen", ("pug", "canoe"))
    index = world.index(tmp_path / "images", unseen="unseen")
    assert (index.seen, len(index.rows(UNSEEN)), len(index)) == (SEEN, 8, 8)
    world.see()
    world.learn()
    world.rank()
    world.tell()
    table = (tmp_path / "tables" / "overview.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("|")}
    assert {"Softmax baseline", "ConSE(1)", "HierSE"} <= set(rows)
    assert not {"DeViSE", "Ridge regression", "ESZSL", "Predicted exemplars"} & set(rows)
    assert table.endswith("Not measured, no training images of a seen class with a vector: DeViSE, Ridge regression, "
                          "ESZSL, Predicted exemplars.\n")
    assert world.read("headline/hierse.json")["unseen_hit@1"] >= 0


def test_with_validation_photographs_of_few_classes_seen_figures_are_there(tmp_path, capsys):
    world = World(tmp_path, LISTED)
    photographs(tmp_path / "images", "val", ("cat", "husky", "car"))
    photographs(tmp_path / "images", "unseen", ("pug",))
    world.index(tmp_path / "images", val="val", unseen="unseen")
    world.see()
    world.learn()
    world.rank()  # three classes make no two folds of two
    assert world.read("conse.json")["hierse"] == {"seen_handicap": 0.25}
    said = capsys.readouterr().out
    assert "3 seen classes with a vector are too few to choose HierSE's handicap by; it is 0.25" in said
    world.rank(handicap=0.5)
    assert world.read("conse.json")["hierse"] == {"seen_handicap": 0.5}
    world.tell()
    assert world.read("headline/softmax.json")["seen_hit@1"] >= 0
    assert {"seen_hit@1", "unseen_hit@1", "harmonic"} <= set(world.read("headline/hierse.json"))


def test_training_photographs_of_some_listed_classes_train_all_models_on_those(tmp_path):
    world = World(tmp_path)
    photographs(tmp_path / "images", "train", ("cat", "husky"), each=6)
    photographs(tmp_path / "images", "val", ("cat", "husky", "car"))
    index = world.index(tmp_path / "images", train="train", val="val")
    assert index.seen == SEEN and [len(index.rows(role)) for role in (TRAIN, VAL, UNSEEN)] == [12, 12, 0]
    assert world.read("index.json")["seen_classes_without_train"] == 1
    world.see()
    world.learn()
    for model in CLOSED_FORM:  # of two classes with images no folds
        assert why_not_made(tmp_path / "closed_form" / f"{model}.safetensors") == (
            "training images of 2 seen classes with a vector; settings take 4 to choose by")
    assert why_not_made(tmp_path / "network.safetensors") is None
    assert world.read("map.json")["train_images"] == 12 and world.read("map.json")["seen_labels"] == 3


def test_closed_form_models_without_validation_images_say_what_is_missing(tmp_path):
    world = World(tmp_path)
    photographs(tmp_path / "images", "train", ("cat", "husky", "car"))
    world.index(tmp_path / "images", train="train")
    world.see()
    world.learn()
    for model in CLOSED_FORM:
        assert why_not_made(tmp_path / "closed_form" / f"{model}.safetensors") == (
            "no validation images to choose settings by")
    assert why_not_made(tmp_path / "points.safetensors") is None


def test_training_a_network_without_training_images_is_refused(tmp_path):
    world = World(tmp_path)
    world.index(tmp_path / "images")
    with pytest.raises(InputError, match="`epochs` is 2, but there are no training images"):
        world.see(epochs=2)


def test_seen_labels_with_images(tmp_path):
    world = World(tmp_path)
    photographs(tmp_path / "images", "train", ("cat", "car"))
    index = world.index(tmp_path / "images", train="train")
    vectors = np.eye(3, dtype=np.float32)
    labels = LabelVectors(SEEN, vectors, np.arange(3, dtype=np.int32))
    seen = SeenLabels.of(index, labels, torch.device("cpu"))
    with_images = seen.with_images(index)
    places = [SEEN.index(wnid) for wnid in sorted([WNID["cat"], WNID["car"]])]
    assert seen.wnids == SEEN and with_images.wnids == [SEEN[place] for place in places]
    assert with_images.vectors.tolist() == vectors[places].tolist()


# --- the list of seen classes

@pytest.mark.parametrize("listed, roles, message", [
    ("n99999999\n", {}, r"seen.txt: n99999999 is no noun synset of WordNet 3.0 \(1 of its 1 wnids"),
    ("cat\n", {}, "line 1 begins 'cat'; expected a wnid"),
    (f"# mine\n{LISTED}{SEEN[0]} cat again\n", {}, f"seen.txt: {SEEN[0]} stands twice, in lines 2 and 5"),
    ("# none\n", {}, "no seen class: index_images.roles.train is null and .*seen.txt"),
    (f"{WNID['cat']}\n", {"val": "val"}, f"val: class {WNID['husky']} has no training images and is in no list"),
    (f"{LISTED}{WNID['pug']}\n", {"unseen": "unseen"}, f"unseen: {WNID['pug']} is also in .*seen.txt"),
])
def test_a_list_that_does_not_fit_is_refused(tmp_path, listed, roles, message):
    photographs(tmp_path / "images", "val", ("cat", "husky"))
    photographs(tmp_path / "images", "unseen", ("pug",))
    with pytest.raises(InputError, match=message):
        World(tmp_path, listed).index(tmp_path / "images", **roles)


def test_a_list_and_training_images_are_seen_together_and_the_demo_takes_none(tmp_path):
    photographs(tmp_path / "images", "train", ("pug", "cat"))
    world = World(tmp_path)
    assert world.index(tmp_path / "images", train="train").seen == sorted([*SEEN, WNID["pug"]])
    params = index_images.Params.model_validate({**INDEX, "source": "demo"})
    with pytest.raises(InputError, match="names 3 seen classes, but all those of the demo are drawn"):
        index_images.main(params, images=tmp_path, names=tmp_path, seen_list=tmp_path / "seen.txt",
                          unseen_list=tmp_path, demo_classes=tmp_path, taxonomy=tmp_path / "taxonomy",
                          out=tmp_path / "demo", metrics=tmp_path / "demo.json")
