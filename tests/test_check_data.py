import bz2
from pathlib import Path

import pytest
import torch

from tests.image_sets import CAT, DOG, HORSE, WOLF, put_folder, small_set
from tools import check_data, measure_training
from tools.check_params import linked_outs, missing_inputs
from tools.estimate_cost import (
    RANKING_BYTES,
    Found,
    Text,
    Training,
    closed_form_seconds,
    disk_bytes,
    memory_bytes,
    outs_bytes,
    run_seconds,
    temporary_bytes,
)
from zeroshot.base.params import read_yaml
from zeroshot.console.errors import InputError
from zeroshot.networks.visual_model import build_visual
from zeroshot.taxonomy import make_taxonomy, write_taxonomy

TEXT = Text(words=1_200_000, sentences=7_000_000, encoded=5_000_000, seconds=8.0, bytes=9_000_000)
PARAMS = read_yaml(check_data.PROJECT / "params.yaml")


@pytest.fixture
def project(tmp_path, monkeypatch):
    write_taxonomy(tmp_path / "data/taxonomy", make_taxonomy({w: ([w], [], [], "") for w in (DOG, CAT, WOLF, HORSE)}))
    small_set(tmp_path / "images")
    put_folder(tmp_path / "presets/lists", {"class-names.tsv": b"", "seen.txt": b"", "unseen.txt": b""})
    monkeypatch.chdir(tmp_path)
    return {**PARAMS, "index_images": {**PARAMS["index_images"], "source": "folders", "images": "images", "pack": 8}}


def test_a_small_set_is_counted_exactly(project):
    found = check_data.look_at_images(project, TEXT)
    assert found.classes == {"train": 2, "val": 2, "unseen": 1, "seen": 2}
    assert found.images == {"train": 5, "val": 2, "unseen": 2}
    assert found.decoded > 1 and found.listed > 1
    files = [file for file in Path("images").rglob("*") if file.is_file()]
    assert 1000 < found.bytes < sum(file.stat().st_size for file in files)  # tars hold headers besides


def test_large_sets_are_scaled_up_from_some_classes(project, monkeypatch):
    monkeypatch.setattr(check_data, "LISTED", 1)
    assert check_data.look_at_images(project, TEXT).images["train"] == 6  # 3 images of the first of 2 classes


def test_missing_data_are_named(project, tmp_path):
    (tmp_path / f"images/unseen/{WOLF}.tar").unlink()
    with pytest.raises(InputError, match="unseen: empty"):
        check_data.look_at_images(project, TEXT)
    bodies = {"a": {"deps": ["${s.text}", "${s.images}"], "outs": [{"data/made": {"cache": False}}]}}
    faults = check_data.missing_inputs(bodies, {"s": {"text": "nowhere", "images": "data/made/x.txt"}})
    assert len(faults) == 1 and faults[0].startswith("nowhere: no such file")


@pytest.mark.parametrize(("outputs", "fault"), [
    ("seen", None), ("imagenet-1k", "'imagenet-1k', 1,000 labels, but the weights have 2 outputs")])
def test_weights_are_looked_at_before_the_first_stage(project, outputs, fault):
    cnn = {**PARAMS["pretrain_cnn"], "arch": "resnet8", "pretrained": "file", "weights": "w.pth",
           "weights_outputs": outputs}
    params = {**project, "pretrain_cnn": cnn}
    assert check_data.look_at_weights(params)[0].startswith("w.pth: no such file")
    torch.save(build_visual("resnet8", classes=2, stem="strided", dropout=0).state_dict(), "w.pth")
    faults = check_data.look_at_weights(params)
    assert len(faults) == (fault is not None) and (fault is None or fault in faults[0])


def test_a_data_folder_on_another_disk_by_a_link_is_named_before_a_stage_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bodies = {"a": {"outs": ["data/made/x", {"metrics/a.json": {"cache": False}}], "plots": [{"plots/p.csv": {}}]}}
    (tmp_path / "disk").mkdir()
    (tmp_path / "metrics").mkdir()
    assert linked_outs(bodies) == []
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    faults = linked_outs(bodies)
    assert len(faults) == 1 and faults[0].startswith(f"data: a link to {tmp_path}/disk, and DVC")
    assert "dvc cache dir" in faults[0]


@pytest.mark.parametrize(("place", "path", "told"), [("x", "there", False), (".dvc/tmp/exps/x", "there", True),
                                                     (".dvc/tmp/exps/x", "/nowhere/there", False)])
def test_relative_paths_in_a_copy_of_the_tree_are_explained(tmp_path, monkeypatch, place, path, told):
    (tmp_path / place).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / place)
    faults = missing_inputs({"a": {"deps": ["${s.text}"], "outs": []}}, {"s": {"text": path}})
    assert len(faults) == 1 and ("give absolute paths" in faults[0]) == told


