"""Memory attention: the current frame's features attend to themselves, then to the memory bank.

Positions are axial rotary, turned into queries and keys; object pointers have no place and are not turned. The sine
codes are added to the input (a tenth of them) and to the memory keys, never to the values.
Source: SAM 2 (arXiv 2408.00714), section 4, "Memory attention".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.attention import RotaryAttention, spare_keys
from vidseg.model.linear import Linear, passing_shapes
from vidseg.model.roi import Roi, cells_of, filled, levelled


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to memory, and a two-layer MLP; pre-norm, one head."""

    def __init__(self, d_model: int, memory_dim: int, *, dim_feedforward: int, narrowing: int = 1) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(d_model, 1, downsample_rate=narrowing)
        self.cross_attn_image = RotaryAttention(d_model, 1, downsample_rate=narrowing, kv_in_dim=memory_dim)
        self.linear1 = Linear(d_model, dim_feedforward)
        self.linear2 = Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.norm3 = nn.LayerNorm(d_model)

    def begin(self, x: Tensor, *, grid: tuple[int, int]) -> Tensor:
        """Let x (n, h * w, C) attend to itself; no memory has a part in this."""
        normed = self.norm1(x)
        return x + self.self_attn(normed, normed, normed, grid=grid)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        *,
        keys: Tensor,
        grid: tuple[int, int],
        pointers: int,
        spare: int = 0,
        cells: Tensor | None = None,
    ) -> Tensor:
        """Condition x (N or 1, h * w, C), after `begin`, on memory (N, K, Cm), whose last `pointers` tokens have no
        place and of which the last `spare` are not looked at. Or x (N, L, C), some cells of the grid.

        `keys` is the memory with its position codes added.
        """
        normed = self.norm2(x)
        x = x + self.cross_attn_image(normed, keys, memory, grid=grid, unplaced=pointers, spare=spare, cells=cells)
        return x + self.linear2(self.linear1(self.norm3(x), F.relu))


class MemoryAttention(nn.Module):
    """A stack of layers with a norm at the end.

    Args:
        d_model: channels of the features; memory_dim: channels of the memory tokens.
        num_layers, dim_feedforward: depth and hidden width.
        narrowing: `d_model` over the channels of queries, keys and values.
    """

    def __init__(
        self, d_model: int, memory_dim: int, *, num_layers: int, dim_feedforward: int, narrowing: int = 1
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MemoryAttentionLayer(d_model, memory_dim, dim_feedforward=dim_feedforward, narrowing=narrowing)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model)

    def begin(self, features: Tensor, position: Tensor) -> Tensor:
        """What comes before the first look at a memory, and so is the same for all objects of a frame: (n, h * w, C)
        of features and their sine code (n, C, h, w).
        """
        x = (features + 0.1 * position).flatten(2).transpose(1, 2)
        return self.layers[0].begin(x, grid=(features.shape[-2], features.shape[-1]))  # type: ignore[operator]

    def forward(
        self,
        begun: Tensor,
        *,
        grid: tuple[int, int],
        memory: Tensor,
        memory_position: Tensor,
        pointers: int = 0,
        rois: Sequence[Roi] = (),
        near: Tensor | None = None,
    ) -> Tensor:
        """Return conditioned features (N, C, h, w).

        Args:
            begun: what `begin` returned, of N rows or of one for all; grid: (h, w).
            memory, memory_position: (N, K, Cm); K = r * h * w grid tokens, then `pointers` tokens.
            rois: for each object the part of the frame where it is looked for. In the last layer only that attends to
                memory, and what it gives is averaged for the rest.
            near: (N, h, w) the cells of such parts in training, where all attend to memory.
        """
        x = begun
        keys = memory + memory_position
        spare = spare_keys(memory, memory.shape[1])
        if spare:
            keys, memory = F.pad(keys, (0, 0, 0, spare)), F.pad(memory, (0, 0, 0, spare))
        for number, layer in enumerate(self.layers):
            if number:
                x = layer.begin(x, grid=grid)  # type: ignore[operator]
            cells = None
            if rois and layer is self.layers[-1]:
                cells = cells_of(rois, device=x.device)
                x = x.expand(len(rois), -1, -1).gather(1, cells[..., None].expand(-1, -1, x.shape[-1]))
            with nullcontext() if cells is None else passing_shapes():
                x = layer(x, memory, keys=keys, grid=grid, pointers=pointers + spare, spare=spare, cells=cells)
        if rois:
            x = filled(x.transpose(1, 2).unflatten(2, rois[0].size), rois).flatten(2).transpose(1, 2)
        if near is not None:
            x = levelled(x.transpose(1, 2).unflatten(2, grid), near).flatten(2).transpose(1, 2)
        return self.norm(x).transpose(1, 2).unflatten(2, grid)
