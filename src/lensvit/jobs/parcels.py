"""Tensors that go to another process, and on to a device, in one piece of memory.

A tensor costs a process that sends it a file of shared memory, and a GPU that is sent it a copy of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

ALIGNED = 16  # bytes, of which the place of each tensor is a multiple

Content = TypeVar("Content")


def mapped(content: Any, function: Callable[[Any], Any], kind: type = Tensor) -> Any:
    """A copy of something made of mappings, lists and (named) tuples, with a function's values for all of a kind."""
    if isinstance(content, kind):
        return function(content)
    if isinstance(content, Mapping):
        return {key: mapped(value, function, kind) for key, value in content.items()}
    if isinstance(content, list | tuple):
        parts = [mapped(value, function, kind) for value in content]
        return type(content)(*parts) if hasattr(content, "_fields") else type(content)(parts)
    return content


@dataclass(frozen=True)
class _Place:
    """Where in a parcel a tensor is: its first byte, the number of its bytes, its type and its shape."""

    start: int
    size: int
    dtype: torch.dtype
    shape: torch.Size


class Parcel(Generic[Content]):
    """Something made of mappings, lists and (named) tuples, whose tensors lie in one piece of memory.

    Parameters
    ----------
    content
        What is packed, with its tensors on the CPU.
    """

    def __init__(self, content: Content) -> None:
        pieces: list[Tensor] = []

        def pack(tensor: Tensor) -> _Place:
            piece = tensor.contiguous().view(-1).view(torch.uint8)
            place = _Place(sum(map(len, pieces)), len(piece), tensor.dtype, tensor.shape)
            pieces.extend((piece, torch.zeros(-len(piece) % ALIGNED, dtype=torch.uint8)))
            return place

        self.form = mapped(content, pack)
        self.bytes = torch.cat(pieces) if pieces else torch.empty(0, dtype=torch.uint8)

    def pin_memory(self) -> Parcel[Content]:
        """Move to memory from which a GPU fetches by itself; torch's DataLoader calls this."""
        self.bytes = self.bytes.pin_memory()
        return self

    def opened(self, device: str | torch.device) -> Content:
        """The content with its tensors on a device, which is not waited for."""
        there = self.bytes.to(device, non_blocking=True)

        def unpack(place: _Place) -> Tensor:
            return there[place.start : place.start + place.size].view(place.dtype).view(place.shape)

        return mapped(self.form, unpack, _Place)
