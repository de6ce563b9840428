"""Monte-Carlo dropout: dropout that stays on, and what is computed once for all passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode


def monte_carlo(network: nn.Module, batch_norm: str = "frozen") -> nn.Module:
    """Switch dropout on for prediction (Gal & Ghahramani 2016), and return the network.

    Everything goes to train mode, since some dropout is functional and one module may serve
    two places; then, unless ``batch_norm`` is "batch" (the original code, whose statistics
    are those of the test batch), every batch norm goes back to its running statistics.
    """
    network.train()
    if batch_norm == "frozen":
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
    return network


class _UntilRandom(TorchDispatchMode):
    """Notices the first operation that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.random = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # noqa: ANN001, ANN204 - torch's signature
        self.random = self.random or torch.Tag.nondeterministic_seeded in function.tags
        return function(*args, **(kwargs or {}))


def before_dropout(network: nn.Module, images: Tensor) -> tuple[Tensor, dict[nn.Module, Tensor]]:
    """The network's output, and what its parts computed before anything random happened.

    The latter of each module without children that is used once and is done before the first
    random operation: its output, a tensor.
    """
    outputs: dict[nn.Module, Tensor] = {}
    used: set[nn.Module] = set()
    mode = _UntilRandom()

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        if module in used or mode.random or not isinstance(output, Tensor):
            outputs.pop(module, None)
        else:
            outputs[module] = output
        used.add(module)

    leaves = [module for module in network.modules() if not any(module.children())]
    handles = [module.register_forward_hook(keep) for module in leaves]
    try:
        with mode:
            return network(images), outputs
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def remembering(outputs: dict[nn.Module, Tensor]) -> Iterator[None]:
    """Within, modules give these outputs without computing them, whatever their input."""
    own = {module: vars(module).get("forward") for module in outputs}
    for module, output in outputs.items():
        module.forward = partial(_recall, output)
    try:
        yield
    finally:
        for module, forward in own.items():
            del module.forward
            if forward is not None:
                module.forward = forward


def _recall(output: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return output
