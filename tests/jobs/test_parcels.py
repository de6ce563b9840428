"""What is packed comes out as it was."""

import pickle
from typing import NamedTuple

import torch

from lensvit.jobs.parcels import ALIGNED, Parcel


class Pair(NamedTuple):
    first: torch.Tensor
    rest: list


def test_what_is_opened_is_what_was_packed():
    of_a_kind = [torch.tensor([True, False, True]), torch.arange(5), torch.rand(2, 3, dtype=torch.float64).T]
    scalar, empty, complex_ = torch.tensor(3.5), torch.empty(0, 4, 4), torch.rand(3, dtype=torch.complex64)
    content = {"a": Pair(of_a_kind[0], [*of_a_kind[1:], "word", 7]), "b": (scalar, (empty, [complex_])), "c": None}
    parcel = pickle.loads(pickle.dumps(Parcel(content)))
    assert parcel.bytes.ndim == 1 and len(parcel.bytes) % ALIGNED == 0
    opened = parcel.opened("cpu")
    assert type(opened["a"]) is Pair and opened["a"].rest[2:] == ["word", 7] and opened["c"] is None
    found = [opened["a"].first, *opened["a"].rest[:2], opened["b"][0], opened["b"][1][0], opened["b"][1][1][0]]
    for one, other in zip(found, [*of_a_kind, scalar, empty, complex_], strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other) and one.shape == other.shape


def test_nothing_is_a_parcel_too():
    assert Parcel({"words": ["no", "tensor"]}).opened("cpu") == {"words": ["no", "tensor"]}
