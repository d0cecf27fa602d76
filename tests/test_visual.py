import copy

import pytest
import torch

import zeroshot.networks.torchvision_guard  # noqa: F401  isort: skip  (before torchvision and timm)
import timm
from torch import nn
from torchvision import models
from torchvision.models.maxvit import MaxVit

from zeroshot.console.errors import InputError
from zeroshot.networks.pooling import AverageTo
from zeroshot.networks.torchvision_networks import cut_torchvision
from zeroshot.networks.visual_model import VisualModel, build_visual, check_size, feature_dim
from zeroshot.running.quick_torch import whole_torch


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


@pytest.mark.parametrize(("arch", "size"), [
    ("regnetx_002", 64), ("test_efficientnet", 64), ("mobilenetv4_conv_small", 64), ("test_convnext", 64),
    ("densenet121", 64), ("efficientvit_b0", 64), ("test_coatnet", 160), ("poolformer_s12", 64), ("test_vit", 64),
    ("deit_tiny_patch16_224", 224), ("gmlp_ti16_224", 224), ("test_mambaout", 64),
    ("swin_tiny_patch4_window7_224", 224)])  # the last two keep the channels of a map last
def test_timms_networks_are_whole_and_their_taps_the_channels(arch, size):
    torch.manual_seed(0)
    net = lively(timm.create_model(arch, num_classes=7)).eval()
    model = build_visual("timm/" + arch, classes=7, stem="standard", dropout=0, state=net.state_dict()).eval()
    number = 1 if size > 160 else 2  # large images take long
    images = torch.randn(number, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(model(images), net(images), rtol=0, atol=0)
        pooled = model.features(images, "pooled")
        assert pooled.shape == (number, net.num_features)
        assert model.features(images, "penultimate").shape == (number, net.get_classifier().in_features)
        if getattr(net, "output_fmt", None) == "NHWC":
            final_map = net.forward_features(images)
            torch.testing.assert_close(pooled, final_map.mean((1, 2)))
            assert torch.equal(model.features(images, "activation"), final_map.permute(0, 3, 1, 2).flatten(1))


def lively(net):
    """Give the norms statistics and the last layer weights: a new network's leave out much of what could be wrong."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    nn.init.normal_([module for module in net.modules() if isinstance(module, nn.Linear)][-1].weight)
    return net


@pytest.mark.parametrize(("arch", "size", "message"), [
    ("coat_tiny", 224, "no single final map, but a list"),
    ("efficientvit_m0", 64, r"one linear layer alone, but in head\.bn\."),
    ("deit_tiny_distilled_patch16_224", 224, "one linear layer, but in tuple"),
    ("resnetv2_18", 64, "one linear layer, but in Conv2d"), ("gemma4_vit_167m_enc", 64, "timm cannot build"),
    ("vit_tiny_patch16_224", 64, r"image_size` is 64.*match model")])
def test_timms_networks_that_cannot_be_cut(arch, size, message):
    with pytest.raises(InputError, match=message):
        check_size(build_visual("timm/" + arch, classes=3, stem="standard", dropout=0), size)


def test_a_map_whose_channels_are_not_where_timm_says():
    model = build_visual("timm/test_mambaout", classes=3, stem="standard", dropout=0)
    model.body.net.output_fmt = "NCHW"
    with pytest.raises(InputError, match="final map of 2 x 2 x 64, in which its 64 channels are not where"):
        check_size(model, 64)


@pytest.mark.parametrize("arch", ["mobilenetv3_small_050", "efficientnet_lite0"])
def test_normalised_is_before_an_activation_that_timms_norm_runs_itself(arch):
    torch.manual_seed(0)
    model = build_visual("timm/" + arch, classes=3, stem="standard", dropout=0).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        normalised, activation = model.features(images, "normalised"), model.features(images, "activation")
    act = {"mobilenetv3_small_050": nn.Hardswish(), "efficientnet_lite0": nn.ReLU6()}[arch]
    assert not torch.equal(normalised, activation) and torch.equal(act(normalised), activation)


def test_normalised_is_of_the_last_norm_that_the_body_runs():
    """MobileNetV4's head has a batch norm too; MaxViT's last one is of a hidden layer."""
    model = build_visual("timm/mobilenetv4_conv_small", classes=3, stem="standard", dropout=0).eval()
    assert feature_dim(model, "normalised", 64) == 960 * 2 * 2
    model = build_visual("timm/test_coatnet", classes=3, stem="standard", dropout=0).eval()
    with pytest.raises(InputError, match="no batch norm of the final map of 128 x 5 x 5, but a last one of 128 x 20"):
        feature_dim(model, "normalised", 160)


def test_normalised_is_the_same_compiled():
    torch.manual_seed(0)
    model = build_visual("resnet20", classes=3, stem="standard", dropout=0).eval()
    compiled = torch.compile(lambda images: model.features(images, "normalised"), backend="eager")
    with torch.no_grad():
        for images in torch.randn(3, 1, 3, 16, 16):
            assert torch.equal(compiled(images), model.features(images, "normalised"))


@pytest.mark.parametrize(("name", "size", "dim"), [
    ("regnet_x_400mf", 64, 400), ("mnasnet0_5", 64, 1280), ("shufflenet_v2_x0_5", 64, 1024)])
def test_torchvisions_networks_are_whole(name, size, dim):
    torch.manual_seed(0)
    net = lively(models.get_model(name, num_classes=7)).eval()
    model = build_visual(f"torchvision/{name}", classes=7, stem="standard", dropout=0.3, state=net.state_dict())
    check_cut(model, net, size, dim, dim)
    model = model.train()
    assert [module.p for module in model.head.modules() if isinstance(module, nn.Dropout)] == [0.3]
    model = model.eval()
    activation, normalised = (feature_dim(model, tap, size) for tap in ("activation", "normalised"))
    assert activation == normalised == dim * 2 * 2


@pytest.mark.parametrize(("name", "net", "pooled", "penultimate"), [
    ("swin", lambda: models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=7), 16, 16),
    ("vit", lambda: models.VisionTransformer(32, 8, 2, 2, 12, 24, num_classes=7), 12, 12),
    ("vit", lambda: models.VisionTransformer(32, 8, 2, 2, 12, 24, num_classes=7, representation_size=5), 12, 5),
    ("maxvit", lambda: MaxVit((32, 32), 8, 4, [8, 12], [1, 1], 4, 0.2, num_classes=7), 12, 12)])
def test_torchvisions_transformers_are_whole(name, net, pooled, penultimate):
    torch.manual_seed(0)
    net = lively(net()).eval()
    whole = copy.deepcopy(net)
    model = VisualModel(*cut_torchvision(name, 0.3, net)).eval()
    check_cut(model, whole, 32, pooled, penultimate)
    assert sum(weight.numel() for weight in model.parameters()) == sum(weight.numel() for weight in whole.parameters())
    assert 0.3 in [module.p for module in model.head.modules() if isinstance(module, nn.Dropout)]


def check_cut(model, net, size, pooled, penultimate):
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(model.eval()(images), net(images))
        assert model.features(images, "pooled").shape == (2, pooled)
        assert model.features(images, "penultimate").shape == (2, penultimate)
        assert model.features(images, "activation").shape[1] % pooled == 0


def test_torchvisions_models_are_known_by_name():
    families = {name.rstrip("0123456789").split("_")[0]: name for name in sorted(models.list_models(module=models))}
    assert len(families) >= 14
    whole_torch()  # of which tensors without numbers need a part that stages do without
    for family, name in families.items():
        if family not in ("googlenet", "inception", "regnet"):  # RegNets cannot be built without memory; see above
            with torch.device("meta"):
                build_visual(f"torchvision/{name}", classes=3, stem="standard", dropout=0)


@pytest.mark.parametrize("size", [224, 64])
def test_alexnets_pooling_is_torchvisions_at_any_size(size):
    """At the papers' 224 pixels there is nothing to pool: no gradient that CUDA has no deterministic kernel for."""
    model = build_visual("alexnet", classes=3, stem="standard", dropout=0).eval()
    final_map = model.head[0](model.body(torch.randn(2, 3, size, size)))
    torch.testing.assert_close(model.head[1](final_map), models.alexnet().avgpool(final_map), rtol=0, atol=0)
    assert (model.head[1](final_map) is final_map) == (size == 224)


@pytest.mark.parametrize("height", [1, 2, 3, 5, 6, 7, 9, 13])
@pytest.mark.parametrize("bins", [6, 7])
def test_pooling_is_adaptive_average_pooling(height, bins):
    torch.manual_seed(0)
    images = torch.randn(2, 3, height, 15).contiguous(memory_format=torch.channels_last)
    pools, gradients = [nn.AdaptiveAvgPool2d(bins), AverageTo(bins, bins)], []
    weights = torch.randn(2, 3, bins, bins)
    for pool in pools:
        v = images.clone().requires_grad_()
        (pool(v) * weights).sum().backward()
        gradients.append(v.grad)
    torch.testing.assert_close(pools[1](images), pools[0](images), rtol=0, atol=1e-6)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-6)
    assert torch.equal(pools[1](images)[:1], pools[1](images[:1]))
    with torch.autocast("cpu", torch.bfloat16):
        half = pools[1](images.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), pools[0](images.bfloat16().float()), rtol=0, atol=0.02)


