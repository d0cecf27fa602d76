import pytest
import yaml

from tests.image_sets import CAT, DOG, HORSE, WOLF, small_set
from tools import check_data
from tools.estimate_cost import Found, Training, disk_bytes, measure_training, run_seconds
from zeroshot.base.errors import InputError
from zeroshot.taxonomy import make_taxonomy, write_taxonomy

PARAMS = yaml.safe_load((check_data.PROJECT / "params.yaml").read_text())


@pytest.fixture
def project(tmp_path, monkeypatch):
    write_taxonomy(tmp_path / "data/taxonomy", make_taxonomy({w: ([w], [], [], "") for w in (DOG, CAT, WOLF, HORSE)}))
    small_set(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    return {**PARAMS, "index_images": {**PARAMS["index_images"], "source": "folders", "images": "images", "pack": 8}}


def test_a_small_set_is_counted_exactly(project):
    found = check_data.look_at_data(project)
    assert found.classes == {"train": 2, "val": 2, "unseen": 1}
    assert found.images == {"train": 5, "val": 2, "unseen": 2}
    assert found.decoded > 1 and found.listed > 1


def test_large_sets_are_scaled_up_from_some_classes(project, monkeypatch):
    monkeypatch.setattr(check_data, "LISTED", 1)
    assert check_data.look_at_data(project).images["train"] == 6  # 3 images of the first of 2 classes


def test_missing_data_are_named(project, tmp_path):
    (tmp_path / f"images/unseen/{WOLF}.tar").unlink()
    with pytest.raises(InputError, match="unseen: empty"):
        check_data.look_at_data(project)
    bodies = {"a": {"deps": ["${s.text}", "${s.images}"], "outs": [{"data/made": {"cache": False}}]}}
    faults = check_data.missing_inputs(bodies, {"s": {"text": "nowhere", "images": "data/made/x.txt"}})
    assert len(faults) == 1 and faults[0].startswith("nowhere: no such file")


def test_words_are_estimated_from_bytes(tmp_path):
    (tmp_path / "wiki_00").write_bytes(b"x" * 600)
    (tmp_path / "wiki_01.bz2").write_bytes(b"x" * 600)
    assert check_data.text_words({"prepare_corpus": {"source": "wikiextractor", "text": str(tmp_path)}}) == 500


@pytest.mark.parametrize(("items", "expected"), [([], []), ([1, 2], [1, 2]), (list(range(101)), [0, 50, 100])])
def test_evenly_takes_the_ends(items, expected):
    assert check_data.evenly(items, 3) == expected


def test_costs_are_the_products_of_counts_and_rates():
    params = {"index_images": {"pack": 10, "workers": 2}, "pretrain_cnn": {"epochs": 3, "workers": 2},
              "train_skipgram": {"dim": 100, "window": 10, "epochs": 2, "workers": 1},
              "finetune_devise": {"epochs": 2, "share": 0.5}}
    images = {"train": 1000, "val": 100, "unseen": 200}
    found = Found({"train": 5, "val": 5, "unseen": 2}, images, 500.0, 65.0, 1_200_000)
    training = Training(rate=10.0, width=64, weights=1000)
    disk = list(disk_bytes(params, found, training).values())
    assert disk[:5] == [1300 * 60, 1300 * 300, 1300 * 128, 300 * 20, 2 * 300 * 400]
    seconds = list(run_seconds(params, found, training).values())
    assert seconds[0] == pytest.approx(1300 / 65 / 2)
    assert seconds[1] == pytest.approx(2 * 1_200_000 / 60_000)
    assert seconds[2:5] == pytest.approx([3 * 100, 1300 / 30, 2 * 100])
    unpacked = {**params, "index_images": {"pack": None, "workers": 2}}
    slower = list(run_seconds(unpacked, Found(found.classes, found.images, 500.0, 4.0, 0), training).values())
    assert slower[0] == pytest.approx(1300 / 500 / 2)
    assert slower[2] == pytest.approx(3 * 1000 / 8)  # two decoders of 4 images/s are slower than training


def test_training_is_measured(monkeypatch):
    monkeypatch.setattr("tools.estimate_cost.TRAINED", 0.05)
    cnn = {**PARAMS["pretrain_cnn"], "batch": 4, "threads": 1}
    training = measure_training(cnn, 7)
    assert training.rate > 0 and training.width == 64 and training.weights > 200_000
