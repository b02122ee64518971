"""The simulated user: masks, boxes and clicks on a first frame, and corrections where a result is most wrong.

Tensors in, tensors out, on any device and without asking the device for a number. All chance comes in as uniform
numbers in [0, 1), one row of them an object, drawn on the host from (seed, batch, place in the batch): a run can be
repeated, resumed and spread over processes without a change. A point is (x, y) in pixels at the centre of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ON, OFF, CORNER, CORNER_END, PAD = 1, 0, 2, 3, -1
"""Labels of points as the prompt encoder reads them."""

KINDS = ("mask", "sloppy", "box", "click")
"""Ways to say on the first frame which object is meant."""

DRAWS = 24
"""Uniform numbers an object gets per prompt."""

ALONE, STORED, FORGOTTEN = 20, 21, 22
"""Which of these numbers say how an object is corrected; prompts use 0 to 19 and the last."""


@dataclass(frozen=True)
class PromptConfig:
    """How first frames are prompted and how often later ones are corrected.

    Attributes:
        mask, sloppy, box, click: shares of clips prompted by the true mask, a careless one, a box, one click.
        correct: chance that a batch has one frame corrected by clicks where it is most wrong; on the first frame those
            objects that were prompted by a box or a click.
        clicks: up to so many clicks, one after another, each number equally likely.
        jitter: by how much of its width and height each side of a box may be off.
        truth: share of the objects prompted by a box or a click whose first memory holds the true mask, whatever the
            prompt gave. While clicks are answered badly, their memories teach that memories are not to be trusted
            (from random weights, after 100 batches of mixed prompts: J 25 with 0.7, 10 with 0).
    """

    mask: float = 0.4
    sloppy: float = 0.2
    box: float = 0.2
    click: float = 0.2
    correct: float = 0.5
    clicks: int = 3
    jitter: float = 0.1
    truth: float = 0.5


class Points(NamedTuple):
    """Points for N rows: (N, P, 2) input pixels and (N, P) labels."""

    points: Tensor
    labels: Tensor


def choose_kinds(config: PromptConfig, uniform: np.ndarray) -> np.ndarray:
    """Index into `KINDS` for each number of `uniform` in [0, 1)."""
    shares = np.array([getattr(config, kind) for kind in KINDS], dtype=float)
    edges = np.cumsum(shares / shares.sum())
    return np.minimum(np.searchsorted(edges, uniform, side="right"), len(KINDS) - 1)


def click(masks: Tensor, uniform: Tensor) -> Points:
    """One positive click an object: its middle (40 %), anywhere inside (40 %), or close to its edge (20 %).

    Args:
        masks: (N, H, W) bool; a row without a pixel gets a padding point.
        uniform: (N, `DRAWS`).
    """
    depths = depth(masks)
    deepest = _deepest(masks, depths)[0]
    inside = random_point(masks, uniform[:, 1])
    limit = 0.5 * depths.amax(dim=(1, 2))
    edge = random_point(masks & (_stretched(depths, masks) < limit[:, None, None]), uniform[:, 2])
    empty_edge = (edge[:, 0] < 0)[:, None]
    edge = torch.where(empty_edge, inside, edge)
    style = uniform[:, :1]
    points = torch.where(style < 0.4, deepest, torch.where(style < 0.8, inside, edge))
    labels = torch.where(masks.any(dim=2).any(dim=1), ON, PAD)
    return Points(points.clamp(min=0)[:, None], labels[:, None].to(torch.int32))


def box(masks: Tensor, uniform: Tensor, *, jitter: float) -> Points:
    """A box around each object, each side off by up to `jitter` of the box's size and at most 20 pixels."""
    height, width = masks.shape[-2:]
    corners = bounds(masks)
    size = (corners[:, 2:] - corners[:, :2]).repeat(1, 2)
    off = (2 * uniform[:, :4] - 1) * (jitter * size).clamp(max=20)
    x, y = (corners + off).view(-1, 2, 2).unbind(-1)
    points = torch.stack([x.clamp(0, width), y.clamp(0, height)], dim=-1)
    labels = torch.arange(CORNER, CORNER_END + 1, dtype=torch.int32, device=masks.device).repeat(len(masks), 1)
    empty = ~masks.any(dim=2).any(dim=1)
    return Points(points, labels.masked_fill(empty[:, None], PAD))


def bounds(masks: Tensor) -> Tensor:
    """(N, H, W) bool -> (N, 4) float (x1, y1, x2, y2), the far edges exclusive; zeros where a mask is empty."""
    sides = []
    for dim in (1, 2):
        line = masks.any(dim=dim)
        size = line.shape[1]
        first = line.float().argmax(dim=1)
        last = size - line.flip(1).float().argmax(dim=1)
        there = line.any(dim=1)
        sides.append((first * there, last * there))
    (x1, x2), (y1, y2) = sides
    return torch.stack([x1, y1, x2, y2], dim=1).float()


