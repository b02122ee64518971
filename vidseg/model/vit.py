"""The image encoder of SAM 1: a plain vision transformer with windowed and global attention.

SAM 2 replaced it by Hiera; it lives here so that SAM 1's encoder can be built, loaded and exported. Nothing else in
vidseg uses it. Attribute names are those of the released checkpoints, whose keys under `image_encoder.` therefore load
with `strict=True`; `VIT_PRESETS` holds the arguments of the three released sizes.

The one decision to know: the position tables belong to `img_size`, but any input whose sides are multiples of the patch
is accepted: absolute positions are interpolated bicubically, relative ones linearly.
Sources: Segment Anything (arXiv 2304.02643), appendix A; ViTDet (arXiv 2203.16527); MViTv2 (arXiv 2112.01526), section
4.1, for the decomposed relative positions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.layers import LayerNorm2d
from vidseg.model.linear import Linear

_NORM_EPS = 1e-6
_SAM: dict[str, Any] = {"img_size": 1024, "patch_size": 16, "use_rel_pos": True, "window_size": 14}

VIT_PRESETS: dict[str, dict[str, Any]] = {
    "sam-vit-b": {**_SAM, "embed_dim": 768, "depth": 12, "num_heads": 12, "global_attn_indexes": (2, 5, 8, 11)},
    "sam-vit-l": {**_SAM, "embed_dim": 1024, "depth": 24, "num_heads": 16, "global_attn_indexes": (5, 11, 17, 23)},
    "sam-vit-h": {**_SAM, "embed_dim": 1280, "depth": 32, "num_heads": 16, "global_attn_indexes": (7, 15, 23, 31)},
}
"""Arguments of `ImageEncoderViT` for the released SAM 1 checkpoints."""


class ImageEncoderViT(nn.Module):
    """SAM 1's image encoder: image -> one feature map at a sixteenth of its size.

    Args:
        img_size: side of the square the position tables are made for, in pixels.
        patch_size: side of one patch in pixels; the stride of the output.
        in_chans: channels of the image.
        embed_dim: channels of the tokens, a multiple of `num_heads`.
        depth: number of blocks.
        num_heads: attention heads of every block.
        mlp_ratio: hidden channels of a block's MLP over `embed_dim`.
        out_chans: channels of the output.
        qkv_bias: whether the query, key and value projections have a bias.
        use_abs_pos: learn one position vector a patch.
        use_rel_pos: learn decomposed relative positions in every attention (the released checkpoints do).
        window_size: side of an attention window in patches; 0 makes every block global.
        global_attn_indexes: the blocks that attend globally although `window_size` is set.
    """

    def __init__(
        self,
        img_size: int = 1024,
        patch_size: int = 16,
        *,
        in_chans: int = 3,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        out_chans: int = 256,
        qkv_bias: bool = True,
        use_abs_pos: bool = True,
        use_rel_pos: bool = False,
        window_size: int = 0,
        global_attn_indexes: Collection[int] = (),
    ):
        super().__init__()
        self.img_size = img_size
        self.patch_size = patch_size
        grid = img_size // patch_size
        self.patch_embed = PatchEmbed(patch_size, in_chans=in_chans, embed_dim=embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, embed_dim)) if use_abs_pos else None
        windows = [0 if index in global_attn_indexes else window_size for index in range(depth)]
        self.blocks = nn.ModuleList(
            Block(
                embed_dim,
                num_heads,
                mlp_ratio=mlp_ratio,
                qkv_bias=qkv_bias,
                window_size=window,
                rel_pos_size=(window or grid) if use_rel_pos else None,
            )
            for window in windows
        )
        self.neck = nn.Sequential(
            nn.Conv2d(embed_dim, out_chans, kernel_size=1, bias=False),
            LayerNorm2d(out_chans),
            nn.Conv2d(out_chans, out_chans, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(out_chans),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Encode `images` (B, in_chans, H, W), normalised floats, into (B, out_chans, H / patch, W / patch).

        Raises:
            ValueError: a side of the image is no multiple of the patch.
        """
        height, width = images.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"image is {height}x{width}; both sides must be multiples of {self.patch_size}: resize or pad it first"
            )
        tokens = self.patch_embed(images)  # (B, h, w, C)
        if self.pos_embed is not None:
            tokens = tokens + _resize_grid(self.pos_embed, tokens.shape[1:3])
        for block in self.blocks:
            tokens = block(tokens)
        return self.neck(tokens.permute(0, 3, 1, 2))


