"""Brush strokes and polygons as pixels, and corrections kept where they were asked for. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..types import Click

_BITS = 4  # OpenCV takes coordinates in sixteenths of a pixel
_NEAR = 3  # pixels between a click and the change that it is taken to mean


def brush(size: tuple[int, int], points: Sequence[Sequence[float]], radius: float) -> np.ndarray:
    """Return the (H, W) bool pixels under a round brush of `radius` pixels drawn through (x, y) `points`."""
    canvas = np.zeros(size, np.uint8)
    places = _fixed(points)
    if len(places) == 1:
        cv2.circle(canvas, places[0].tolist(), max(1, round(radius * (1 << _BITS))), 1, cv2.FILLED, cv2.LINE_8, _BITS)
    else:
        thickness = max(1, round(2 * radius))
        cv2.polylines(canvas, [places], False, 1, thickness, cv2.LINE_8, _BITS)
    return canvas.view(bool)


def polygon(size: tuple[int, int], points: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the (H, W) bool pixels inside and on the closed polygon through (x, y) `points`."""
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [_fixed(points)], 1, cv2.LINE_8, _BITS)
    return canvas.view(bool)


def combine(mask: np.ndarray | None, stroke: np.ndarray, mode: str) -> np.ndarray:
    """Return the mask after a stroke; `mode` is "add", "erase" or "replace", `mask` None for an empty one."""
    if mask is None:
        mask = np.zeros_like(stroke)
    if mode == "add":
        return mask | stroke
    return mask & ~stroke if mode == "erase" else stroke


def local_change(before: np.ndarray, after: np.ndarray, click: Click) -> np.ndarray:
    """Return `before` with only those connected changes towards `after` that lie at the click.

    A mask should not move elsewhere because of a click here. If no change lies within 3 pixels of the click, `after` is
    taken whole: the click then meant something larger.
    """
    changed = before ^ after
    count, labels = cv2.connectedComponents(changed.view(np.uint8))
    height, width = before.shape
    x, y = min(int(click.x), width - 1), min(int(click.y), height - 1)
    near = labels[max(0, y - _NEAR) : y + _NEAR + 1, max(0, x - _NEAR) : x + _NEAR + 1]
    meant = set(np.unique(near).tolist()) - {0}
    if count <= 1 or not meant:
        return after
    return np.where(np.isin(labels, list(meant)), after, before)


def _fixed(points: Sequence[Sequence[float]]) -> np.ndarray:
    # Our (0, 0) is the corner of the first pixel, OpenCV's is its centre.
    return np.round((np.asarray(points, np.float64) - 0.5) * (1 << _BITS)).astype(np.int32).reshape(-1, 2)
