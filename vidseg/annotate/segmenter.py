"""What the annotator asks of a model, as a protocol of eleven verbs; any model that can do them will do.

Here: the protocol and its values. The implementation on vidseg's own models is in `model.py`; tests use one that needs
no model at all. Everything is plain arrays or opaque values that are never changed, so that the session can keep, drop
and share them freely.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..automatic import Grid, Proposal
from ..train.sources.examples import Example
from ..types import Box, Click, Frame

Encoded = Any
"""A frame as the model sees it: costly to make, cheap to use; belongs to one `Segmenter`."""
Memory = Any
"""What a model keeps of an object on one frame."""
Track = Any
"""What a model knows of an object on its way through a video."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model says to the clicks on a frame.

    `masks` (M, H, W) bool, best first; M is 3 where the prompt is ambiguous, else 1. `iou` (M,) 0..1 predicted.
    `score` 0..1: is the object there?
    """

    masks: np.ndarray
    iou: tuple[float, ...]
    score: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """An object on the next frame: (H, W) bool mask, score and predicted IoU 0..1."""

    mask: np.ndarray
    score: float
    iou: float


class Segmenter(Protocol):
    """A model of segmentation and tracking; used from one thread at a time."""

    name: str

    def encode(self, frame: Frame) -> Encoded:
        """Look at a frame once."""

    def encode_ahead(self, read: Callable[[], Frame]) -> Callable[[], Encoded]:
        """Begin to look at a frame that will be wanted next; what is returned gives the result, or raises what `read`
        raised. `read` may be called in another thread, or only when the result is asked for.
        """

    def segment(
        self,
        encoded: Encoded,
        *,
        clicks: Sequence[Click] = (),
        box: Box | None = None,
        mask: np.ndarray | None = None,
        memories: Sequence[Memory] = (),
        ambiguous: bool = False,
    ) -> Answer:
        """Answer a box and clicks, one after the other, so that each corrects what was there when it was made.

        With a `mask` they correct that, all together, in view of `memories` of the object on other frames.
        `ambiguous` asks for three candidates.
        """

    def memorise(self, encoded: Encoded, mask: np.ndarray) -> Memory:
        """Remember that the object is `mask` (H, W) bool on this frame."""

    def begin(self, vouched: Sequence[Memory], recent: Sequence[Memory], *, reverse: bool = False) -> Track:
        """Start to follow an object: `vouched` memories a person stands for, `recent` ones just passed, in this order.

        `reverse`: the frames will come in descending order.
        """

    def follow(self, tracks: Sequence[Track], encoded: Encoded) -> Sequence[tuple[Track, Followed]]:
        """Find all objects on a frame and let their tracks remember it."""

    def propose(self, encoded: Encoded, options: Grid) -> Iterator[Sequence[Proposal]]:
        """Yield masks of everything on a frame, some at a time; the same thing may come several times."""

    def learning(self, examples: Sequence[Example], *, steps: int) -> Generator[int, None, Segmenter]:
        """Learn how the objects of `examples` look, beginning with the model as it was loaded.

        Yields the number of steps done, several times a step; returns a segmenter that has learned. This one stays as
        it is.
        """

    def weights(self) -> bytes:
        """What it has learned, for `with_weights` another day."""

    def with_weights(self, weights: bytes) -> Segmenter:
        """The same model with what it had learned. Raises WeightsError if that does not fit."""

    def as_loaded(self) -> Segmenter:
        """The same model before it learned anything."""

    def looking(self, *, closer: bool) -> Segmenter:
        """The same model, which sees frames on more pixels than it was loaded for, or on as many."""
