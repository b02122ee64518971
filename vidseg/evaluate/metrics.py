"""Region similarity J and boundary accuracy F of masks, and their mean, recall and decay: pure numpy functions.

The definitions are those of the DAVIS benchmarks, so numbers compare with published ones: an object that is absent
in truth and prediction scores 1, a boundary pixel lies half a pixel towards the origin, and a boundary counts as found
within 0.8 % of the image diagonal. No files and no protocol here: which frames and objects count is decided elsewhere.
Sources: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation" (CVPR 2016),
section 5; Martin et al., "Learning to Detect Natural Image Boundaries" (PAMI 2004) for the boundary measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from vidseg.errors import DataError

BOUNDARY_TOLERANCE = 0.008  # of the image diagonal
_QUARTERS = 4  # the decay compares the first and the last quarter of a video


@dataclass(frozen=True, slots=True)
class Statistics:
    """One measure over the frames of one object: all three lie in 0..1 (decay in -1..1), nan without frames.

    Attributes:
        mean: average over the frames.
        recall: share of frames above 0.5.
        decay: mean of the first quarter of the frames less that of the last; positive when quality is lost over time.
    """

    mean: float
    recall: float
    decay: float


def region(predicted: np.ndarray, truth: np.ndarray, void: np.ndarray | None = None) -> float:
    """Return J, the intersection over union of two (H, W) masks; 1 where both are empty.

    Pixels of the (H, W) mask `void` count neither way.
    """
    predicted, truth = _same(predicted, truth, void)
    union = np.count_nonzero(predicted | truth)
    return np.count_nonzero(predicted & truth) / union if union else 1.0


def boundary(
    predicted: np.ndarray,
    truth: np.ndarray,
    void: np.ndarray | None = None,
    *,
    tolerance: float = BOUNDARY_TOLERANCE,
) -> float:
    """Return F, the harmonic mean of the precision and recall of the boundary of two (H, W) masks.

    A boundary pixel is right when the other boundary passes within ceil(`tolerance` * diagonal) pixels of it. Two masks
    without a boundary score 1, one without and one with score 0. Pixels of `void` are background in both masks.
    """
    predicted, truth = _same(predicted, truth, void)
    predicted_edge, truth_edge = edges(predicted), edges(truth)
    found = _bounds(predicted_edge | truth_edge)
    if found is None:
        return 1.0
    predicted_edge = np.ascontiguousarray(predicted_edge[found])  # all that can match lies in there
    truth_edge = np.ascontiguousarray(truth_edge[found])
    if not predicted_edge.any() or not truth_edge.any():
        return 0.0
    disc = _disc(int(np.ceil(tolerance * np.linalg.norm(truth.shape))))
    precision = _share_near(predicted_edge, truth_edge, disc)
    recall = _share_near(truth_edge, predicted_edge, disc)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def edges(mask: np.ndarray) -> np.ndarray:
    """Return the (H, W) bool boundary of a (H, W) bool mask: pixels that differ from the one right, below or diagonal.

    The last row looks only right, the last column only down, and the last pixel is never a boundary.
    """
    edge = np.zeros(mask.shape, bool)
    edge[:-1, :-1] = (mask[:-1, :-1] ^ mask[:-1, 1:]) | (mask[:-1, :-1] ^ mask[1:, :-1])
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    edge[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    edge[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return edge


def score(predicted: np.ndarray, truth: np.ndarray, void: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return J and F, each (T, O) in 0..1, of masks (T, O, H, W) of O objects in T frames.

    `void` (T, H, W) marks pixels that count neither way. All frames given are scored: leave out those that a protocol
    leaves out.

    Raises DataError if the shapes do not fit each other.
    """
    if predicted.shape != truth.shape or predicted.ndim != 4:
        raise DataError(
            f"masks of shape {predicted.shape} cannot be scored against {truth.shape}; expected (T, O, H, W)"
        )
    j, f = np.empty(predicted.shape[:2]), np.empty(predicted.shape[:2])
    for t, o in np.ndindex(*j.shape):
        ignored = None if void is None else void[t]
        j[t, o] = region(predicted[t, o], truth[t, o], ignored)
        f[t, o] = boundary(predicted[t, o], truth[t, o], ignored)
    return j, f


def statistics(values: np.ndarray) -> Statistics:
    """Return mean, recall and decay of one measure over the frames (T,) of a video; frames that are nan do not count.

    The quarters share their end frames. The reference code numbers frames in eight bits and so takes the wrong
    quarters from 256 frames on; here the quarters are right for any length.
    """
    values = np.asarray(values, float)
    if not len(values) or np.isnan(values).all():
        return Statistics(float("nan"), float("nan"), float("nan"))
    ends = np.round(np.linspace(1, len(values), _QUARTERS + 1) + 1e-10).astype(int) - 1
    first, last = values[: ends[1] + 1], values[ends[-2] :]
    return Statistics(
        mean=float(np.nanmean(values)),
        recall=float(np.nanmean(values > 0.5)),
        decay=_mean(first) - _mean(last),
    )


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _same(predicted: np.ndarray, truth: np.ndarray, void: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Both masks as bool arrays of one shape, with the void pixels out of both."""
    shapes = {predicted.shape, truth.shape} | (set() if void is None else {void.shape})
    if len(shapes) > 1 or truth.ndim != 2:
        named = f"predicted {predicted.shape}, truth {truth.shape}" + ("" if void is None else f", void {void.shape}")
        raise DataError(f"masks of different shapes cannot be compared ({named}); expected one (H, W)")
    predicted, truth = predicted.astype(bool, copy=False), truth.astype(bool, copy=False)
    if void is None:
        return predicted, truth
    counted = ~void.astype(bool, copy=False)
    return predicted & counted, truth & counted


def _bounds(mask: np.ndarray) -> tuple[slice, slice] | None:
    """The smallest rectangle that holds the mask, or None for an empty one."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (slice(y, y + height), slice(x, x + width)) if width else None


def _share_near(edge: np.ndarray, other: np.ndarray, disc: np.ndarray) -> float:
    """Share of the pixels of `edge` that lie under the `disc` drawn around a pixel of `other`."""
    near = cv2.dilate(other.view(np.uint8), disc)
    return np.count_nonzero(near[edge]) / np.count_nonzero(edge)


@cache
def _disc(radius: int) -> np.ndarray:
    """A filled disc of odd width 2 * radius + 1; a pixel belongs to it when its centre is within the radius."""
    steps = np.arange(-radius, radius + 1) ** 2
    return (steps[:, None] + steps[None] <= radius**2).astype(np.uint8)
