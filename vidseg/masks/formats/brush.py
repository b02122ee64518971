"""Label Studio's brush run lengths: masks as a list of bytes that pack runs of an RGBA picture into bits.

A header (32 bits how many values, 5 bits their width less one, four times 4 bits a length's width less one), then
blocks: 1 bit whether a run or single values follow, 2 bits which length width, the length less one, and the value or
values. Values go along the rows, four channels a pixel; the last channel says whether the pixel belongs.
Source: the rle-pack package of thi.ng/umbrella, which Label Studio names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import MaskFormatError

_WIDTHS = np.array([3, 4, 8, 16])  # bits of a run's length, by its class
_HEADER = (32, 5, 4, 4, 4, 4)


def encode(mask: np.ndarray) -> list[int]:
    """Return the bytes (0-255) of a (H, W) mask: 255 in all four channels of its pixels, 0 elsewhere."""
    flat = np.asarray(mask, bool).ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, flat.size)
    runs = np.diff(ends, prepend=0) * 4
    pieces = -(-runs // 65536)
    lengths = np.full(pieces.sum(), 65536)
    lengths[np.cumsum(pieces) - 1] = runs - (pieces - 1) * 65536
    values = np.repeat(np.where(flat[ends - 1], 255, 0), pieces)
    kind = np.searchsorted(1 << _WIDTHS, lengths)
    bits = _WIDTHS[kind]
    # A block is one number of 1 + 2 + length + 8 bits, at most 27.
    blocks = (((4 | kind) << bits) | (lengths - 1)) << 8 | values
    header = [flat.size * 4, 7, *(_WIDTHS - 1)]
    return _pack(np.concatenate([header, blocks]), np.concatenate([_HEADER, bits + 11]))


def decode(packed: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) bool mask of brush bytes; pixels whose last channel is above 0 belong to it.

    Raises MaskFormatError if the bytes end too early or are for another number of pixels.
    """
    height, width = size
    try:
        text = bytes(packed)
    except (TypeError, ValueError):
        raise MaskFormatError("brush run lengths hold something else than whole numbers from 0 to 255") from None
    total, at = len(text) * 8, 0

    def take(bits: int) -> int:
        nonlocal at
        at += bits
        if at > total:
            raise MaskFormatError("brush run lengths end in the middle; they were probably cut off")
        first, last = (at - bits) // 8, -(-at // 8)
        chunk = int.from_bytes(text[first:last], "big")
        return chunk >> (last * 8 - at) & ((1 << bits) - 1)

    count, word = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    if count != height * width * 4:
        raise MaskFormatError(f"brush run lengths are for {count} values; {width}x{height} pixels have 4 each")
    values = np.zeros(count, bool)
    done = 0
    while done < count:
        run = take(1)
        length = take(widths[take(2)]) + 1
        if done + length > count:
            raise MaskFormatError("brush run lengths go past the end of the picture")
        if run:
            values[done : done + length] = take(word) > 0
        else:
            values[done : done + length] = [take(word) > 0 for _ in range(length)]
        done += length
    return values.reshape(height, width, 4)[..., 3].copy()


def _pack(numbers: np.ndarray, widths: np.ndarray) -> list[int]:
    """Return the bytes of numbers written one after the other, each in its own number of bits, the highest first."""
    ends = np.cumsum(widths)
    owner = np.repeat(np.arange(len(numbers)), widths)
    shift = np.repeat(ends, widths) - 1 - np.arange(ends[-1])
    return np.packbits((numbers[owner] >> shift) & 1).tolist()
