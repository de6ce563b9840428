"""Monte-Carlo dropout: dropout that stays on for prediction, and what can be computed once for all passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

SHARED = (functional.dropout, functional.dropout1d, functional.dropout2d, functional.dropout3d)


def monte_carlo(network: nn.Module, batch_norm: str = "frozen") -> nn.Module:
    """Switch dropout on for prediction (Gal & Ghahramani 2016), and return the network.

    All modules go to train mode, since some dropout is functional and one module may serve
    two places; batch norms then go back to their running statistics if these are to be used.

    Parameters
    ----------
    network
        The network, which is changed.
    batch_norm
        "frozen" for the running statistics of the training; "batch" for those of the test batch, as in the original
        code.
    """
    network.train()
    if batch_norm == "frozen":
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
    return network


class SharedMasks(TorchFunctionMode):
    """Within this context all images of a batch lose the same features in a pass of dropout.

    A pass is then one network that all images are shown to, and what an image gets does not depend on those beside it.
    Attention that drops weights within one function of torch draws them for each image, as ever.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func not in SHARED or not args:
            return func(*args, **(kwargs or {}))
        features, *others = args
        named = {key: value for key, value in (kwargs or {}).items() if key != "inplace"}
        return features * func(torch.ones_like(features[:1]), *others[:2], **named)


class _RandomnessWatch(TorchDispatchMode):
    """Notices the first operation that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.random = False

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        tags: Sequence[torch.Tag] = function.tags  # type: ignore[attr-defined]  # torch's operators have them
        self.random = self.random or torch.Tag.nondeterministic_seeded in tags
        return function(*args, **(kwargs or {}))


def before_dropout(network: nn.Module, images: Tensor) -> tuple[Tensor, dict[nn.Module, Tensor]]:
    """The network's outputs, and what its modules computed before the first random operation.

    Parameters
    ----------
    network
        A network in the mode that it predicts in.
    images
        Inputs (B, 3, S, S).

    Returns
    -------
    output : Tensor
        Outputs (B, O).
    known : dict
        Modules to their outputs, for :func:`remembering`. It holds a module if it has no children, was called exactly
        once, returned a tensor, and had returned it when the first random number was drawn.
    """
    known: dict[nn.Module, Tensor] = {}
    called: set[nn.Module] = set()
    watch = _RandomnessWatch()

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        if module in called or watch.random or not isinstance(output, Tensor):
            known.pop(module, None)
        else:
            known[module] = output
        called.add(module)

    leaves = [module for module in network.modules() if not any(module.children())]
    handles = [module.register_forward_hook(keep) for module in leaves]
    try:
        with watch:
            return network(images), known
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def remembering(known: Mapping[nn.Module, Tensor]) -> Iterator[None]:
    """Within this context modules return known outputs without computing them, whatever their input.

    Parameters
    ----------
    known
        Modules to their outputs, see :func:`before_dropout`.
    """
    own = {module: vars(module).get("forward") for module in known}
    for module, output in known.items():
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
