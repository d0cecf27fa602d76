"""Networks for 32x32 images beside the ResNets of cifar_resnet: each is cut into body, head and classifier.

    convnet           the conventional CNN of its day's examples: three convolutions, two poolings, a layer of 512
    allcnn            All-CNN-C (Springenberg et al. 2014, table 1): strides, no poolings; a 1x1 convolution classifies
    resnet9-<width>   a wide and shallow ResNet that learns in some 15 epochs (after Page, DAWNBench 2018)
"""

import re

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zeroshot.networks.pooling import AverageTo, GlobalMax

Cut = tuple[nn.Module, nn.Module, nn.Module]  # body, head, classifier
MAP = 8  # side of convnet's final map; images of another size than 32 are pooled to it


def convnet(classes: int, dropout: float) -> Cut:
    """Conventional CNN: 3x3 convolutions of 32, 64 and 64 channels, max pooling after the first and the last.

    Args:
        dropout: before the classifier (the examples' 0.5).
    """
    body = nn.Sequential(*_conv_relu(3, 32), nn.MaxPool2d(2), *_conv_relu(32, 64), *_conv_relu(64, 64), nn.MaxPool2d(2))
    head = nn.Sequential(AverageTo(MAP, MAP), nn.Flatten(), nn.Linear(64 * MAP * MAP, 512), nn.ReLU(),
                         nn.Dropout(dropout))
    return _initialised(body), head, nn.Linear(512, classes)


def allcnn(classes: int, dropout: float) -> Cut:
    """All-CNN-C: 96 and 192 channels; its global average pooling comes after the classifier.

    Args:
        dropout: after each convolution of stride 2 (the paper's 0.5, and 0.2 of the pixels besides, which is left out).
    """
    body = nn.Sequential(
        *_conv_relu(3, 96), *_conv_relu(96, 96), *_conv_relu(96, 96, stride=2), nn.Dropout(dropout),
        *_conv_relu(96, 192), *_conv_relu(192, 192), *_conv_relu(192, 192, stride=2), nn.Dropout(dropout),
        *_conv_relu(192, 192), *_conv_relu(192, 192, side=1))
    classifier = nn.Sequential(nn.Conv2d(192, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return _initialised(body), nn.Identity(), classifier


def resnet9(classes: int, dropout: float, width: int) -> Cut:
    """ResNet-9: a stem and three stages that double the channels and halve the side, the outer two with a residual.

    Args:
        dropout: before the classifier.
        width: channels of the stem (Page's 64); the map has 8 times as many, of an eighth of the image's side.
    """
    body = nn.Sequential(
        *_conv_norm(3, width),
        *_conv_norm(width, 2 * width, pool=True), Residual(2 * width),
        *_conv_norm(2 * width, 4 * width, pool=True),
        *_conv_norm(4 * width, 8 * width, pool=True), Residual(8 * width))
    head = nn.Sequential(GlobalMax(), nn.Dropout(dropout))
    return _initialised(body), head, nn.Linear(8 * width, classes)


class Residual(nn.Module):
    """x + two convolutions of it."""

    def __init__(self, width: int):
        super().__init__()
        self.branch = nn.Sequential(*_conv_norm(width, width), *_conv_norm(width, width))

    def forward(self, x: Float[Tensor, "images width h w"]) -> Float[Tensor, "images width h w"]:
        return x + self.branch(x)


def _conv_relu(inputs: int, outputs: int, *, stride: int = 1, side: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, side, stride, side // 2), nn.ReLU()]


def _conv_norm(inputs: int, outputs: int, *, pool: bool = False) -> list[nn.Module]:
    """3x3 convolution, 2x2 max pooling where asked for, batch norm, ReLU."""
    pooling = [nn.MaxPool2d(2)] if pool else []
    return [nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), *pooling, nn.BatchNorm2d(outputs), nn.ReLU()]


def _initialised(body: nn.Sequential) -> nn.Sequential:
    with torch.no_grad():
        for module in body.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    module.bias.zero_()
    return body


def build_cifar(arch: str, classes: int, dropout: float) -> Cut | None:
    """The network of that name; None where it is none of these."""
    if arch in ("convnet", "allcnn"):
        return {"convnet": convnet, "allcnn": allcnn}[arch](classes, dropout)
    if match := re.fullmatch(r"resnet9-([1-9]\d{0,3})", arch):
        return resnet9(classes, dropout, int(match[1]))
    return None