def test_text_is_counted_exactly_where_it_is_small(tmp_path):
    article = "<doc id=1>\nShark\n\nA shark is a fish.  It swims.\n</doc>\n"
    (tmp_path / "wiki_00").write_text(article * 2)
    (tmp_path / "wiki_01.bz2").write_bytes(bz2.compress(article.encode()))
    (tmp_path / "notes.txt").write_text("no WikiExtractor output")
    params = {"prepare_corpus": {**PARAMS["prepare_corpus"], "source": "wikiextractor", "text": str(tmp_path)}}
    text = check_data.look_at_text(params)
    assert text.words == 3 * 8
    kept = 3 * len("shark\na shark is a fish\nit swims\n")
    assert kept <= text.sentences < 1.1 * kept  # empty lines are left out later
    assert text.encoded >= 4 * 3 * 8 and text.bytes < 3 * len(article) + 100 and text.seconds > 0


def test_large_text_is_scaled_up_from_some_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr("zeroshot.text.files.TASK", 1)
    monkeypatch.setattr(check_data, "TEXT_TASKS", 2)
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text("a shark swims\n" * 10)
    params = {"prepare_corpus": {**PARAMS["prepare_corpus"], "source": "plain", "text": str(tmp_path)}}
    assert check_data.look_at_text(params).words == 6 * 30


def test_text_of_another_kind_and_text_that_is_not_there(tmp_path):
    (tmp_path / "wiki_00").write_text("just a sentence")
    params = {"prepare_corpus": {**PARAMS["prepare_corpus"], "source": "wikiextractor", "text": str(tmp_path)}}
    with pytest.raises(InputError, match="expected <doc"):
        check_data.look_at_text(params)
    params["prepare_corpus"]["text"] = str(tmp_path / "nowhere")  # check_params names it
    assert check_data.look_at_text(params).words == 0


@pytest.mark.parametrize(("items", "expected"), [([], []), ([1, 2], [1, 2]), (list(range(101)), [0, 50, 100])])
def test_evenly_takes_the_ends(items, expected):
    assert check_data.evenly(items, 3) == expected


@pytest.mark.parametrize(("arch", "size", "tap", "expected"), [
    ("resnet20", 32, "pooled", 64), ("torchvision/resnet50", 224, "activation", 2048 * 7 * 7),
    ("torchvision/resnet50", 224, "pooled", 2048), ("torchvision/squeezenet1_0", 224, "penultimate", 512),
    ("torchvision/squeezenet1_0", 224, "activation", 512 * 13 * 13), ("alexnet", 224, "penultimate", 4096),
    ("torchvision/regnet_y_400mf", 64, "pooled", 440)])  # which cannot be built without numbers
def test_the_features_are_as_wide_as_the_tap_makes_them(arch, size, tap, expected):
    assert check_data.feature_width(with_network(arch, size, tap)) == expected


def with_network(arch: str, size: int, tap: str) -> dict:
    cnn = {**PARAMS["pretrain_cnn"], "arch": arch, "stem": "standard", "image_size": size, "resize": size}
    return {**PARAMS, "pretrain_cnn": cnn, "extract_features": {**PARAMS["extract_features"], "tap": tap}}


@pytest.mark.parametrize(("arch", "size", "tap", "fault"), [
    ("alexnet", 224, "normalised", "no batch norm"), ("alexnet", 32, "penultimate", "image_size` is 32"),
    ("torchvision/resnet19", 224, "pooled", "no model 'resnet19'")])
def test_a_network_that_cannot_work_is_a_fault_beside_the_others(project, arch, size, tap, fault):
    Path("images/unseen", f"{WOLF}.tar").unlink()
    faults = check_data.look_at_all({**with_network(arch, size, tap), "index_images": project["index_images"]})[1]
    assert len(faults) == 2 and "unseen: empty" in faults[0] and fault in faults[1]


IMAGES = {"train": 1000, "val": 100, "unseen": 200}
FOUND = Found({"train": 5, "val": 5, "unseen": 2, "seen": 5}, IMAGES, listed=500.0, decoded=65.0, bytes=300_000_000,
              text=TEXT)
TRAINING = Training(rate=10.0, width=64, weights=1000, memory=10**9)


def small_params(**changes: dict) -> dict:
    """The demo's, of folders packed to 10 pixels, with round numbers; `changes` are of sections."""
    small = {"index_images": {"source": "folders", "pack": 10, "workers": 2},
             "pretrain_cnn": {"epochs": 3, "workers": 2, "optimiser": "sgd", "momentum": 0.9},
             "prepare_corpus": {"lexicon_size": 1000, "workers": 4},
             "train_skipgram": {"dim": 100, "epochs": 2, "workers": 1, "export": "none"},
             "train_devise": {"epochs": 2, "threads": 1}, "finetune_devise": {"epochs": 2, "share": 0.5, "workers": 1},
             "fit_closed_form": {"width": 50, "folds": 3, "threads": 1}, "rank_conse": {"t": [1, 10]}}
    return {name: {**section, **small.get(name, {}), **changes.get(name, {})} for name, section in PARAMS.items()}


