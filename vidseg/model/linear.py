"""Linear layers, which take less memory where inputs come in ever new shapes.

The decision to know: in bfloat16 on a CPU, oneDNN makes and keeps a program for every shape of a product. With AMX one
of a linear layer takes 0.5 to 0.9 MB, that of the same layer as a convolution of 1x1 pixels 0.03 MB. It is slower, by a
tenth of the time of tracking where everything is convolved. So shapes that are seen frame after frame are multiplied,
and those of prompts and regions convolved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_passing: ContextVar[bool] = ContextVar("passing", default=False)


@contextmanager
def passing_shapes() -> Iterator[None]:
    """Tell linear layers that the shapes inside seldom come again. Also a decorator."""
    token = _passing.set(True)
    try:
        yield
    finally:
        _passing.reset(token)


class Linear(nn.Linear):
    """`torch.nn.Linear`, whose numbers may differ in the last bit inside `passing_shapes`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        if _passing.get() and x.dtype == torch.bfloat16 and only_answers(x):
            pixels = x.reshape(1, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
            answer = F.conv2d(pixels, self.weight[:, :, None, None], self.bias)
            return answer.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)
        return super().forward(x)


def only_answers(x: Tensor) -> bool:
    """Whether a CPU computes on `x` as it is, with nothing to be learned from it."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
