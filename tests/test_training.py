import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zeroshot.base.checkpoints import load_checkpoint
from zeroshot.console.errors import InputError
from zeroshot.training.hits import hits_at
from zeroshot.training.loop import epoch_batches, make_optimiser, rate_factor, run_epochs, train_pass, write_curve


def make_run(folder, *, epochs=4, stop_at=None, scale=1.0):
    """Train a linear map on noise, with dropout, so that every source of randomness counts."""
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimiser = make_optimiser("sgd", model, momentum=0.9, weight_decay=0.01)
    inputs = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))

    def loss_of(rows, x):
        return scale * (model(nn.functional.dropout(x, 0.5)) - 1).square().mean()

    def train_epoch(epoch):
        if epoch == stop_at:
            raise KeyboardInterrupt
        batches = epoch_batches(np.arange(20), 8, 3, epoch)
        loss = train_pass(batches, (inputs[rows] for rows in batches), loss_of, optimiser, rate=lambda step: 0.1,
                          seed=3, epoch=epoch)
        return {"train_loss": loss}

    history = run_epochs(epochs, train_epoch, {"model": model, "optimiser": optimiser}, folder / "last.pt")
    return model, history


def test_resumed_run_ends_with_the_same_bits(tmp_path, capsys):
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole, history = make_run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        make_run(tmp_path / "cut", stop_at=2)
    resumed, again = make_run(tmp_path / "cut")
    assert "continuing after epoch 2 of 4" in capsys.readouterr().out
    assert torch.equal(whole.weight, resumed.weight) and torch.equal(whole.bias, resumed.bias) and history == again


def test_damaged_checkpoint_starts_anew_and_says_so(tmp_path, capsys):
    (tmp_path / "other").mkdir()
    expected, _ = make_run(tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        make_run(tmp_path, stop_at=2)
    data = bytearray((tmp_path / "last.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "last.pt").write_bytes(data)
    model, _ = make_run(tmp_path)
    assert "damaged" in capsys.readouterr().err and torch.equal(model.weight, expected.weight)


def test_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path):
    make_run(tmp_path, epochs=2)
    good = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(InputError, match=r"epoch 3: the training loss became nan.*learning_rate.*after epoch 2"):
        make_run(tmp_path, epochs=4, scale=math.nan)
    assert (tmp_path / "last.pt").read_bytes() == good


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    make_run(tmp_path, epochs=2)
    good = (tmp_path / "last.pt").read_bytes()
    (tmp_path / ".last.pt.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        make_run(tmp_path, epochs=4)
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"] and (tmp_path / "last.pt").read_bytes() == good
    whole, _ = make_run(tmp_path / "whole")
    assert torch.equal(make_run(tmp_path)[0].weight, whole.weight)


def test_epoch_batches_partition_and_differ_by_epoch():
    rows = np.arange(100, 120)
    batches = epoch_batches(rows, 6, 0, 0)
    assert [len(batch) for batch in batches] == [6, 6, 6]
    assert len(set(np.concatenate(batches))) == 18 and set(np.concatenate(batches)) <= set(rows)
    assert not np.array_equal(batches[0], epoch_batches(rows, 6, 0, 1)[0])
    assert np.array_equal(batches[0], epoch_batches(rows, 6, 0, 0)[0])
    assert [len(batch) for batch in epoch_batches(rows, 50, 0, 0)] == [20]


def test_schedules_by_hand():
    assert rate_factor("constant", 5, 10) == 1
    assert rate_factor("cosine", 0, 10) == 1 and rate_factor("cosine", 5, 10) == pytest.approx(0.5)
    assert rate_factor("onecycle", 0, 10) == pytest.approx(1 / 3) and rate_factor("onecycle", 2, 10) == 1
    assert rate_factor("onecycle", 6, 10) == pytest.approx(0.5)


def test_hits_count_equals_against_the_label():
    scores = torch.tensor([[0.5, 0.2, 0.5], [0.1, 0.9, 0.2]])
    assert hits_at(scores, torch.tensor([0, 1]), (1, 2)).tolist() == [[0, 1], [1, 1]]


def test_scores_that_are_not_finite_are_no_hits():
    scores = torch.tensor([[math.nan, math.nan], [0.1, math.inf], [0.2, 0.1]])
    assert hits_at(scores, torch.tensor([0, 1, 0]), (1,))[:, 0].isnan().tolist() == [True, True, False]


@pytest.mark.parametrize(("figure", "weight", "message"), [
    (math.nan, 1.0, r"epoch 2: val_hit@1 became nan; lower `learning_rate`.*after epoch 1"),
    (0.5, math.inf, r"epoch 2: weights became NaN or infinite; lower `learning_rate`.*after epoch 1")])
def test_an_epoch_that_ends_in_an_explosion_is_not_kept(tmp_path, figure, weight, message):
    """The last step's own loss was that of the weights before it."""
    model = nn.Linear(1, 1)

    def train_epoch(epoch):
        if epoch:
            nn.init.constant_(model.weight, weight)
        return {"train_loss": 1.0, "val_hit@1": figure if epoch else 0.5}

    with pytest.raises(InputError, match=message):
        run_epochs(3, train_epoch, {"model": model}, tmp_path / "last.pt")
    assert len(load_checkpoint(tmp_path / "last.pt")["history"]) == 1


def test_weight_decay_spares_biases_and_norms():
    groups = make_optimiser("sgd", nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)), momentum=0.9,
                            weight_decay=0.1).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]


def test_curve(tmp_path):
    write_curve(tmp_path / "curve.csv", [{"train_loss": 0.5}, {"train_loss": 0.25}])
    assert (tmp_path / "curve.csv").read_text() == "epoch,train_loss\n1,0.5\n2,0.25\n"
