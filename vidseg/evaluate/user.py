"""The simulated user: prompts and corrections drawn from true masks by fixed rules. No model, no file.

A click is put where a careful person puts it: on the pixel deepest inside the object, that is the one farthest from
everything that is not the object and from the edge of the picture. Where several pixels are equally deep, one is drawn
with a generator seeded by `seed`, the sequence, the object and the frame, so the same question gives the same click on
every machine. Clicks are given at the centre of the pixel: column + 0.5, row + 0.5.
"""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from vidseg.errors import DataError
from vidseg.masks import boxes
from vidseg.types import Box, Click, Prompt

PROMPTS = ("mask", "box", "click", "clicks3")
_SAFE_DEPTH = 1 / 3  # of the greatest depth: the second and third click keep this far from the object's edge


def prompt(kind: str, object_id: int, frame: int, mask: np.ndarray, *, key: str = "", seed: int = 0) -> Prompt:
    """Return what a user says of an object whose true mask (H, W) on `frame` is known.

    `kind` is "mask" (the mask itself), "box" (the tightest one), "click" (the centre of the largest part) or "clicks3"
    (that click, then twice the pixel farthest from the clicks so far among those of the object that are at least a
    third as deep as its deepest). `key` (the sequence's name) and `seed` draw among equals.

    Raises DataError if the mask is empty or the kind unknown.
    """
    if not mask.any():
        raise DataError(
            f"object {object_id} of {key or 'the video'} is not visible on frame {frame}: nothing to prompt"
        )
    if kind == "mask":
        return Prompt(object_id, frame, mask=mask)
    if kind == "box":
        x1, y1, x2, y2 = boxes(mask[None])[0].tolist()
        return Prompt(object_id, frame, box=Box(x1, y1, x2, y2))
    draw = _generator(key, object_id, frame, seed)
    if kind == "click":
        return Prompt(object_id, frame, clicks=(centre(mask, draw),))
    if kind == "clicks3":
        return Prompt(object_id, frame, clicks=_spread(mask, 3, draw))
    raise DataError(f"unknown prompt {kind!r}; choose one of {', '.join(PROMPTS)}")


def correction(
    predicted: np.ndarray, truth: np.ndarray, *, key: str = "", object_id: int = 1, frame: int = 0, seed: int = 0
) -> Click | None:
    """Return the click that corrects a predicted mask (H, W): at the centre of the largest wrong region, or None.

    The regions are the connected parts of what is missing (then the click is on the object) and of what is too much
    (then it is off); the largest is the one with most pixels, missing before too much where equal.
    """
    draw = _generator(key, object_id, frame, seed)
    missing, extra = _largest(truth & ~predicted), _largest(predicted & ~truth)
    areas = np.count_nonzero(missing), np.count_nonzero(extra)
    if not any(areas):
        return None
    on = bool(areas[0] >= areas[1])
    return centre(missing if on else extra, draw)._replace(on=on)


def centre(mask: np.ndarray, draw: np.random.Generator) -> Click:
    """Return a click on the deepest pixel of the largest connected part (8 neighbours) of a (H, W) mask with pixels."""
    deep = depth(_largest(mask))
    return _pick(np.isclose(deep, deep.max()), draw)


def depth(mask: np.ndarray) -> np.ndarray:
    """Return for every pixel of a (H, W) mask its distance to the nearest pixel outside, or to the picture's edge.

    float32 in pixels, 0 outside the mask. Pixels beyond the edge of the picture count as outside.
    """
    padded = np.pad(mask.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


def _spread(mask: np.ndarray, count: int, draw: np.random.Generator) -> tuple[Click, ...]:
    """The centre, then each time the safe pixel farthest from all clicks so far."""
    clicks = [centre(mask, draw)]
    deep = depth(mask)
    safe = deep >= deep.max() * _SAFE_DEPTH
    rows, columns = np.indices(mask.shape, dtype=np.float32)
    while len(clicks) < count:
        away = np.min([np.hypot(columns + 0.5 - click.x, rows + 0.5 - click.y) for click in clicks], axis=0)
        away[~safe] = -1
        clicks.append(_pick(np.isclose(away, away.max()), draw))
    return tuple(clicks)


def _pick(equals: np.ndarray, draw: np.random.Generator) -> Click:
    places = np.argwhere(equals)
    row, column = places[draw.integers(len(places))].tolist()
    return Click(column + 0.5, row + 0.5)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask; the one met first, row by row, where several are as large."""
    count, labels, table, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 1:
        return np.zeros_like(mask, bool)
    return labels == 1 + int(np.argmax(table[1:, cv2.CC_STAT_AREA]))


def _generator(key: str, object_id: int, frame: int, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(key.encode()), object_id, frame])
