"""Attention with separate projections, and its rotary form for memory attention.

The decision to know: attention weights of a query sum to one, so values may be averaged *before* their projection,
`softmax(QK')(V W + b) = (softmax(QK') V) W + b`, and the numbers stay the same. Memories have 64 channels and are
projected to 256, so long attention saves three eighths of its arithmetic when it is written out.

What is faster depends on the processor, since torch's fused kernel multiplies bfloat16 as such only with AMX, and
elsewhere takes the time of float32. Processor time on one core, 256 queries, 28,736 keys of 256 channels, milliseconds
in float32 / bfloat16, with AVX-512 BF16: the fused kernel 105 / 99, written out 60 / 30. With AMX the fused kernel was
the faster of the two in bfloat16, the slower in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidseg.model.linear import Linear, only_answers
from vidseg.model.positions import rotary_table, rotate
from vidseg.processor import fuses_bfloat16

_BLOCK = 1 << 22  # scores at a time in bfloat16, in whole rows: they stay in the cache
_QUERIES = 256  # but never fewer rows than this, or the products get slow
_TILE = 1024  # in float32, twice the size, queries and keys at a time: their scores stay in the cache
_ROUND = 32  # numbers of keys in bfloat16 are multiples of this
_FEW = 16  # keys below which the fused kernel does not compute in vectors
_LONG = 8192  # keys from which narrow values pay in float32


def spare_keys(x: Tensor, keys: int) -> int:
    """Return how many keys to add to `keys` to make their number round, where a CPU attends in bfloat16.

    Its library prepares a program of its own, of 300 to 800 KB, for every shape of a product in bfloat16 that it meets.
    The pointers of a bank grow from frame to frame, and would leave sixteen of each behind.
    """
    return -keys % _ROUND if only_answers(x) and x.dtype == torch.bfloat16 else 0


def weighted_values(q: Tensor, k: Tensor, v: Tensor, *, spare: int = 0) -> Tensor:
    """Return softmax(q k' / sqrt(C)) v for q (B, heads, L, C), k (B, heads, K, C), v (B, heads, K, D), D at most C.

    The last `spare` keys are left out.
    """
    channels, narrow, long = q.shape[-1], v.shape[-1], k.shape[-2] >= _LONG
    if only_answers(q) and k.shape[-2] < _FEW <= q.shape[-2] and not spare:
        return _by_columns(q, k, v)
    if _multiplies_bfloat16(q):
        by_rows = partial(_by_rows, spare=spare)
        return _one_by_one(by_rows, q, k, v) if long else by_rows(q, k, v)
    if only_answers(q) and q.dtype == torch.float32 and long and narrow < channels and not spare:
        return _one_by_one(_by_tiles, q, k, v)
    mask = _without_last(spare, k) if spare else None  # cutting them off would be a new shape
    if channels == narrow:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return F.scaled_dot_product_attention(q, k, F.pad(v, (0, channels - narrow)), attn_mask=mask)[..., :narrow]


def _without_last(spare: int, k: Tensor) -> Tensor:
    """What to add to scores (..., K) so that the last `spare` of K keys have none."""
    mask = k.new_zeros(1, 1, 1, k.shape[-2])
    mask[..., -spare:] = -torch.inf
    return mask


def _multiplies_bfloat16(x: Tensor) -> bool:
    return only_answers(x) and x.dtype == torch.bfloat16 and not fuses_bfloat16()


def _one_by_one(attend: Callable[[Tensor, Tensor, Tensor], Tensor], q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend for one of the batch at a time: with many keys, one object's scores fill the cache."""
    return torch.cat([attend(*one) for one in zip(q.split(1), k.split(1), v.split(1), strict=True)])


def _by_rows(q: Tensor, k: Tensor, v: Tensor, *, spare: int = 0) -> Tensor:
    keys = k.transpose(-1, -2).contiguous()
    q = q * q.shape[-1] ** -0.5
    answers = q.new_empty(*q.shape[:-1], v.shape[-1])
    rows = max(_QUERIES, _BLOCK // (keys.shape[0] * keys.shape[1] * keys.shape[-1]))
    for start in range(0, q.shape[-2], rows):
        weights = q[..., start : start + rows, :] @ keys
        if spare:
            weights[..., -spare:] = -torch.inf
        torch.softmax(weights, dim=-1, out=weights)
        torch.matmul(weights, v, out=answers[..., start : start + rows, :])
    return answers


def _by_columns(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend to a few keys, with their scores side by side for all queries: as a map attends to the tokens of a prompt.

    On one core, 1,344 queries of four heads and eight keys, the fused kernel takes 0.6 to 0.7 ms, this 0.1 to 0.2.
    """
    weights = torch.softmax((k * q.shape[-1] ** -0.5) @ q.transpose(-1, -2), dim=-2)
    return (v.transpose(-1, -2) @ weights).transpose(-1, -2)


def _by_tiles(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend tile by tile; what was summed so far is scaled down whenever a higher score turns up.

    Source: online softmax (arXiv 1805.02867), as in FlashAttention (arXiv 2205.14135).
    """
    return torch.cat([_row_of_tiles(part, k, v) for part in (q * q.shape[-1] ** -0.5).split(_TILE, dim=-2)], dim=-2)


def _row_of_tiles(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    highest = q.new_full((*q.shape[:-1], 1), -torch.inf)
    total, summed = torch.zeros_like(highest), q.new_zeros((*q.shape[:-1], v.shape[-1]))
    for keys, values in zip(k.split(_TILE, dim=-2), v.split(_TILE, dim=-2), strict=True):
        weights = q @ keys.transpose(-1, -2)
        higher = torch.maximum(highest, weights.amax(dim=-1, keepdim=True))
        weights.sub_(higher).exp_()
        fade = (highest - higher).exp_()
        total.mul_(fade).add_(weights.sum(dim=-1, keepdim=True))
        summed.mul_(fade).add_(weights @ values)
        highest = higher
    return summed.div_(total)


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
        self.q_proj = Linear(embedding_dim, self.internal_dim)
        self.k_proj = Linear(kv_in_dim, self.internal_dim)
        self.v_proj = Linear(kv_in_dim, self.internal_dim)
        self.out_proj = Linear(self.internal_dim, embedding_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map q (B, L, C), k and v (B, K, Ckv) to (B, L, C)."""
        q, k, v = self._heads(self.q_proj(q)), self._heads(self.k_proj(k)), self._heads(self.v_proj(v))
        return self.out_proj(weighted_values(q, k, v).transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class RotaryAttention(Attention):
    """Attention whose queries and spatial keys are turned by their place on the grid.

    Keys are `r` grids one after another, then `unplaced` tokens that have no place (object pointers), of which the last
    `spare` are not attended to. Queries are a grid, or those of its `cells` (B, L), numbered as its rows are read.
    """

    def forward(  # type: ignore[override]
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        grid: tuple[int, int],
        unplaced: int = 0,
        spare: int = 0,
        cells: Tensor | None = None,
    ) -> Tensor:
        """Map q (B or 1, h * w or L, C), k and v (B, r * h * w + unplaced, Ckv) to (B, h * w or L, C)."""
        query, key = self._heads(self.q_proj(q)), self._heads(self.k_proj(k))
        table = rotary_table(*grid, query.shape[-1], device=query.device)
        query = rotate(query, table if cells is None else table[cells][:, None]).expand(key.shape[0], -1, -1, -1)
        placed = key.shape[-2] - unplaced
        if placed:
            key = torch.cat((rotate(key[..., :placed, :], table), key[..., placed:, :]), dim=-2)
        return self.out_proj(self._values(query, key, v, spare))

    def _values(self, query: Tensor, key: Tensor, v: Tensor, spare: int) -> Tensor:
        narrow = self.num_heads == 1 and v.shape[-1] < self.internal_dim
        if narrow and not torch.is_grad_enabled():
            return self.v_proj(weighted_values(query, key, v[:, None], spare=spare).squeeze(1))
        values = self._heads(self.v_proj(v))
        return weighted_values(query, key, values, spare=spare).transpose(1, 2).flatten(2)