def sloppy(masks: Tensor, uniform: Tensor) -> Tensor:
    """Masks as a hasty person or another program gives them: eroded or dilated, wobbly, coarse or angular.

    Each mask is averaged over cells of 2, 4 or 8 pixels and stretched back, which cuts corners and drops thin parts, is
    moved in or out by a shift of its threshold, and gets a wobbling edge from a 4x4 grid of noise. A mask that would
    lose more than half of its area is left as it was.

    Args:
        masks: (N, H, W) bool.
        uniform: (N, `DRAWS`).
    """
    count, height, width = masks.shape
    exact = masks[:, None].float()
    soft = torch.zeros_like(exact)
    level = uniform[:, 0]
    for i, cell in enumerate((2, 4, 8)):
        coarse = F.interpolate(exact, size=(max(1, height // cell), max(1, width // cell)), mode="area")
        blurred = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
        chosen = (level * 3).floor() == i
        soft = torch.where(chosen[:, None, None, None], blurred, soft)
    noise = F.interpolate(uniform[:, 4:20].reshape(count, 1, 4, 4), size=(height, width), mode="bicubic")
    shift = 0.6 * (uniform[:, 1] - 0.5)
    rough = (soft + 0.4 * (noise - 0.5) * (uniform[:, 2, None, None, None] < 0.7))[:, 0] > 0.5 + shift[:, None, None]
    rough = rough & (soft[:, 0] > 0.05)
    kept = (rough & masks).sum(dim=(1, 2)) * 2 >= masks.sum(dim=(1, 2))
    return torch.where(kept[:, None, None], rough, masks)


def correction(wrong: Tensor, target: Tensor, counts: Tensor | None = None) -> Points:
    """One click an object in the middle of its largest error: positive where it was missed, negative where too much.

    Args:
        wrong: (N, H, W) bool, the mask as it came out.
        target: (N, H, W) bool, as it should be.
        counts: (N, H, W) bool, pixels that may be judged (default all).

    A row without an error gets a click in the middle of the object, and one without an object either a padding point.
    """
    judged = torch.ones_like(target) if counts is None else counts
    missed, extra = target & ~wrong & judged, wrong & ~target & judged
    # At once: a GPU takes as long for the three as for one.
    places = torch.cat([missed, extra, target])
    (missed_point, extra_point, middle), (missed_depth, extra_depth, _) = (
        values.unflatten(0, (3, -1)).unbind() for values in _deepest(places, depth(places))
    )
    positive = missed_depth >= extra_depth
    points = torch.where(positive[:, None], missed_point, extra_point)
    labels = torch.where(positive, ON, OFF)
    fine = (missed_depth <= 0) & (extra_depth <= 0)
    there = target.any(dim=2).any(dim=1)
    points = torch.where(fine[:, None], middle, points)
    labels = torch.where(fine, torch.where(there, ON, PAD), labels)
    return Points(points.clamp(min=0)[:, None], labels[:, None].to(torch.int32))


def random_point(masks: Tensor, uniform: Tensor) -> Tensor:
    """A pixel of each mask, every one equally likely: (N, H, W) bool, (N,) -> (N, 2) (x, y); -1 where there is none."""
    width = masks.shape[-1]
    running = masks.flatten(1).cumsum(dim=1)
    total = running[:, -1]
    wanted = torch.minimum((uniform * total).floor(), (total - 1).clamp(min=0).to(uniform.dtype)) + 1
    index = torch.searchsorted(running, wanted.to(running.dtype)[:, None])[:, 0].clamp(max=running.shape[1] - 1)
    points = torch.stack([index % width, index // width], dim=1).float() + 0.5
    return torch.where((total > 0)[:, None], points, -torch.ones_like(points))


def depth(masks: Tensor) -> Tensor:
    """How far inside its mask each cell lies: (N, H, W) bool -> (N, h, w) float, the long side at most 64 cells.

    The picture's border counts as an edge. Found by letting what is outside grow again and again, by a square and a
    cross in turn, so that the distance is that of an octagon: a few per cent off a circle's, without leaving the
    device.
    """
    height, width = masks.shape[-2:]
    stride = max(1, -(-max(height, width) // 64))
    size = (-(-height // stride), -(-width // stride))
    outside = 1 - F.interpolate(masks[:, None].float(), size=size, mode="area")
    outside = F.pad(outside, (1, 1, 1, 1), value=1.0)
    steps = min(size) // 2
    total = outside.clone()
    for i in range(steps):
        if i % 2:
            outside = F.max_pool2d(outside, 3, stride=1, padding=1)
        else:
            across = F.max_pool2d(outside, (1, 3), stride=1, padding=(0, 1))
            down = F.max_pool2d(outside, (3, 1), stride=1, padding=(1, 0))
            outside = torch.maximum(across, down)
        total += outside
    return (steps + 1 - total)[:, 0, 1:-1, 1:-1]


def _stretched(depths: Tensor, masks: Tensor) -> Tensor:
    return F.interpolate(depths[:, None], size=masks.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def _deepest(masks: Tensor, depths: Tensor) -> tuple[Tensor, Tensor]:
    """The deepest pixel of each mask (N, 2), -1 where there is none, and its depth (N,), 0 where there is none.

    Among pixels that are equally deep the one with most of the mask around it wins, which centres it on thin parts.
    """
    width = masks.shape[-1]
    near = F.avg_pool2d(masks[:, None].float(), 5, stride=1, padding=2)[:, 0]
    value = torch.where(masks, _stretched(depths, masks) + 0.1 * near, torch.zeros_like(near)).flatten(1)
    best, index = value.max(dim=1)
    points = torch.stack([index % width, index // width], dim=1).float() + 0.5
    return torch.where((best > 0)[:, None], points, -torch.ones_like(points)), best