def starting(figures: dict[str, float], name: str) -> float:
    """The figure whose name starts so."""
    return next(figure for key, figure in figures.items() if key.startswith(name))


def test_outs_are_the_products_of_counts_and_sizes():
    outs = outs_bytes(small_params(), FOUND, TRAINING)
    expected = {"image index": 1300 * 60, "packed pixels": 1300 * 300, "corpus": 7_000_000,
                "term vectors": 1000 * 100 * 4, "label vectors": 3 * 21_841 * 100 * 4, "features (64": 1300 * 64 * 2,
                "logits": 300 * 5 * 4, "points": 2 * 300 * 100 * 4,
                "rankings": 9 * (100 * (RANKING_BYTES + 4 * 4) + 200 * 8 * RANKING_BYTES),
                "networks": 3 * 4000 + 4 * 64 * 100 * 4, "closed-form": (200 + 5) * 64 * 4}
    assert {name: starting(outs, name) for name in expected} == pytest.approx(expected)


def test_the_cache_copies_all_outs_unless_it_links_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    outs = sum(outs_bytes(small_params(), FOUND, TRAINING).values())
    assert disk_bytes(small_params(), FOUND, TRAINING)["their copies in DVC's cache"] == outs
    (tmp_path / ".dvc/config").write_text("[cache]\n    type = hardlink,copy\n")
    disk = disk_bytes(small_params(), FOUND, TRAINING)
    assert "their copies in DVC's cache" not in disk and disk["temporary files"] == TEXT.encoded


def test_what_stages_remove_before_they_end_is_counted():
    assert temporary_bytes(small_params(index_images={"pack": 100}), FOUND) == 1300 * 30_000
    assert temporary_bytes(small_params(index_images={"pack": 100, "source": "demo"}), FOUND) == TEXT.encoded


def test_times_are_the_products_of_counts_and_rates():
    seconds = run_seconds(small_params(), FOUND, TRAINING)
    assert starting(seconds, "DVC") == pytest.approx(309e6 / 300e6)
    assert seconds["index_images"] == pytest.approx(1300 * (1 / 65 + 1 / 500) / 2)
    assert seconds["prepare_corpus"] == pytest.approx(8 * 1.25 / 4)
    assert starting(seconds, "train_skipgram") == pytest.approx(2 * 1_200_000 / 60_000)
    several = run_seconds(small_params(train_skipgram={"epochs": 2, "workers": 4}), FOUND, TRAINING)
    assert starting(several, "train_skipgram") == pytest.approx(2 * 1_200_000 / 60_000 / (4 * 0.75))
    assert starting(seconds, "pretrain_cnn") == pytest.approx(3 * (100 + 100 / 30))
    assert seconds["extract_features"] == pytest.approx(1300 / 30)
    assert starting(seconds, "train_devise") == pytest.approx(2 * 2 * 1000 * 6 * 100 * (64 + 5) / 50e9)
    assert starting(seconds, "finetune_devise") == pytest.approx(2 * (100 + 2 * 100 / 30))
    assert starting(seconds, "embed_images") == pytest.approx(2 * 300 / 30)
    assert seconds["ranking and evaluation"] == pytest.approx(9 * 300 * (0.2 / 8000 + 8 * 1.7e-6))


def test_decoding_in_place_may_be_what_takes_longest():
    slow = Found(FOUND.classes, IMAGES, 500.0, 4.0, 0, TEXT)
    in_place = {"pack": None, "check": "none"}
    seconds = run_seconds(small_params(index_images=in_place, embed_images={"workers": 8}), slow, TRAINING)
    assert seconds["index_images"] == pytest.approx(1300 / 500 / 2)
    assert starting(seconds, "pretrain_cnn") == pytest.approx(3 * 1100 / 8)  # two decoders of 4 images/s are slower
    assert starting(seconds, "finetune_devise") == pytest.approx(2 * (1000 / 4 + 2 * 100 / 8))
    assert starting(seconds, "embed_images") == pytest.approx(2 * 300 / 30)  # eight are not
    in_place["check"] = "decode"
    assert run_seconds(small_params(index_images=in_place), slow, TRAINING)["index_images"] == pytest.approx(
        1300 * (1 / 500 + 1 / 4) / 2)


