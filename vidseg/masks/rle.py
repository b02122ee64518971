"""Run-length masks as COCO defines them, in numpy: encode, decode, area, box, without decoding where possible.

An RLE is `{"size": [H, W], "counts": str}`. The runs go down the columns (column-major order), alternate between
background and object and start with background. The string is COCO's compressed form: every count, from the fourth
on as its difference to the count two before, in groups of five bits, lowest first, as the characters 48 to 111.
Source: the COCO mask API (cocodataset.org). Lists of integers (COCO's "uncompressed" RLE) are read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import cv2
import numpy as np

from ..errors import MaskFormatError
from ..types import Box

MAX_PIXELS = 2**31 - 1  # counts are 32-bit in other readers
_GROUPS = 7  # five-bit groups that the difference of two such counts can need


class Rle(TypedDict):
    """A COCO run-length mask: `size` is [H, W], `counts` the compressed string."""

    size: list[int]
    counts: str


def encode(mask: np.ndarray) -> Rle:
    """Return the RLE of a (H, W) mask; any value that is not zero belongs to the object.

    Raises MaskFormatError if the array is not two-dimensional or has no pixels.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.size == 0:
        raise MaskFormatError(f"a mask of shape {mask.shape} cannot be encoded; expected (H, W) with H and W above 0")
    mask = np.ascontiguousarray(mask) if mask.dtype == bool else mask != 0
    height, width = mask.shape
    # Changes down a column, found in row order (fast) and then sorted into column order; and changes at column ends.
    rows, columns = np.divmod(np.flatnonzero(mask[1:] ^ mask[:-1]), width)
    at_ends = (np.flatnonzero(mask[-1, :-1] ^ mask[0, 1:]) + 1) * height
    changes = np.sort(np.concatenate([columns * height + rows + 1, at_ends]))
    start = [0, 0] if mask[0, 0] else [0]
    return from_counts(np.diff(np.concatenate([start, changes, [mask.size]])), size=(height, width))


def decode(rle: Mapping[str, Any]) -> np.ndarray:
    """Return the (H, W) bool mask of an RLE.

    Raises MaskFormatError if the size or the counts are malformed or do not fit each other.
    """
    height, width = _size(rle)
    runs = counts(rle)
    values = np.zeros(len(runs), np.uint8)
    values[1::2] = 1
    columns = np.repeat(values, runs).reshape(width, height)
    return cv2.transpose(columns).reshape(height, width).view(bool)


def area(rle: Mapping[str, Any]) -> int:
    """Return the number of the object's pixels."""
    return int(counts(rle)[1::2].sum())


