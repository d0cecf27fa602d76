import copy

import pytest
import torch

import zeroshot.torchvision_guard  # noqa: F401  isort: skip  (before torchvision)
from torchvision import models

from zeroshot.base.errors import InputError
from zeroshot.visual import build_visual, check_size, feature_dim


@pytest.mark.parametrize(("arch", "stem", "size", "activation", "normalised", "pooled", "penultimate"), [
    ("alexnet", "standard", 64, 256 * 3 * 3, None, 256, 4096),
    ("resnet8", "standard", 32, 64 * 8 * 8, 64 * 8 * 8, 64, 64),
    ("resnet20", "strided", 32, 64 * 4 * 4, 64 * 4 * 4, 64, 64),
    ("torchvision/resnet18", "small", 32, 512 * 4 * 4, 512 * 4 * 4, 512, 512),
    ("torchvision/squeezenet1_0", "standard", 64, 512 * 3 * 3, None, 512, 512),
    ("timm/resnet18", "small", 32, 512 * 4 * 4, 512 * 4 * 4, 512, 512),
    ("timm/mobilenetv3_small_050", "standard", 64, 288 * 2 * 2, 288 * 2 * 2, 288, 1024),
])
def test_taps(arch, stem, size, activation, normalised, pooled, penultimate):
    torch.manual_seed(0)
    model = build_visual(arch, classes=7, stem=stem, dropout=0.3).eval()
    images = torch.randn(2, 3, size, size)
    taps = {"activation": activation, "normalised": normalised, "pooled": pooled, "penultimate": penultimate}
    with torch.no_grad():
        logits = model(images)
        assert logits.shape == (2, 7)
        for tap, dim in taps.items():
            if dim is None:
                with pytest.raises(InputError, match="no batch norm"):
                    model.features(images, tap)
                continue
            v, again = model.features_and_logits(images, tap)
            assert v.shape == (2, dim) and feature_dim(model, tap, size) == dim
            assert torch.equal(again, logits)


def test_pooled_is_the_mean_of_the_activation_and_normalised_goes_below_zero():
    torch.manual_seed(0)
    model = build_visual("resnet8", classes=3, stem="standard", dropout=0).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        activation, pooled = model.features(images, "activation"), model.features(images, "pooled")
        torch.testing.assert_close(activation.reshape(2, 64, 64).mean(2), pooled)
        torch.testing.assert_close(model.features(images, "penultimate"), pooled)
        assert activation.min() >= 0 > model.features(images, "normalised").min()


def test_normalised_is_not_overwritten_by_an_activation_in_place():
    model = build_visual("torchvision/resnet18", classes=3, stem="small", dropout=0).eval()
    with torch.no_grad():
        assert model.features(torch.randn(1, 3, 32, 32), "normalised").min() < 0


def test_timm_weights_are_counted_once_and_copies_are_whole():
    model = build_visual("timm/resnet18", classes=3, stem="small", dropout=0).eval()
    twin = copy.deepcopy(model)
    assert sum("conv1.weight" in name and "layer" not in name for name in model.state_dict()) == 1
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert model(torch.randn(1, 3, 32, 32)).abs().sum() > 0


@pytest.mark.parametrize("size", [224, 64])
def test_alexnets_pooling_is_torchvisions_at_any_size(size):
    """At the papers' 224 pixels there is nothing to pool: no gradient that CUDA has no deterministic kernel for."""
    model = build_visual("alexnet", classes=3, stem="standard", dropout=0).eval()
    final_map = model.head[0](model.body(torch.randn(2, 3, size, size)))
    torch.testing.assert_close(model.head[1](final_map), models.alexnet().avgpool(final_map), rtol=0, atol=0)
    assert (model.head[1](final_map) is final_map) == (size == 224)


def test_alexnet_has_the_papers_dropout():
    model = build_visual("alexnet", classes=3, stem="standard", dropout=0.5)
    assert [m.p for m in model.head.modules() if isinstance(m, torch.nn.Dropout)] == [0.5, 0.5]


def test_cifar_resnet_110_has_110_layers():
    model = build_visual("resnet110", classes=3, stem="standard", dropout=0)
    convolutions = [m for name, m in model.named_modules() if isinstance(m, torch.nn.Conv2d) and "shortcut" not in name]
    assert len(convolutions) + 1 == 110


@pytest.mark.parametrize(("arch", "stem", "message"), [
    ("resnet21", "standard", "6n \\+ 2"), ("torchvision/resnet19", "standard", "no model"),
    ("timm/nothing", "standard", "no model"), ("mynet", "standard", "known: alexnet"),
    ("alexnet", "small", "does not have"), ("torchvision/resnet18", "strided", "CIFAR"),
    ("torchvision/swin_t", "standard", "no taps are known")])
def test_bad_names(arch, stem, message):
    with pytest.raises(InputError, match=message):
        build_visual(arch, classes=3, stem=stem, dropout=0)


def test_image_too_small():
    with pytest.raises(InputError, match="image_size` is 16"):
        check_size(build_visual("alexnet", classes=3, stem="standard", dropout=0), 16)
