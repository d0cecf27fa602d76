"""Training on images; by two processes, which start twice in all: `first_start` and `second_start` are what they do."""

import hashlib
import os
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stages import embed_images, pretrain_cnn
from tests.processes import NO_SHARING, run_as_two, stopped
from tests.test_finetune_devise import finetune, make_world
from tests.test_pretrain_cnn import train
from tests.vision import EMBED, PRETRAIN, make_index
from zeroshot.base.artifacts import Artifact
from zeroshot.base.processes import process_and_count
from zeroshot.base.tensors import state_arrays
from zeroshot.console.errors import InputError
from zeroshot.images.index import TRAIN, ImageIndex
from zeroshot.networks.batches import SquareSource
from zeroshot.networks.preprocessing import Preprocessing
from zeroshot.networks.pretrained import build_pretrained
from zeroshot.networks.saved import read_cnn, read_devise
from zeroshot.training.loop import epoch_batches, make_optimiser, rate_factor, seed_step, set_rate

# no batch norm, and nothing drawn at random: only rounding tells two processes from one
PLAIN = dict(arch="torchvision/squeezenet1_1", stem="standard", resize=32, image_size=32, crop_padding=0, flip=False,
             learning_rate=0.02, epochs=2)
DRAWN = dict(arch="resnet8", epochs=4, mixup=0.2, randaugment=1, dropout=0.2)
FROZEN = dict(crop_padding=0, flip=False, false_labels="all", learning_rate=0.01)


def first_start(folder):
    """Train, leave each process's weights; then train the same in another clone, as it were, and be killed."""
    train(folder / "index", folder / "plain", **PLAIN)
    tuned = finetune(folder, "tuned", **FROZEN)
    torch.distributed.barrier()  # rank 0 has written it; as stages, one would end before the other begins
    embed(folder, tuned, "together")
    keep_weights(folder, train, folder / "index", folder / "whole", **DRAWN)
    pretrain_cnn.Trainer.validate = stopped(pretrain_cnn.Trainer.validate, 3,
                                            lambda: os.kill(os.getpid(), signal.SIGKILL))
    train(folder / "index", folder / "cut", **DRAWN)


def second_start(folder):
    """Go on where the first start was killed; then let one process's loss become nan."""
    train(folder / "index", folder / "cut", **DRAWN)
    loss = pretrain_cnn.Trainer.loss

    def spoilt(self, rows, squares):
        return loss(self, rows, squares) * (torch.nan if process_and_count()[0] == 1 else 1)

    pretrain_cnn.Trainer.loss = spoilt
    train(folder / "index", folder / "nan", **{**DRAWN, "seed": 2})


def embed(folder, network, out):
    embed_images.main(embed_images.Params(**EMBED), index=folder / "index", images=folder, network=network,
                      features=folder, out=folder / f"{out}.safetensors")


def keep_weights(folder, run, *arguments, **settings):
    class Kept(pretrain_cnn.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept.append(self.network)

    kept, original = [], pretrain_cnn.Trainer
    pretrain_cnn.Trainer = Kept
    run(*arguments, **settings)
    pretrain_cnn.Trainer = original
    (folder / f"weights{process_and_count()[0]}").write_text(digest(kept[0]))


def digest(network):
    return hashlib.sha256(b"".join(array.tobytes() for array in state_arrays(network).values())).hexdigest()


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZEROSHOT_SCRATCH", str(folder / "scratch"))
        make_world(folder)
        call = "import pathlib, tests.test_image_training as t; t.{}(pathlib.Path({!r}))"
        first = run_as_two(call.format("first_start", str(folder)))
        yield folder, first, run_as_two(call.format("second_start", str(folder)))


@pytest.mark.on_the_cpu(NO_SHARING)
def test_a_step_of_two_processes_is_the_whole_batchs_step(starts, monkeypatch):
    folder = starts[0]
    network = trained_naively(folder)
    together = read_cnn(folder / "plain" / "cnn.safetensors").model
    for ours, naive in zip(together.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, naive, rtol=1e-4, atol=5e-5)  # halves summed round otherwise
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(folder / "scratch"))
    together, alone = (read_devise(path).network for path in (folder / "tuned" / "network.safetensors",
                                                              finetune(folder, "alone", **FROZEN)))
    for ours, other in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=5e-5)
    for name in ("metrics.json", "curve.csv"):  # mean loss over the processes, and hits of all images
        ours, other = ((folder / run / name).read_text().replace(",", " ").split() for run in ("tuned", "alone"))
        assert [word if word[0].isalpha() or word[0] in '"{}' else pytest.approx(float(word), rel=1e-4)
                for word in ours] == [word if word[0].isalpha() or word[0] in '"{}' else float(word) for word in other]


