"""The visual model by name, cut into body, head and classifier, so that every architecture has the same taps.

    body        images -> map [images, channels, height, width]: all up to the global pooling (tokens for a ViT)
    head        map -> the classifier's input: pooling, and AlexNet's two layers of 4096
    classifier  -> logits, one a seen class

Taps, that is what v(image) may be (`extract_features.tap`):

    activation   the map, flattened: what the global pooling takes
    normalised   output of the last batch norm of the body, before that activation, flattened
    pooled       the map averaged over space
    penultimate  input of the classifier (4096-D for AlexNet, the paper's); averaged over space if it is a map
"""

import zeroshot.torchvision_guard  # noqa: F401  isort: skip  (before torchvision and timm)

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision import models

from zeroshot.base.errors import InputError
from zeroshot.cifar_resnet import WIDTHS, cifar_resnet_body

Tap = Literal["activation", "normalised", "pooled", "penultimate"]
Stem = Literal["standard", "small", "strided"]
KNOWN = "alexnet, resnet20 (any 6n + 2), torchvision/<name>, timm/<name>"


class VisualModel(nn.Module):
    """A CNN cut in three; see this module's docstring."""

    def __init__(self, body: nn.Module, head: nn.Module, classifier: nn.Module):
        super().__init__()
        self.body, self.head, self.classifier = body, head, classifier

    def forward(self, images: Float[Tensor, "images 3 size size"]) -> Float[Tensor, "images classes"]:
        return self.classifier(self.head(self.body(images)))

    def features(self, images: Float[Tensor, "images 3 size size"], tap: Tap) -> Float[Tensor, "images dim"]:
        """v(image) at `tap`."""
        return self.features_and_logits(images, tap, logits=False)[0]

    def features_and_logits(self, images: Float[Tensor, "images 3 size size"], tap: Tap, *, logits: bool = True
                            ) -> tuple[Float[Tensor, "images dim"], Float[Tensor, "images classes"] | None]:
        """v(image) at `tap`, and the softmax's input, in one pass."""
        normalised: list[Tensor] = []
        hook = None
        if tap == "normalised":  # a copy, for the activation may work in place
            hook = last_batch_norm(self.body).register_forward_hook(lambda _, __, out: normalised.append(out.clone()))
        try:
            final_map = self.body(images)
        finally:
            if hook is not None:
                hook.remove()
        needs_head = logits or tap == "penultimate"
        penultimate = self.head(final_map) if needs_head else None
        v = {"normalised": lambda: normalised[0].flatten(1), "activation": lambda: final_map.flatten(1),
             "pooled": lambda: _average(final_map), "penultimate": lambda: _average(penultimate)}[tap]()
        return v, self.classifier(penultimate) if logits else None


def last_batch_norm(body: nn.Module) -> nn.BatchNorm2d:
    """The last batch norm of `body` outside of shortcuts. Raises InputError if it has none."""
    norms = [module for name, module in body.named_modules() if isinstance(module, nn.BatchNorm2d)
             and "shortcut" not in name and "downsample" not in name]
    if not norms:
        raise InputError("extract_features.tap is `normalised`, but this architecture has no batch norm; "
                         "take pooled, activation or penultimate")
    return norms[-1]


def build_visual(arch: str, *, classes: int, stem: Stem, dropout: float, pretrained: bool = False,
                 state: dict[str, Tensor] | None = None) -> VisualModel:
    """Build an architecture by its name, with random weights, the library's own if `pretrained`, or `state`.

    Args:
        arch: `alexnet`, a CIFAR ResNet `resnet<6n + 2>`, `torchvision/<name>` or `timm/<name>`.
        classes: outputs; weights from elsewhere keep their own number.
        stem: `standard`; `small`: first convolution 3x3 of stride 1 and no pooling after it, for images up to 64
            pixels (ResNets of torchvision and timm); `strided`: stride 2 at the start of a CIFAR ResNet.
        dropout: before each of AlexNet's and VGG's large layers, or before the classifier; 0..1.
        pretrained: take the weights that the library downloads.
        state: weights under the library's names (of a CIFAR ResNet: VisualModel's).

    Raises:
        InputError: unknown name, a stem that it does not have, or weights that do not fit.
    """
    net, cut = _uncut(arch, classes, stem, dropout, pretrained)
    if state is not None:
        if (outputs := _outputs_in(state, net)) != classes:
            net, cut = _uncut(arch, outputs, stem, dropout, pretrained)
        _load(net, state, arch)
    return cut(net)


def check_size(model: VisualModel, image_size: int) -> None:
    """Raise InputError if the network cannot take images of `image_size` pixels."""
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, image_size, image_size))
    except RuntimeError as error:
        raise InputError(f"params.yaml: `pretrain_cnn.image_size` is {image_size}, which this network cannot take: "
                         f"{str(error).splitlines()[0]}") from None


def _uncut(arch: str, classes: int, stem: Stem, dropout: float, pretrained: bool
           ) -> tuple[nn.Module, Callable[[nn.Module], VisualModel]]:
    """The network as its library builds it, and what cuts it into a VisualModel."""
    library, _, name = arch.rpartition("/")
    if library == "" and name.startswith("resnet") and name[6:].isdigit():
        return _cifar_resnet(int(name[6:]), classes, stem, dropout), lambda model: model
    if library == "timm":
        net, cut = _timm(name, classes, dropout, pretrained), partial(_cut_timm, name)
    elif library == "torchvision" or arch == "alexnet":
        net, cut = _torchvision(name, classes, pretrained), partial(_cut_torchvision, name, dropout)
    else:
        raise InputError(f"params.yaml: `pretrain_cnn.arch` is {arch!r}; known: {KNOWN}")
    if stem == "small":
        _small_stem(net, arch)
    elif stem == "strided":
        raise InputError(f"params.yaml: `pretrain_cnn.stem` is 'strided', which is for CIFAR ResNets, not {arch}")
    return net, cut


