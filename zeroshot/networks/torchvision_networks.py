"""torchvision's classification networks by name, and where each family's global pooling is."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zeroshot.console.errors import InputError
from zeroshot.networks.downloads import downloaded
from zeroshot.networks.pooling import AverageTo
from zeroshot.networks.without_compiler import without_compiler

PLAIN_FAMILIES = {  # of torchvision, with global pooling between these parts and one linear layer
    ("resnet", "resnext", "wide_resnet"): ("conv1 bn1 relu maxpool layer1 layer2 layer3 layer4", "fc"),
    ("regnet",): ("stem trunk_output", "fc"),
    ("shufflenet",): ("conv1 maxpool stage2 stage3 stage4 conv5", "fc"),
    ("swin",): ("features norm permute", "head"),
}


def build_torchvision(name: str, classes: int, pretrained: bool) -> nn.Module:
    """The network as torchvision builds it. Raises InputError if there is none of that name."""
    with without_compiler():
        from torchvision import models  # only where it is used: takes more than a second

    if pretrained and name in models.list_models(module=models):
        file = models.get_model_weights(name).DEFAULT.url.rpartition("/")[-1]
        return downloaded(lambda: models.get_model(name, weights="DEFAULT"), f"torchvision/{name}", file)
    try:
        return models.get_model(name, weights="DEFAULT" if pretrained else None,
                                **({} if pretrained else {"num_classes": classes}))
    except ValueError:
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: torchvision has no model {name!r}; "
                         f"known: {', '.join(models.list_models(module=models))}") from None


def cut_torchvision(name: str, dropout: float, net: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Body, head and classifier (see visual_model.py). Raises InputError for families that are not known here."""
    pooling, flatten, drop = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout()
    if name.startswith(("alexnet", "vgg")):  # the last max pooling belongs to the head
        layers = list(net.classifier)
        head = nn.Sequential(net.features[-1], AverageTo(*net.avgpool.output_size), flatten, *layers[:-1])
        cut = (net.features[:-1], head, layers[-1])
    elif name.startswith("squeezenet"):  # its classifier is a 1x1 convolution, averaged over space
        cut = (net.features, net.classifier[0], nn.Sequential(*net.classifier[1:], flatten))
    elif family := next((family for family in PLAIN_FAMILIES if name.startswith(family)), None):
        parts, classifier = PLAIN_FAMILIES[family]
        body = nn.Sequential()
        for part in parts.split():
            body.add_module(part, getattr(net, part))
        cut = (body, nn.Sequential(pooling, flatten, drop), getattr(net, classifier))
    elif name.startswith("densenet"):
        cut = (nn.Sequential(net.features, nn.ReLU()), nn.Sequential(pooling, flatten, drop), net.classifier)
    elif name.startswith(("mobilenet_v2", "mobilenet_v3", "efficientnet", "mnasnet")):
        body = net.layers if name.startswith("mnasnet") else net.features
        cut = (body, nn.Sequential(pooling, flatten, *net.classifier[:-1]), net.classifier[-1])
    elif name.startswith("convnext"):  # LayerNorm2d and flattening are part of its classifier
        cut = (net.features, nn.Sequential(net.avgpool, *net.classifier[:-1], drop), net.classifier[-1])
    elif name.startswith("maxvit"):  # so are pooling, flattening, LayerNorm and a linear layer of its
        cut = (nn.Sequential(net.stem, *net.blocks), nn.Sequential(*net.classifier[:-1], drop), net.classifier[-1])
    elif name.startswith("vit"):
        layers, net.heads = list(net.heads), nn.Identity()
        cut = (_TorchvisionVit(net), nn.Sequential(_FirstToken(), *layers[:-1], drop), layers[-1])
    else:  # googlenet and inception_v3, whose training has further outputs
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: no taps are known for torchvision/{name}; "
                         f"take timm's model of that kind (timm/...), or add it to {__name__}")
    for module in cut[1].modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    return cut


class _TorchvisionVit(nn.Module):
    """torchvision's vision transformer up to its heads; tokens come out, the class's first."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, images: Float[Tensor, "images 3 size size"]) -> Float[Tensor, "images tokens channels"]:
        patches = self.net._process_input(images)
        return self.net.encoder(torch.cat([self.net.class_token.expand(len(images), -1, -1), patches], 1))


class _FirstToken(nn.Module):
    def forward(self, tokens: Float[Tensor, "images tokens channels"]) -> Float[Tensor, "images channels"]:
        return tokens[:, 0]
