"""Weights that someone saved: safetensors or a torch checkpoint, bare or wrapped, -> a state dict of float32 tensors.

    .safetensors               names -> tensors
    .pth .pt .bin ...          the same by torch.save, or in a dictionary under one of NESTED; read with weights_only,
                               so that nothing in the file is run
    a folder                   its model.safetensors, else pytorch_model.bin (what Hugging Face's hub keeps)

The only state dict of a dictionary is taken whatever its name. Names may begin with PREFIXES, which wrappers of torch
and Lightning put before all of them. Half-precision weights
become float32. No format but zip has a checksum: a flipped byte loads unseen unless `pretrain_cnn.sha256` is given.
"""

import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from zeroshot.base.files import sha256_of
from zeroshot.base.signatures import HEAD, is_text, kind_of, shown
from zeroshot.console.errors import InputError, quoted

NESTED = ("state_dict", "model", "model_state_dict")
DEEPEST = 4  # one in the other
PREFIXES = ("module.", "model.", "_orig_mod.", "net.")
AVERAGED = "n_averaged"  # how many states torch's AveragedModel is the mean of; no weight
IN_FOLDERS = ("model.safetensors", "pytorch_model.bin")
EXPECTED = "expected safetensors, a torch checkpoint (.pth, .pt, .bin), or a folder that holds one"
INSTEAD = {
    "Git LFS pointer": "a Git LFS pointer, which only stands for the weights; fetch them with `git lfs pull`",
    "HTML": "an HTML page, not weights: the download was a web page; fetch the file itself",
    "gzip": "gzip-compressed; gunzip it",
    "tar": "a tar; unpack it, and name the weights in it",
    "HDF5": "an HDF5 file (Keras or TensorFlow); export the weights from PyTorch"}


def weights_file(place: Path) -> Path:
    """The file that `pretrain_cnn.weights` means: itself, or the one in that folder.

    Raises:
        InputError: nothing there, or a folder without weights.
    """
    if place.is_dir():
        for name in IN_FOLDERS:
            if (place / name).is_file():
                return place / name
        split = ", but weights split over several files (*.index.json), which must be merged into one" if list(
            place.glob("*.index.json")) else ""
        raise InputError(f"{place}: a folder without {' or '.join(IN_FOLDERS)}{split}; set `pretrain_cnn.weights` in "
                         "params.yaml to the file with the weights")
    if not place.is_file():
        raise InputError(f"{place}: no such file; `pretrain_cnn.weights` in params.yaml must name the weights since "
                         f"`pretrained` is 'file': {EXPECTED}")
    return place


def read_weights(place: Path, sha256: str = "") -> dict[str, Tensor]:
    """Names -> tensors on the CPU, floating ones float32.

    Args:
        sha256: of the file; empty: not checked.

    Raises:
        InputError: missing, another checksum, another format, damaged, not finite, or no state dict.
    """
    path = weights_file(place)
    if sha256 and (found := sha256_of(path)) != sha256.lower():
        raise InputError(f"{path}: its sha256 is {found}; `pretrain_cnn.sha256` in params.yaml expects {sha256}")
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if (kind := kind_of(head)) in INSTEAD:
        raise InputError(f"{path}: {INSTEAD[kind]}")
    if not head:
        raise InputError(f"{path}: empty file; {EXPECTED}")
    if is_text(head):
        raise InputError(f"{path}: not a safetensors file or torch checkpoint, found {shown(head)}; {EXPECTED}")
    return _as_floats(path, _unwrapped(path, _loaded(path, head)))