def box(rle: Mapping[str, Any]) -> Box:
    """Return the tight box of the object in pixels, x2 and y2 one past the last pixel; all zeros if it is empty."""
    height, _ = _size(rle)
    ends = np.cumsum(counts(rle))
    starts, stops = ends[:-1:2], ends[1::2]
    filled = stops > starts
    starts, last = starts[filled[: len(starts)]], stops[filled] - 1
    if len(starts) == 0:
        return Box(0.0, 0.0, 0.0, 0.0)
    columns, top, bottom = last // height, starts % height, last % height
    if (starts // height != columns).any():  # a run that turns into the next column touches the bottom and the top
        y1, y2 = 0, height
    else:
        y1, y2 = top.min(), bottom.max() + 1
    return Box(float(starts[0] // height), float(y1), float(columns[-1] + 1), float(y2))


def counts(rle: Mapping[str, Any]) -> np.ndarray:
    """Return the run lengths as int64, background first, checked: none negative, their sum H x W.

    Raises MaskFormatError if they are not, or if the string is not COCO's compressed form.
    """
    height, width = _size(rle)
    if "counts" not in rle:
        raise MaskFormatError('an RLE has no "counts"; expected {"size": [H, W], "counts": string or list}')
    runs = rle["counts"]
    if isinstance(runs, (str, bytes)):
        runs = _from_string(runs)
    else:
        runs = _from_list(runs)
    if (runs < 0).any() or (runs > MAX_PIXELS).any() or runs.sum() != height * width:
        raise MaskFormatError(
            f"RLE counts add up to {int(runs.sum())} pixels (least run {int(runs.min(initial=0))}); "
            f"expected runs of 0 or more adding up to {height} x {width} = {height * width}"
        )
    return runs


def from_counts(runs: np.ndarray | list[int], *, size: tuple[int, int]) -> Rle:
    """Return the RLE with the given run lengths (background first) for a mask of `size` (H, W)."""
    runs = np.asarray(runs, np.int64)
    values = runs.copy()
    values[3:] -= runs[1:-2]
    # Groups a value needs: the sign must be visible in the top bit of its last group.
    limits = np.int64(1) << (5 * np.arange(1, _GROUPS + 1) - 1)
    magnitude = np.where(values < 0, ~values, values)
    needed = 1 + np.searchsorted(limits, magnitude, side="right")
    group = np.arange(needed.max(initial=1))
    characters = (values[:, None] >> (5 * group)) & 31
    characters[group < needed[:, None] - 1] |= 32  # "more follows"
    text = (characters + 48).astype(np.uint8)[group < needed[:, None]].tobytes().decode("ascii")
    return {"size": [int(size[0]), int(size[1])], "counts": text}


def normalise(rle: Mapping[str, Any], *, size: tuple[int, int] | None = None) -> Rle:
    """Return the one canonical RLE of the same mask: string counts, no empty runs in between.

    Use it on RLEs that come from outside: it checks everything, allocates no mask, and two masks are equal exactly
    if their canonical RLEs are.

    Raises MaskFormatError if the RLE is malformed or not of `size` (H, W), where that is given.
    """
    own = _size(rle)
    if size is not None and own != tuple(size):
        raise MaskFormatError(f"an RLE is for {own[1]}x{own[0]} pixels; the frames are {size[1]}x{size[0]}")
    runs = counts(rle)
    ends = np.cumsum(runs)
    on = np.arange(len(runs)) % 2 == 1
    ends, on = ends[runs > 0], on[runs > 0]
    last = np.append(on[1:] != on[:-1], True)
    merged = np.diff(ends[last], prepend=0)
    return from_counts(np.append(0, merged) if on[0] else merged, size=own)


def _size(rle: Mapping[str, Any]) -> tuple[int, int]:
    size = rle.get("size") if isinstance(rle, Mapping) else None
    if not isinstance(size, (list, tuple, np.ndarray)) or len(size) != 2:
        raise MaskFormatError(f'an RLE has the size {size!r}; expected {{"size": [H, W], "counts": ...}}')
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in size):
        raise MaskFormatError(f"an RLE has the size {list(size)!r}; expected two whole numbers above 0")
    if int(size[0]) * int(size[1]) > MAX_PIXELS:
        raise MaskFormatError(f"an RLE has the size {list(size)!r}; at most {MAX_PIXELS} pixels are allowed")
    return int(size[0]), int(size[1])


def _from_list(runs: Any) -> np.ndarray:
    try:
        array = np.asarray(runs)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise MaskFormatError(
            f"RLE counts of type {type(runs).__name__} cannot be read; expected whole numbers or text"
        )
    return array.astype(np.int64)


def _from_string(text: str | bytes) -> np.ndarray:
    try:
        characters = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise MaskFormatError(
            "an RLE string has characters outside ASCII; expected the characters '0' to 'o'"
        ) from None
    groups = np.frombuffer(characters, np.uint8).astype(np.int64) - 48
    if len(groups) == 0:
        raise MaskFormatError("an RLE string is empty; expected at least one count")
    if groups.min() < 0 or groups.max() > 63:
        raise MaskFormatError(
            "an RLE string has a character that stands for nothing; expected the characters '0' to 'o'"
        )
    last = np.flatnonzero(groups < 32)
    if len(last) == 0 or last[-1] != len(groups) - 1:
        raise MaskFormatError("an RLE string ends in the middle of a count; it was probably cut off")
    first = np.append(0, last[:-1] + 1)
    lengths = last - first + 1
    if lengths.max() > _GROUPS:
        raise MaskFormatError(f"an RLE string has a count of {lengths.max()} characters; at most {_GROUPS} make sense")
    position = np.arange(len(groups)) - np.repeat(first, lengths)
    values = np.add.reduceat((groups & 31) << (5 * position), first)
    values -= np.where(groups[last] & 16, np.int64(1) << (5 * lengths), 0)  # the top bit of the last group is the sign
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
