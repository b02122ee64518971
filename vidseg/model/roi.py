"""Regions of interest: the parts of a frame's feature map in which objects are looked for, one for each object.

Attention to memory and the encoding of memories are most of what an object costs, and most of a frame is far from most
of its objects. Maps keep their size: beyond a region stands the mean of what is inside, so that the decoder still sees
an object on a large ground. One that saw nothing but the region lost parts of objects, and one that saw the frame's own
features there, without memory, found other objects in them.
Source: regions of a shared feature map, Fast R-CNN (arXiv 1504.08083), section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Roi(NamedTuple):
    """A rectangle of cells, `bottom` and `right` excluded, of a map of `grid` (h, w) cells."""

    top: int
    left: int
    bottom: int
    right: int
    grid: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in cells."""
        return self.bottom - self.top, self.right - self.left

    @property
    def area(self) -> int:
        """Its number of cells."""
        return self.size[0] * self.size[1]

    @property
    def is_all(self) -> bool:
        """Whether it leaves nothing out."""
        return self.size == self.grid


def everywhere(grid: tuple[int, int]) -> Roi:
    """Return the region that is the whole of a map."""
    return Roi(0, 0, *grid, grid)


def cells_of(rois: Sequence[Roi], *, device: torch.device) -> Tensor:
    """Return the numbers (N, h * w) of the cells of N regions of one size, as the whole map's rows are read."""
    h, w = rois[0].size
    width = rois[0].grid[1]
    first = torch.tensor([roi.top * width + roi.left for roi in rois], device=device)
    inside = torch.arange(h, device=device)[:, None] * width + torch.arange(w, device=device)
    return first[:, None] + inside.flatten()


def cropped(maps: Tensor, rois: Sequence[Roi]) -> Tensor:
    """Cut N regions of one size, (N, C, s * h, s * w), out of maps (N or 1, C, H, W) s times as fine as their grid."""
    s = maps.shape[-1] // rois[0].grid[1]
    rows = maps.expand(len(rois), -1, -1, -1)
    return torch.stack([row[_part(roi, s)] for row, roi in zip(rows, rois, strict=True)])


def filled(parts: Tensor, rois: Sequence[Roi], *, outside: float | None = None) -> Tensor:
    """Put (N, C, s * h, s * w) parts into whole maps; beyond them is the value `outside`, or the mean of each part."""
    s = parts.shape[-1] // rois[0].size[1]
    beyond = parts.mean(dim=(2, 3), keepdim=True) if outside is None else parts.new_full((1, 1, 1, 1), outside)
    maps = beyond.expand(*parts.shape[:2], *(s * cells for cells in rois[0].grid)).clone()
    for one, part, roi in zip(maps, parts, rois, strict=True):
        one[_part(roi, s)] = part
    return maps


def levelled(maps: Tensor, near: Tensor) -> Tensor:
    """Return (N, C, h, w) maps that are the mean of the cells `near` (N, h, w) everywhere else, as `filled` makes them:
    for training, where regions are of many sizes and save nothing.
    """
    inside = near[:, None].to(maps.dtype)
    mean = (maps * inside).sum(dim=(2, 3), keepdim=True) / inside.sum(dim=(2, 3), keepdim=True)
    return torch.where(near[:, None], maps, mean)


def _part(roi: Roi, s: int) -> tuple[slice, slice, slice]:
    """All channels, and the rows and columns of a region on a map s times as fine as its grid."""
    return slice(None), slice(s * roi.top, s * roi.bottom), slice(s * roi.left, s * roi.right)