def _loaded(path: Path, head: bytes) -> Any:
    try:
        if head[8:9] == b"{":  # after the header's length, eight bytes
            return load_file(path)
        if kind_of(head) == "zip":
            _check_zip(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # both libraries raise nearly anything on broken bytes
        pickled = kind_of(head) in ("zip", "Python pickle")  # torch takes any bytes for a pickle
        if pickled and "weights_only" in str(error).lower() and "Unsupported" in str(error):
            raise InputError(f"{path}: holds Python objects besides tensors, which are not loaded since loading runs "
                             "code; save `model.state_dict()` alone") from None
        if "TorchScript" in str(error):
            raise InputError(f"{path}: a TorchScript program; save its `state_dict()` instead") from None
        raise InputError(f"{path}: not a safetensors file or torch checkpoint, or cut short or damaged "
                         f"({type(error).__name__}); {EXPECTED}") from None


def _check_zip(path: Path) -> None:
    """Raise InputError if a zip is not torch's, or a member of it is damaged."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not any(name.endswith("data.pkl") for name in names):
            held = ", ".join(quoted(name, 40) for name in names[:3]) + (", ..." if len(names) > 3 else "")
            raise InputError(f"{path}: a zip of {held or 'nothing'}, not torch's; unpack it, if weights are in it; "
                             f"{EXPECTED}")
        if bad := archive.testzip():
            raise InputError(f"{path}: damaged: {bad} does not match its checksum; fetch it again")


def _nested(path: Path, found: Any) -> Any:
    """The key of a dictionary under which its weights lie; None if there is none. Says which of several it is."""
    if not isinstance(found, dict) or _is_state(found):
        return None
    states = [key for key, held in found.items() if _is_state(held)]
    if key := next((key for key in NESTED if isinstance(found.get(key), dict)), None):
        if others := [other for other in states if other != key]:
            print(f"{quoted(str(path), 200)}: holds several networks' weights; {key} was taken, left out: "
                  f"{', '.join(quoted(str(other), 40) for other in others)}")
        return key
    if len(states) != 1:
        return None
    print(f"{quoted(str(path), 200)}: of its content {quoted(str(states[0]), 40)} was taken for the weights")
    return states[0]


def _unwrapped(path: Path, found: Any) -> dict[str, Tensor]:
    for _ in range(DEEPEST):  # a pickle can hold itself
        if (key := _nested(path, found)) is None:
            break
        found = found[key]
    if not _is_state(found):
        raise InputError(f"{path}: holds no state dict (names -> tensors), neither at its top nor under "
                         f"{', '.join(NESTED)}; found {_shown(found)}; save `model.state_dict()`")
    state = {name: v for name, v in found.items() if name != AVERAGED} or dict(found)
    while prefix := next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in state)), None):
        state = {name.removeprefix(prefix): v for name, v in state.items()}
    return state


def _is_state(found: Any) -> bool:
    return isinstance(found, dict) and bool(found) and all(
        isinstance(name, str) and isinstance(v, Tensor) for name, v in found.items())


def _shown(found: Any) -> str:
    if isinstance(found, dict):
        return f"a dictionary of {', '.join(str(name)[:40] for name in list(found)[:5]) or 'nothing'}"
    return type(found).__name__


def _as_floats(path: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    if odd := [name for name, v in state.items() if v.layout != torch.strided or v.is_meta or v.is_quantized
               or v.is_complex()]:
        raise InputError(f"{path}: {len(odd)} of {len(state)} tensors are no plain numbers, the first {odd[0][:80]} "
                         f"({_kind(state[odd[0]])}): quantised or packed weights, or none at all; save the network's "
                         "own `state_dict()`, in float32, float16 or bfloat16")
    state = {name: v.float() if v.is_floating_point() else v for name, v in state.items()}
    if bad := [name for name, v in state.items() if v.is_floating_point() and not v.isfinite().all()]:
        raise InputError(f"{path}: {len(bad)} of {len(state)} tensors hold NaN or infinity, the first {bad[0][:80]}; "
                         "damaged, or a training that diverged")
    return state


def _kind(v: Tensor) -> str:
    """What a tensor is, for messages: "int8", "sparse_coo float32", "meta float32"."""
    layout = "" if v.layout == torch.strided else f"{str(v.layout).removeprefix('torch.')} "
    return f"{layout}{'meta ' if v.is_meta else ''}{str(v.dtype).removeprefix('torch.')}"
