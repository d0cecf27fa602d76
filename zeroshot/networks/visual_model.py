"""The visual model by name, cut into body, head and classifier, so that every architecture has the same taps.

    body        images -> map [images, channels, height, width]: all up to the global pooling (tokens for a ViT)
    head        map -> the classifier's input: pooling, and AlexNet's two layers of 4096
    classifier  -> logits, one a seen class

Taps, that is what v(image) may be (`extract_features.tap`):

    activation   the map, flattened: what the global pooling takes
    halved       the same with each two neighbouring columns averaged: 8x8x64 becomes 2,048 long
    normalised   output of the last batch norm before that activation, flattened; refused where it is of another shape
    pooled       the map averaged over space
    penultimate  input of the classifier (4096-D for AlexNet, the paper's); averaged over space if it is a map
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from zeroshot.console.errors import InputError
from zeroshot.networks.cifar_networks import build_cifar
from zeroshot.networks.cifar_resnet import WIDTHS, cifar_resnet_body
from zeroshot.networks.timm_networks import build_timm, cut_timm
from zeroshot.networks.torchvision_networks import build_torchvision, cut_torchvision

Tap = Literal["activation", "halved", "normalised", "pooled", "penultimate"]
Stem = Literal["standard", "small", "strided"]
KNOWN = "alexnet, resnet20 (any 6n + 2), resnet9-<width>, convnet, allcnn, torchvision/<name>, timm/<name>"


def is_arch(arch: str) -> bool:
    """Whether there is such an architecture, as far as that is known without its library."""
    if depth := re.fullmatch(r"resnet(\d+)", arch):
        return int(depth[1]) >= 8 and int(depth[1]) % 6 == 2
    return re.fullmatch(r"alexnet|convnet|allcnn|resnet9-[1-9]\d{0,3}|(torchvision|timm)/.+", arch) is not None


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
        if tap == "normalised":  # compiled, it would go on calling the first call's hooks
            final_map, normalised = torch.compiler.disable(_with_last_norm)(self.body, images)
        else:
            final_map, normalised = self.body(images), None
        needs_head = logits or tap == "penultimate"
        penultimate = self.head(final_map) if needs_head else None
        v = {"normalised": lambda: normalised.flatten(1), "activation": lambda: final_map.flatten(1),
             "halved": lambda: _halved(final_map), "pooled": lambda: _average(final_map),
             "penultimate": lambda: _average(penultimate)}[tap]()
        return v, self.classifier(penultimate) if logits else None


def _with_last_norm(body: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The final map, and what the last batch norm outside of shortcuts gave before any activation.

    The last to run, that is: timm's networks also register norms that belong to the head.

    Raises:
        InputError: there is none, or its output is not the final map's.
    """
    outputs: list[Tensor] = []

    def keep(output: Tensor) -> None:
        outputs[:] = [output.clone()]  # a copy, for the activation may work in place

    hooks = [_before_activation(module, keep) for name, module in body.named_modules()
             if isinstance(module, nn.BatchNorm2d) and "shortcut" not in name and "downsample" not in name]
    try:
        final_map = body(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not outputs or outputs[0].shape != final_map.shape:
        found = f" of {_shape(final_map)}, but a last one of {_shape(outputs[0])}" if outputs else ""
        raise InputError("extract_features.tap is `normalised`, but this architecture has no batch norm of the final "
                         f"map{found}; take pooled, activation or penultimate")
    return final_map, outputs[0]


def _before_activation(norm: nn.BatchNorm2d, keep: Callable[[Tensor], None]) -> RemovableHandle:
    """Have `keep` called with the batch norm's output; timm's BatchNormAct2d runs the activation itself."""
    if isinstance(getattr(norm, "act", None), nn.Module):
        return norm.act.register_forward_pre_hook(lambda _, inputs: keep(inputs[0]))
    return norm.register_forward_hook(lambda _, __, output: keep(output))


def build_visual(arch: str, *, classes: int, stem: Stem, dropout: float, pretrained: bool = False,
                 state: dict[str, Tensor] | None = None) -> VisualModel:
    """Build an architecture by its name, with random weights, the library's own if `pretrained`, or `state`.

    Args:
        arch: `alexnet`, a CIFAR ResNet `resnet<6n + 2>`, `resnet9-<width>`, `convnet`, `allcnn`,
            `torchvision/<name>` or `timm/<name>`.
        classes: outputs; weights from elsewhere keep their own number.
        stem: `standard`; `small`: first convolution 3x3 of stride 1 and no pooling after it, for images up to 64
            pixels (ResNets of torchvision and timm); `strided`: stride 2 at the start of a CIFAR ResNet.
        dropout: before each of AlexNet's and VGG's large layers, or before the classifier; 0..1.
        pretrained: take the weights that the library downloads.
        state: weights under the library's names (of a CIFAR ResNet: VisualModel's).

    Raises:
        InputError: unknown name, a stem that it does not have, or weights that do not fit.
    """
    net, cut = uncut(arch, classes, stem, dropout, pretrained)
    if state is not None:
        if (outputs := _outputs_in(state, net, classes)) != classes:
            net, cut = uncut(arch, outputs, stem, dropout, pretrained)
        _load(net, state, arch)
    return VisualModel(*cut(net))


def check_size(model: VisualModel, image_size: int) -> None:
    """Raise InputError if the network cannot take images of `image_size` pixels."""
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, image_size, image_size))
    except (RuntimeError, AssertionError) as error:  # the latter from networks that take one size only
        raise InputError(f"params.yaml: `pretrain_cnn.image_size` is {image_size}, which this network cannot take: "
                         f"{(str(error) or repr(error)).splitlines()[0]}") from None


