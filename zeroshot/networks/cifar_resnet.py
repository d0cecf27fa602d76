"""The ResNets of He et al. (2015) for 32x32 images, section 4.2: three groups of n basic blocks, 6n + 2 layers."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

WIDTHS = (16, 32, 64)  # channels of the three groups


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "images inputs h w"]) -> Float[Tensor, "images outputs h2 w2"]:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residual + self.shortcut(x))


def cifar_resnet_body(depth: int, stem_stride: int) -> nn.Sequential:
    """Everything before the global pooling: 64 channels at a quarter of the input's side over `stem_stride`.

    Args:
        depth: 6n + 2 layers: 20, 32, 44, 56, 110 in the paper, 8 and 14 for a laptop.
        stem_stride: 1 in the paper; 2 quarters the work.

    Raises:
        ValueError: no such depth.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"CIFAR ResNets have 6n + 2 layers (8, 14, 20, 32, 44, 56, 110), not {depth}")
    layers = [nn.Conv2d(3, WIDTHS[0], 3, stem_stride, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()]
    inputs = WIDTHS[0]
    for width in WIDTHS:
        for block in range((depth - 2) // 6):
            layers.append(BasicBlock(inputs, width, 2 if width != WIDTHS[0] and block == 0 else 1))
            inputs = width
    body = nn.Sequential(*layers)
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return body
