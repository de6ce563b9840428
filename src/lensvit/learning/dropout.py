"""Where dropout is in a network as built: found by one forward pass that no library's names can mislead.

The pass follows which dimension of each tensor holds the channels, from convolutions (dimension 1) and linear layers
(the last) through permutations, so that dropout can take whole channels of maps in any layout.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import dropout, dropout2d
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from lensvit.errors import LensvitError
from lensvit.learning.settings import Architecture, DropoutPlaces

Kind = Literal["channels", "features", "attention"]

OF_CHANNELS = ("dropout1d", "dropout2d", "dropout3d", "feature_dropout", "feature_alpha_dropout")
DROPOUTS = ("dropout", "dropout_", "alpha_dropout", *OF_CHANNELS)
CONVOLUTIONS = ("conv2d", "conv_transpose2d", "batch_norm", "group_norm")
LAST = ("linear", "layer_norm", "rms_norm")
RESHAPES = ("view", "reshape", "unflatten", "flatten", "squeeze", "unsqueeze")


class MapDropout(nn.Module):
    """Dropout of whole channels for maps (four dimensions), of single features for others.

    Parameters
    ----------
    probability
        Probability of dropout.
    channels
        Dimension of the channels in maps: 1 in (B, C, H, W), 3 in (B, H, W, C).
    """

    def __init__(self, probability: float, channels: int = 1) -> None:
        super().__init__()
        self.probability = probability
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        """Features after dropout, of the same shape."""
        if features.ndim != 4:
            return dropout(features, self.probability, self.training)
        if self.channels == 1:
            return dropout2d(features, self.probability, self.training)
        moved = features.transpose(1, self.channels)
        return dropout2d(moved, self.probability, self.training).transpose(1, self.channels)


class ActivationDropout(MapDropout):
    """An activation followed by dropout.

    torchvision reuses one activation module in several places of a block; each use draws its own dropout.

    Parameters
    ----------
    activation
        The activation.
    probability
        Probability of dropout.
    channels
        Dimension of the channels in maps.
    """

    def __init__(self, activation: nn.Module, probability: float, channels: int = 1) -> None:
        super().__init__(probability, channels)
        self.activation = activation

    def forward(self, features: Tensor) -> Tensor:
        """Features after activation and dropout, of the same shape."""
        return super().forward(self.activation(features))


@dataclass
class Trace:
    """What one forward pass with dropout on has met.

    Parameters
    ----------
    drops
        Kind and rate of each dropout, in their order.
    inputs
        Module to the number of dimensions of each of its inputs, and the dimension of their channels: None where no
        convolution and no linear layer says it. Inputs that the image has no part in do not count.
    attention
        Modules that drop attention weights.
    random
        Classes of the modules that draw random numbers for anything but dropout.
    """

    drops: list[tuple[Kind, float]] = field(default_factory=list)
    inputs: dict[nn.Module, set[tuple[int, int | None]]] = field(default_factory=dict)
    attention: set[nn.Module] = field(default_factory=set)
    random: list[str] = field(default_factory=list)

    def channels(self, network: Architecture, module: nn.Module) -> int:
        """The dimension of the channels in the maps that a module is given; 1 where it is given none.

        Parameters
        ----------
        network
            Settings of the network, for the message.
        module
            The module.

        Raises
        ------
        LensvitError
            If it is unknown, or not the same in all of its uses.
        """
        found = {axis for ndim, axis in self.inputs.get(module, ()) if ndim == 4}
        if len(found) > 1 or None in found:
            raise LensvitError(
                f"{network.architecture} does not say which dimension of the maps in a {type(module).__name__} holds "
                "the channels that dropout would take: set the model's dropout: 0, or choose another network"
            )
        return next(iter(found), 1) or 1


def places(network: Architecture, model: nn.Module) -> list[DropoutPlaces]:
    """The dropout of a network, from one pass in train mode.

    Parameters
    ----------
    network
        Settings of the network.
    model
        The network, which is left as it is.

    Returns
    -------
    list of DropoutPlaces
        One for each kind and rate.

    Raises
    ------
    LensvitError
        If the network cannot be run.
    """
    found = Counter(follow(network, model).drops)
    return [DropoutPlaces(kind=kind, rate=rate, places=count) for (kind, rate), count in found.items()]


def checked(network: Architecture, model: nn.Module) -> nn.Module:
    """The network, if its dropout is what its settings ask for.

    Parameters
    ----------
    network
        Settings of the network.
    model
        The network as built.

    Raises
    ------
    LensvitError
        If nothing drops where dropout is asked for, if it is of another rate, or if something else is random.
    """
    trace = follow(network, model)
    if trace.random:
        raise LensvitError(
            f"{network.architecture} is random in {', '.join(sorted(set(trace.random)))} in a way that dropout does "
            "not govern: choose another network"
        )
    if network.attention_dropout > 0 and not any(kind == "attention" for kind, _ in trace.drops):
        raise LensvitError(
            f"{network.architecture} has no dropout of attention weights: set the model's attention_dropout: 0"
        )
    if network.dropout > 0 and not any(kind != "attention" for kind, _ in trace.drops):
        raise LensvitError(
            f"{network.architecture} has no place for dropout: set the model's dropout: 0 (all its passes are then the "
            "same), or choose another network, see docs/networks.md"
        )
    wrong = [
        (kind, rate)
        for kind, rate in trace.drops
        if rate != (network.attention_dropout if kind == "attention" else network.dropout)
    ]
    if wrong:
        raise LensvitError(
            f"{network.architecture} has dropout of {wrong[0][0]} at the rate {wrong[0][1]:g}, which is not the "
            "model's: choose another network"
        )
    return model


def follow(network: Architecture, model: nn.Module) -> Trace:
    """Run a network once with dropout on, without drawing its masks, and write down what it meets.

    Parameters
    ----------
    network
        Settings of the network.
    model
        The network. Its weights, buffers and modes, and the random stream, are left as they are.

    Raises
    ------
    LensvitError
        If it cannot be run on an image of its size.
    """
    try:
        return _follow(model, network.image_size, "meta")
    except Exception:  # some networks look at numbers, which are not there on the meta device
        pass
    try:
        return _follow(model, network.image_size, str(next(model.parameters()).device))
    except Exception as error:  # each network reports what it cannot take with a class of its own
        raise LensvitError(
            f"{network.architecture} cannot be run on images of {network.image_size} pixels "
            f"({' '.join(str(error).split())}): set another image_size or other options, or choose another network, "
            "see docs/networks.md"
        ) from error


def _follow(model: nn.Module, size: int, device: str) -> Trace:
    """Run a network once on a device, with copies of its weights there."""
    trace, inside = Trace(), list[nn.Module]()
    functions = _Functions(trace, inside)
    weights = {name: value.to(device) for name, value in chain(model.named_parameters(), model.named_buffers())}
    images = torch.zeros(1, 3, size, size, dtype=next(model.parameters()).dtype, device=device)
    functions.seen[images] = True
    with _dropout_on(model), torch.no_grad(), ExitStack() as stack:
        for module in model.modules():
            stack.enter_context(_noticed(module, functions, inside))
        stack.enter_context(_Randomness(trace, inside))
        stack.enter_context(functions)
        output = functional_call(model, weights, (images,))
    if not isinstance(output, Tensor):
        raise TypeError(f"it returns {type(output).__name__}, which is no tensor")
    return trace


@contextmanager
def _dropout_on(model: nn.Module) -> Iterator[None]:
    """Within this context all modules are in train mode, but for batch norms."""
    modes = {module: module.training for module in model.modules()}
    model.train()
    for module in modes:
        if isinstance(module, _BatchNorm):
            module.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _noticed(module: nn.Module, functions: _Functions, inside: list[nn.Module]) -> Iterator[None]:
    """Within this context a module says when it is entered and left, and with what input."""

    def enter(module: nn.Module, args: tuple[Any, ...]) -> None:
        inside.append(module)
        if args and isinstance(args[0], Tensor) and args[0] in functions.seen:
            known = functions.trace.inputs.setdefault(module, set())
            known.add((args[0].ndim, functions.channels.get(args[0])))

    def leave(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        inside.pop()

    handles = [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Functions(TorchFunctionMode):
    """Notices each dropout, in whose place it lets everything through, and where the channels of tensors are.

    Parameters
    ----------
    trace
        What is written down.
    inside
        The modules that are being run, the innermost last.
    """

    def __init__(self, trace: Trace, inside: list[nn.Module]) -> None:
        super().__init__()
        self.trace, self.inside = trace, inside
        self.channels = WeakTensorKeyDictionary()
        self.seen = WeakTensorKeyDictionary()  # that the image has a part in
        self.weights = WeakTensorKeyDictionary()  # that came out of a softmax

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        if name in DROPOUTS:
            return self._dropout(name, *args, **named)
        if name == "scaled_dot_product_attention":
            return function(*args[:4], **{**named, "dropout_p": self._attention(*args[4:], **named)})
        quick = name == "batch_norm" and args[0].is_meta  # torch takes ten milliseconds to find the shape
        output = torch.empty_like(args[0]) if quick else function(*args, **named)
        seen = any(tensor in self.seen for tensor in _tensors(chain(args, named.values())))
        for tensor in _tensors(output):
            if seen:
                self.seen[tensor] = True
            axis = self._axis(name, args, named, tensor)
            if axis is not None:
                self.channels[tensor] = axis
            else:
                self.channels.pop(tensor, None)
            if name == "softmax" or (name in ("to", "type", "float") and args[0] in self.weights):
                self.weights[tensor] = True
        return output

    def _dropout(
        self,
        name: str,
        input: Tensor,  # torch's own names
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
        train: bool = True,
    ) -> Tensor:
        """Write down a dropout, and return its input."""
        if training and train:
            weights = input in self.weights
            if weights and self.inside:
                self.trace.attention.add(self.inside[-1])
            if p > 0:
                kind: Kind = "attention" if weights else "channels" if name in OF_CHANNELS else "features"
                self.trace.drops.append((kind, float(p)))
        return input

    def _attention(self, dropout_p: float = 0.0, *_: Any, **__: Any) -> float:
        """Write down the dropout of an attention, and return the rate at which there is none."""
        if dropout_p > 0:
            self.trace.drops.append(("attention", float(dropout_p)))
        return 0.0

    def _axis(self, name: str, args: Sequence[Any], named: Mapping[str, Any], output: Tensor) -> int | None:
        """The dimension of the channels of a function's output, where it is known."""
        if name in CONVOLUTIONS:
            return 1
        if name in LAST:
            return output.ndim - 1
        known = [tensor for tensor in _tensors(chain(args, named.values())) if tensor in self.channels]
        if not known:
            return None
        source, axis = known[0], self.channels[known[0]]
        if name == "permute":
            order = [number % source.ndim for number in _numbers(args[1:], named.get("dims"))]
            return order.index(axis)
        if name in ("transpose", "swapaxes", "swapdims"):
            one, other = (number % source.ndim for number in _numbers(args[1:], [*named.values()]))
            return {one: other, other: one}.get(axis, axis)
        if name in RESHAPES:
            return _carried(axis, source.shape, output.shape)
        return axis if source.ndim == output.ndim else None


