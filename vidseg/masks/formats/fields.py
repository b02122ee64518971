"""Values that come from files, checked: each function returns the value or says which entry of which file is wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import MaskFormatError
from ...types import Box

MAX_PIXELS = 2**28
"""Frames larger than this (16384 x 16384) come from damaged files."""
MAX_FRAMES = 10_000_000
"""As do longer videos."""


def as_object(value: Any, where: str) -> dict[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise MaskFormatError(f"{where} is {_kind(value)}; expected an object with named fields")
    return value


def as_list(value: Any, where: str) -> list[Any]:
    """Return a JSON list."""
    if not isinstance(value, list):
        raise MaskFormatError(f"{where} is {_kind(value)}; expected a list")
    return value


def as_int(value: Any, where: str, *, low: int | None = None) -> int:
    """Return a whole number (also of a float or text such as "3"), at least `low`."""
    try:
        number = int(value) if not isinstance(value, float) or value.is_integer() else None
    except (TypeError, ValueError):
        number = None
    if number is None or isinstance(value, bool) or (low is not None and number < low):
        raise MaskFormatError(
            f"{where} is {value!r}; expected a whole number{f' from {low}' if low is not None else ''}"
        )
    return number


def as_frames(value: Any, where: str) -> int:
    """Return a number or an index of frames."""
    number = as_int(value, where, low=0)
    if number > MAX_FRAMES:
        raise MaskFormatError(f"{where} is {number}; videos have at most {MAX_FRAMES:,} frames, the file is damaged")
    return number


def as_score(value: Any, where: str) -> float:
    """Return a finite number."""
    number = _number(value)
    if number is None:
        raise MaskFormatError(f"{where} has the score {value!r}; expected a number")
    return number


def as_size(height: Any, width: Any, where: str) -> tuple[int, int]:
    """Return (H, W) in pixels."""
    size = as_int(height, f"{where}: height", low=1), as_int(width, f"{where}: width", low=1)
    if size[0] * size[1] > MAX_PIXELS:
        raise MaskFormatError(f"{where} is {size[1]}x{size[0]} pixels, more than any picture; the file is damaged")
    return size


def as_box(value: Any, where: str) -> Box:
    """Return the box of COCO's [x, y, width, height]."""
    numbers = [_number(n) for n in value] if isinstance(value, (list, tuple)) else []
    if len(numbers) != 4 or None in numbers or numbers[2] < 0 or numbers[3] < 0:  # type: ignore[operator]
        raise MaskFormatError(f"{where} has the box {value!r}; expected [x, y, width, height] in pixels")
    x, y, width, height = (float(n) for n in numbers)  # type: ignore[arg-type]
    return Box(x, y, x + width, y + height)


def as_polygon(values: Any, size: tuple[int, int], where: str) -> np.ndarray:
    """Return the (P, 2) corners of a flat list x1, y1, x2, y2 ..., which may pass the picture by its own size."""
    try:
        flat = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        flat = np.empty((0, 0))
    if flat.ndim != 1 or flat.size < 6 or flat.size % 2:
        raise MaskFormatError(f"{where} has a polygon that is no list of at least three x, y pairs")
    corners = flat.reshape(-1, 2)
    reach = np.array([size[1], size[0]], float)
    if not ((corners >= -reach) & (corners <= 2 * reach)).all():
        raise MaskFormatError(f"{where} has a polygon far outside the {size[1]}x{size[0]} picture; expected pixels")
    return corners


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def _kind(value: Any) -> str:
    return "missing" if value is None else f"of type {type(value).__name__}"
