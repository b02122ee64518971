"""The vocabulary that every part of vidseg shares: numpy only, no torch, no files.

Coordinates are pixels of the original frame, (0, 0) is its top-left corner, x runs right and y down.
Boxes are (x1, y1, x2, y2), sizes are (H, W), colours are RGB. Frame numbers start at 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Click(NamedTuple):
    """One point on the picture; `on` says whether it lies on the object or on what is not the object."""

    x: float
    y: float
    on: bool = True


class Box(NamedTuple):
    """A rectangle in pixels; (x1, y1) is its top-left and (x2, y2) its bottom-right corner."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """All that a user says of one object on one frame.

    Attributes:
        object: the object's id, a positive integer the caller chooses.
        frame: 0-based index of the frame.
        clicks: positive and negative points.
        box: a rectangle around the object; may be combined with clicks.
        mask: (H, W) bool array at the frame's size; stands alone, clicks on a mask correct it.
    """

    object: int
    frame: int
    clicks: tuple[Click, ...] = ()
    box: Box | None = None
    mask: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture: its 0-based index, its presentation time and (H, W, 3) uint8 RGB pixels."""

    index: int
    seconds: float
    image: np.ndarray
