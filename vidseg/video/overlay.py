"""Drawing masks on a frame: each object tinted in its colour of the DAVIS palette, with a crisp contour.

Fast because it works inside each object's bounding box with OpenCV's table look-up for three objects on
854x480.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from vidseg.errors import VideoError
from vidseg.masks.palette import PALETTE


def colour(id: int) -> tuple[int, int, int]:
    """Return the (r, g, b), each 0-255, of an object's id in the DAVIS palette; ids above 255 start again at 1."""
    red, green, blue = PALETTE[id if id < 256 else (id - 1) % 255 + 1]
    return int(red), int(green), int(blue)


def draw(
    image: np.ndarray, masks: np.ndarray, ids: Sequence[int], *, alpha: float = 0.5, contour: bool = True
) -> np.ndarray:
    """Return a copy of the image with the masks drawn on it; where masks overlap the last one is on top.

    Args:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) bool.
        ids: the N objects' ids, which choose their colours.
        alpha: strength of the tint, 0 (none) to 1 (opaque).
        contour: draw the rim of each mask, two pixels wide and inside it, in the full colour.

    Raises:
        VideoError: sizes do not match, or alpha is outside 0-1.
    """
    masks = np.asarray(masks)
    if masks.shape != (len(ids), *image.shape[:2]):
        raise VideoError(
            f"masks of shape {masks.shape} do not fit {len(ids)} ids on an image of {image.shape[1]}x{image.shape[0]}; "
            "expected (N, H, W)"
        )
    if not 0 <= alpha <= 1:
        raise VideoError(f"alpha {alpha} is outside 0 to 1")
    drawn = image.copy()
    for mask, id in zip(masks, ids, strict=True):
        _draw_one(drawn, mask, colour(id), alpha, contour)
    return drawn


def _draw_one(drawn: np.ndarray, mask: np.ndarray, rgb: tuple[int, int, int], alpha: float, contour: bool) -> None:
    """Draw one mask on `drawn`, in place."""
    import cv2

    inside: Any = np.ascontiguousarray(mask, dtype=bool).view(np.uint8)
    x, y, width, height = cv2.boundingRect(inside)
    if not width:
        return
    box = (slice(y, y + height), slice(x, x + width))
    inside, region = inside[box], drawn[box]
    cv2.copyTo(cv2.LUT(region, _tint(rgb, alpha)), inside, region)
    if contour:
        # A border of zeros, so that a mask that touches the box (not the frame) has its rim there too.
        padded = cv2.copyMakeBorder(inside, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0)
        rim = inside - cv2.erode(padded, np.ones((5, 5), np.uint8))[2:-2, 2:-2]
        region[rim.view(bool)] = rgb


@lru_cache(maxsize=512)
def _tint(rgb: tuple[int, int, int], alpha: float) -> np.ndarray:
    """Return the (1, 256, 3) uint8 table from a channel's value to its blend with the colour."""
    values = np.arange(256)[None, :, None] * (1 - alpha) + np.asarray(rgb) * alpha
    return np.rint(values).astype(np.uint8)
