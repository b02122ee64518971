"""Cleaning masks: tensors in, new tensors out. Nothing here is applied unless the caller asks for it.

All functions take logits (above 0 is the object) of any float type on any device, shape (..., H, W); `fill_holes` and
`drop_specks` take bool masks too. Areas count pixels of the tensor, not of the video. Connected pixels touch by a
side or a corner. Components are found on the CPU by OpenCV.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

_FILLED, _DROPPED = 0.1, -0.1  # on the right side of 0, and no more confident than that
_OTHERS = -10.0


def fill_holes(masks: Tensor, area_px: int) -> Tensor:
    """Return masks whose background regions of at most `area_px` pixels belong to the object.

    Filled logits become 0.1. Small regions between the object and the border of the picture count as holes too. An
    empty mask stays empty. Source: SAM 2's `fill_hole_area` (arXiv 2408.00714, released code).
    """
    small = _small_regions(~_on(masks), area_px, keep_largest=False)
    small &= _on(masks).any(dim=-1, keepdim=True).any(dim=-2, keepdim=True)
    return masks | small if masks.dtype == torch.bool else masks.masked_fill(small, _FILLED)


def drop_specks(masks: Tensor, area_px: int) -> Tensor:
    """Return masks without the object's regions of at most `area_px` pixels; the largest one always stays.

    Dropped logits become -0.1.
    """
    small = _small_regions(_on(masks), area_px, keep_largest=True)
    return masks & ~small if masks.dtype == torch.bool else masks.masked_fill(small, _DROPPED)


def make_exclusive(logits: Tensor) -> Tensor:
    """Return (N, H, W) logits in which objects do not overlap.

    Each pixel keeps its highest logit (of equal ones the first); those of the other objects are at most -10.
    Source: SAM 2's `non_overlap_masks` (released code).
    """
    if logits.shape[0] < 2:
        return logits
    owner = logits.argmax(dim=0, keepdim=True)
    objects = torch.arange(logits.shape[0], device=logits.device)[:, None, None]
    return torch.where(owner == objects, logits, logits.clamp(max=_OTHERS))


def _on(masks: Tensor) -> Tensor:
    return masks if masks.dtype == torch.bool else masks.detach() > 0


def _small_regions(on: Tensor, area_px: int, *, keep_largest: bool) -> Tensor:
    """Return a bool tensor that is true on the connected regions of `on` with at most `area_px` pixels."""
    planes = on.cpu().numpy().reshape(-1, *on.shape[-2:]).view(np.uint8)
    small = np.zeros(planes.shape, bool)
    for plane, result in zip(planes, small, strict=True):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(plane, connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA].copy()
        areas[0] = area_px + 1  # label 0 is what is not `on`
        chosen = areas <= area_px
        if keep_largest and len(areas) > 1:
            chosen[1 + areas[1:].argmax()] = False
        if chosen.any():
            result[:] = chosen[labels]
    return torch.from_numpy(small.reshape(on.shape)).to(on.device)
