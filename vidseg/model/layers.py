"""Small layers that several parts share: the MLP and the layer norm over channels of a feature map."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.linear import Linear


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


_FEW = 32  # channels up to which plain sums are faster on a GPU, whose layer norm takes a group of threads a pixel


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of a (B, C, H, W) map."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every pixel's channel vector."""
        if x.is_cuda and x.shape[1] <= _FEW:
            return self.by_sums(x)
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def by_sums(self, x: Tensor) -> Tensor:
        """The same by plain sums, computed in float32 and given back in the precision of `x`."""
        exact = x.float()
        centred = exact - exact.mean(dim=1, keepdim=True)
        normed = centred * torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + self.eps)
        return (normed * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)
