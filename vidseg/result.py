"""What the tracker answers on one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from vidseg.errors import needs_extra
from vidseg.masks import boxes as boxes_of
from vidseg.window import Window, whole


@dataclass(frozen=True, slots=True, eq=False)
class TrackResult:
    """The answer on one frame, for N objects.

    Attributes:
        frame, seconds: the frame's index and time; size: its (H, W).
        ids: the objects' ids, in the order of everything below.
        logits: (N, h, w) mask logits at low resolution; above 0 is the object.
        score: (N,) logit that the object is in the frame; iou: (N,) predicted IoU of its mask, 0 to 1.
        window: the part of the frame that the logits show, where that is not all of it.
    """

    frame: int
    seconds: float
    size: tuple[int, int]
    ids: tuple[int, ...]
    logits: Tensor
    score: Tensor
    iou: Tensor
    window: Window | None = None

    def full_logits(self) -> Tensor:
        """Return mask logits (N, H, W) at the frame's size; -10 beyond the window."""
        return (self.window or whole(self.size)).spread(self.logits, self.size)

    def masks(self) -> np.ndarray:
        """Return masks (N, H, W), bool, at the frame's size."""
        return (self.full_logits() > 0).cpu().numpy()

    def boxes(self) -> np.ndarray:
        """Return (N, 4) xyxy boxes of the masks in pixels; zeros for an empty mask."""
        return boxes_of(self.masks())

    @property
    def visible(self) -> np.ndarray:
        """(N,) bool: the model thinks that the object is in this frame."""
        return (self.score > 0).cpu().numpy()

    def to_supervision(self) -> Any:
        """Return `supervision.Detections` of the visible objects, with masks, boxes, confidence and tracker ids."""
        try:
            import supervision
        except ImportError as e:
            raise needs_extra("supervision", "supervision") from e
        masks, keep = self.masks(), self.visible
        keep = keep & masks.any(axis=(1, 2))
        return supervision.Detections(
            xyxy=boxes_of(masks[keep]),
            mask=masks[keep],
            confidence=self.score.float().sigmoid().cpu().numpy()[keep],
            class_id=np.zeros(int(keep.sum()), dtype=int),
            tracker_id=np.array(self.ids, dtype=int)[keep],
        )
