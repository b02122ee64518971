"""Boxes, areas and centroids of a stack of masks."""

from __future__ import annotations

import numpy as np


def boxes(masks: np.ndarray) -> np.ndarray:
    """Return the tight boxes of (N, H, W) bool masks as (N, 4) float64 xyxy pixels.

    x2 and y2 are one past the last pixel, so that a box's area counts pixels; an empty mask has zeros.
    """
    masks = np.asarray(masks, bool)
    result = np.zeros((len(masks), 4))
    for row, mask in zip(result, masks, strict=True):
        ys = np.flatnonzero(mask.any(axis=1))
        if len(ys):
            xs = np.flatnonzero(mask[ys[0] : ys[-1] + 1].any(axis=0))
            row[:] = xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
    return result


def centroid(mask: np.ndarray) -> tuple[float, float] | None:
    """Return the mean (x, y) of a (H, W) mask's pixel centres, which lie at +0.5; None if it is empty."""
    ys, xs = np.nonzero(mask)
    if len(xs) == 0:
        return None
    return float(xs.mean()) + 0.5, float(ys.mean()) + 0.5
