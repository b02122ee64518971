"""Where objects are looked for in training: `vidseg.gaze.region` for whole batches.

Tensors in and out, so that a GPU need not be asked where anything is. A network that is followed with regions but was
trained without them meets maps that it has never seen: the mean of a region where its surroundings were.
Source: `vidseg.gaze`, whose numbers these are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidseg import gaze


def near_cells(trace: Sequence[Tensor], grid: Sequence[int]) -> Tensor | None:
    """Return the cells (N, h, w) of `grid` in which to look for N objects; None where that is everywhere for all.

    Args:
        trace: logits (N, 4h, 4w) of the frames since the last prompt; the last two count.
    """
    if len(trace) < 2:
        return None
    before, last = (_edges(logits) for logits in trace[-2:])
    h, w = grid
    rows = _side(before[:, 1::2], last[:, 1::2], h)
    columns = _side(before[:, ::2], last[:, ::2], w)
    seen = (trace[-2] > 0).flatten(1).any(dim=1) & (trace[-1] > 0).flatten(1).any(dim=1)
    return rows[:, :, None] & columns[:, None] | ~seen[:, None, None]


def _edges(logits: Tensor) -> Tensor:
    """Left, top, right and bottom (N, 4) of what is above 0, in cells; of nothing, nothing that means anything."""
    on = logits > 0
    ends = []
    for lines in (on.any(dim=1), on.any(dim=2)):
        number = torch.arange(lines.shape[1], device=lines.device)
        ends.append(torch.where(lines, number, lines.shape[1]).amin(dim=1) / 4)
        ends.append((torch.where(lines, number, -1).amax(dim=1) + 1) / 4)
    left, right, top, bottom = ends
    return torch.stack([left, top, right, bottom], dim=1)


def _side(before: Tensor, last: Tensor, cells: int) -> Tensor:
    """Which of `cells` (N, cells) along one side are looked at, where an object's two edges (N, 2) moved so."""
    moved = (last - before).abs().amax(dim=1)
    low, high = last[:, 0] - moved, last[:, 1] + moved
    reach = gaze.REACH * (high - low) + gaze.STRIDE
    part = max(1, cells // gaze.PARTS)
    size = part * ((high - low + 2 * reach).clamp(min=gaze.LEAST_PART * cells) / part).ceil().clamp(max=cells)
    size = torch.where(cells - size < part, cells, size)
    first = ((low + high - size) / 2).round().clamp(min=0)
    first = torch.minimum(first, cells - size)
    number = torch.arange(cells, device=last.device)
    return (number >= first[:, None]) & (number < (first + size)[:, None])
