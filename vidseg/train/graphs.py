"""Work that a GPU repeats by itself: a step's forward and backward pass, recorded as CUDA graphs.

A small network is ten thousand short kernels a step, and the host takes longer to ask for them than the GPU to compute
them. Recorded once, they are started together. Shapes and addresses are then fixed: a batch is copied to where the
recorded one was, and gradients come out where they came out first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidseg.train.model_step import Batch, Correction


class _Recorded(NamedTuple):
    graph: torch.cuda.CUDAGraph
    numbers: Tensor
    gradients: list[Tensor | None]


class Graphs:
    """`compute(batch)`, which leaves gradients in `parameters` and returns numbers, recorded once for each
    `Batch.correction`, since that changes the work. Everything else of a batch may change but shapes
    and `kinds`. Without a GPU nothing is recorded, and all is computed anew.
    """

    def __init__(self, compute: Callable[[Batch], Tensor], parameters: Iterable[nn.Parameter]) -> None:
        self.compute, self.parameters = compute, list(parameters)
        self.place: Batch | None = None
        self.recorded: dict[Correction | None, _Recorded] = {}
        self.pool = torch.cuda.graph_pool_handle() if torch.cuda.is_available() else None

    def fits(self, batch: Batch) -> bool:
        """Whether `batch` has the shape of those before."""
        return self.place is None or all(
            getattr(self.place, name).shape == getattr(batch, name).shape for name in ("images", "masks")
        )

    def __call__(self, batch: Batch) -> Tensor:
        """The numbers for `batch`; its gradients replace those of the parameters."""
        if self.place is None:
            self.place = batch._replace(**{name: getattr(batch, name).clone() for name in _MOVING})
        self.place = self.place._replace(correction=batch.correction)
        for name in _MOVING:
            getattr(self.place, name).copy_(getattr(batch, name), non_blocking=True)
        if self.pool is None:
            return self._anew()
        if batch.correction not in self.recorded:
            self.recorded[batch.correction] = self._record()
        recorded = self.recorded[batch.correction]
        recorded.graph.replay()
        for parameter, gradient in zip(self.parameters, recorded.gradients, strict=True):
            parameter.grad = gradient
        return recorded.numbers.clone()

    def _anew(self) -> Tensor:
        assert self.place is not None
        for parameter in self.parameters:
            parameter.grad = None
        return self.compute(self.place)

    def _record(self) -> _Recorded:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._anew()  # libraries choose their algorithms before anything is recorded
        torch.cuda.current_stream().wait_stream(side)
        for parameter in self.parameters:
            parameter.grad = None
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            assert self.place is not None
            numbers = self.compute(self.place)
        return _Recorded(graph, numbers, [parameter.grad for parameter in self.parameters])


_MOVING = ("images", "masks", "known", "ignore", "clip", "uniform")
