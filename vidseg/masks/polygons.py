"""Masks as polygons and back, without losing a pixel.

Two ways to lay a polygon round pixels are in use, and mixing them up costs a pixel at every edge:

- `rings` runs along the edges between pixels: pixel (x, y) is the square from (x, y) to (x+1, y+1). COCO and CVAT
  mean this; `fill` gives back exactly the same mask, and so does pycocotools.
- `contour` runs through the centres of the outermost pixels, as OpenCV and the YOLO tools do; `fill_contour`
  (OpenCV's fillPoly, which paints the line too) gives back the mask.

Holes and separate parts fit into one polygon by a seam: a line walked there and back. Along pixel edges a seam has no
area, whatever it crosses. Through pixel centres it paints a line, which only shows where it joins separate parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .rle import Rle, from_counts

_SCALE = 5  # COCO's rasteriser works on a grid five times finer
_PAIRS = 1_000_000  # vertex pairs looked at when the nearest two are sought
_TRIES = 200  # of these, how many seams are tried


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One connected part of a mask: its outer ring and the rings of its holes, each (P, 2) float64 (x, y)."""

    outer: np.ndarray
    holes: tuple[np.ndarray, ...] = ()


def outlines(mask: np.ndarray) -> list[Outline]:
    """Return the parts of a (H, W) mask as rings along pixel edges, from the top left.

    Pixels that touch by a corner only are different parts, so that no ring crosses itself. Outer rings run clockwise
    on the screen, holes the other way; corners only, the last one is not repeated.
    """
    mask = np.ascontiguousarray(mask, np.uint8)
    _, labels = cv2.connectedComponents(mask, connectivity=4)
    outers: dict[int, np.ndarray] = {}
    holes: dict[int, list[np.ndarray]] = {}
    for ring in _trace(mask):
        (x1, y1), (x2, _) = ring[0].astype(int), ring[1].astype(int)
        part = int(labels[y1, x1] if x2 > x1 else labels[y1 - 1, x2])  # the pixel on the right-hand side
        if _turns_clockwise(ring):
            outers[part] = ring
        else:
            holes.setdefault(part, []).append(ring)
    return [Outline(outers[part], tuple(holes.get(part, ()))) for part in sorted(outers)]


def rings(mask: np.ndarray) -> list[np.ndarray]:
    """Return one ring of (P, 2) pixel edges a part, its holes joined to it by seams; filling them gives the mask."""
    return [join([part.outer, *part.holes]) for part in outlines(mask)]


