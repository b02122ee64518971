"""Where a tracker looks: a window that goes along with the objects, so that they keep their size and place in it.

A small network sees an object that fills a tenth of the picture on a tenth of its pixels, and loses one that grows or
shrinks fast. Through a window around all objects it sees them larger, always about as large, and about in the middle,
and a frame still costs one encoding. The decision to know: a frame's window follows from the masks two frames before,
so that it can be encoded while the frame between is tracked. Only models that look twice (`Sam2Config.second_look`)
look so; for others the window is the whole picture. In the window each object is looked for in a region of its own.
Source: cropping to the object's last place is what trackers of boxes do (SiamFC, arXiv 1606.09549, section 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vidseg.model.roi import Roi, everywhere
from vidseg.window import Edges, Window, whole

_LEAST = 0.4  # of the picture's width and height: from closer by too little is seen of what is around
_SHRINK = 0.3  # of the way to a smaller window is gone at once, all of it to a larger one
_CUT = 1.25  # a window that cuts off an object grows by this
_LOST = 1.2  # and by this, frame by frame, while one of its objects is out of sight
_EDGE = 2.0  # pixels from a window's edge at which an object is thought to be cut off
REACH = 0.15  # of its width and height: so far around its last place, on each side, an object is looked for,
STRIDE = 2  # and so many cells more,
LEAST_PART = 0.25  # and in no less than this share of the window's width and height
PARTS = 8  # regions are so many parts of the window wide and high, or fewer: objects of about one size share a batch


def around(objects: Sequence[Edges], size: tuple[int, int], times: float) -> Window:
    """Return the window of the picture's shape around all objects, `times` as wide or as high as they are together.

    Args:
        objects: where they are; without any, all of the picture is shown.
        size: (H, W) of the picture.
    """
    if not objects:
        return whole(size)
    return _window(_joined(objects), _wanted(_joined(objects), size, times), size)


def next_window(
    before: Window, seen: Window, objects: Sequence[Edges | None], size: tuple[int, int], times: float
) -> Window:
    """Return the window after `before`, from what was found in the window `seen`.

    Args:
        objects: where each object was found, None for one that is out of sight.
    """
    found = [edges for edges in objects if edges is not None]
    last = _share(before, size)
    if not found:
        middle = (before.left, before.top, before.right, before.bottom)
        return _window(middle, last * _LOST, size)
    edges = _joined(found)
    wanted = _wanted(edges, size, times)
    if _cut_off(edges, seen, size):
        wanted = max(wanted, _share(seen, size) * _CUT)
    if len(found) < len(objects):
        wanted = max(wanted, last * _LOST)
    return _window(edges, wanted if wanted > last else last + _SHRINK * (wanted - last), size)


def _joined(objects: Sequence[Edges]) -> Edges:
    lefts, tops, rights, bottoms = zip(*objects, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _wanted(edges: Edges, size: tuple[int, int], times: float) -> float:
    """The share of the picture's width and height that a window around `edges` takes."""
    left, top, right, bottom = edges
    return min(1.0, max(_LEAST, (right - left) * times / size[1], (bottom - top) * times / size[0]))


def _share(window: Window, size: tuple[int, int]) -> float:
    return window.size[1] / size[1]


def _cut_off(edges: Edges, window: Window, size: tuple[int, int]) -> bool:
    """Whether an object reaches an edge of the window that is not one of the picture."""
    left, top, right, bottom = edges
    return (
        (window.left > 0 and left <= window.left + _EDGE)
        or (window.top > 0 and top <= window.top + _EDGE)
        or (window.right < size[1] and right >= window.right - _EDGE)
        or (window.bottom < size[0] and bottom >= window.bottom - _EDGE)
    )


def _window(edges: Edges, share: float, size: tuple[int, int]) -> Window:
    """The window that shows `share` of the picture's width and height, in the middle of `edges` where there is room."""
    height, width = size
    h, w = (max(1, round(min(1.0, share) * length)) for length in size)
    left = round(min(max((edges[0] + edges[2] - w) / 2, 0.0), width - w))
    top = round(min(max((edges[1] + edges[3] - h) / 2, 0.0), height - h))
    return Window(left, top, left + w, top + h)


def region(trace: Sequence[Edges | None], window: Window, grid: tuple[int, int]) -> Roi:
    """Return the part of a window, on its map of `grid` (h, w) cells, in which to look for an object.

    It is around where the object was a frame before, and as much wider as either of its sides moved last.

    Args:
        trace: where it was two frames before and one, in pixels of the picture; None for one that was out of sight.
            One that was not seen on both may be anywhere.
        window: through which the frame is seen.
    """
    before, last = trace if len(trace) == 2 else (None, None)
    if before is None or last is None:
        return everywhere(grid)
    moved = [abs(now - then) for now, then in zip(last, before, strict=True)]
    x, y = max(moved[0], moved[2]), max(moved[1], moved[3])
    left, right = _reach(last[0] - x, last[2] + x, start=window.left, length=window.size[1], cells=grid[1])
    top, bottom = _reach(last[1] - y, last[3] + y, start=window.top, length=window.size[0], cells=grid[0])
    return Roi(top, left, bottom, right, grid)


def _reach(low: float, high: float, *, start: int, length: int, cells: int) -> tuple[int, int]:
    """First cell, and the one after the last, of an object's reach along one side of a window."""
    low, high = ((edge - start) / length * cells for edge in (low, high))
    reach = REACH * (high - low) + STRIDE
    part = max(1, cells // PARTS)
    size = min(cells, part * math.ceil(max(LEAST_PART * cells, high - low + 2 * reach) / part))
    if cells - size < part:  # what is left over, where the sides are no multiples
        size = cells
    first = min(max(round((low + high - size) / 2), 0), cells - size)
    return first, first + size
