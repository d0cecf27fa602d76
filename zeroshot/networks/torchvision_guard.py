"""Import this before torchvision: `import zeroshot.networks.torchvision_guard  # noqa: F401`.

PyPI's torchvision is built for CUDA; beside a CPU build of torch its native library does not load, and
`import torchvision` then fails with "operator torchvision::nms does not exist" (pytorch/vision #9085). Declaring
the two operators that it looks for is enough for models, transforms, datasets and timm; torchvision.io and
ops.nms stay without an implementation, and this project decodes with Pillow.
"""

import importlib.util
from pathlib import Path

import torch

MISSING_OPS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
               "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def native_library_loads() -> bool:
    """Whether torchvision's compiled operators fit this torch; loads them if so."""
    folder = Path(importlib.util.find_spec("torchvision").origin).parent
    try:
        for library in sorted(folder.glob("_C*.so")) + sorted(folder.glob("_C*.pyd")):
            torch.ops.load_library(str(library))
            return True
    except OSError:
        pass
    return False


HAS_NATIVE_OPS = native_library_loads()
if not HAS_NATIVE_OPS:
    _declared = torch.library.Library("torchvision", "DEF")  # kept: the declarations end with the object
    for _schema in MISSING_OPS:
        _declared.define(_schema)
