"""The papers' optimisers, to the bit as torch's, which load its compiler first and so start as slowly as torch itself.

Written over lists of tensors (`torch._foreach_*`): on a GPU one kernel serves all parameters.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zeroshot.base.tensors import root

EPSILON = 1e-10  # keeps Adagrad's first steps finite where a gradient is 0


class Descent:
    """Steps down the gradient; to its users what a `torch.optim.Optimizer` is.

    Attributes:
        param_groups: `params`, `weight_decay` and `lr` of each group; `lr` may be set between steps.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], *, remembers: bool):
        """With `remembers` each parameter has a memory of its own shape, which begins as zeros."""
        self.param_groups = [{"lr": 1.0, **group} for group in groups]
        self._memory = [[torch.zeros_like(p) if remembers else p.new_zeros(0) for p in group["params"]]
                        for group in groups]

    def zero_grad(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters that have a gradient."""
        for group, memory in zip(self.param_groups, self._memory, strict=True):
            used = [(p, p.grad, m) for p, m in zip(group["params"], memory, strict=True) if p.grad is not None]
            if used:
                parameters, gradients, memories = map(list, zip(*used, strict=True))
                if group["weight_decay"]:
                    gradients = torch._foreach_add(gradients, parameters, alpha=group["weight_decay"])
                self._move(parameters, gradients, memories, group["lr"])

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], memories: list[Tensor], rate: float) -> None:
        """One step in place; `gradients` are not to be changed."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, list[list[Tensor]]]:
        return {"memory": self._memory}

    def load_state_dict(self, state: dict[str, list[list[Tensor]]]) -> None:
        for own, loaded in zip(self._memory, state["memory"], strict=True):
            for memory, saved in zip(own, loaded, strict=True):
                memory.copy_(saved)


class Sgd(Descent):
    """Stochastic gradient descent with Nesterov's momentum m: b <- m b + g, p <- p - rate (g + m b)."""

    def __init__(self, groups: Sequence[dict[str, Any]], momentum: float):
        super().__init__(groups, remembers=momentum > 0)
        self._momentum = momentum

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], memories: list[Tensor], rate: float) -> None:
        if self._momentum:
            torch._foreach_mul_(memories, self._momentum)
            torch._foreach_add_(memories, gradients)
            gradients = torch._foreach_add(gradients, memories, alpha=self._momentum)
        torch._foreach_add_(parameters, gradients, alpha=-rate)


class Adagrad(Descent):
    """Duchi et al. 2011, of DeViSE's second phase: s <- s + g g, p <- p - rate g / (sqrt(s) + epsilon)."""

    def __init__(self, groups: Sequence[dict[str, Any]]):
        super().__init__(groups, remembers=True)

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], memories: list[Tensor], rate: float) -> None:
        torch._foreach_addcmul_(memories, gradients, gradients)
        on_cpu = memories[0].device.type == "cpu"
        roots = list(map(root, memories)) if on_cpu else torch._foreach_sqrt(memories)
        torch._foreach_add_(roots, EPSILON)
        torch._foreach_addcdiv_(parameters, gradients, roots, value=-rate)
