import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stages import extract_features
from tests.processes import NO_SHARING, run_as_two
from tests.vision import EXTRACT, SIDE, WNIDS, make_index, make_index_in_place
from zeroshot.base.artifacts import Artifact
from zeroshot.base.compute import pick_device
from zeroshot.console.errors import InputError
from zeroshot.images.pixels import open_pixels
from zeroshot.networks.batches import SquareSource, padded_batches
from zeroshot.networks.inference import Passes, over_images
from zeroshot.networks.preprocessing import Preprocessing
from zeroshot.networks.saved import read_cnn, write_cnn
from zeroshot.networks.visual_model import build_visual


def make_cnn(path, wnids=WNIDS[:4]):
    torch.manual_seed(0)
    model = build_visual("resnet8", classes=len(wnids), stem="strided", dropout=0)
    preprocessing = Preprocessing(SIDE, SIDE, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    write_cnn(path, model, arch="resnet8", stem="strided", dropout=0.0, wnids=wnids, preprocessing=preprocessing,
              made_from={})
    return path


def extract(folder, out, **changed):
    run(folder, out, **changed)
    return Artifact(folder / out / "features.safetensors"), Artifact(folder / out / "logits.safetensors")


def run(folder, out, images=Path("none"), **changed):
    extract_features.main(extract_features.Params(**{**EXTRACT, **changed}), index=folder / "index",
                          images=images, cnn=folder / "cnn.safetensors", out=folder / out,
                          metrics=folder / f"{out}.json")


@pytest.mark.parametrize("tap", ["pooled", "activation", "normalised", "penultimate"])
def test_rows_are_the_networks_own_output(tmp_path, tap):
    index = make_index(tmp_path / "index")
    cnn = read_cnn(make_cnn(tmp_path / "cnn.safetensors"))
    features, logits = extract(tmp_path, "out", tap=tap)
    pixels = torch.from_numpy(open_pixels(tmp_path / "index", Path("none")).read(np.arange(len(index))))
    with torch.no_grad():
        v, scores = cnn.model.features_and_logits(cnn.preprocessing.normalise(pixels), tap)
    np.testing.assert_allclose(features["features"], v.numpy(), atol=2e-3, rtol=2e-3)
    test = np.concatenate([index.rows(1), index.rows(2)])
    np.testing.assert_array_equal(logits["row"], test)
    np.testing.assert_allclose(logits["logits"], scores.numpy()[test], atol=1e-4)
    assert features.meta["tap"] == tap and features.meta["wnids"] == WNIDS[:4]
    assert features["features"].dtype == np.float16


def test_the_other_images_of_a_batch_change_no_bit(tmp_path):
    """Each row alone, in a batch filled up with itself, gives the same bits: the ground for sharding."""
    index = make_index(tmp_path / "index")
    cnn = read_cnn(make_cnn(tmp_path / "cnn.safetensors"))
    features, _ = extract(tmp_path, "out")
    source = SquareSource(tmp_path / "index", Path("none"), side=SIDE, device=(device := pick_device()), workers=0,
                          max_unreadable=0)
    rows, model = np.arange(0, len(index), 7), cnn.model.to(device, memory_format=torch.channels_last)
    with torch.no_grad():
        for row, squares in zip(rows, source.squares([np.repeat(row, 8) for row in rows]), strict=True):
            v = model.features(cnn.preprocessing.normalise(squares), "pooled")
            np.testing.assert_array_equal(v[0].half().cpu().numpy(), features["features"][row])


def test_bf16_rounds_to_eight_bits_and_stays_near_single_precision(tmp_path):
    make_index(tmp_path / "index")
    make_cnn(tmp_path / "cnn.safetensors")
    single, half = (extract(tmp_path, precision, precision=precision) for precision in ("float32", "bf16"))
    for name, (exact, rounded) in zip(("features", "logits"), zip(single, half, strict=True), strict=True):
        exact, rounded = exact[name].astype(np.float32), rounded[name].astype(np.float32)
        assert 1e-3 < np.linalg.norm(rounded - exact) / np.linalg.norm(exact) < 0.02
    logits = torch.from_numpy(half[1]["logits"])
    assert torch.equal(logits, logits.bfloat16().float())


def test_two_runs_give_the_same_bytes(tmp_path):
    make_index(tmp_path / "index")
    make_cnn(tmp_path / "cnn.safetensors")
    for name in ("features.safetensors", "logits.safetensors"):
        extract(tmp_path, "a"), extract(tmp_path, "b")
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.on_the_cpu(NO_SHARING)
def test_two_processes_give_the_same_bytes_as_one(by_two):
    extract(by_two[0], "one")
    for name in ("features.safetensors", "logits.safetensors"):
        assert (by_two[0] / "one" / name).read_bytes() == (by_two[0] / "two" / name).read_bytes()


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """A folder with packed pixels, one with unreadable images, and how two processes ended that took both's features.

    They start once: the last extraction, which allows fewer unreadable images than there are, ends them.
    """
    packed, broken = tmp_path_factory.mktemp("packed"), tmp_path_factory.mktemp("broken")
    make_index(packed / "index")
    make_cnn(packed / "cnn.safetensors")
    make_index_in_place(broken)
    make_cnn(broken / "cnn.safetensors")
    call = f"run(Path({str(broken)!r}), {{!r}}, Path({str(broken)!r}) / 'images', max_unreadable={{}}, batch=3)"
    ended = run_as_two("from pathlib import Path; from tests.test_extract_features import run; "
                       f"run(Path({str(packed)!r}), 'two'); {call.format('two', 0.2)}; {call.format('refused', 0.1)}")
    return packed, broken, ended


@pytest.mark.parametrize(("images", "batch", "shapes", "found"), [
    (5, 1_000_000, [8], [(0, 5)]), (5, 4, [4, 4], [(0, 4), (4, 1)]), (1, 256, [1], [(0, 1)])])
def test_few_images_take_no_large_batch(images, batch, shapes, found):
    class Grey:
        device = torch.device("cpu")

        def squares(self, batches):
            return (torch.full((len(rows), 8, 8, 3), 128, dtype=torch.uint8) for rows in batches)

        def merge_unreadable(self):
            pass

    given = []

    def network(inputs):
        given.append(len(inputs))
        return (inputs.flatten(1),)

    passes = over_images(network, np.arange(images), Grey(), Preprocessing(8, 8, (0.5,) * 3, (0.5,) * 3),
                         Passes(batch, "float32", torch.contiguous_format), None)
    assert [(start, len(out)) for start, (out,) in passes] == found and given == shapes


def test_padded_batches():
    assert [batch.tolist() for batch in padded_batches(np.array([4, 5, 6]), 2)] == [[4, 5], [6, 6]]


def test_cnn_of_other_labels(tmp_path):
    make_index(tmp_path / "index")
    make_cnn(tmp_path / "cnn.safetensors", WNIDS[:3])
    with pytest.raises(InputError, match="dvc repro pretrain_cnn"):
        extract(tmp_path, "out")


def test_features_too_large_for_half_precision():
    with pytest.raises(InputError, match="does not fit half precision"):
        extract_features._half(np.array([[1e6]], np.float32))
    for wrong in (np.nan, np.inf):
        with pytest.raises(InputError, match="features that are NaN or infinite; did its training diverge"):
            extract_features._half(np.array([[1, wrong]], np.float32))


@pytest.fixture
def in_place(tmp_path):
    make_index_in_place(tmp_path)
    make_cnn(tmp_path / "cnn.safetensors")
    return tmp_path


def test_unreadable_images_are_counted_once_and_reported(in_place, capfd):
    run(in_place, "out", in_place / "images", max_unreadable=0.2)
    assert json.loads((in_place / "out.json").read_text()) == {"images": 12, "unreadable": 2, "dim": 64}
    assert capfd.readouterr().err.count("a grey image stands in") == 2  # though the last one fills the last batch up


def test_too_many_unreadable_images_end_the_stage_without_features(in_place):
    with pytest.raises(InputError, match=r"of 12 images.*at most 1 .*max_unreadable"):
        run(in_place, "out", in_place / "images", max_unreadable=0.1)
    assert not list((in_place / "out").glob("*.safetensors")) and not (in_place / "out.json").exists()


@pytest.mark.on_the_cpu(NO_SHARING)
def test_two_processes_count_all_unreadable_images_together(by_two):
    _, folder, ended = by_two
    assert json.loads((folder / "two.json").read_text())["unreadable"] == 2
    assert (folder / "two" / "features.safetensors").exists()
    assert [process.returncode for process in ended] == [1, 1]
    assert any("max_unreadable" in process.stderr for process in ended)
    assert not list((folder / "refused").glob("*.safetensors")) and not (folder / "refused.json").exists()