@pytest.mark.parametrize("arch", ["alexnet", "torchvision/vgg11", "convnet", "allcnn", "resnet9-4", "resnet8"])
def test_no_pooling_is_left_whose_gradient_varies_on_cuda(arch):
    """AdaptiveAvgPool2d(1) is a plain mean, of which CUDA's gradient is always the same; no other size is."""
    with torch.device("meta"):
        model = build_visual(arch, classes=3, stem="standard", dropout=0)
    pools = [module for module in model.modules() if isinstance(module, nn.AdaptiveAvgPool2d)]
    assert not [module for module in model.modules() if isinstance(module, nn.AdaptiveMaxPool2d)]
    assert not [pool for pool in pools if pool.output_size not in (1, (1, 1))]
    images = torch.randn(1, 2, 3, 3, requires_grad=True)
    assert "Mean" in nn.AdaptiveAvgPool2d(1)(images).grad_fn.name()
    assert "AdaptiveAvgPool" in nn.AdaptiveAvgPool2d(2)(images).grad_fn.name()


def test_alexnet_has_the_papers_dropout():
    model = build_visual("alexnet", classes=3, stem="standard", dropout=0.5)
    assert [m.p for m in model.head.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]


def test_cifar_resnet_110_has_110_layers():
    model = build_visual("resnet110", classes=3, stem="standard", dropout=0)
    convolutions = [m for name, m in model.named_modules() if isinstance(m, nn.Conv2d) and "shortcut" not in name]
    assert len(convolutions) + 1 == 110


@pytest.mark.parametrize(("arch", "stem", "message"), [
    ("resnet21", "standard", "6n \\+ 2"), ("torchvision/resnet19", "standard", "no model"),
    ("timm/nothing", "standard", "no model"), ("mynet", "standard", "known: alexnet"),
    ("alexnet", "small", "does not have"), ("torchvision/resnet18", "strided", "CIFAR"),
    ("torchvision/googlenet", "standard", "no taps are known"),
    ("timm/resnet18.nothing", "standard", "Invalid pretrained tag")])
@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
def test_bad_names(arch, stem, message):
    with pytest.raises(InputError, match=message):
        build_visual(arch, classes=3, stem=stem, dropout=0, pretrained=arch.endswith(".nothing"))


def test_image_too_small():
    with pytest.raises(InputError, match="image_size` is 16"):
        check_size(build_visual("alexnet", classes=3, stem="standard", dropout=0), 16)
