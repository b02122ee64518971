"""A `Segmenter` without a network, for tests: objects are connected regions of one colour.

Deterministic and fast, and it has what makes a real model interesting to the annotator: candidates of different size,
memories, drift it can be corrected of (it follows the colour that it remembers), and disappearance. Having learned, it
is surer of what it follows, the more the more it was shown.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidseg.annotate.segmenter import Answer, Followed
from vidseg.automatic import Grid, Proposal, grid
from vidseg.train.sources import Example
from vidseg.types import Box, Click, Frame

NEAR = 40  # colour distance (L1) within which pixels belong together


@dataclass(frozen=True)
class Colour:
    """A memory: the mean colour of an object, where its centre was, on which frame."""

    frame: int
    mean: tuple[float, ...] | None
    centre: tuple[float, float] | None


@dataclass(frozen=True)
class Trail:
    """A track: the colour to look for and where it was last."""

    mean: tuple[float, ...] | None
    centre: tuple[float, float] | None


class Flood:
    """See the module."""

    name = "flood"

    def __init__(self, learned: int = 0, *, closer: bool = False) -> None:
        self.encoded = 0
        self.learned = learned
        self.closer = closer

    def encode(self, frame: Frame) -> Frame:
        self.encoded += 1
        return frame

    def segment(
        self,
        encoded: Frame,
        *,
        clicks: Sequence[Click] = (),
        box: Box | None = None,
        mask: np.ndarray | None = None,
        memories: Sequence[object] = (),
        ambiguous: bool = False,
    ) -> Answer:
        image = encoded.image.astype(int)
        found = np.zeros(image.shape[:2], bool) if mask is None else mask.copy()
        if box is not None:
            x1, y1, x2, y2 = (round(edge) for edge in box)
            inside = np.zeros_like(found)
            inside[y1:y2, x1:x2] = True
            seed = image[min((y1 + y2) // 2, len(image) - 1), min((x1 + x2) // 2, image.shape[1] - 1)]
            found |= inside & _alike(image, seed)
        for click in clicks:
            region = _region(image, click)
            found = found | region if click.on else found & ~region
        if not ambiguous:
            return Answer(found[None], (0.9,))
        kernel = np.ones((5, 5), np.uint8)
        small = cv2.erode(found.view(np.uint8), kernel).view(bool)
        large = cv2.dilate(found.view(np.uint8), kernel).view(bool)
        return Answer(np.stack([found, large, small]), (0.9, 0.7, 0.5))

    def memorise(self, encoded: Frame, mask: np.ndarray) -> Colour:
        if not mask.any():
            return Colour(encoded.index, None, None)
        return Colour(encoded.index, tuple(encoded.image[mask].mean(0)), _centre(mask))

    def begin(self, vouched: Sequence[Colour], recent: Sequence[Colour], *, reverse: bool = False) -> Trail:
        known = [one for one in vouched if one.mean is not None]
        last = [one for one in (*known, *recent) if one.centre is not None]
        return Trail(known[-1].mean if known else None, last[-1].centre if last else None)

    def encode_ahead(self, read: Callable[[], Frame]) -> Callable[[], Frame]:
        return lambda: self.encode(read())

    def follow(self, tracks: Sequence[Trail], encoded: Frame) -> list[tuple[Trail, Followed]]:
        return [self._follow(track, encoded.image.astype(int)) for track in tracks]

    def _follow(self, track: Trail, image: np.ndarray) -> tuple[Trail, Followed]:
        empty = np.zeros(image.shape[:2], bool)
        if track.mean is None or track.centre is None:
            return track, Followed(empty, 0.02, 0.5)
        count, labels, stats, centres = cv2.connectedComponentsWithStats(
            _alike(image, np.array(track.mean)).astype(np.uint8)
        )
        best = min(
            (n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= 20),
            key=lambda n: float(np.hypot(*(centres[n] - np.array(track.centre)))),
            default=None,
        )
        if best is None:
            return track, Followed(empty, 0.05, 0.5)
        mask = labels == best
        return Trail(track.mean, _centre(mask)), Followed(mask, 0.98, 0.9 + self.learned / 1000)

    def learning(self, examples: Sequence[Example], *, steps: int) -> Generator[int, None, Flood]:
        for one in examples:
            assert one.mask.any() and one.image.shape[:2] == one.mask.shape
        yield from range(1, steps + 1)
        return Flood(sum(one.told for one in examples))

    def weights(self) -> bytes:
        return str(self.learned).encode()

    def with_weights(self, weights: bytes) -> Flood:
        return Flood(int(weights))

    def looking(self, *, closer: bool) -> Flood:
        return Flood(self.learned, closer=closer)

    def as_loaded(self) -> Flood:
        return Flood()

    def propose(self, encoded: Frame, options: Grid) -> Iterator[list[Proposal]]:
        image = encoded.image.astype(int)
        for click in grid(image.shape[:2], options.points):
            mask = _region(image, click)
            yield [Proposal(mask, 0.9, 0.95)] if options.min_area <= mask.mean() <= 0.5 else []


def _alike(image: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.abs(image - colour).sum(-1) < NEAR


def _region(image: np.ndarray, click: Click) -> np.ndarray:
    height, width = image.shape[:2]
    x, y = min(int(click.x), width - 1), min(int(click.y), height - 1)
    labels = cv2.connectedComponents(_alike(image, image[y, x]).astype(np.uint8))[1]
    return labels == labels[y, x]


def _centre(mask: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())