def uncut(arch: str, classes: int, stem: Stem, dropout: float, pretrained: bool = False
          ) -> tuple[nn.Module, Callable[[nn.Module], Iterable[nn.Module]]]:
    """The network as its library builds it, and what cuts it into body, head and classifier."""
    library, _, name = arch.rpartition("/")
    if library == "" and name.startswith("resnet") and name[6:].isdigit():
        return _cifar_resnet(int(name[6:]), classes, stem, dropout), VisualModel.children
    if (parts := build_cifar(arch, classes, dropout)) is not None:
        if stem != "standard":
            raise InputError(f"params.yaml: `pretrain_cnn.stem` is {stem!r}, which {arch} does not have; take "
                             "'standard'")
        return VisualModel(*parts), VisualModel.children
    if library == "timm":
        net, cut = build_timm(name, classes, dropout, pretrained), partial(cut_timm, name)
    elif library == "torchvision" or arch == "alexnet":
        net, cut = build_torchvision(name, classes, pretrained), partial(cut_torchvision, name, dropout)
    else:
        raise InputError(f"params.yaml: `pretrain_cnn.arch` is {arch!r}; known: {KNOWN}")
    if stem == "small":
        _small_stem(net, arch)
    elif stem == "strided":
        raise InputError(f"params.yaml: `pretrain_cnn.stem` is 'strided', which is for CIFAR ResNets, not {arch}")
    return net, cut


def _outputs_in(state: dict[str, Tensor], net: nn.Module, classes: int) -> int:
    """Number of classes of the weights: rows of the last layer, which all these networks register last.

    `classes` where they have no such layer.
    """
    last = [name for name, module in net.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    rows = state.get(last + ".weight")
    return len(rows) if rows is not None and rows.ndim else classes


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


def _halved(v: Float[Tensor, "images ..."]) -> Float[Tensor, "images dim"]:
    """Columns 0 and 1 averaged, 2 and 3, and so on; flattened. Raises InputError for what has no two columns."""
    if v.ndim != 4 or v.shape[3] < 2:
        raise InputError(f"extract_features.tap is `halved`, but this architecture's final map is {_shape(v)}, without "
                         "two columns to average; take pooled, activation or penultimate")
    return F.avg_pool2d(v, (1, 2)).flatten(1)


def _shape(v: Tensor) -> str:
    """Of one image, for messages."""
    return " x ".join(map(str, v.shape[1:]))


def _cifar_resnet(depth: int, classes: int, stem: Stem, dropout: float) -> VisualModel:
    try:
        body = cifar_resnet_body(depth, 2 if stem == "strided" else 1)
    except ValueError as error:
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: {error}") from None
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
    return VisualModel(body, head, nn.Linear(WIDTHS[-1], classes))


def _small_stem(net: nn.Module, arch: str) -> None:
    """For images up to 64 pixels: first convolution 3x3 of stride 1, no pooling after it."""
    conv = getattr(net, "conv1", None)
    if not isinstance(conv, nn.Conv2d) or not hasattr(net, "maxpool"):
        raise InputError(f"params.yaml: `pretrain_cnn.stem` is 'small', which {arch} does not have; take 'standard'")
    net.conv1 = nn.Conv2d(conv.in_channels, conv.out_channels, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.maxpool = nn.Identity()


def _load(net: nn.Module, state: dict[str, Tensor], arch: str) -> None:
    own = net.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    others = [f"{name} {_size(state[name])} for {_size(own[name])}" for name in own
              if name in state and state[name].shape != own[name].shape]
    whole = [f"{name} {str(state[name].dtype).removeprefix('torch.')}" for name, v in own.items()
             if v.is_floating_point() and name in state and not state[name].is_floating_point()]
    if missing or unexpected or others or whole:
        found = "; ".join(f"{len(names)} {what} ({_some(names)})" for what, names in (
            ("missing", missing), ("unexpected", unexpected), ("of another shape", others),
            ("of whole numbers, as quantised ones are", whole)) if names)
        raise InputError(f"`pretrain_cnn.weights` do not fit {arch}, which has {len(own)} tensors: {found}; they are "
                         "of another architecture, or under other names than the library's own")
    own.update(state)  # keeps what own says of its version, which some networks need
    net.load_state_dict(own)


def _some(names: list[str]) -> str:
    return ", ".join(name[:80] for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _size(v: Tensor) -> str:
    return "x".join(map(str, v.shape)) or "scalar"