def fill(ring: np.ndarray, size: tuple[int, int]) -> Rle:
    """Return the run lengths of a polygon along pixel edges in a (H, W) picture: the same pixels as pycocotools.

    COCO's rule: the polygon is drawn on a grid five times finer, and a column of pixels changes where the line crosses
    its centre. Parts outside the picture are cut off.
    """
    height, width = size
    corners = np.trunc(np.asarray(ring, np.float64) * _SCALE + 0.5).astype(np.int64)
    u, v = _line_points(corners, np.roll(corners, -1, axis=0))
    turns = np.flatnonzero(u[1:] != u[:-1]) + 1
    column = np.minimum(u[turns], u[turns - 1])
    inside = (column % _SCALE == _SCALE // 2) & (column >= 0) & (column < width * _SCALE)
    row = np.minimum(v[turns], v[turns - 1])[inside]
    row = np.ceil(np.clip((row + 0.5) / _SCALE - 0.5, 0, height)).astype(np.int64)
    changes, times = np.unique((column[inside] // _SCALE) * height + row, return_counts=True)
    changes = changes[(times % 2 == 1) & (changes < height * width)]
    return from_counts(np.diff(changes, prepend=0, append=height * width), size=size)


def contour(mask: np.ndarray) -> list[np.ndarray]:
    """Return one polygon of (P, 2) pixel centres a part, its holes joined to it, in the way of OpenCV and YOLO.

    Coordinates are pixel indices; pixels that touch by a corner belong together.
    """
    found, tree = cv2.findContours(np.ascontiguousarray(mask, np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts: dict[int, list[np.ndarray]] = {}
    for n, points in enumerate(found):
        parent = tree[0, n, 3]
        parts.setdefault(n if parent < 0 else parent, []).append(points[:, 0].astype(np.float64))
    return [join(group, inside=mask) for group in parts.values()]


def fill_contour(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) bool mask of a polygon of pixel indices, line included; fractions are cut off, as YOLO does."""
    mask = np.zeros(size, np.uint8)
    limit = 4 * max(size)
    cv2.fillPoly(mask, [np.clip(np.asarray(polygon, np.float64), -limit, limit).astype(np.int32)], 1)
    return mask.view(bool)


def join(parts: list[np.ndarray], *, inside: np.ndarray | None = None) -> np.ndarray:
    """Return one polygon that walks round all given ones, with a seam between the nearest corners of each two.

    With a mask `inside`, the nearest corners are taken whose seam runs on its pixels only, if there are any.
    """
    joined, *rest = parts
    for part in rest:
        at, first = _nearest(joined, part, inside)
        walk = np.concatenate([part[first:], part[: first + 1], joined[at : at + 1]])
        joined = np.concatenate([joined[: at + 1], walk, joined[at + 1 :]])
    return joined


def simplify(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """Return a polygon with fewer corners that stays within `tolerance` pixels (0: unchanged), at least three."""
    if tolerance <= 0 or len(ring) <= 4:
        return ring
    fewer = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, True)[:, 0].astype(np.float64)
    return fewer if len(fewer) >= 3 else ring


def _trace(mask: np.ndarray) -> list[np.ndarray]:
    """Follow the edges between object and background, the object on the right-hand side, corner by corner."""
    padded = np.pad(mask.astype(np.int8), 1)
    width = mask.shape[1] + 1
    across = _segments(padded[1:, 1:-1] - padded[:-1, 1:-1])  # (y, x1, x2, sign): object below +1, above -1
    down = _segments((padded[1:-1, 1:] - padded[1:-1, :-1]).T)  # (x, y1, y2, sign): object right +1, left -1
    y, x1, x2, sign = across
    right = sign > 0
    start = np.stack([np.where(right, x1, x2), y], 1)
    end = np.where(right, x2, x1) + y * width
    x, y1, y2, sign = down
    downward = sign < 0
    down_start = x + np.where(downward, y1, y2) * width
    down_end = x + np.where(downward, y2, y1) * width
    # After going right the right-hand turn is down, after going left it is up; after down it is left, after up right.
    after_across = _successor(end, right, down_start, downward)
    after_down = _successor(down_end, ~downward, start[:, 0] + start[:, 1] * width, right)
    follow = after_down[after_across].tolist()
    corners = np.stack([np.stack([end % width, end // width], 1), start], 1)
    result, seen = [], np.zeros(len(follow), bool).tolist()
    for first in range(len(follow)):
        loop = []
        n = first
        while not seen[n]:
            seen[n] = True
            loop.append(n)
            n = follow[n]
        if loop:
            result.append(corners[loop][:, ::-1].reshape(-1, 2).astype(np.float64))
    return result


def _segments(difference: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return line, first, one past the last and sign of every run of equal numbers other than 0 along the rows."""
    lines, length = difference.shape
    edged = np.zeros((lines, length + 2), np.int8)
    edged[:, 1:-1] = difference
    flat = edged.ravel()
    at = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = at[flat[at] != 0]
    stops = at[flat[at - 1] != 0]
    line, first = np.divmod(starts, length + 2)
    return line, first - 1, stops % (length + 2) - 1, flat[starts]


def _successor(ends: np.ndarray, wanted: np.ndarray, starts: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return for every end point the segment that starts there, of the wanted direction where there are two."""
    keys = starts * 2 + directions
    order = np.argsort(keys)
    keys = keys[order]
    places = np.minimum(np.searchsorted(keys, ends * 2 + wanted), len(keys) - 1)
    other = np.minimum(np.searchsorted(keys, ends * 2 + ~wanted), len(keys) - 1)
    return order[np.where(keys[places] == ends * 2 + wanted, places, other)] if len(keys) else places


def _turns_clockwise(ring: np.ndarray) -> bool:
    x, y = ring.T
    return bool(np.dot(x, np.roll(y, -1)) > np.dot(y, np.roll(x, -1)))


def _nearest(first: np.ndarray, second: np.ndarray, inside: np.ndarray | None) -> tuple[int, int]:
    """Return the positions of the two nearest corners (of every few corners, where there are very many)."""
    step = 1 + int((len(first) * len(second) / _PAIRS) ** 0.5)
    distance = ((first[::step, None] - second[None, ::step]) ** 2).sum(-1).ravel()
    width = -(-len(second) // step)
    if inside is not None:
        tries = min(_TRIES, len(distance))
        pairs = np.argpartition(distance, tries - 1)[:tries]
        for a, b in zip(*np.divmod(pairs[np.argsort(distance[pairs])], width), strict=True):
            if _on_mask(first[a * step], second[b * step], inside):
                return int(a) * step, int(b) * step
    a, b = divmod(int(distance.argmin()), width)
    return a * step, b * step


def _on_mask(start: np.ndarray, end: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the line that OpenCV draws between two pixels stays on the mask."""
    (x1, y1), (x2, y2) = np.minimum(start, end).astype(int), np.maximum(start, end).astype(int) + 1
    line = np.zeros((y2 - y1, x2 - x1), np.uint8)
    points = (np.stack([start, end]).astype(int) - (x1, y1)).tolist()
    cv2.line(line, points[0], points[1], 1)
    return bool(mask[y1:y2, x1:x2][line.view(bool)].all())


def _line_points(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the grid points of all lines, one after the other: a point a step along the longer axis, both ends in."""
    span = np.abs(end - start)
    steps = span.max(axis=1)
    line = np.repeat(np.arange(len(steps)), steps + 1)
    t = np.arange(len(line)) - np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
    major = (span[:, 1] > span[:, 0]).astype(int)  # 0: x is the longer axis
    each = np.arange(len(steps))
    turned = start[each, major] > end[each, major]
    low, high = np.where(turned[:, None], end, start), np.where(turned[:, None], start, end)
    t = np.where(turned[line], steps[line] - t, t)
    slope = (high - low)[each, 1 - major] / np.maximum(steps, 1)
    along = low[each, major][line] + t
    beside = np.trunc(low[each, 1 - major][line] + slope[line] * t + 0.5).astype(np.int64)
    x_is_major = major[line] == 0
    return np.where(x_is_major, along, beside), np.where(x_is_major, beside, along)
