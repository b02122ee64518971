"""What a GPU does for `gpu_layers`, in Triton's Python: a block of threads for many short rows.

The bodies are plain functions until `kernel` compiles them, so that all can be imported without triton.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import triton.language as tl


@functools.cache
def kernel(body: Callable[..., None]) -> Any:
    """`body` as a kernel. Triton is asked for only here, so that all else works without; `body` knows it as `tl`.

    Neither a row count's being divisible nor its being 1 makes a faster kernel, only more of them to compile.
    """
    global tl
    import triton
    import triton.language as tl

    return triton.jit(body, do_not_specialize=["rows"])


# The last parameters are constants of a compiled kernel: strides too, so that it knows what is aligned.
# A block of rows starts at an offset of 64 bits; within it 32 are enough.


def normalise(
    x,
    normed,
    weight,
    bias,
    mean,
    scale,
    rows,
    eps,
    STRIDE: tl.constexpr,
    C: tl.constexpr,
    WIDTH: tl.constexpr,
    HEIGHT: tl.constexpr,
):
    """A block of `x` (rows, C) to `normed` (rows, C), with `mean` (rows,) and `scale`, one over the deviation."""
    first = tl.program_id(0).to(tl.int64) * HEIGHT
    row = tl.arange(0, HEIGHT)
    column = tl.arange(0, WIDTH)
    inside_row = first + row < rows
    inside_column = column < C
    inside = inside_row[:, None] & inside_column[None, :]

    value = tl.load(x + first * STRIDE + row[:, None] * STRIDE + column[None, :], mask=inside, other=0.0)
    value = value.to(tl.float32)
    centre = tl.sum(value, axis=1) / C
    value = tl.where(inside, value - centre[:, None], 0.0)
    inverse = tl.rsqrt(tl.sum(value * value, axis=1) / C + eps)

    gain = tl.load(weight + column, mask=inside_column, other=0.0).to(tl.float32)
    shift = tl.load(bias + column, mask=inside_column, other=0.0).to(tl.float32)
    value = value * inverse[:, None] * gain[None, :] + shift[None, :]
    tl.store(normed + first * C + row[:, None] * C + column[None, :], value, mask=inside)
    tl.store(mean + first + row, centre, mask=inside_row)
    tl.store(scale + first + row, inverse, mask=inside_row)


def normalise_back(
    x,
    slopes,
    weight,
    mean,
    scale,
    of_x,
    sums,
    rows,
    STRIDE: tl.constexpr,
    SLOPE_STRIDE: tl.constexpr,
    C: tl.constexpr,
    WIDTH: tl.constexpr,
    HEIGHT: tl.constexpr,
):
    """Every so-manieth block of `slopes` (rows, C) to `of_x` (rows, C), and its part of `sums` (2, programs, C)."""
    program = tl.program_id(0)
    programs = tl.num_programs(0)
    row = tl.arange(0, HEIGHT)
    column = tl.arange(0, WIDTH)
    inside_column = column < C
    gain = tl.load(weight + column, mask=inside_column, other=0.0).to(tl.float32)
    of_weight = tl.zeros((HEIGHT, WIDTH), dtype=tl.float32)
    of_bias = tl.zeros((HEIGHT, WIDTH), dtype=tl.float32)

    first = program.to(tl.int64) * HEIGHT
    while first < rows:
        inside_row = first + row < rows
        inside = inside_row[:, None] & inside_column[None, :]
        value = tl.load(x + first * STRIDE + row[:, None] * STRIDE + column[None, :], mask=inside, other=0.0)
        slope = tl.load(
            slopes + first * SLOPE_STRIDE + row[:, None] * SLOPE_STRIDE + column[None, :], mask=inside, other=0.0
        )
        centre = tl.load(mean + first + row, mask=inside_row, other=0.0)
        inverse = tl.load(scale + first + row, mask=inside_row, other=0.0)
        slope = slope.to(tl.float32)
        value = (value.to(tl.float32) - centre[:, None]) * inverse[:, None]
        of_weight += slope * value
        of_bias += slope

        slope = slope * gain[None, :]
        along = tl.sum(slope * value, axis=1) / C
        level = tl.sum(slope, axis=1) / C
        slope = (slope - level[:, None] - value * along[:, None]) * inverse[:, None]
        tl.store(of_x + first * C + row[:, None] * C + column[None, :], slope, mask=inside)
        first += programs * HEIGHT

    tl.store(sums + program * C + column, tl.sum(of_weight, axis=0), mask=inside_column)
    tl.store(sums + (programs + program) * C + column, tl.sum(of_bias, axis=0), mask=inside_column)


def sum_columns(x, sums, rows, C: tl.constexpr, WIDTH: tl.constexpr, HEIGHT: tl.constexpr):
    """Every so-manieth block of some columns of `x` (rows, C), summed to a row of `sums` (programs, C)."""
    program = tl.program_id(0)
    row = tl.arange(0, HEIGHT)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside_column = column < C
    total = tl.zeros((HEIGHT, WIDTH), dtype=tl.float32)
    first = program.to(tl.int64) * HEIGHT
    while first < rows:
        inside = (first + row < rows)[:, None] & inside_column[None, :]
        value = tl.load(x + first * C + row[:, None] * C + column[None, :], mask=inside, other=0.0)
        total += value.to(tl.float32)
        first += tl.num_programs(0) * HEIGHT
    tl.store(sums + program * C + column, tl.sum(total, axis=0), mask=inside_column)
