"""A GPU that is only pretended: torch computes shapes, types and devices of its tensors, and no numbers.

What is on the CPU is computed as always, so that code that chooses by numbers on the host runs as it is. Operations
that mix devices fail as they do on a GPU.
"""

import re
import sys
from collections import defaultdict
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lensvit.jobs import fabric as jobs
from lensvit.learning import inputs

GPU = torch.device("cuda:0")
aten = torch.ops.aten
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
WAITS = (
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default,
    aten._unique2.default, aten.unique_dim.default, aten.repeat_interleave.Tensor, aten.bincount.default,
)  # fmt: skip


class Watch(TorchDispatchMode):
    """Sends operations on the pretended GPU to torch's fake tensors, and the others to the CPU.

    Attributes
    ----------
    sent, fetched : list of tuple
        Shapes of the tensors that went to the GPU, and back.
    waits : list of str
        Operations whose results the host needs, so that it waits for the GPU.
    """

    def __init__(self):
        super().__init__()
        self.forget()

    def forget(self):
        """Begin to count anew."""
        self.sent, self.fetched, self.waits = [], [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        there = any(isinstance(tensor, FakeTensor) for tensor in tensors)
        if not there and torch.device(kwargs.get("device") or "cpu").type == "cpu":
            with unset_fake_temporarily():
                return function(*args, **kwargs)
        self._count(function, args, kwargs, tensors)
        if function in (aten._local_scalar_dense.default, aten.equal.default):
            return True  # what is read back is well
        kwargs |= {"generator": None} if "generator" in kwargs else {}  # the pretended one is the CPU's
        return function(*args, **kwargs)

    def _count(self, function, args, kwargs, tensors):
        if function in (aten._to_copy.default, aten.copy_.default):
            source = tensors[-1]
            target = args[0].device if function is aten.copy_.default else torch.device(kwargs.get("device") or GPU)
            ways = {("cpu", "cuda"): self.sent, ("cuda", "cpu"): self.fetched}
            ways.get((source.device.type, target.type), []).append(tuple(source.shape))
        elif function in INDEXED and args[0].device.type == "cuda":
            for index in args[1]:
                if index is not None and index.device.type == "cpu":
                    self.sent.append(tuple(index.shape))
                if index is not None and index.dtype == torch.bool:
                    self.waits.append("index by a mask")
        elif function in WAITS and any(tensor.device.type == "cuda" for tensor in tensors):
            self.waits.append(str(function))


class Generator(torch.Generator):
    """A generator of random numbers on the CPU, wherever it says it is."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls)


class Event:
    """An event of CUDA's, which has always happened."""

    def __init__(self, watch):
        self.watch = watch

    def record(self):
        pass

    def synchronize(self):
        self.watch.waits.append("event")


@contextmanager
def pretended_gpu(monkeypatch):
    """Yield a :class:`Watch` within which the device ``cuda:0`` is pretended."""
    with monkeypatch.context() as patch:
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch.cuda, "Event", lambda: Event(watch))
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        patch.setattr(nn.Module, "_apply", _apply)
        patch.setattr(inputs, "_fits", lambda size, device: True)
        watch = Watch()
        try:
            with FakeTensorMode(allow_non_fake_inputs=True), watch:
                yield watch
        finally:
            for cached in tensor_caches():
                cached.cache_clear()  # where a real GPU's tensors would be looked for


def tensor_caches():
    """The functions that may keep tensors of a device for later calls."""
    modules = [module for name, module in sys.modules.items() if re.match(r"lensvit\.(learning|lensing)\.", name)]
    return {value for module in modules for value in vars(module).values() if hasattr(value, "cache_clear")}


def _apply(module, function, recurse=True):
    """What nn.Module does, but always with new parameters: torch's own switch for this does not hold for fake ones."""
    for child in module.children():
        _apply(child, function)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            moved = function(parameter.detach())
            module._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = function(buffer)
    return module


def gpu_fabric(precision="bf16-mixed"):
    """One process's Fabric on the pretended GPU."""
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[jobs._precision(precision, "gpu")])
    fabric.strategy._root_device = GPU
    fabric.strategy.accelerator.setup_device = lambda device: None
    fabric.backward = _backward
    return fabric


@torch.no_grad()
def _backward(loss):
    """What autograd's engine does, which asks the GPU's driver for streams."""
    root = loss.grad_fn
    users, found = defaultdict(int), [root]
    for node in found:  # which grows
        for before, _ in node.next_functions:
            if before is not None:
                if before not in users:
                    found.append(before)
                users[before] += 1
    gradients, ready = {root: {0: torch.ones_like(loss)}}, [root]
    while ready:
        node = ready.pop()
        given = gradients.pop(node, {})
        if hasattr(node, "variable"):
            weights = node.variable
            weights.grad = given[0] if weights.grad is None else weights.grad + given[0]
            continue
        passed = node(*(given.get(number) for number in range(len(node._input_metadata))))
        passed = passed if isinstance(passed, tuple) else (passed,)
        for (before, number), gradient in zip(node.next_functions, passed, strict=True):
            if before is None:
                continue
            if gradient is not None:
                expected = before._input_metadata[number]
                gradient = gradient.sum_to_size(expected.shape).to(expected.dtype)
                here = gradients.setdefault(before, {})
                here[number] = here[number] + gradient if number in here else gradient
            users[before] -= 1
            if users[before] == 0:
                ready.append(before)
