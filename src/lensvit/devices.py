"""Which device a job computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lensvit.errors import LensvitError


@contextmanager
def pick(device: str) -> Iterator[str]:
    """Yield the torch device for "cpu" or "gpu".

    Raises
    ------
    LensvitError
        If a GPU is asked for and there is none.
    """
    if device == "cpu":
        yield "cpu"
        return
    if not torch.cuda.is_available():
        raise LensvitError(
            "device: gpu is asked for and torch sees no GPU here (CUDA_VISIBLE_DEVICES, driver): "
            "start on a node with one, or set device: cpu (runs/demo.yaml is the size for that)"
        )
    yield "cuda"