def _carried(axis: int, before: Sequence[int], after: Sequence[int]) -> int | None:
    """The dimension that an axis becomes in a reshape; None if it is split or joined with others."""
    ahead = math.prod(before[:axis])
    same = (place for place, size in enumerate(after) if size == before[axis] and math.prod(after[:place]) == ahead)
    return next(same, None)


def _tensors(values: Any) -> Iterator[Tensor]:
    """The tensors among a function's arguments or results."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list | chain):
        for value in values:
            yield from _tensors(value)


def _numbers(args: Sequence[Any], named: Any) -> list[int]:
    """The dimensions that a function was given, as one sequence or one by one."""
    given = args if args else (named,)
    return list(given[0]) if isinstance(given[0], tuple | list) else list(given)


class _Randomness(TorchDispatchMode):
    """Notices what draws random numbers.

    Parameters
    ----------
    trace
        What is written down.
    inside
        The modules that are being run, the innermost last.
    """

    def __init__(self, trace: Trace, inside: list[nn.Module]) -> None:
        super().__init__()
        self.trace, self.inside = trace, inside

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        tags: Sequence[torch.Tag] = function.tags  # type: ignore[attr-defined]  # torch's operators have them
        if torch.Tag.nondeterministic_seeded in tags and _rate(function, args, kwargs or {}) != 0:
            self.trace.random.append(type(self.inside[-1]).__name__)
        return function(*args, **(kwargs or {}))


def _rate(function: Any, args: Sequence[Any], named: Mapping[str, Any]) -> float | None:
    """The rate of dropout inside of an operator, such as an attention; None where it has none."""
    for number, argument in enumerate(function._schema.arguments):
        if argument.name == "dropout_p":
            return args[number] if number < len(args) else named.get("dropout_p", argument.default_value)
    return None
