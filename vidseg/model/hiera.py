"""Hiera: a plain hierarchical vision transformer, the trunk of SAM 2.

Four stages; attention in windows except in a few global blocks; at a stage's first block the queries are max-pooled,
which halves the grid while keys and values still see the finer one.
Source: Hiera (arXiv 2306.00989); position embedding of windows plus background from arXiv 2311.05613.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.attention import weighted_values
from vidseg.model.layers import MLP
from vidseg.model.linear import Linear
from vidseg.model.positions import cubic_weights


def partition(x: Tensor, window: int) -> Tensor:
    """Cut (B, H, W, C) into (B * windows, window, window, C); the right and bottom edge are padded with zeros."""
    _, h, w, _ = x.shape
    pad_h, pad_w = -h % window, -w % window
    if pad_h or pad_w:
        x = F.pad(x, (0, 0, 0, pad_w, 0, pad_h))
    x = x.unflatten(2, (-1, window)).unflatten(1, (-1, window))
    return x.transpose(2, 3).flatten(0, 2)


def unpartition(windows: Tensor, size: tuple[int, int]) -> Tensor:
    """Put windows back to (B, H, W, C) for `size` (H, W), dropping what `partition` padded."""
    h, w = size
    window = windows.shape[1]
    rows, columns = -(-h // window), -(-w // window)
    x = windows.unflatten(0, (-1, rows, columns)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)[:, :h, :w]


def halve(x: Tensor) -> Tensor:
    """Max-pool (B, H, W, C) by two."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class PatchEmbed(nn.Module):
    """Overlapping 7x7 patches at stride 4."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=7, stride=4, padding=3)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, H / 4, W / 4, C)."""
        return self.proj(images).permute(0, 2, 3, 1)


class MultiScaleAttention(nn.Module):
    """Self-attention over all tokens it is given, with queries pooled by two where `pool` is set."""

    def __init__(self, dim: int, dim_out: int, num_heads: int, *, pool: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.pool = pool
        self.qkv = Linear(dim, dim_out * 3)
        self.proj = Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, dim) to (B, H or H / 2, W or W / 2, dim_out)."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if self.pool:
            q = halve(q)
        h, w = q.shape[1:3]
        q, k, v = (t.flatten(1, 2).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (q, k, v))
        x = weighted_values(q, k, v)
        return self.proj(x.transpose(1, 2).flatten(2).unflatten(1, (h, w)))


class MultiScaleBlock(nn.Module):
    """Pre-norm transformer block, in windows or global, that may widen the channels and halve the grid."""

    def __init__(self, dim: int, dim_out: int, num_heads: int, *, window: int, pool: bool, local_conv: int = 0) -> None:
        super().__init__()
        self.window = window
        self.pool = pool
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = MultiScaleAttention(dim, dim_out, num_heads, pool=pool)
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.mlp = MLP(dim_out, dim_out * 4, dim_out, 2, activation=F.gelu)
        if dim != dim_out:
            self.proj = Linear(dim, dim_out)
        self.widens = dim != dim_out
        if local_conv:
            self.local = nn.Conv2d(dim, dim, local_conv, padding=local_conv // 2, groups=dim)
        self.is_local = local_conv > 0

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, dim) to (B, H or H / 2, W or W / 2, dim_out)."""
        if self.is_local:
            x = x + self.local(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        shortcut = x
        x = self.norm1(x)
        if self.widens:
            shortcut = self.proj(x)
        if self.pool:
            shortcut = halve(shortcut)
        if self.window:
            x = unpartition(self.attn(partition(x, self.window)), (shortcut.shape[1], shortcut.shape[2]))
        else:
            x = self.attn(x)
        x = shortcut + x
        return x + self.mlp(self.norm2(x))


class Hiera(nn.Module):
    """The trunk: an image to one feature map a stage, fine to coarse.

    Args:
        embed_dim: channels of the first stage; doubled at each following one.
        num_heads: heads of the first stage; doubled likewise.
        stages: blocks a stage.
        window_spec: window side a stage; a stage's first block still uses the window of the stage before.
        global_att_blocks: indices of blocks without windows.
        window_pos_embed_bkg_spatial_size: grid of the background position embedding, interpolated to any input.
        local_conv: side of a depthwise convolution added before each block; 0 for SAM 2.
    """

    def __init__(
        self,
        embed_dim: int = 96,
        num_heads: int = 1,
        *,
        stages: tuple[int, ...] = (2, 3, 16, 3),
        window_spec: tuple[int, ...] = (8, 4, 14, 7),
        global_att_blocks: tuple[int, ...] = (12, 16, 20),
        window_pos_embed_bkg_spatial_size: tuple[int, int] = (14, 14),
        local_conv: int = 0,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, embed_dim, *window_pos_embed_bkg_spatial_size))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, embed_dim, window_spec[0], window_spec[0]))
        self.stage_ends = [sum(stages[: i + 1]) - 1 for i in range(len(stages))]
        self.channel_list = [embed_dim * 2**i for i in reversed(range(len(stages)))]
        self.blocks = nn.ModuleList()
        dim, stage = embed_dim, 0
        for i in range(sum(stages)):
            # The window lags one block behind the stage, since this block's keys lie on the finer grid.
            window = 0 if i in global_att_blocks else window_spec[stage]
            starts_stage = i - 1 in self.stage_ends
            if starts_stage:
                stage += 1
            dim_out = embed_dim * 2**stage
            self.blocks.append(
                MultiScaleBlock(
                    dim, dim_out, num_heads * 2**stage, window=window, pool=starts_stage, local_conv=local_conv
                )
            )
            dim = dim_out

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to maps (B, C * 2**s, H / 4 / 2**s, W / 4 / 2**s), fine to coarse."""
        x = self.patch_embed(images)
        x = x + self._position(x.shape[1], x.shape[2]).to(x.dtype)
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.stage_ends:
                maps.append(x.permute(0, 3, 1, 2))
        return maps

    def _position(self, h: int, w: int) -> Tensor:
        rows, columns = (
            cubic_weights(n, size, device=self.pos_embed.device)
            for n, size in zip(self.pos_embed.shape[-2:], (h, w), strict=True)
        )
        background = rows @ self.pos_embed.float() @ columns.T
        side = self.pos_embed_window.shape[-1]
        window = self.pos_embed_window.tile(1, 1, -(-h // side), -(-w // side))[..., :h, :w]
        return (background + window).permute(0, 2, 3, 1)
