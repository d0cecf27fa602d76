from tests.processes import run_apart

PROGRAM = """
import sys
assert not {"torchvision", "timm"} & {*sys.modules}
import zeroshot.networks.torchvision_guard as guard
import torch, torchvision, timm
from torchvision.transforms import v2
image = torch.zeros(1, 3, 64, 64)
assert torchvision.models.resnet18(num_classes=7).eval()(image).shape == (1, 7)
assert v2.RandomHorizontalFlip(1.0)(image).shape == image.shape
print(guard.HAS_NATIVE_OPS, torchvision.extension._has_ops())
"""


def test_torchvision_and_timm_import_after_the_guard_whatever_build_of_torch():
    done = run_apart(PROGRAM)
    assert done.returncode == 0, done.stderr
    ours, torchvisions = done.stdout.split()
    assert ours == torchvisions
