"""What this machine is and what it can do at best: names, matrix products a second, peak memory."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path

import torch

from vidseg.processor import cpu_flags

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_LARGEST = {"cpu": 2048, "cuda": 8192}  # sides of the matrix product
_PATIENCE_SECONDS = 0.5


def describe_machine(device: torch.device) -> dict[str, object]:
    """Return what belongs beside every measurement: processor, threads, versions, bfloat16 instructions."""
    described: dict[str, object] = {
        "processor": _processor_name(),
        "threads": torch.get_num_threads(),
        "bfloat16_instructions": sorted(flag for flag in cpu_flags() if "bf16" in flag),
        "device": str(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }
    if device.type == "cuda":
        described["device"] = torch.cuda.get_device_name(device)
    return described


@torch.inference_mode()
def matrix_rate(dtype: torch.dtype, device: torch.device, *, seconds: float = 0.5) -> float:
    """Return the best rate seen of square matrix products, in FLOP a second (a multiply-add counts two).

    The side grows to 2048 (8192 on CUDA) unless that would take more than half a second: a processor without bfloat16
    instructions needs minutes for what takes milliseconds in float32. Then all sides are repeated for `seconds`; on a
    busy machine it is a short product that gets through undisturbed.
    """
    side, largest = 256, _LARGEST.get(device.type, 2048)
    _product_rate(side, dtype, device)  # loads libraries, which takes longer than any product
    best = _product_rate(side, dtype, device)
    sides = [side]
    while side < largest and 2 * (2 * side) ** 3 / best < _PATIENCE_SECONDS:
        side *= 2
        sides.append(side)
        best = max(best, _product_rate(side, dtype, device))
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        best = max(best, *(_product_rate(side, dtype, device) for side in sides))
    return best


def _product_rate(side: int, dtype: torch.dtype, device: torch.device) -> float:
    a = torch.ones(side, side, dtype=dtype, device=device)
    synchronise(device)
    start = time.perf_counter()
    a @ a
    synchronise(device)
    return 2 * side**3 / (time.perf_counter() - start)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new peak, where the system allows it (Linux, CUDA); elsewhere peaks are of the whole process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        _CLEAR.write_text("5")
    except OSError:
        return


def peak_memory(device: torch.device) -> int:
    """Return the peak in bytes: of the device on CUDA, else of the process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource  # not on Windows, where the peak stays unknown

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