class PatchEmbed(nn.Module):
    """Cut the image into patches and project each: (B, 3, H, W) -> (B, H / patch, W / patch, embed_dim)."""

    def __init__(self, patch_size: int = 16, *, in_chans: int = 3, embed_dim: int = 768):
        super().__init__()
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """Return the patch tokens, channels last."""
        return self.proj(images).permute(0, 2, 3, 1)


class Block(nn.Module):
    """A pre-norm transformer block on a grid of tokens; attends within windows where `window_size` > 0."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        window_size: int = 0,
        rel_pos_size: int | None = None,
    ):
        super().__init__()
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.attn = Attention(dim, num_heads, qkv_bias=qkv_bias, rel_pos_size=rel_pos_size)
        self.norm2 = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.mlp = MLPBlock(dim, int(dim * mlp_ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, h, w, dim) -> the same shape."""
        normed = self.norm1(tokens)
        if self.window_size:
            attended = self._attend_in_windows(normed)
        else:
            attended = self.attn(normed)
        tokens = tokens + attended
        return tokens + self.mlp(self.norm2(tokens))

    def _attend_in_windows(self, tokens: Tensor) -> Tensor:
        """Attend within windows; the last ones are padded with zeros, which take part, as in the trained model."""
        B, h, w, C = tokens.shape
        side = self.window_size
        padded = F.pad(tokens, (0, 0, 0, -w % side, 0, -h % side))
        rows, columns = padded.shape[1] // side, padded.shape[2] // side
        windows = padded.reshape(B, rows, side, columns, side, C).transpose(2, 3).reshape(-1, side, side, C)
        attended = self.attn(windows).reshape(B, rows, columns, side, side, C).transpose(2, 3)
        return attended.reshape(B, rows * side, columns * side, C)[:, :h, :w]


class Attention(nn.Module):
    """Multi-head attention over a grid of tokens with optional decomposed relative positions.

    `rel_pos_size` is the side of the grid that the relative position tables are learned for, None for no tables.
    """

    def __init__(self, dim: int, num_heads: int, *, qkv_bias: bool = True, rel_pos_size: int | None = None):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = Linear(dim, dim * 3, bias=qkv_bias)
        self.proj = Linear(dim, dim)
        self.use_rel_pos = rel_pos_size is not None
        if rel_pos_size is not None:
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * rel_pos_size - 1, dim // num_heads))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * rel_pos_size - 1, dim // num_heads))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, h, w, dim) -> the same shape."""
        B, h, w, dim = tokens.shape
        qkv = self.qkv(tokens).reshape(B, h * w, 3, self.num_heads, dim // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, h * w, dim / heads)
        bias = self._position_bias(query, (h, w)) if self.use_rel_pos else None
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(attended.transpose(1, 2).reshape(B, h, w, dim))

    def _position_bias(self, query: Tensor, size: tuple[int, int]) -> Tensor:
        """What the logit of every (query, key) pair gains from their distance: (B, heads, h * w, h * w).

        The query is not scaled here, as in the released model.
        """
        h, w = size
        grid = query.unflatten(2, (h, w))
        vertical = torch.einsum("bnhwc,hkc->bnhwk", grid, relative_positions(self.rel_pos_h, h))
        horizontal = torch.einsum("bnhwc,wkc->bnhwk", grid, relative_positions(self.rel_pos_w, w))
        bias = vertical.unsqueeze(-1) + horizontal.unsqueeze(-2)  # (B, heads, h, w, h, w)
        return bias.flatten(4).flatten(2, 3)


class MLPBlock(nn.Module):
    """Two linear layers with a GELU between them; the last axis goes dim -> hidden -> dim."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.lin1 = Linear(dim, hidden)
        self.lin2 = Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., dim) -> the same shape."""
        return self.lin2(self.lin1(tokens, F.gelu))


def relative_positions(table: Tensor, size: int) -> Tensor:
    """Look up one position vector for every (query, key) pair along an axis of `size` tokens.

    `table` is (2 * s - 1, C), a vector a distance from -(s - 1) to s - 1; where s differs from `size` it is
    interpolated linearly. Returns (size, size, C).
    """
    length = 2 * size - 1
    if table.shape[0] != length:
        table = F.interpolate(table.T[None], size=length, mode="linear")[0].T
    steps = torch.arange(size, device=table.device)
    return table[steps[:, None] - steps[None, :] + size - 1]


def _resize_grid(positions: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate (1, h, w, C) bicubically to another (h, w)."""
    if positions.shape[1:3] == torch.Size(size):
        return positions
    resized = F.interpolate(positions.permute(0, 3, 1, 2), size=size, mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1)
