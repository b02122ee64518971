"""Attention with separate projections, and its rotary form for memory attention.

The decision to know: attention weights of a query sum to one, so values may be averaged *before* their projection,
`softmax(QK')(V W + b) = (softmax(QK') V) W + b`, and the numbers stay the same. Memories have 64 channels and are
projected to 256, so long attention in float32 saves three eighths of its arithmetic when it is written out, in chunks
of queries. Measured on one AMX core, 4096 queries, 28,736 keys of 256 channels, milliseconds in float32 / bfloat16:
torch's fused kernel with projected values 795 / 205, with narrow values padded 823 / 185, chunks 712 / 256.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.positions import rotary_table, rotate

_CHUNK = 256  # queries at a time: the block of scores stays in the cache
_LONG = 8192  # keys from which chunks pay


def weighted_values(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q k' / sqrt(C)) v for q (B, heads, L, C), k (B, heads, K, C), v (B, heads, K, D), D at most C."""
    channels, narrow = q.shape[-1], v.shape[-1]
    if channels == narrow:
        return F.scaled_dot_product_attention(q, k, v)
    if q.device.type == "cpu" and q.dtype == torch.float32 and k.shape[-2] >= _LONG and not torch.is_grad_enabled():
        return _in_chunks(q, k, v)
    return F.scaled_dot_product_attention(q, k, F.pad(v, (0, channels - narrow)))[..., :narrow]


def _in_chunks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    keys = k.transpose(-1, -2).contiguous()
    q = q * q.shape[-1] ** -0.5
    answers = q.new_empty(*q.shape[:-1], v.shape[-1])
    scores = q.new_empty(*q.shape[:-2], min(_CHUNK, q.shape[-2]), k.shape[-2])
    for start in range(0, q.shape[-2], _CHUNK):
        part = q[..., start : start + _CHUNK, :]
        weights = scores[..., : part.shape[-2], :]
        torch.matmul(part, keys, out=weights)
        torch.softmax(weights, dim=-1, out=weights)
        torch.matmul(weights, v, out=answers[..., start : start + _CHUNK, :])
    return answers


class Attention(nn.Module):
    """Multi-head attention of queries to keys and values of another width.

    Args:
        embedding_dim: channels of queries and output.
        num_heads: divides the internal width, `embedding_dim // downsample_rate`.
        kv_in_dim: channels of keys and values; `embedding_dim` if not given.
    """

    def __init__(
        self, embedding_dim: int, num_heads: int, *, downsample_rate: int = 1, kv_in_dim: int | None = None
    ) -> None:
        super().__init__()
        kv_in_dim = kv_in_dim or embedding_dim
        self.num_heads = num_heads
        self.internal_dim = embedding_dim // downsample_rate
        self.q_proj = nn.Linear(embedding_dim, self.internal_dim)
        self.k_proj = nn.Linear(kv_in_dim, self.internal_dim)
        self.v_proj = nn.Linear(kv_in_dim, self.internal_dim)
        self.out_proj = nn.Linear(self.internal_dim, embedding_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map q (B, L, C), k and v (B, K, Ckv) to (B, L, C)."""
        q, k, v = self._heads(self.q_proj(q)), self._heads(self.k_proj(k)), self._heads(self.v_proj(v))
        return self.out_proj(weighted_values(q, k, v).transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class RotaryAttention(Attention):
    """Attention whose queries and spatial keys are turned by their place on the grid.

    Keys are `r` grids one after another, then `unplaced` tokens that have no place (object pointers).
    """

    def forward(  # type: ignore[override]
        self, q: Tensor, k: Tensor, v: Tensor, *, grid: tuple[int, int], unplaced: int = 0
    ) -> Tensor:
        """Map q (B, h * w, C), k and v (B, r * h * w + unplaced, Ckv) to (B, h * w, C)."""
        query, key = self._heads(self.q_proj(q)), self._heads(self.k_proj(k))
        table = rotary_table(*grid, query.shape[-1], device=query.device)
        query = rotate(query, table)
        placed = key.shape[-2] - unplaced
        if placed:
            key = torch.cat((rotate(key[..., :placed, :], table), key[..., placed:, :]), dim=-2)
        return self.out_proj(self._values(query, key, v))

    def _values(self, query: Tensor, key: Tensor, v: Tensor) -> Tensor:
        narrow = self.num_heads == 1 and v.shape[-1] < self.internal_dim
        if narrow and not torch.is_grad_enabled():
            return self.v_proj(weighted_values(query, key, v[:, None]).squeeze(1))
        values = self._heads(self.v_proj(v))
        return weighted_values(query, key, values).transpose(1, 2).flatten(2)
