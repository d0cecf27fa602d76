"""Seeds and the choice of kernels, without torch's compiler."""

import subprocess
import sys

import torch
from hypothesis import given
from hypothesis import strategies as st

from zeroshot.base.compute import seed_draws
from zeroshot.running.scratch import PROJECT

SET_UP = """if 1:
    import sys, torch
    from zeroshot.base.compute import set_up
    from zeroshot.training.loop import make_optimiser
    set_up(threads=1, seed=5, deterministic=True)
    drawn = torch.rand(3).tolist()
    assert torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    set_up(threads=1, deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled()
    for name in ("sgd", "adagrad"):
        linear = torch.nn.Linear(3, 2)
        optimiser = make_optimiser(name, linear, momentum=0.9, weight_decay=0.1)
        optimiser.zero_grad()
        linear(torch.ones(1, 3)).sum().backward()
        optimiser.step()
    assert not {"torch._dynamo", "torch._inductor"} & sys.modules.keys(), "the compiler was loaded"
    assert drawn == torch.rand(3, generator=torch.Generator().manual_seed(5)).tolist()"""


@given(st.integers(0, 2**63 - 1))
def test_draws_are_those_of_torchs_own_seed(seed):
    torch.manual_seed(seed)
    expected = torch.rand(3), torch.randperm(9)
    seed_draws(seed)
    assert torch.equal(torch.rand(3), expected[0]) and torch.equal(torch.randperm(9), expected[1])


def test_a_stage_is_set_up_and_trains_without_torchs_compiler():
    subprocess.run([sys.executable, "-c", SET_UP], cwd=PROJECT, check=True)
