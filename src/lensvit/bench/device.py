"""What a device does in a second and how much memory that takes."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# Dense products without sparsity [10^12 operations/s], from the makers' data sheets:
# part of torch's name of the device -> (bfloat16 tensor cores, float32)
PEAKS = {
    "H200": (989.0, 67.0),
    "H100 PCIe": (756.0, 51.0),
    "H100": (989.0, 67.0),
    "A100": (312.0, 19.5),
    "L40S": (362.0, 91.6),
    "A40": (149.7, 37.4),
    "A10": (125.0, 31.2),
    "RTX 4090": (165.2, 82.6),
}


def peak(device: str, precision: str) -> float | None:
    """The device's peak [10^12 operations/s], or None where it is not known, as for all CPUs."""
    if torch.device(device).type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    for part, (bfloat16, float32) in PEAKS.items():
        if part in name:
            return bfloat16 if precision == "bf16-mixed" else float32
    return None


def operations(network: nn.Module, image: Tensor) -> float:
    """Floating-point operations of a forward pass of one image (1, 3, S, S); a product and a sum are two."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        network(image)
    return float(counter.get_total_flops())


def timed(work: Callable[[], object], device: str) -> float:
    """Seconds of ``work``, all of the device's part of it included."""
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def memory(device: str) -> float:
    """Most memory in use so far [GB]: the GPU's by torch, or this process's resident part of the computer's."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def row(case: str, images: float, seconds: float, flop: float, device: str, precision: str) -> dict[str, object]:
    """A row of the table: ``flop`` operations an image, on ``images`` in ``seconds``."""
    rate = images * flop / seconds / 1e12
    best = peak(device, precision)
    return {
        "case": case,
        "images_per_second": images / seconds,
        "ratio": None,
        "tflops": rate,
        "share_of_peak": None if best is None else rate / best,
        "memory_gb": memory(device),
    }
