"""What torch's start leaves out is there as soon as anything needs it."""

import subprocess
import sys

import pytest

from zeroshot.running.scratch import PROJECT

LEFT_OUT = "any(name in sys.modules for name in ('torch._decomp', 'torch._refs', 'torch._prims'))"
NETWORK = """
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten())
network = torch.compile(network, backend="aot_eager")
print(network(torch.rand(2, 3, 5, 5)).square().sum().item().hex())
"""


def said_by(program: str) -> list[str]:
    ended = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, text=True, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


@pytest.mark.parametrize("package", ["stages", "zeroshot.__main__"])
def test_programs_of_ours_start_without(package):
    assert said_by(f"import sys, {package}, torch; torch.rand(2, 2) @ torch.rand(2, 2); print({LEFT_OUT})") == ["False"]


def test_a_compiled_network_is_what_it_is_with_a_whole_torch():
    ours = said_by(f"import sys, stages, torch\n{NETWORK}\nprint({LEFT_OUT})")
    assert ours == [*said_by(f"import sys, torch\n{NETWORK}"), "True"]


def test_whoever_asks_for_a_name_of_it_gets_it():
    program = ("import sys, stages, torch, inspect; module = torch._meta_registrations; hasattr(module, '__all__'); "
               f"print({LEFT_OUT}); from torch._meta_registrations import register_meta; "
               f"print({LEFT_OUT}, register_meta is module.register_meta)")
    assert said_by(program) == ["False", "True", "True"]


def test_the_length_of_features_is_told_without_weights_by_a_whole_torch():
    program = ("import stages, torch; from tools.measure_training import feature_width; "
               "import tools.measure_training as it; seen = []; build = it.build_visual; "
               "it.build_visual = lambda *given, **named: seen.append(build(*given, **named)) or seen[-1]; "
               "width = feature_width({'pretrain_cnn': {'arch': 'resnet20', 'stem': 'small', 'dropout': 0.0, "
               "'image_size': 32}, 'extract_features': {'tap': 'penultimate'}}); "
               "print(width, *{weights.device.type for weights in seen[-1].parameters()}, len(seen))")
    assert said_by(program) == ["64", "meta", "1"]


def test_a_torch_that_is_there_already_stays_as_it_is():
    assert said_by(f"import sys, torch, stages; print({LEFT_OUT})") == ["True"]
