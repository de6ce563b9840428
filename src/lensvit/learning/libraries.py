"""Errors of the two network libraries as errors that say what to do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from lensvit.errors import LensvitError
from lensvit.io.files import atomic
from lensvit.learning.settings import Architecture


class NotHereError(Exception):
    """What says how large a network is would have to be downloaded."""


def call_library(network: Architecture, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a function of a library makes of options that the user has chosen.

    Parameters
    ----------
    network
        Settings of the network, for the message.
    make
        The library's function.
    *args, **kwargs
        Its arguments.

    Raises
    ------
    LensvitError
        If the library refuses the options.
    """
    try:
        return make(*args, **kwargs)
    except (LensvitError, OSError):  # the latter are of missing weights
        raise
    except Exception as error:  # each network reports what it cannot be with a class of its own
        raise LensvitError(
            f"{network.library} cannot build {network.architecture} with these options: {' '.join(str(error).split())}"
        ) from error


def refuse_dropout_options(network: Architecture, options: Iterable[str]) -> None:
    """Refuse options that would set dropout or stochastic depth apart from the model's own settings.

    Parameters
    ----------
    network
        Settings of the network, for the message.
    options
        Names of options.

    Raises
    ------
    LensvitError
        If there is one.
    """
    own = [name for name in options if "drop" in name or "stochastic_depth" in name]
    if own:
        raise LensvitError(
            f"{network.architecture} has {', '.join(own)} under options: the model's dropout and attention_dropout "
            "set all dropout, and stochastic depth is off; leave it out"
        )


def load_weights(model: nn.Module, state: Mapping[str, Tensor], strict: bool = True) -> None:
    """Give a network its weights, whose file need not name the version of its modules (safetensors has none).

    Parameters
    ----------
    model
        The network.
    state
        Names to weights.
    strict
        Whether every name must be in both.

    Raises
    ------
    RuntimeError
        If they do not fit.
    """
    versioned = OrderedDict(state)
    versioned._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]  # so torch keeps versions
    model.load_state_dict(versioned, strict=strict)


def refuse_misfits(
    network: Architecture, own: Mapping[str, Tensor], given: Mapping[str, Tensor], head: str | tuple[str, ...]
) -> None:
    """Refuse weights that lack an array of a network, or have it in another shape.

    Parameters
    ----------
    network
        Settings of the network, for the message.
    own
        Names to arrays of the network.
    given
        Names to arrays of the weights.
    head
        What the names of the last layer begin with, which is replaced.

    Raises
    ------
    LensvitError
        If an array does not fit.
    """
    body = {name: value for name, value in own.items() if not name.startswith(head)}
    say_misfits(
        network, [name for name, value in body.items() if name not in given or given[name].shape != value.shape]
    )


def say_misfits(network: Architecture, names: list[str]) -> None:
    """Raise the error of arrays that weights lack or have in another shape, if there are ``names`` of such."""
    if names:
        raise LensvitError(
            f"the weights {network.weights!r} do not fit {network.architecture}: {len(names)} arrays are "
            f"absent or of another shape, the first is {names[0]}"
        )


def save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write weights as safetensors, for :func:`load_weights`.

    Parameters
    ----------
    state
        Names to arrays.
    path
        The file.
    """
    with atomic(path) as temporary:
        save_file({key: value.contiguous() for key, value in state.items()}, temporary)


@contextmanager
def missing_weights(network: Architecture) -> Iterator[None]:
    """Turn the many ways in which a download or a file of weights fails into one message.

    Parameters
    ----------
    network
        Settings of the network, for the message.

    Raises
    ------
    LensvitError
        If there are no weights.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        if network.weights not in ("pretrained", "scratch") and not Path(network.weights).exists():
            raise FileNotFoundError(f"there is no file or folder {network.weights}")
        yield
    except (OSError, HfHubHTTPError) as error:  # URLError and all of the hub's file errors are OSErrors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LensvitError(
            f"no weights for {network.architecture} (weights: {network.weights}): {reason}. "
            "Three ways on: weights: pretrained with a network connection or a filled cache (HF_HOME, TORCH_HOME); "
            "the path of a local folder; or weights: scratch"
        ) from error
