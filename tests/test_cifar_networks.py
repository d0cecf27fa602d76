"""Networks for 32x32 images: their sizes as published, their taps, and that they learn."""

import pytest
import torch

from zeroshot.console.errors import InputError
from zeroshot.networks.visual_model import build_visual, feature_dim


def built(arch, classes=10, stem="standard"):
    torch.manual_seed(0)
    return build_visual(arch, classes=classes, stem=stem, dropout=0.0).eval()


@pytest.mark.parametrize(("arch", "weights", "dims"), [
    # 3x3 convolutions: 27 x 32 + 32, 288 x 64 + 64, 576 x 64 + 64; 4096 x 512 + 512; 512 x 10 + 10
    ("convnet", 896 + 18_496 + 36_928 + 2_097_664 + 5_130, {"activation": 4096, "pooled": 64, "penultimate": 512}),
    # Springenberg et al. 2014: 1.4 M parameters
    ("allcnn", 2_688 + 2 * 83_040 + 166_080 + 3 * 331_968 + 37_056 + 1_930, {"pooled": 192, "activation": 192 * 64}),
    # eight convolutions, their norms, 512 x 10 + 10
    ("resnet9-64", 1_728 + 73_728 + 2 * 147_456 + 294_912 + 1_179_648 + 2 * 2_359_296
     + 2 * (64 + 3 * 128 + 256 + 3 * 512) + 5_130,
     {"pooled": 512, "activation": 512 * 16, "halved": 512 * 8, "normalised": 512 * 16, "penultimate": 512}),
    ("resnet110", None, {"pooled": 64, "activation": 4096, "halved": 2048, "normalised": 4096})])
def test_sizes_and_taps_are_the_published_ones(arch, weights, dims):
    model = built(arch)
    assert weights is None or sum(parameter.numel() for parameter in model.parameters()) == weights
    assert {tap: feature_dim(model, tap, 32) for tap in dims} == dims
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_halved_averages_neighbouring_columns():
    model, images = built("resnet8"), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        whole = model.features(images, "activation").reshape(2, 64, 8, 4, 2)
        assert torch.allclose(model.features(images, "halved"), whole.mean(4).flatten(1), atol=1e-6)


def test_all_cnns_answer_is_its_maps_mean():
    model, images = built("allcnn"), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        scores = model.classifier[0](model.body(images)).mean((2, 3))
        assert torch.allclose(model(images), scores, atol=1e-5)


@pytest.mark.parametrize("arch", ["convnet", "allcnn", "resnet9-4"])
def test_a_few_steps_make_the_loss_smaller(arch):
    model = built(arch, classes=2).train()
    images, targets = torch.randn(8, 3, 16, 16), torch.arange(8) % 2
    images[targets == 1] += 1
    optimiser = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    losses = []
    for _ in range(12):
        losses.append(torch.nn.functional.cross_entropy(model(images), targets))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(("make", "said"), [
    (lambda: built("resnet9-32", stem="strided"), "stem` is 'strided', which resnet9-32 does not have"),
    (lambda: built("resnet9"), "not 9"), (lambda: built("resnet9-0"), "known: alexnet, .*resnet9-<width>"),
    (lambda: built("allcnn").features(torch.zeros(1, 3, 32, 32), "normalised"), "no batch norm"),
    (lambda: built("resnet8").features(torch.zeros(1, 3, 4, 4), "halved"), "without two columns to average")])
def test_what_a_network_lacks_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
