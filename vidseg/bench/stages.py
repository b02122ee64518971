"""A stopwatch and a FLOP counter put around a model's parts from outside; the model knows nothing of them."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from vidseg.bench.machine import synchronise

Parts = Mapping[str, tuple[Any, ...]]
"""Stage name -> (object, names of the methods that are the stage), which do not call one another while watched."""


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """FLOPs of softmax(query key') value for shapes (B, heads, tokens, channels)."""
    batch, heads, queries, channels = query
    return 2 * batch * heads * queries * key[2] * (channels + value[3])


def _linear_flops(x: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    """FLOPs of a product of x (..., K) and weight (N, K), or of a convolution of (B, K, H, W) by (N, K, 1, 1)."""
    return 2 * math.prod(x) * weight[0]


_PRIVATE = ("_linear_pointwise", "_convolution_pointwise")  # not in every torch
_UNKNOWN = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops} | {
    getattr(torch.ops.mkldnn, name): _linear_flops for name in _PRIVATE if hasattr(torch.ops.mkldnn, name)
}
"""Operators that torch's counter does not know."""


class Stages:
    """What the watched calls used: `seconds` by stage, or `flops` by stage where counting."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.flops: dict[str, int] = defaultdict(int)


@contextmanager
def watched(parts: Parts, device: torch.device, *, counting: bool = False) -> Iterator[Stages]:
    """Time every call of the parts, or count its FLOPs (never both: counting takes time), until the block ends.

    Counted are products: linear layers, convolutions and attention; a multiply-add counts two.
    """
    stages = Stages()
    wrap = _counted if counting else _timed
    for stage, (owner, *names) in parts.items():
        for name in names:
            setattr(owner, name, wrap(getattr(owner, name), stage, stages, device))
    try:
        yield stages
    finally:
        for owner, *names in parts.values():
            for name in names:
                delattr(owner, name)  # the class's own method is behind it


def _timed(call: Callable[..., Any], stage: str, stages: Stages, device: torch.device) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        synchronise(device)
        start = time.perf_counter()
        result = call(*args, **kwargs)
        synchronise(device)
        stages.seconds[stage] += time.perf_counter() - start
        return result

    return timed


def _counted(call: Callable[..., Any], stage: str, stages: Stages, device: torch.device) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        with FlopCounterMode(display=False, custom_mapping=_UNKNOWN) as counter:
            result = call(*args, **kwargs)
        stages.flops[stage] += counter.get_total_flops()
        return result

    return counted
