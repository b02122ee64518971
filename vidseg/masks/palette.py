"""Index PNGs in the palette of DAVIS and YouTube-VOS: a pixel's value is the id of its object, 0 is background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import MaskFormatError
from .files import write_png


def _davis_palette() -> np.ndarray:
    """The colour map of PASCAL VOC, which DAVIS uses: the bits of an id, dealt in threes to R, G and B from the top."""
    ids = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((ids >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return palette


PALETTE = _davis_palette()
"""(256, 3) uint8 RGB: the colour of every id; (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0) ..."""
PALETTE.setflags(write=False)


def hex_colour(id: int) -> str:
    """Return an id's colour as #rrggbb; past 255 the colours repeat, and none is the background's black."""
    return "#" + PALETTE[(id - 1) % 255 + 1].tobytes().hex()


def write_index(path: str | Path, index: np.ndarray) -> None:
    """Write a (H, W) uint8 index mask as a palette PNG; the file appears whole or not at all.

    Raises MaskFormatError if the array is not a (H, W) uint8 one.
    """
    index = np.asarray(index)
    if index.ndim != 2 or index.dtype != np.uint8 or index.size == 0:
        raise MaskFormatError(f"an index mask of shape {index.shape} and type {index.dtype}; expected (H, W) uint8")
    write_png(path, index, palette=PALETTE)


def read_index(path: str | Path) -> np.ndarray:
    """Return the (H, W) uint8 pixel values of a palette or 8-bit grey PNG (1-bit pictures give 0 and 1).

    Raises MaskFormatError if the file is missing, damaged, or a picture in colour or 16 bits.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L", "1"):
                raise MaskFormatError(
                    f"{path} has the pixel type {image.mode}; an index mask is a palette or 8-bit grey picture"
                )
            return np.array(image, np.uint8)
    except FileNotFoundError:
        raise MaskFormatError(f"{path} does not exist; expected an index mask (PNG)") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MaskFormatError(f"{path} cannot be read as a picture ({error}); expected an index mask (PNG)") from error


def merge(masks: np.ndarray, ids: Sequence[int], order: Sequence[int] | None = None) -> np.ndarray:
    """Return one (H, W) uint8 index mask of (N, H, W) bool masks, where `masks[n]` becomes the value `ids[n]`.

    `order` lists positions in `masks` from the bottom to the top; by default a later mask covers an earlier one.

    Raises MaskFormatError if an id is not in 1-255, appears twice, or numbers and masks do not match.
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or len(masks) != len(ids):
        raise MaskFormatError(f"masks of shape {masks.shape} for {len(ids)} ids; expected ({len(ids)}, H, W)")
    check_ids(ids)
    index = np.zeros(masks.shape[1:], np.uint8)
    for n in range(len(masks)) if order is None else order:
        np.putmask(index, masks[n], np.uint8(ids[n]))
    return index


def split(index: np.ndarray) -> dict[int, np.ndarray]:
    """Return {id: (H, W) bool mask} of every object in a (H, W) index mask, ids ascending; 0 is background."""
    present = np.flatnonzero(np.bincount(np.asarray(index).ravel(), minlength=1))
    return {int(value): index == value for value in present if value}


def check_ids(ids: Sequence[int]) -> None:
    """Raise MaskFormatError unless all ids fit an index mask: whole numbers from 1 to 255, each once."""
    outside = [n for n in ids if not 1 <= n <= 255]
    if outside:
        raise MaskFormatError(
            f"object id {outside[0]} does not fit an index PNG, which holds the ids 1-255; "
            "let the objects be renumbered or choose a format without that limit (coco-video, sav, npz)"
        )
    if len(set(ids)) != len(ids):
        raise MaskFormatError(f"object ids {sorted(ids)} contain one twice; every object needs its own id")