def test_a_frozen_trunk_costs_no_passes():
    frozen = small_params(finetune_devise={"epochs": 0})
    seconds = run_seconds(frozen, FOUND, TRAINING)
    assert starting(seconds, "finetune_devise") == starting(seconds, "embed_images") == 0
    assert starting(outs_bytes(frozen, FOUND, TRAINING), "networks") == 4000 + 4 * 64 * 100 * 4


def test_memory_is_that_of_features_folded_to_the_width_that_is_set():
    wide = Training(rate=10.0, width=100_352, weights=1000, memory=10**9)
    memory = memory_bytes(small_params(fit_closed_form={"width": 4096, "folds": 3}), FOUND, wide)
    assert memory["fit_closed_form"] == pytest.approx(14 * 4096**2 * 8, rel=0.25)
    memory = memory_bytes(small_params(fit_closed_form={"width": 50_000, "folds": 3}), FOUND, wide)
    assert max(memory, key=memory.get) == "fit_closed_form" and memory["fit_closed_form"] > 14 * 50_000**2 * 8


@pytest.mark.parametrize(("workers", "copies"), [(1, 1), (4, 5)])
def test_memory_of_skipgram_holds_the_copies_that_several_workers_train(workers, copies):
    memory = memory_bytes(small_params(train_skipgram={"dim": 100, "workers": workers}), FOUND, TRAINING)
    assert memory["train_skipgram"] == 400e6 + copies * 2 * 1000 * 100 * 4


def test_memory_of_training_holds_the_optimiser_and_a_checkpoint():
    memory = memory_bytes(small_params(pretrain_cnn={"optimiser": "adamw"}), FOUND, TRAINING)
    assert memory["training"] == 10**9 + 1300 * 32 + 4000 * (2 + 2 * 3)


def test_more_than_there_is_is_said(capsys):
    check_data.warn_of_too_little(1.0, {"training": 1.0})
    assert "WARNING" not in capsys.readouterr().out
    check_data.warn_of_too_little(1e18, {"training": 1.0, "fit_closed_form": 2e15})
    said = capsys.readouterr().out
    assert "more disk than is free" in said and "fit_closed_form needs 2,000,000.0 GB of memory" in said


def test_training_is_measured(monkeypatch):
    monkeypatch.setattr(measure_training, "TRAINED", 0.05)
    cnn = {**PARAMS["pretrain_cnn"], "batch": 4, "threads": 1}
    training = check_data.measure_training(cnn, 7, 64)
    assert training.rate > 0 and training.weights > 200_000 and training.memory > 50e6


def test_the_whole_estimate_is_printed(project, monkeypatch, capsys):
    monkeypatch.setattr(measure_training, "TRAINED", 0.05)
    params = {**project, "pretrain_cnn": {**PARAMS["pretrain_cnn"], "batch": 4, "threads": 1}}
    (found, width), faults = check_data.look_at_all(params)
    assert not faults
    check_data.print_costs(params, found, width)
    said = capsys.readouterr().out
    assert "by list alone" not in said
    assert "features (64 half floats an image)" in said and "disk, all of it, up to" in said and "Basis: " in said


def test_the_first_vectors_of_a_users_file_are_looked_at(tmp_path, monkeypatch):
    def faults(text):
        (tmp_path / "v.txt").write_text(text)
        return check_data.look_at_vectors({"embed_labels": {"vectors": str(tmp_path / "v.txt"), "member": ""}})

    assert faults("the 1 2\nof 3 4\n") == []
    assert "v.txt: line 3 is 'and 5'" in faults("the 1 2\nof 3 4\nand 5\n")[0]
    folder = {"embed_labels": {"vectors": str(tmp_path), "member": ""}}
    assert "a folder that holds 'v.txt', and none" in check_data.look_at_vectors(folder)[0]
    monkeypatch.setattr(check_data, "VECTORS", 1)
    assert faults("the 1 2\nof 3 4\nand 5\n") == []


def test_without_images_the_estimate_is_of_the_rest(project, monkeypatch, capsys):
    monkeypatch.setattr(measure_training, "TRAINED", 0.05)
    Path("presets/lists/seen.txt").write_text(f"{DOG}\n{CAT}\n{HORSE}\n")
    params = {**project, "pretrain_cnn": {**PARAMS["pretrain_cnn"], "batch": 4, "threads": 1, "epochs": 0},
              "index_images": {**project["index_images"], "roles": {"train": None, "val": None, "unseen": None}}}
    (found, width), faults = check_data.look_at_all(params)
    assert not faults and found.classes == {"train": 0, "val": 0, "unseen": 0, "seen": 3} and found.total == 0
    assert check_data.seen_classes(params) == sorted([DOG, CAT, HORSE])
    assert closed_form_seconds(params, found, width) == 0
    check_data.print_costs(params, found, width)
    said = capsys.readouterr().out
    assert "seen           3 classes, 3 of them by list alone" in said and "Basis: no images to decode; " in said
