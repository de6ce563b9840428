"""The work that a device does in a second, and the memory that it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lensvit.jobs.memory import most_memory

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
    """The device's peak [10^12 operations/s], for Fabric's name of a precision; None where it is not known."""
    if torch.device(device).type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    for part, (bfloat16, float32) in PEAKS.items():
        if part in name:
            return bfloat16 if precision == "bf16-mixed" else float32
    return None


def operations(network: nn.Module, image: Tensor) -> float:
    """The number of floating-point operations in a forward pass, of which a product and a sum are two.

    Parameters
    ----------
    network
        The network.
    image
        One input (1, 3, S, S).
    """
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        network(image)
    return float(counter.get_total_flops())


def timed(work: Callable[[], object], device: str) -> float:
    """The time that ``work`` takes until the device has done all of its part [s]."""
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def forget_memory(device: str) -> None:
    """Count the memory of a GPU from here on; that of a process of the CPU cannot be counted anew."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def memory(device: str) -> float:
    """The most memory in use so far [GB]: what torch has used of a GPU, or this process of the computer."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return most_memory() / 1e9


def row(case: str, images: float, seconds: float, flop: float, device: str, precision: str) -> dict[str, object]:
    """A row of the table.

    Parameters
    ----------
    case
        What is measured.
    images
        Number of images.
    seconds
        The time that they took [s].
    flop
        Operations for each image.
    device
        Where it was.
    precision
        Fabric's name of the arithmetic.
    """
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
