"""Where to look next: how likely the mask of a frame is wrong, told from the masks alone. Pure functions.

Each sign gives a number from 0 (nothing) to 1 (surely wrong) and a sentence; together they are combined as if they were
independent, so that several weak signs count. What a person drew, clicked or imported is not suspected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .rows import MaskInfo

_SURE = 0.75  # confidence at which a model is believed
_CALM = 1.35  # change of area from one frame to the next that happens every day
APART = 5
"""Frames between two proposals of one object: neighbours are usually wrong together."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A mask to look at: `suspicion` 0..1 and why."""

    object: int
    frame: int
    suspicion: float
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the page gets it."""
        return {
            "object": self.object,
            "frame": self.frame,
            "suspicion": round(self.suspicion, 4),
            "reasons": list(self.reasons),
        }


def suspect(mask: MaskInfo, before: MaskInfo | None, after: MaskInfo | None, *, stale: bool = False) -> Suspect:
    """Return how suspicious a mask is; `before` and `after` are those of the same object on the adjacent frames."""
    signs = [] if mask.source in ("prompted", "edited", "imported") else list(_signs(mask, before, after))
    if stale:
        signs.append((0.3, "a prompt nearby has changed since"))
    doubt = 1.0 - math.prod(1.0 - strength for strength, _ in signs)
    reasons = tuple(text for strength, text in sorted(signs, reverse=True) if strength >= 0.05)
    return Suspect(mask.object, mask.frame, min(doubt, 1.0), reasons)


def _signs(mask: MaskInfo, before: MaskInfo | None, after: MaskInfo | None) -> list[tuple[float, str]]:
    signs = []
    unsure = max(0.0, (_SURE - mask.confidence) / _SURE)
    if unsure:
        signs.append((0.8 * unsure, f"the model is unsure ({mask.confidence:.0%})"))
    if mask.agreement is not None:
        signs.append((0.9 * (1.0 - mask.agreement) ** 0.7, f"passes disagree (IoU {mask.agreement:.2f})"))
    for other in (before, after):
        if other is not None:
            signs += _jump(mask, other)
    neighbours = [other.pieces for other in (before, after) if other is not None]
    if neighbours and mask.pieces > 1 + max(neighbours):
        more = mask.pieces - max(neighbours)
        signs.append((min(0.6, 0.1 * more), f"falls into {mask.pieces} pieces"))
    return signs


def _jump(mask: MaskInfo, other: MaskInfo) -> list[tuple[float, str]]:
    if (mask.area == 0) != (other.area == 0):
        text = "disappears" if mask.area == 0 or mask.frame < other.frame else "appears"
        return [(0.25, text)]
    if mask.area == 0:
        return []
    signs = []
    ratio = max(mask.area, other.area) / min(mask.area, other.area)
    if ratio > _CALM:
        signs.append((min(0.8, 0.5 * math.log2(ratio / _CALM) + 0.05), f"area jumps by {ratio:.1f} times"))
    shift = math.dist(_centre(mask), _centre(other)) / math.sqrt(max(mask.area, other.area))
    if shift > 0.5:
        signs.append((min(0.8, 0.4 * (shift - 0.5) + 0.05), f"moves by {shift:.1f} of its size"))
    return signs


def _centre(mask: MaskInfo) -> tuple[float, float]:
    return (mask.box.x1 + mask.box.x2) / 2, (mask.box.y1 + mask.box.y2) / 2


def suspects(masks: Sequence[MaskInfo], stale: Sequence[bool]) -> list[Suspect]:
    """Return how suspicious each mask of one object is; `masks` by ascending frame, `stale` for each."""
    by_frame = {mask.frame: mask for mask in masks}
    return [
        suspect(mask, by_frame.get(mask.frame - 1), by_frame.get(mask.frame + 1), stale=old)
        for mask, old in zip(masks, stale, strict=True)
    ]


def worst(found: Sequence[Suspect], *, limit: int, apart: int = APART) -> list[Suspect]:
    """Return the most suspicious, worst first, at least `apart` frames from one another within an object."""
    taken: list[Suspect] = []
    frames: dict[int, list[int]] = {}
    for one in sorted(found, key=lambda one: (-one.suspicion, one.frame, one.object)):
        near = frames.setdefault(one.object, [])
        if all(abs(frame - one.frame) >= apart for frame in near):
            near.append(one.frame)
            taken.append(one)
            if len(taken) == limit:
                break
    return taken


def percent(values: Mapping[int, float], frames: int) -> list[int]:
    """Return 0..100 for each frame of a video, -1 where there is no value."""
    return [round(100 * values[frame]) if frame in values else -1 for frame in range(frames)]
