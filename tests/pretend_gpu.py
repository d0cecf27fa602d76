"""A pretend GPU: tensors on a device of their own that the CPU's kernels compute, where mixing devices is an error.

It shows whether operations mix devices, and where the host waits for what the device computes. It cannot show what is
a GPU's own: kernels that are missing or vary from run to run, their rounding, memory, streams, autocast, fused
optimisers, several GPUs. Importing this module registers the device with torch for the rest of the process.
"""

import sys
from collections import Counter

import torch
from torch import Tensor
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

from zeroshot.base.tensors import root
from zeroshot.running.scratch import PROJECT

aten = torch.ops.aten
INDEXING = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_)
WAITING = (aten._local_scalar_dense, aten.equal, aten.nonzero, aten.masked_select, aten.bincount, aten._unique2,
           aten.unique_dim, aten.unique_consecutive, aten.repeat_interleave)  # their value or shape is on the device
CODE = (f"{PROJECT}/zeroshot/", f"{PROJECT}/stages/")
waits: Counter[str] = Counter()  # how often the host waited for the device, by what for and where


class Backend(_DummyBackendModule):
    """What torch asks of a device's module, torch.pretend."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend("pretend", Backend())
DEVICE = torch.device("pretend", 0)


class PretendTensor(Tensor):
    """A tensor on the pretend GPU; `raw` holds its numbers."""

    @staticmethod
    def __new__(cls, raw):
        return Tensor._make_wrapper_subclass(cls, raw.shape, strides=raw.stride(), dtype=raw.dtype, device=DEVICE,
                                             storage_offset=raw.storage_offset())

    def __init__(self, raw):
        self.raw = raw

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        """Every operation that such a tensor takes part in comes here, below autograd."""
        kwargs = kwargs or {}
        if op.overloadpacket is aten.copy_:
            return copy(*args, **kwargs)
        inputs: list[Tensor] = []
        mapped(inputs.append, (args, kwargs))
        refuse_mixing(op, args, inputs)
        note_waits(op, args)
        target = torch.device(kwargs.get("device") or DEVICE)
        if target.type == "cpu" and op.overloadpacket is aten._to_copy:
            wait("a copy to the CPU")
        if op.overloadpacket is aten._foreach_sqrt:  # a GPU rounds it rightly, as torch on a CPU does not
            op = rooted
        out = op(*raw(args), **raw(kwargs | {"device": "cpu"} if "device" in kwargs else kwargs))
        return out if target.type == "cpu" else on_device(out, inputs)


def rooted(tensors):
    return [root(tensor) for tensor in tensors]


def copy(to, source, non_blocking=False):
    """Tensor.copy_, the way from one device to the other; a GPU makes the host wait for it unless told not to."""
    if is_ours(source) and not is_ours(to):
        wait("a copy to the CPU")
    elif is_ours(to) and not is_ours(source) and not non_blocking:
        wait("a copy to the device")
    raw(to).copy_(raw(source))
    return to


def refuse_mixing(op, args, inputs) -> None:
    """On a GPU a CPU tensor may be a single number, or say which elements of a GPU's tensor are meant."""
    indices = args[1] if op.overloadpacket in INDEXING and is_ours(args[0]) else []
    for tensor in inputs:
        if tensor.ndim and not is_ours(tensor) and not any(tensor is index for index in indices):
            raise RuntimeError(f"{op}: on both devices; of shape {list(tensor.shape)} on the CPU, at {place()}")


def note_waits(op, args) -> None:
    """The host waits for numbers, for shapes that depend on them, and to copy an index."""
    if op.overloadpacket in WAITING:
        wait(op.overloadpacket.__name__)
    if op.overloadpacket not in INDEXING:
        return
    fills = len(args) > 2 and args[2].numel() == 1  # one number is filled in without asking where
    for index in args[1]:
        if index is not None and index.dtype == torch.bool and not fills:
            wait("a boolean index")
        elif index is not None and not is_ours(index):
            wait("a copy to the device")


def wait(what: str) -> None:
    waits[f"{what}, {place()}"] += 1


def place() -> str:
    """The project's line that is running."""
    frame = sys._getframe()
    while frame and not frame.f_code.co_filename.startswith(CODE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}" if frame else "elsewhere"


def is_ours(value) -> bool:
    return isinstance(value, PretendTensor)


def raw(values):
    return mapped(lambda tensor: tensor.raw if is_ours(tensor) else tensor, values)


def on_device(values, inputs):
    """Put CPU tensors on the device; those that an operation changed in place are its inputs themselves."""
    changed = {id(tensor.raw): tensor for tensor in inputs if is_ours(tensor)}
    return mapped(lambda out: changed[id(out)] if id(out) in changed else PretendTensor(out), values)


def mapped(change, values):
    """`change` of every tensor in tuples, lists and dictionaries; torch.utils._pytree would take half of all time."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, tuple | list):
        return type(values)([mapped(change, value) for value in values])  # also torch.return_types
    return {key: mapped(change, value) for key, value in values.items()} if isinstance(values, dict) else values


# What torch does below __torch_dispatch__: making tensors, and copying the numbers of a list.

def empty(size, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
    layout = memory_format or torch.contiguous_format
    return PretendTensor(torch.empty(size, dtype=dtype, memory_format=layout))


def empty_strided(size, stride, dtype=None, layout=None, device=None, pin_memory=None):
    return PretendTensor(torch.empty_strided(size, stride, dtype=dtype))


def copy_from(source, to, non_blocking=False):
    return copy(to, source, non_blocking)


_library = torch.library.Library("aten", "IMPL")  # kept: what it declares ends with it
_library.impl("empty.memory_format", empty, "PrivateUse1")
_library.impl("empty_strided", empty_strided, "PrivateUse1")
_library.impl("_copy_from", copy_from, "PrivateUse1")