def _outputs_in(state: dict[str, Tensor], net: nn.Module) -> int:
    """Number of classes of the weights: rows of the last layer, which all these networks register last."""
    last = [name for name, module in net.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    return len(state[last + ".weight"]) if last + ".weight" in state else 0


@torch.no_grad()
def feature_dim(model: VisualModel, tap: Tap, image_size: int) -> int:
    """Length of v(image) at `tap`. The model must be in evaluation mode."""
    parameter = next(model.parameters())
    return model.features(torch.zeros(1, 3, image_size, image_size, device=parameter.device), tap).shape[1]


def _average(v: Float[Tensor, "images ..."]) -> Float[Tensor, "images dim"]:
    """Over space (of a map) or tokens (of a ViT); a vector stays as it is."""
    if v.ndim == 4:
        return v.mean((2, 3))
    return v.mean(1) if v.ndim == 3 else v


def _cifar_resnet(depth: int, classes: int, stem: Stem, dropout: float) -> VisualModel:
    try:
        body = cifar_resnet_body(depth, 2 if stem == "strided" else 1)
    except ValueError as error:
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: {error}") from None
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
    return VisualModel(body, head, nn.Linear(WIDTHS[-1], classes))


def _torchvision(name: str, classes: int, pretrained: bool) -> nn.Module:
    try:
        return models.get_model(name, weights="DEFAULT" if pretrained else None,
                                **({} if pretrained else {"num_classes": classes}))
    except ValueError:
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: torchvision has no model {name!r}; "
                         f"known: {', '.join(models.list_models(module=models))}") from None


def _cut_torchvision(name: str, dropout: float, net: nn.Module) -> VisualModel:
    """Cut a torchvision classification network; here stands where each family's global pooling is."""
    flatten = nn.Flatten()
    if name.startswith(("alexnet", "vgg")):  # the last max pooling belongs to the head
        layers = list(net.classifier)
        head = nn.Sequential(net.features[-1], _AverageTo(net.avgpool), flatten, *layers[:-1])
        model = VisualModel(net.features[:-1], head, layers[-1])
    elif name.startswith("squeezenet"):  # its classifier is a 1x1 convolution, averaged over space
        model = VisualModel(net.features, net.classifier[0], nn.Sequential(*net.classifier[1:], flatten))
    elif name.startswith(("resnet", "resnext", "wide_resnet")):
        body = nn.Sequential()
        for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            body.add_module(part, getattr(net, part))
        model = VisualModel(body, nn.Sequential(net.avgpool, flatten, nn.Dropout()), net.fc)
    elif name.startswith("densenet"):
        model = VisualModel(nn.Sequential(net.features, nn.ReLU()),
                            nn.Sequential(nn.AdaptiveAvgPool2d(1), flatten, nn.Dropout()), net.classifier)
    elif name.startswith(("mobilenet_v2", "mobilenet_v3", "efficientnet")):
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), flatten, *net.classifier[:-1])
        model = VisualModel(net.features, head, net.classifier[-1])
    elif name.startswith("convnext"):  # LayerNorm2d and flattening are part of its classifier
        model = VisualModel(net.features, nn.Sequential(net.avgpool, *net.classifier[:-1]), net.classifier[-1])
    else:
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: no taps are known for torchvision/{name}; "
                         f"take timm's model of that kind (timm/...), or add it to zeroshot/visual.py")
    for module in model.head.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    return model


class _AverageTo(nn.Module):
    """Adaptive average pooling, and nothing where the map has that size already: on CUDA its gradient varies."""

    def __init__(self, pool: nn.AdaptiveAvgPool2d):
        super().__init__()
        self.pool = pool

    def forward(self, final_map: Tensor) -> Tensor:
        return final_map if final_map.shape[-2:] == tuple(self.pool.output_size) else self.pool(final_map)


class _TimmBody(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net.forward_features(images)


class _TimmHead(nn.Module):
    """timm's own way from map to classifier input. The network is the body's; here it is only referred to."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self._net = (net,)  # a tuple, so that its weights are not counted twice

    def forward(self, final_map: Tensor) -> Tensor:
        return self._net[0].forward_head(final_map, pre_logits=True)


def _timm(name: str, classes: int, dropout: float, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.partition('.')[0]}*")[:8])
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: timm has no model {name!r}; near it: {near or 'nothing'}")
    return timm.create_model(name, pretrained=pretrained, drop_rate=dropout,
                             **({} if pretrained else {"num_classes": classes}))


def _cut_timm(name: str, net: nn.Module) -> VisualModel:
    classifier = net.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: timm/{name} does not end in one linear layer")
    net.reset_classifier(0)
    return VisualModel(_TimmBody(net), _TimmHead(net), classifier)


def _small_stem(net: nn.Module, arch: str) -> None:
    """For images up to 64 pixels: first convolution 3x3 of stride 1, no pooling after it."""
    conv = getattr(net, "conv1", None)
    if not isinstance(conv, nn.Conv2d) or not hasattr(net, "maxpool"):
        raise InputError(f"params.yaml: `pretrain_cnn.stem` is 'small', which {arch} does not have; take 'standard'")
    net.conv1 = nn.Conv2d(conv.in_channels, conv.out_channels, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.maxpool = nn.Identity()


def _load(net: nn.Module, state: dict[str, Tensor], arch: str) -> None:
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"`pretrain_cnn.weights` do not fit {arch}: {str(error)[:300]}") from None
