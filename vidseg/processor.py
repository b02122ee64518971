"""What this machine computes well: which devices and number formats `device="auto"` and `dtype="auto"` may choose.

torch runs bfloat16 on every processor without a word, but where the processor has no instructions for it a matrix
product takes hundreds of times longer than in float32. So the processor is asked.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from vidseg.errors import ConfigError

_CPUINFO = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})  # Intel and AMD, Intel and AMD, Arm


def cpu_flags() -> frozenset[str]:
    """Return the instruction sets that Linux reports for the processor; empty on other systems."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip().lower() in ("flags", "features"):
            return frozenset(value.split())
    return frozenset()


def computes_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices natively (AMX, AVX-512 BF16 or Arm's BF16).

    Asked of the operating system rather than of torch, whose own question is private and whose oneDNN accepts bfloat16
    from AVX-512 on, native or not. Where the system does not tell (macOS, Windows) the answer is no: float32 is never
    far from the best there, bfloat16 may be.
    """
    return bool(_BFLOAT16_FLAGS & cpu_flags())


@functools.cache
def fuses_bfloat16() -> bool:
    """Whether torch's fused attention is worth having in bfloat16 on this CPU.

    With AMX it multiplies bfloat16 as such. With other bfloat16 instructions it takes the time of float32, while plain
    products take half. Without any, everything is slow, and the fused kernel the least.
    """
    return "amx_bf16" in cpu_flags() or not computes_bfloat16()


@functools.cache
def fuses_layers() -> bool:
    """Whether torch can multiply, add a bias and activate in one go in bfloat16 on this CPU.

    It does not by itself, but has private operators for it, on which its own compiler builds. Where they are missing
    the answer is no.
    """
    known = all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_convolution_pointwise"))
    return known and "avx512_bf16" in cpu_flags()


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Resolve a device: "auto" is CUDA where there is one, else the CPU; MPS only when asked for.

    Raises:
        ConfigError: the name is none of torch's, or no such device is here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"unknown device {str(device)!r}; expected auto, cpu, cuda, cuda:N or mps") from None
    if not _is_here(chosen):
        raise ConfigError(f"device {str(device)!r} is not available here; leave it out or use cpu")
    return chosen


def _is_here(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return True
