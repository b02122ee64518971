"""What a training clip is, what a source of clips promises, and how bad data is counted.

Nothing here reads a file or draws a random number. The decision to know: every object of a clip is visible and
annotated on frame 0, so that a prompt on the first frame is always possible; what a source cannot place there it drops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

IGNORE = 255
"""Index in a label map whose pixels count neither as an object nor as background."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A few frames of one scene with the visible pixels of some of its objects.

    Attributes:
        images: (T, H, W, 3) uint8 RGB.
        masks: (T, O, H, W) bool, the visible pixels of each object; all False where it is absent or not annotated.
        valid: (T, O) bool, True where the frame is annotated for the object (an absent object is annotated as absent).
        ignore: (T, H, W) bool, pixels whose label is unknown.
        source: where it comes from, for sheets and messages.
    """

    images: np.ndarray
    masks: np.ndarray
    valid: np.ndarray
    ignore: np.ndarray
    source: str = ""


class Skip(NamedTuple):
    """One item that was left out: its path and the reason, in words."""

    path: str
    reason: str


@runtime_checkable
class Source(Protocol):
    """Something that makes clips; `clip` depends on its arguments and the generator's state alone."""

    name: str

    def __len__(self) -> int:
        """The number of items (sequences, stills) behind it; informative."""

    def clip(self, rng: np.random.Generator, *, frames: int, size: tuple[int, int], objects: int) -> Clip:
        """A clip of T = `frames` frames of `size` (H, W) with 1 to `objects` objects."""

    def report(self) -> tuple[Skip, ...]:
        """What was left out so far, and why."""

    def note(self, skips: Iterable[Skip]) -> None:
        """Add what another process left out to the report."""


@dataclass(slots=True)
class SkipList:
    """The items that a source has left out, in the order met, each path once."""

    items: dict[str, Skip] = field(default_factory=dict)

    def add(self, skip: Skip) -> None:
        """Remember `skip` unless its path is known already."""
        self.items.setdefault(skip.path, skip)

    def __contains__(self, path: object) -> bool:
        return path in self.items

    def all(self) -> tuple[Skip, ...]:
        """Every skip, in the order met."""
        return tuple(self.items.values())


def summary(skips: Sequence[Skip], *, examples: int = 3) -> str:
    """One line that counts `skips` by reason and names a few paths; empty where there is nothing to say."""
    if not skips:
        return ""
    counts = Counter(skip.reason for skip in skips)
    parts = []
    for reason, count in counts.most_common():
        paths = [skip.path for skip in skips if skip.reason == reason][:examples]
        more = f" and {count - len(paths)} more" if count > len(paths) else ""
        parts.append(f"{count} x {reason}: {', '.join(paths)}{more}")
    return f"skipped {len(skips)} item{'s' if len(skips) > 1 else ''}: " + "; ".join(parts)


def from_labels(images: np.ndarray, labels: np.ndarray, ids: Sequence[int], *, source: str = "") -> Clip:
    """A fully annotated clip from label maps.

    Args:
        images: (T, H, W, 3) uint8 RGB.
        labels: (T, H, W) uint8, `IGNORE` where unknown.
        ids: the labels that are objects, in the order they get.
        source: as in `Clip`.
    """
    masks = labels[:, None] == np.asarray(ids, dtype=labels.dtype)[None, :, None, None]
    valid = np.ones(masks.shape[:2], dtype=bool)
    return Clip(images=images, masks=masks, valid=valid, ignore=labels == IGNORE, source=source)


def pick_objects(clip: Clip, *, min_px: int, limit: int) -> Clip | None:
    """The first `limit` objects with at least `min_px` visible pixels on frame 0; None if there are none."""
    area_px = clip.masks[0].sum(axis=(1, 2))
    keep = np.flatnonzero((area_px >= min_px) & clip.valid[0])[:limit]
    if len(keep) == 0:
        return None
    if len(keep) == clip.masks.shape[1]:
        return clip
    return Clip(clip.images, clip.masks[:, keep], clip.valid[:, keep], clip.ignore, clip.source)


def min_area_px(size: tuple[int, int]) -> int:
    """The least visible area of an object on frame 0: 0.1 % of the picture, at least 16 pixels."""
    return max(16, size[0] * size[1] // 1000)


def stack(clips: Sequence[Clip], *, objects: int | None = None) -> dict[str, np.ndarray]:
    """Arrays of a whole batch; clips with fewer than O = `objects` objects (default: the most there are) are padded.

    Returns:
        images (B, T, H, W, 3) uint8, masks (B, T, O, H, W) bool, valid (B, T, O) bool, ignore (B, T, H, W) bool and
        exists (B, O) bool: False for padding, whose `valid` is False on every frame.
    """
    most = max(clip.masks.shape[1] for clip in clips) if objects is None else objects
    frames, _, height, width = clips[0].masks.shape
    masks = np.zeros((len(clips), frames, most, height, width), dtype=bool)
    valid = np.zeros((len(clips), frames, most), dtype=bool)
    exists = np.zeros((len(clips), most), dtype=bool)
    for row, clip in enumerate(clips):
        count = min(most, clip.masks.shape[1])
        masks[row, :, :count] = clip.masks[:, :count]
        valid[row, :, :count] = clip.valid[:, :count]
        exists[row, :count] = True
    images = np.stack([clip.images for clip in clips])
    ignore = np.stack([clip.ignore for clip in clips])
    return {"images": images, "masks": masks, "valid": valid, "ignore": ignore, "exists": exists}
