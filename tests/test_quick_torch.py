"""What torch's start leaves out is there as soon as anything needs it."""

import builtins
import os
import subprocess
import sys

import pytest
import torch

from zeroshot.running import quick_torch
from zeroshot.running.scratch import PROJECT

LEFT_OUT = "any(name in sys.modules for name in ('torch._decomp', 'torch._refs', 'torch._prims'))"
COMPILED = """
network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten())
images = torch.rand(2, 3, 5, 5)
print(torch.equal(torch.compile(network, backend="eager")(images), network(images)))
"""
WITHOUT_WEIGHTS = """
from tools import measure_training
build, built = measure_training.build_visual, []
measure_training.build_visual = lambda *given, **named: built.append(build(*given, **named)) or built[-1]
settings = {"pretrain_cnn": {"arch": "resnet20", "stem": "small", "dropout": 0.0, "image_size": 32},
            "extract_features": {"tap": "penultimate"}}
print(measure_training.feature_width(settings), len(built), *{weights.device.type for weights in built[0].parameters()})
"""


@pytest.mark.parametrize(("needs_it", "said"), [
    (WITHOUT_WEIGHTS, "64 1 meta"), (COMPILED, "True")])
def test_stages_start_without_and_load_it_when_it_is_needed(needs_it, said):
    program = (f"import inspect, sys, stages, torch; torch.rand(2, 2) @ torch.rand(2, 2); "
               f"inspect.getmodule(torch.rand); print({LEFT_OUT})\n{needs_it}\nprint({LEFT_OUT})")
    ended = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, text=True, capture_output=True, check=False)
    assert ended.stdout.splitlines() == ["False", said, "True"], ended.stderr


def test_whoever_asks_for_a_name_of_it_gets_it(tmp_path, monkeypatch):
    (tmp_path / "put_off.py").write_text("import builtins\nbuiltins.ran = getattr(builtins, 'ran', 0) + 1\nname = 7")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(quick_torch, "PUT_OFF", "put_off")
    monkeypatch.setattr(sys, "meta_path", [quick_torch._Finder(), *sys.meta_path])
    monkeypatch.setattr(builtins, "ran", 0, raising=False)
    import put_off

    assert not hasattr(put_off, "__all__") and builtins.ran == 0
    from put_off import name

    assert name == put_off.name == 7 and builtins.ran == 1
    assert not hasattr(put_off, "other")
    quick_torch.whole_torch()
    assert builtins.ran == 1


def test_generators_and_workers_that_have_some_do_without(tmp_path):
    """torch.Generator raises in a torch whose start left out too much; each worker of a DataLoader makes one."""
    (tmp_path / "program.py").write_text(f"""
import sys, stages, torch
if __name__ == "__main__":
    loader = torch.utils.data.DataLoader(range(4), num_workers=1, multiprocessing_context="spawn")
    first, second = (torch.rand(2, generator=torch.Generator().manual_seed(seed)) for seed in (3, 4))
    print(0 < (first - second).abs().min().item() < 1)
    print([*map(int, loader)], {LEFT_OUT})
""")
    ended = subprocess.run([sys.executable, tmp_path / "program.py"], cwd=PROJECT, text=True, capture_output=True,
                           env={**os.environ, "PYTHONPATH": str(PROJECT)}, check=False)
    assert ended.stdout.splitlines() == ["True", "[0, 1, 2, 3] False"], ended.stderr


def test_all_of_it_is_loaded_once():
    module = torch._meta_registrations
    quick_torch.whole_torch()
    quick_torch.whole_torch()
    assert torch._meta_registrations is module and callable(module.register_meta)
