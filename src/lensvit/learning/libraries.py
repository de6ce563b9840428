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


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors, for :func:`load_weights`.

    Parameters
    ----------
    model
        The network.
    path
        The file.
    """
    with atomic(path) as temporary:
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, temporary)


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
        yield
    except (OSError, HfHubHTTPError) as error:  # URLError and all of the hub's file errors are OSErrors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LensvitError(
            f"no weights for {network.architecture} (weights: {network.weights}): {reason}. "
            "Three ways on: weights: pretrained with a network connection or a filled cache (HF_HOME, TORCH_HOME); "
            "the path of a local folder; or weights: scratch"
        ) from error
