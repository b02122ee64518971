"""Layer norm and linear layers for training a small network on a GPU, where the usual ones waste a third of a step.

torch normalises with a block of threads for each row, and a small network has many short ones; under autocast it does
so in float32, so that copies to bfloat16 and back surround it; and it sums a bias gradient over a hundred thousand rows
with a few blocks. Here a block takes many rows at once, reads what is there and writes what comes next. Every sum has a
fixed order, so a step can be repeated exactly, and nothing waits for the host, so it can be recorded.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vidseg.model.layers import LayerNorm2d
from vidseg.model.linear import Activation, Linear
from vidseg.train.gpu_kernels import kernel, normalise, normalise_back, sum_columns

_AVAILABLE = importlib.util.find_spec("triton") is not None
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_NORM_ELEMENTS = 2048  # a block of threads handles so many at once: sixteen each, sums for both gradients in registers
_SUM_ELEMENTS = 4096
_SUM_COLUMNS = 128
_PROGRAMS = 528  # that share a sum, all at work at once: four for each of the 132 multiprocessors of a large GPU
_TURNS = 4  # of one program, before it pays to share a sum, which takes a second pass


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm of the rows of `x` (..., C); in the precision of autocast where that is on, else in that of `x`.

    Computed in float32 throughout. `weight` and `bias` are (C,).
    """
    normed: Tensor = _LayerNorm.apply(x, weight, bias, eps, _autocast(x) or x.dtype)
    return normed


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear` of `x` (..., K) by `weight` (N, K) and `bias` (N,), autocast as ever, but a faster bias gradient.

    Without autocast it is `F.linear`.
    """
    dtype = _autocast(x)
    if dtype is None:
        return F.linear(x, weight, bias)
    mapped: Tensor = _Linear.apply(x, weight, bias, dtype)
    return mapped


def column_sums(x: Tensor) -> Tensor:
    """(N,) float32 sums of the columns of `x` (M, N)."""
    x = x.contiguous()
    rows, columns = x.shape
    width = min(_block(columns), _SUM_COLUMNS)
    height = _SUM_ELEMENTS // width
    across = _ceil(columns, width)
    down = max(1, min(_ceil(rows, height * _TURNS), _PROGRAMS // across))
    sums = torch.empty((down, columns), dtype=torch.float32, device=x.device)
    with torch.cuda.device_of(x):
        kernel(sum_columns)[(down, across)](x, sums, rows, columns, width, height)
    return sums[0] if down == 1 else sums.sum(0)


def quicken(model: nn.Module) -> None:
    """Let the layer norms and linear layers of `model` compute as above while it learns on a GPU.

    Elsewhere they compute as before. Their types, parameters and names in a state dict stay what they are.
    """
    for module in model.modules():
        forward = _quick_forward(module)
        if forward is not None:
            module.forward = functools.partial(forward, module)


def _quick_forward(module: nn.Module) -> Callable[..., Tensor] | None:
    """What is to stand for the `forward` of `module`, or None where it is of no kind that is known here."""
    if isinstance(module, LayerNorm2d):
        return _map_norm_forward
    if isinstance(module, nn.LayerNorm) and type(module).forward is nn.LayerNorm.forward:
        return _norm_forward
    if isinstance(module, nn.Linear) and type(module).forward in (nn.Linear.forward, Linear.forward):
        return _linear_forward
    return None


def _applies(x: Tensor) -> bool:
    """Whether the layers of a quickened model are to compute `x` as here. A compiler has its own way with the usual."""
    return (
        _AVAILABLE
        and x.is_cuda
        and x.dtype in _DTYPES
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


def _norm_forward(module: nn.LayerNorm, x: Tensor) -> Tensor:
    """Any layer norm, of `x` (..., C)."""
    if not _applies(x) or not _plain(module):
        return type(module).forward(module, x)
    return layer_norm(x, module.weight, module.bias, module.eps)


def _map_norm_forward(module: LayerNorm2d, x: Tensor) -> Tensor:
    """The layer norm over the channels of `x` (B, C, H, W), which comes out with its channels last in memory."""
    if not _applies(x) or not _plain(module):
        return type(module).forward(module, x)
    return layer_norm(x.permute(0, 2, 3, 1), module.weight, module.bias, module.eps).permute(0, 3, 1, 2)


def _linear_forward(module: nn.Linear, x: Tensor, *activation: Activation | None) -> Tensor:
    """A linear layer, of `x` (..., K), and its activation if there is one."""
    if not _applies(x):
        return type(module).forward(module, x, *activation)
    mapped = linear(x, module.weight, module.bias)
    for activate in activation:
        mapped = mapped if activate is None else activate(mapped)
    return mapped


def _plain(module: nn.LayerNorm) -> bool:
    """Whether `module` normalises one dimension and has both parameters."""
    return len(module.normalized_shape) == 1 and module.weight is not None and module.bias is not None


def _autocast(x: Tensor) -> torch.dtype | None:
    """The precision of autocast where `x` is, or None where that is off."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        rows = _rows(x)
        count, channels = rows.shape
        normed = torch.empty((count, channels), dtype=dtype, device=x.device)
        mean, scale = (torch.empty(count, dtype=torch.float32, device=x.device) for _ in range(2))
        width, height = _norm_block(channels)
        grid = (max(1, _ceil(count, height)),)
        with torch.cuda.device_of(x):
            kernel(normalise)[grid](
                rows, normed, weight, bias, mean, scale, count, eps, _stride(rows), channels, width, height
            )
        ctx.save_for_backward(rows, weight, mean, scale)
        ctx.shape, ctx.bias_dtype = x.shape, bias.dtype
        return normed.view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, mean, scale = ctx.saved_tensors
        slopes = _rows(gradient)
        count, channels = rows.shape
        of_x = torch.empty((count, channels), dtype=rows.dtype, device=rows.device)
        width, height = _norm_block(channels)
        programs = max(1, min(_ceil(count, height), _PROGRAMS))
        sums = torch.empty((2, programs, channels), dtype=torch.float32, device=rows.device)
        with torch.cuda.device_of(rows):
            kernel(normalise_back)[(programs,)](
                rows,
                slopes,
                weight,
                mean,
                scale,
                of_x,
                sums,
                count,
                _stride(rows),
                _stride(slopes),
                channels,
                width,
                height,
            )
        of_weight, of_bias = sums[:, 0] if programs == 1 else sums.sum(1)
        return of_x.view(ctx.shape), of_weight.to(weight.dtype), of_bias.to(ctx.bias_dtype), None, None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
        low, low_weight = x.to(dtype), weight.to(dtype)
        ctx.save_for_backward(low, low_weight)
        ctx.dtypes = x.dtype, weight.dtype, None if bias is None else bias.dtype
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(low, low_weight, None if bias is None else bias.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        x_dtype, weight_dtype, bias_dtype = ctx.dtypes
        slopes = gradient.reshape(-1, len(weight))
        of_x = of_weight = of_bias = None
        with torch.autocast(x.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                of_x = (slopes @ weight).view(x.shape).to(x_dtype)
            if ctx.needs_input_grad[1]:
                of_weight = (slopes.t() @ x.reshape(-1, x.shape[-1])).to(weight_dtype)
            if ctx.needs_input_grad[2]:
                of_bias = column_sums(slopes).to(bias_dtype)
        return of_x, of_weight, of_bias, None


def _rows(x: Tensor) -> Tensor:
    """`x` (..., C) as (rows, C), copied only where its rows do not lie evenly and close to one another."""
    rows = x.reshape(-1, x.shape[-1])
    near = rows.stride(1) == 1 and rows.stride(0) <= 8 * x.shape[-1]  # offsets within a block of rows are of 32 bits
    return rows if near else rows.contiguous()


def _stride(rows: Tensor) -> int:
    """From one row to the next; of a single row it may be anything, and every stride takes a kernel of its own."""
    return rows.stride(0) if len(rows) > 1 else rows.shape[1]


def _norm_block(channels: int) -> tuple[int, int]:
    """Columns and rows that a program normalises at once."""
    width = _block(channels)
    return width, max(1, _NORM_ELEMENTS // width)


def _block(size: int) -> int:
    """The power of two, at least 4, that `size` fits into."""
    return max(4, 1 << (size - 1).bit_length())


def _ceil(size: int, part: int) -> int:
    return -(-size // part)