def trained_naively(folder):
    """PLAIN's network: plain torch on whole batches."""
    params = pretrain_cnn.Params(**{**PRETRAIN, **PLAIN})
    index = ImageIndex.read(folder / "index")
    torch.manual_seed(params.seed)
    network = build_pretrained(params.arch, index.seen, pretrained="none", weights=None, sha256="", outputs="seen",
                               listed=None, cache=None, stem=params.stem, dropout=params.dropout).train()
    optimiser = make_optimiser("sgd", network, momentum=params.momentum, weight_decay=0.0)
    source = SquareSource(folder / "index", folder, side=params.resize, device=torch.device("cpu"), workers=0,
                          max_unreadable=0)
    preprocessing = Preprocessing(params.resize, params.image_size, params.mean, params.deviation)
    batches = [batch for epoch in range(params.epochs)
               for batch in epoch_batches(index.rows(TRAIN), params.batch, params.seed, epoch)]
    for step, (rows, squares) in enumerate(zip(batches, source.squares(batches), strict=True)):
        set_rate(optimiser, params.learning_rate * rate_factor(params.schedule, step, len(batches)))
        loss = F.cross_entropy(network(preprocessing.normalise(squares)), torch.from_numpy(index.labels[rows]).long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


@pytest.mark.on_the_cpu(NO_SHARING)
def test_two_processes_embed_images_to_the_same_bytes_as_one(starts):
    folder = starts[0]
    embed(folder, folder / "tuned" / "network.safetensors", "apart")
    assert (folder / "together.safetensors").read_bytes() == (folder / "apart.safetensors").read_bytes()


@pytest.mark.on_the_cpu(NO_SHARING)
def test_both_processes_end_with_the_weights_that_are_written(starts):
    folder = starts[0]
    written = digest(read_cnn(folder / "whole" / "cnn.safetensors").model)
    assert (folder / "weights0").read_text() == (folder / "weights1").read_text() == written


@pytest.mark.on_the_cpu(NO_SHARING)
def test_killed_and_resumed_ends_with_the_same_bits(starts):
    folder, first, second = starts
    assert [ended.returncode for ended in first] == [-signal.SIGKILL] * 2, first[0].stderr
    assert "continuing after epoch 2 of 4" in second[0].stdout and second[1].stdout == ""
    for name in ("cnn.safetensors", "metrics.json", "curve.csv"):
        assert (folder / "whole" / name).read_bytes() == (folder / "cut" / name).read_bytes()


@pytest.mark.on_the_cpu(NO_SHARING)
def test_a_loss_that_is_nan_in_one_process_ends_both_with_one_message(starts):
    folder, _, second = starts
    assert [ended.returncode for ended in second] == [1, 1]
    assert "epoch 1: the training loss became nan" in second[0].stderr
    assert "training loss" not in second[1].stderr and "Traceback" not in second[1].stderr
    assert not (folder / "nan").exists()


def test_each_process_draws_for_itself_and_the_first_as_if_alone(monkeypatch):
    draws = []
    for rank in (0, 1, 0):
        monkeypatch.setattr("zeroshot.training.loop.process_and_count", lambda rank=rank: (rank, 2))
        seed_step(1, 0, 0)
        draws.append(torch.rand(3).tolist())
    monkeypatch.undo()
    seed_step(1, 0, 0)
    assert draws[0] == draws[2] == torch.rand(3).tolist() and draws[0] != draws[1]


@pytest.mark.parametrize(("batch", "processes"), [(16, 3), (100, 50)])
def test_a_batch_that_the_processes_cannot_share(tmp_path, monkeypatch, batch, processes):
    make_index(tmp_path / "index")
    monkeypatch.setattr("zeroshot.training.on_images.process_and_count", lambda: (0, processes))
    with pytest.raises(InputError, match=f"`batch` is {batch} .of 48 training images.*{processes} processes"):
        train(tmp_path / "index", tmp_path, batch=batch)


def pretrain_and_finetune(folder, out, **settings):
    """Both stages' losses, epoch by epoch, and the files with their weights."""
    files = [train(folder / "index", folder / out, **settings), finetune(folder, f"{out}-tuned", **settings)]
    curves = [(path.parent / "curve.csv").read_text().splitlines()[1:] for path in files]
    return [[float(line.split(",")[1]) for line in curve] for curve in curves], [Artifact(path) for path in files]


def test_in_bf16_the_loss_falls_and_weights_stay_in_single_precision(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))
    make_world(tmp_path)
    single, _ = pretrain_and_finetune(tmp_path, "single", epochs=3, learning_rate=0.02)
    half, files = pretrain_and_finetune(tmp_path, "half", epochs=3, learning_rate=0.02, precision="bf16")
    for exact, rounded in zip(single, half, strict=True):
        assert rounded[-1] < 0.8 * rounded[0] and exact[0] != rounded[0] == pytest.approx(exact[0], rel=0.02)
    assert {file[name].dtype for file in files for name in file.names() if name.endswith("weight")} == {np.dtype("f4")}


def test_a_compiled_network_trains_as_it_does_without(tmp_path, monkeypatch):
    """torch.compile's graphs, run as they are: kernels would take a compiler and a minute."""
    from torch._dynamo.backends.debugging import aot_eager  # seconds, which the processes above do without

    calls, real_compile = [], torch.compile

    def backend(graph, example):
        run = aot_eager(graph, example)

        def counted(*inputs):
            calls.append(graph)
            return run(*inputs)

        return counted

    monkeypatch.setattr(torch, "compile", lambda network: real_compile(network, backend=backend))
    monkeypatch.setenv("ZEROSHOT_SCRATCH", str(tmp_path / "scratch"))
    make_world(tmp_path)
    with torch._inductor.config.patch(deterministic=False):  # monkeypatch would leave it without the setting
        losses, files = pretrain_and_finetune(tmp_path, "eager", epochs=1)
        assert not calls
        compiled_losses, compiled_files = pretrain_and_finetune(tmp_path, "compiled", epochs=1, compile=True)
    torch._dynamo.reset()
    assert len(calls) == 2 * (3 + 1)  # steps of training, and one of validation, each a single graph
    assert sum(compiled_losses, []) == pytest.approx(sum(losses, []), rel=1e-5)
    for ours, other in zip(compiled_files, files, strict=True):
        for name in other.names():
            np.testing.assert_allclose(ours[name], other[name], rtol=1e-4, atol=1e-6)
