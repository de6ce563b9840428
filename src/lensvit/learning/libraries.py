"""Errors of the network libraries, told in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from lensvit.errors import LensvitError
from lensvit.learning.settings import Architecture

# ---------------------------------------------------------------- errors and files


def call_library(network: Architecture, make: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    try:
        return make(*args, **kwargs)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise LensvitError(
            f"{network.library} cannot build {network.architecture} with these options: {error}"
        ) from error


@contextmanager
def missing_weights(network: Architecture) -> Iterator[None]:
    """Turn the many ways in which a download or a file fails into one message."""
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
