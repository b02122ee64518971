"""One still with its objects, and what is asked of label maps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidseg.train.clip import IGNORE


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A decoded picture (h, w, 3) uint8 RGB, its labels (h, w) uint8 and the areas of those in use, in pixels."""

    name: str
    image: np.ndarray
    labels: np.ndarray
    areas_px: dict[int, int]


def at_border(mask: np.ndarray) -> bool:
    """Whether `mask` (H, W) touches the border of its picture."""
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def neighbour(labels: np.ndarray, label: int, *, reach_px: int = 3) -> int | None:
    """The other label with most pixels within `reach_px` of `label` in `labels` (H, W), or None."""
    side = 2 * reach_px + 1
    near = cv2.dilate((labels == label).astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    others, counts = np.unique(labels[near], return_counts=True)
    counts[np.isin(others, (0, IGNORE, label))] = 0
    return int(others[counts.argmax()]) if counts.max() >= side else None
