"""Errors of the two network libraries as errors that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from lensvit.errors import LensvitError
from lensvit.learning.settings import Architecture


def call_library(network: Architecture, make: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
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
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise LensvitError(
            f"{network.library} cannot build {network.architecture} with these options: {error}"
        ) from error


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
            f"no weights for {network.architecture} (weights: {network.weights}): {reason}\n"
            "Three ways on: weights: pretrained with a network connection or a filled cache (HF_HOME, TORCH_HOME); "
            "the path of a local folder; or weights: scratch"
        ) from error
