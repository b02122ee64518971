"""Position codes as pure functions: sine over a grid or over time, and rotary angles over a grid.

The learned random-Fourier code of prompts needs a stored matrix and lives with the prompt encoder. Tables depend on
nothing but sizes, so they are cached by size and device and never saved. They are made outside of inference mode even
when asked for within, or training later in the same process could not use them.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

_TEMPERATURE = 10000.0


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def sine_grid(
    h: int, w: int, channels: int, *, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the (channels, h, w) sine code of a grid in `dtype`; the first half of the channels codes y, the second x.

    Rows and columns are numbered from 1 and scaled to (0, 2 pi].
    Source: DETR (arXiv 2005.12872), appendix A.4, normalised as in SAM 2.
    """
    half = channels // 2
    y = torch.arange(1, h + 1, dtype=torch.float32, device=device) / (h + 1e-6) * (2 * math.pi)
    x = torch.arange(1, w + 1, dtype=torch.float32, device=device) / (w + 1e-6) * (2 * math.pi)
    code_y = _interleaved_sine(y, half)[:, None].expand(h, w, half)
    code_x = _interleaved_sine(x, half)[None].expand(h, w, half)
    return torch.cat((code_y, code_x), dim=2).permute(2, 0, 1).contiguous().to(dtype)


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def constants(values: tuple[float, ...], *, device: torch.device | None = None) -> Tensor:
    """Return a (K,) tensor of fixed numbers, sent to the device once: a copy makes the host wait for the device."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def _interleaved_sine(values: Tensor, channels: int) -> Tensor:
    index = torch.arange(channels, dtype=torch.float32, device=values.device)
    angle = values[:, None] / _TEMPERATURE ** (2 * (index // 2) / channels)
    return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def cubic_weights(count: int, size: int, *, device: torch.device | None = None) -> Tensor:
    """Return the (size, count) weights with which bicubic resizing from `count` to `size` cells sums a row's cells.

    Resizing is linear and does the same to every row, so two small products resize a map whose values change.
    """
    cells = torch.eye(count, device=device)[None, None]
    return F.interpolate(cells, size=(size, count), mode="bicubic")[0, 0]


def sine_time(ages: Tensor, channels: int) -> Tensor:
    """Return the (K, channels) sine code of K signed ages, given as fractions of the longest age kept."""
    half = channels // 2
    index = torch.arange(half, dtype=torch.float32, device=ages.device)
    angle = ages[:, None] / _TEMPERATURE ** (2 * (index // 2) / half)
    return torch.cat((angle.sin(), angle.cos()), dim=1)


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def rotary_table(h: int, w: int, channels: int, *, device: torch.device | None = None) -> Tensor:
    """Return the complex (h * w, channels / 2) rotations of a grid: the first half turns with x, the second with y.

    Source: RoPE for vision transformers (arXiv 2403.13298), axial form.
    """
    rate = 1.0 / _TEMPERATURE ** (torch.arange(0, channels, 4, dtype=torch.float32, device=device) / channels)
    index = torch.arange(h * w, device=device)
    x, y = (index % w).float(), torch.div(index, w, rounding_mode="floor").float()
    angle = torch.cat((torch.outer(x, rate), torch.outer(y, rate)), dim=1)
    return torch.polar(torch.ones_like(angle), angle)


def rotate(tokens: Tensor, table: Tensor) -> Tensor:
    """Turn neighbouring channel pairs of (..., K, C) tokens by the (..., L, C / 2) table, repeated when K = r * L."""
    pairs = torch.view_as_complex(tokens.float().unflatten(-1, (-1, 2)))
    repeats = tokens.shape[-2] // table.shape[-2]
    turned = pairs.unflatten(-2, (repeats, -1)) * table[..., None, :, :]
    return torch.view_as_real(turned.flatten(-3, -2)).flatten(-2).to(tokens.dtype)
