"""Inertia: how firmly a mask stays as it is when clicks correct it.

A network that is asked to correct a mask at one place often changes it at others, too. The decision to know: people
click in the middle of what is wrong, so the mask's edge is about as far from a click as the error reaches, and what is
farther away has to be surer to change.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidseg.types import Click

_HOLD = 4.0  # logits by which a mask resists a click far away
_REACH = 2.0  # a click easily changes what is so many times as far from it as the mask's edge,
_LEAST = 0.005  # or this share of the picture's longer side


def inertia(mask: np.ndarray, clicks: Sequence[Click]) -> np.ndarray:
    """Return what to add to the logits of a mask's correction, (H, W) float32: 0 at the clicks, up to 4 far from them.

    Args:
        mask: (H, W) bool, as it was before; its sign is that of what is returned.
        clicks: in pixels of the mask. Those that it agrees with hardly reach beyond themselves.
    """
    height, width = mask.shape
    least, freed = _LEAST * max(height, width), np.zeros(mask.shape)
    for click in clicks:
        x, y = min(int(click.x), width - 1), min(int(click.y), height - 1)
        wrong = np.pad((mask != click.on).view(np.uint8), 1)  # beyond the picture nothing is wrong
        depth = float(cv2.distanceTransform(wrong, cv2.DIST_L2, 3)[1 + y, 1 + x])
        reach = max(least, _REACH * depth)
        down, across = np.arange(height) + 0.5 - click.y, np.arange(width) + 0.5 - click.x
        freed = np.maximum(freed, np.exp(-((down[:, None] / reach) ** 2) - (across / reach) ** 2))
    return (np.where(mask, _HOLD, -_HOLD) * (1 - freed)).astype(np.float32)
