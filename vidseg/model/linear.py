"""Linear layers with their activation: in one go, and in less memory where inputs come in ever new shapes.

The decision to know: in bfloat16 on a CPU, torch copies a linear layer's bias into every row of its answer, adds the
product, and then activates it. oneDNN does all three while it multiplies, in a half to four fifths of the time.

And it makes and keeps a program for every shape of a product. With AMX one of a linear layer takes 0.5 to 0.9 MB, that
of the same layer as a convolution of 1x1 pixels 0.03 MB. It is slower, by a tenth of the time of tracking where
everything is convolved. So shapes that are seen frame after frame are multiplied, and those of prompts and regions
convolved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.processor import fuses_layers

Activation = Callable[[Tensor], Tensor]

_FUSED: dict[Activation | None, tuple[str, str]] = {None: ("none", ""), F.relu: ("relu", ""), F.gelu: ("gelu", "none")}
"""What oneDNN calls an activation, and its form."""
_ONE, _NONE = [1, 1], [0, 0]

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
    """`torch.nn.Linear` and an activation; in bfloat16 on a CPU its numbers may differ in the last bit."""

    def forward(self, x: Tensor, activation: Activation | None = None) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return linear(x, self.weight, self.bias, activation)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation | None = None) -> Tensor:
    """Map `x` (..., K) by `weight` (N, K) and `bias` (N,), and activate what comes out."""
    if x.dtype == torch.bfloat16 and only_answers(x) and fuses_layers() and activation in _FUSED:
        name, form = _FUSED[activation]
        if not _passing.get():
            return torch.ops.mkldnn._linear_pointwise(x, weight, bias, name, [], form)
        pixels = x.reshape(1, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
        answer = torch.ops.mkldnn._convolution_pointwise(
            pixels, weight[:, :, None, None], bias, _NONE, _ONE, _ONE, 1, name, [], form
        )
        return answer.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)
    answer = F.linear(x, weight, bias)
    return answer if activation is None else activation(answer)


def only_answers(x: Tensor) -> bool:
    """Whether a CPU computes on `x` as it is, with nothing to be learned from it."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
