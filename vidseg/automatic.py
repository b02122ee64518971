"""Segment everything in a picture: a grid of clicks, its candidates filtered by quality, duplicates dropped.

`propose` runs it on an encoded picture; `grid`, `candidates` and `suppress` are its parts. torch is not imported here:
tensors come from `EncodedImage` and leave as arrays.
Source: Segment Anything (arXiv 2304.02643), section 5 and appendix B, "fully automatic stage".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vidseg.errors import ConfigError
from vidseg.masks import boxes as boxes_of
from vidseg.types import Click

if TYPE_CHECKING:
    from vidseg.image import EncodedImage

__all__ = ["Grid", "Proposal", "candidates", "grid", "propose", "suppress"]

_BATCH = 64  # clicks a forward pass
_OFFSET = 1.0  # logits by which the threshold is moved either way to see whether a mask is stable


@dataclass(frozen=True, slots=True)
class Grid:
    """How to look for objects.

    Attributes:
        points: clicks along the longer side of the picture.
        min_iou: least IoU that the model itself predicts, 0 to 1.
        min_stability: least IoU of the mask with itself when the threshold moves by one logit either way, 0 to 1.
        min_area, max_area: size as a share of the picture, 0 to 1.
        max_overlap: of two masks that overlap with a greater IoU, the better one is kept, 0 to 1.

    Raises ConfigError if a value is out of range.
    """

    points: int = 12
    min_iou: float = 0.7
    min_stability: float = 0.85
    min_area: float = 0.0005
    max_area: float = 0.9
    max_overlap: float = 0.7

    def __post_init__(self) -> None:
        if not 1 <= self.points <= 128:
            raise ConfigError(f"a grid of {self.points} points a side is out of range; expected 1 to 128")
        for name in ("min_iou", "min_stability", "min_area", "max_area", "max_overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a share from 0 to 1")


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A mask that may be an object: (H, W) bool, the model's predicted IoU and the stability, both 0 to 1."""

    mask: np.ndarray
    iou: float
    stability: float


def grid(size: tuple[int, int], points: int) -> list[Click]:
    """Return clicks evenly spread over a picture of `size` (H, W), `points` of them along its longer side."""
    height, width = size
    step = max(height, width) / points
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    return [
        Click((column + 0.5) * width / columns, (row + 0.5) * height / rows)
        for row in range(rows)
        for column in range(columns)
    ]


def propose(image: EncodedImage, options: Grid | None = None) -> list[Proposal]:
    """Return masks of what can be seen in a picture, best first.

    A click gives up to three nested candidates (part, whole, group); those that the model believes in, that do not
    hang on the threshold and are of sensible size are kept, and of several masks of the same thing the best one.
    """
    options = options or Grid()
    return suppress([one for batch in candidates(image, options) for one in batch], options.max_overlap)


def candidates(image: EncodedImage, options: Grid) -> Iterator[list[Proposal]]:
    """Yield what passes the filters, a batch of clicks at a time, so that callers can do other things in between.

    The same thing may come several times; see `suppress`.
    """
    clicks = grid(image.size, options.points)
    for first in range(0, len(clicks), _BATCH):
        yield list(_passed(image, clicks[first : first + _BATCH], options))


def _passed(image: EncodedImage, clicks: Sequence[Click], options: Grid) -> Iterator[Proposal]:
    """Yield the candidates of some clicks that pass the filters; only these are brought to full size."""
    logits, iou = image.prompt_many(clicks)
    logits, iou = logits.flatten(0, 1), iou.flatten().clamp(0, 1)
    share = (logits > 0).float().mean(dim=(1, 2))
    stable = _stability(logits)
    passed = (iou >= options.min_iou) & (stable >= options.min_stability)
    passed &= (share >= options.min_area) & (share <= options.max_area)
    for row in passed.nonzero()[:, 0].tolist():
        yield Proposal(_full(logits[row : row + 1], image.size), float(iou[row]), float(stable[row]))


def _stability(logits: Any) -> Any:
    """(K,) IoU of each mask at a stricter with that at a laxer threshold; the stricter lies within the laxer."""
    strict = (logits > _OFFSET).sum(dim=(1, 2)).float()
    lax = (logits > -_OFFSET).sum(dim=(1, 2)).float()
    return strict / lax.clamp(min=1)


def _full(logits: Any, size: tuple[int, int]) -> np.ndarray:
    from vidseg.picture import full_size

    mask: np.ndarray = (full_size(logits, size)[0] > 0).cpu().numpy()
    return mask


def suppress(found: Sequence[Proposal], max_overlap: float) -> list[Proposal]:
    """Return proposals best first (by iou times stability), without those that overlap a better one too much.

    Overlap is the IoU of the masks, 0 to 1; empty masks are dropped.
    """
    ordered = sorted((one for one in found if one.mask.any()), key=lambda one: -one.iou * one.stability)
    if not ordered:
        return []
    boxes = np.concatenate([boxes_of(one.mask[None]) for one in ordered])
    kept: list[int] = []
    for n in range(len(ordered)):
        if all(_iou(ordered[n].mask, ordered[m].mask, boxes[n], boxes[m]) <= max_overlap for m in kept):
            kept.append(n)
    return [ordered[n] for n in kept]


def _iou(a: np.ndarray, b: np.ndarray, box_a: np.ndarray, box_b: np.ndarray) -> float:
    """The IoU of two masks, looking at pixels only where their boxes meet."""
    x1, y1 = np.maximum(box_a[:2], box_b[:2]).astype(int)
    x2, y2 = np.minimum(box_a[2:], box_b[2:]).astype(int)
    if x1 >= x2 or y1 >= y2:
        return 0.0
    shared = int(np.count_nonzero(a[y1:y2, x1:x2] & b[y1:y2, x1:x2]))
    return shared / (int(np.count_nonzero(a)) + int(np.count_nonzero(b)) - shared)
