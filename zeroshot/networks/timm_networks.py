"""timm's networks by name, cut at their global pooling."""

from typing import Any

from torch import Tensor, nn

from zeroshot.console.errors import InputError
from zeroshot.networks.downloads import downloaded
from zeroshot.networks.without_compiler import without_compiler


def build_timm(name: str, classes: int, dropout: float, pretrained: bool) -> nn.Module:
    """The network as timm builds it. Raises InputError if there is none of that name, or no such weights."""
    with without_compiler():
        import timm

    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.partition('.')[0]}*")[:8])
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: timm has no model {name!r}; near it: {near or 'nothing'}")
    try:
        if pretrained:
            return downloaded(lambda: timm.create_model(name, pretrained=True, drop_rate=dropout), f"timm/{name}",
                              _file_of(timm.get_pretrained_cfg(name)))
        return timm.create_model(name, drop_rate=dropout, num_classes=classes)
    except (RuntimeError, TypeError) as error:  # there are no such weights; or it is no classification network
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: timm cannot build {name!r} with pretrained "
                         f"{pretrained}: {error}") from None


def _file_of(published: Any) -> str:
    """The file that holds timm's weights, where it names one: of the hub, or of an address."""
    if published is not None and published.hf_hub_id:
        return f"{published.hf_hub_filename or 'model.safetensors'} of {published.hf_hub_id}"
    return str(getattr(published, "url", "")).rpartition("/")[-1] or "its weights"


def cut_timm(name: str, net: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Body, head and classifier (see visual_model.py). Raises InputError if it does not end in one linear layer."""
    classifier = net.get_classifier() if hasattr(net, "get_classifier") else None
    if not isinstance(classifier, nn.Linear):
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: timm/{name} does not end in one linear layer, but in "
                         f"{type(classifier).__name__}; take another network")
    whole = net.state_dict(keep_vars=True)
    net.reset_classifier(0)
    kept = [id(v) for part in (net, classifier) for v in part.state_dict(keep_vars=True).values()]
    if lost := [key for key, v in whole.items() if id(v) not in kept]:  # a norm, or a second classifier
        raise InputError(f"params.yaml: `pretrain_cnn.arch`: timm/{name} does not end in one linear layer alone, but "
                         f"in {', '.join(lost)} too; take another network")
    return _TimmBody(name, net), _TimmHead(net), classifier


class _TimmBody(nn.Module):
    """timm's network up to its global pooling; maps come out as [images, channels, height, width] from all of them."""

    def __init__(self, name: str, net: nn.Module):
        super().__init__()
        self.name, self.net = name, net

    def forward(self, images: Tensor) -> Tensor:
        final_map = self.net.forward_features(images)
        if not isinstance(final_map, Tensor):
            raise InputError(f"params.yaml: `pretrain_cnn.arch`: timm/{self.name} has no single final map, but a "
                             f"{type(final_map).__name__} of them; take another network")
        if _is_nhwc(self.net) and final_map.ndim == 4:
            final_map = final_map.permute(0, 3, 1, 2)
        if final_map.shape[1 if final_map.ndim == 4 else -1] != self.net.num_features:
            shape = " x ".join(map(str, final_map.shape[1:]))
            raise InputError(f"params.yaml: `pretrain_cnn.arch`: timm/{self.name} gives a final map of {shape}, in "
                             f"which its {self.net.num_features} channels are not where they were expected; take "
                             "another network")
        return final_map


class _TimmHead(nn.Module):
    """timm's own way from map to classifier input. The network is the body's; here it is only referred to."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self._net = (net,)  # a tuple, so that its weights are not counted twice

    def forward(self, final_map: Tensor) -> Tensor:
        if _is_nhwc(self._net[0]) and final_map.ndim == 4:
            final_map = final_map.permute(0, 2, 3, 1)
        return self._net[0].forward_head(final_map, pre_logits=True)


def _is_nhwc(net: nn.Module) -> bool:
    """Whether timm says that this network's maps have their channels last (Swin and others)."""
    return getattr(net, "output_fmt", "NCHW") == "NHWC"
