"""Small layers that several parts share: the MLP, the layer norm over channels of a feature map, and its magnifying."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.linear import Linear, linear, only_answers


class MLP(nn.Module):
    """`num_layers` linear layers with an activation between them; optionally a sigmoid at the end."""

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        output_dim: int,
        num_layers: int,
        *,
        activation: Callable[[Tensor], Tensor] = F.relu,
        sigmoid_output: bool = False,
    ) -> None:
        super().__init__()
        widths = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(Linear(a, b) for a, b in itertools.pairwise(widths))
        self.activation = activation
        self.sigmoid_output = sigmoid_output

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., input_dim) to (..., output_dim)."""
        for layer in self.layers[:-1]:
            x = layer(x, self.activation)
        x = self.layers[-1](x)
        return x.sigmoid() if self.sigmoid_output else x


_FEW = 32  # channels up to which plain sums are faster on a GPU, whose layer norm takes a group of threads a pixel,
_FEWER = 16  # and on a CPU, where a norm of four channels took half of the time of making a mask smaller to remember it


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of a (B, C, H, W) map."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every pixel's channel vector."""
        if x.shape[1] <= (_FEW if x.is_cuda else _FEWER) and (x.is_cuda or only_answers(x)):
            return self.by_sums(x)
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def by_sums(self, x: Tensor) -> Tensor:
        """The same by plain sums, computed in float32 and given back in the precision of `x`."""
        exact = x.float()
        centred = exact - exact.mean(dim=1, keepdim=True)
        normed = centred * torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + self.eps)
        return (normed * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class Magnify(nn.ConvTranspose2d):
    """A transposed convolution that makes a square of `side` x `side` pixels of every pixel, by itself.

    So it is a linear layer, and as such takes less than half of the time on a CPU where channels lie last in memory.
    """

    def __init__(self, channels: int, out_channels: int, side: int = 2) -> None:
        super().__init__(channels, out_channels, kernel_size=side, stride=side)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (B, C, H, W) to (B, C', side * H, side * W)."""
        if not only_answers(x) or output_size is not None:
            return super().forward(x, output_size)
        side, width = self.kernel_size[0], self.out_channels
        weight = self.weight.permute(2, 3, 1, 0).reshape(side * side * width, -1)
        bias = None if self.bias is None else self.bias.repeat(side * side)
        squares = linear(x.permute(0, 2, 3, 1), weight, bias).unflatten(-1, (side, side, width))
        return squares.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
