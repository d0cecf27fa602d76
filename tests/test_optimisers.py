"""The papers' optimisers beside torch's own, to the bit."""

import pytest
import torch
from torch import nn

from zeroshot.training.loop import make_optimiser, set_rate

STEPS = 30
NAMES = [("sgd", 0.9), ("sgd", 0.0), ("adagrad", 0.0)]


class Net(nn.Module):
    """With a layer that no loss reaches, as some taps leave one out."""

    def __init__(self):
        super().__init__()
        self.used = nn.Sequential(nn.Conv2d(3, 17, 3), nn.BatchNorm2d(17), nn.ReLU(), nn.Flatten(), nn.Linear(272, 5))
        self.unused = nn.Linear(5, 4)

    def forward(self, x):
        return self.used(x)


def make_net():
    torch.manual_seed(0)
    return Net().to(memory_format=torch.channels_last)


def train(net, optimiser, steps):
    for step in steps:
        set_rate(optimiser, 0.01 + 0.001 * step)
        optimiser.zero_grad()
        images = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(step))
        net(images.contiguous(memory_format=torch.channels_last)).square().mean().backward()
        optimiser.step()
    return net


def torchs(name, net, momentum, decay):
    groups = [{"params": [p for p in net.parameters() if (p.ndim > 1) is large], "weight_decay": decay * large}
              for large in (True, False)]
    if name == "adagrad":
        return torch.optim.Adagrad(groups, lr=1.0, fused=True)
    return torch.optim.SGD(groups, lr=1.0, momentum=momentum, nesterov=momentum > 0)


def assert_same(ours, other):
    for (name, own), theirs in zip(ours.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(own, theirs), name


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize(("name", "momentum"), NAMES)
def test_steps_are_those_of_torchs_optimiser_to_the_bit(name, momentum, decay):
    ours, other = make_net(), make_net()
    train(ours, make_optimiser(name, ours, momentum=momentum, weight_decay=decay), range(STEPS))
    assert_same(ours, train(other, torchs(name, other, momentum, decay), range(STEPS)))
    assert torch.equal(ours.unused.weight, make_net().unused.weight)


@pytest.mark.parametrize(("name", "momentum"), NAMES)
def test_a_state_taken_up_again_goes_on_with_the_same_bits(name, momentum):
    whole, cut = make_net(), make_net()
    train(whole, make_optimiser(name, whole, momentum=momentum, weight_decay=0.01), range(STEPS))
    first = make_optimiser(name, cut, momentum=momentum, weight_decay=0.01)
    train(cut, first, range(9))
    second = make_optimiser(name, cut, momentum=momentum, weight_decay=0.01)
    second.load_state_dict(first.state_dict())
    assert_same(whole, train(cut, second, range(9, STEPS)))


def test_without_momentum_nothing_is_kept_for_a_weight():
    state = make_optimiser("sgd", nn.Linear(300, 200), momentum=0.0, weight_decay=0.1).state_dict()
    assert not sum(memory.numel() for group in state["memory"] for memory in group)
