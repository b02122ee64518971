"""One object's masks as columns of numbers: what timelines, rankings and plans need, without the pixels.

A project can have tens of thousands of masks, and these questions are asked after every click; so the rules that
`rows` and `review` state for one mask are applied to whole columns here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .rows import PROMPTS, Anchors, ranges

COLUMNS = (
    "frame", "area", "x1", "y1", "x2", "y2", "pieces", "score", "iou", "agreement", "origin", "revision", "seen",
    "source = 'propagated'", "source = 'edited'", "source = 'imported'", "state = 'accepted'", "state = 'rejected'",
)  # fmt: skip
"""What is selected from the table `mask`, in the order that `Lane.of` takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """The masks of one object by ascending frame; all arrays (T,), `box` (T, 4), `agreement` NaN where unknown."""

    frame: np.ndarray
    area: np.ndarray
    box: np.ndarray
    pieces: np.ndarray
    score: np.ndarray
    iou: np.ndarray
    agreement: np.ndarray
    origin: np.ndarray
    revision: np.ndarray
    seen: np.ndarray
    propagated: np.ndarray
    edited: np.ndarray
    imported: np.ndarray
    accepted: np.ndarray
    rejected: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[float | None]]) -> Lane:
        """Return the lane of rows with `COLUMNS`."""
        table = np.array([tuple(row) for row in rows], np.float64).reshape(-1, len(COLUMNS))
        frame, area, _, _, _, _, pieces, score, iou, agreement, origin, revision, seen, *flags = table.T
        whole = [one.astype(np.int64) for one in (frame, area, pieces, origin, revision, seen)]
        return cls(
            whole[0], whole[1], table[:, 2:6], whole[2], score, iou, agreement, whole[3], whole[4], whole[5],
            *(one.astype(bool) for one in flags),
        )  # fmt: skip

    @property
    def confidence(self) -> np.ndarray:
        """(T,) 0..1: how sure the model was, see `rows.confidence`; 1 for what a person drew."""
        sure = np.where(self.area == 0, np.maximum(self.score, 1 - self.score), self.score * self.iou)
        return np.where(self.edited | self.imported, 1.0, sure)

    def stale(self, known: Anchors) -> np.ndarray:
        """(T,) bool: `rows.is_stale` for every mask."""
        if not known.frames:
            return self.propagated.copy()
        anchors = np.array(known.frames)
        revisions = np.array([known.revisions[frame] for frame in known.frames], np.int64)
        newest = np.array([known.newest[frame] for frame in known.frames])
        at = np.searchsorted(anchors, self.origin).clip(max=len(anchors) - 1)
        counts = np.where(self.accepted, PROMPTS, -1)
        changed = (anchors[at] != self.origin) | ((revisions[at] ^ self.revision) & counts != 0)
        reach = np.abs(self.origin - self.frame)
        right = np.searchsorted(anchors, self.frame)
        for place, exists in ((right - 1, right > 0), (right, right < len(anchors))):
            place = place.clip(0, len(anchors) - 1)
            nearer = np.abs(anchors[place] - self.frame) < reach
            changed |= exists & (anchors[place] != self.origin) & (newest[place] > self.seen) & nearer
        return changed & self.propagated & ~np.isin(self.frame, anchors)

    def where(self, chosen: np.ndarray) -> list[int]:
        """Return the frames on which a (T,) bool array is true."""
        found: list[int] = self.frame[chosen].tolist()
        return found

    def spans(self, chosen: np.ndarray) -> list[list[int]]:
        """Return the same as [start, stop) ranges."""
        return ranges(self.where(chosen))
