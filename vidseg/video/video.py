"""What every video source offers: frames in order, with exact indices and times.

Here: `Video`, the base of all readers, and `VideoSlice`, a lazy part of one. Not here: decoding (one file per kind of
source). The one decision to know: a frame that cannot be decoded keeps its index. Iterating reports and skips it,
asking for it by index raises.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import overload

import numpy as np

from vidseg.errors import VideoError
from vidseg.types import Frame

OnError = Callable[[int, str], object]


class FrameIndexError(VideoError, IndexError):
    """A frame number outside the video; also an IndexError, so that a video behaves as a sequence."""


class UnknownLengthError(VideoError, TypeError):
    """The length of a stream; also a TypeError, so that `list(video)` works on a stream."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A frame that exists but cannot be decoded: its 0-based index and why."""

    index: int
    message: str


def warn_lost(index: int, message: str) -> None:
    """Report a frame that cannot be decoded as a Python warning: what readers do unless told otherwise."""
    warnings.warn(message, stacklevel=3)


class Video(ABC, Sequence[Frame]):
    """A source of frames. Use it as a context manager, a loop and, where the length is known, as a sequence.

    A reader fills in `_forward`, and where it can seek also `_read` and `_measure`.

    Attributes:
        name: what to call the source in messages, for instance "dance.mp4".
        path: file or folder, None for a camera or a stream.
        size: (H, W) of every frame in pixels, after rotation.
        fps: average frames a second, None where unknown.
        known_length: whether `len(video)`, `video[i]`, slices and reverse order work.
    """

    name: str
    path: Path | None = None
    size: tuple[int, int]
    fps: float | None = None
    known_length: bool = True

    @abstractmethod
    def _forward(self, start: int, stop: int | None) -> Iterator[Frame | Lost]:
        """Yield frames `start` to `stop - 1` (to the end for None) in order, with a `Lost` for each broken one."""

    def _measure(self) -> np.ndarray:
        """Return the (T,) float64 seconds of all frames; a stream raises."""
        raise UnknownLengthError(f"the length of {self.name} is not known; loop over it instead")

    def _read(self, index: int) -> Frame | Lost:
        """Return one frame; 0 <= index < len."""
        return next(self._forward(index, index + 1))

    def _backward(self, start: int, stop: int) -> Iterator[Frame | Lost]:
        """Yield frames `stop - 1` down to `start`."""
        for index in range(stop - 1, start - 1, -1):
            yield self._read(index)

    def close(self) -> None:
        """Release files and devices; a closed video must not be read again."""

    @property
    def times(self) -> np.ndarray:
        """(T,) float64: the presentation time of every frame in seconds.

        Raises:
            VideoError: for a stream, whose length is not known.
        """
        return self._measure()

    def __len__(self) -> int:
        return len(self._measure())

    def __bool__(self) -> bool:
        return True

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> VideoSlice: ...
    def __getitem__(self, index: int | slice) -> Frame | VideoSlice:
        """Return frame `index` (negative: from the end), or a lazy view for a slice.

        Raises:
            VideoError: the index is outside the video (also an IndexError), the frame cannot be decoded, or the source
                is a stream.
        """
        if isinstance(index, slice):
            return VideoSlice(self, range(len(self))[index])
        frame = self._read(self._position(index))
        if isinstance(frame, Lost):
            raise VideoError(frame.message)
        return frame

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def __reversed__(self) -> Iterator[Frame]:
        return self.frames(reverse=True)

    def frames(
        self, start: int = 0, stop: int | None = None, *, reverse: bool = False, on_error: OnError | None = None
    ) -> Iterator[Frame]:
        """Yield frames `start` to `stop - 1`, or the same frames last to first.

        Args:
            start: first frame, 0-based.
            stop: one past the last frame; None for the end of the video.
            reverse: descending order; needs a known length.
            on_error: called with (index, message) for a frame that cannot be decoded, which is then skipped; the
                default warns.

        Raises:
            VideoError: `start` is outside the video, `stop` is before `start`, or `reverse` of a stream.
        """
        if start or reverse:
            self._check_start(start)
        if stop is not None and stop < start:
            raise VideoError(
                f"frames {start} to {stop} of {self.name} are no range; the end must not be before the start"
            )
        if reverse:
            items = self._backward(start, len(self) if stop is None else min(stop, len(self)))
        else:
            items = self._forward(start, stop)
        return _skip_lost(items, on_error or warn_lost)

    def _check_start(self, start: int) -> None:
        if start < 0:
            raise VideoError(f"frames of {self.name} cannot start at {start}; frame numbers start at 0")
        if self.known_length and start:
            self._position(start)

    def _position(self, index: int) -> int:
        """Return `index` as a number from 0 to len - 1, or raise the error that a person understands."""
        count = len(self)
        if -count <= index < count:
            return int(index) + count * (index < 0)
        where = "past the end" if index >= 0 else "before the start"
        raise FrameIndexError(f"frame {index} is {where} of {self.name} ({count} frames, 0-{count - 1})")

    def __enter__(self):
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.size[1]}x{self.size[0]}>"


class VideoSlice(Sequence[Frame]):
    """Some frames of a video, decoded when asked for; frames keep the index they have in the video.

    Attributes:
        video: where the frames come from.
        indices: the range of frame numbers.
    """

    def __init__(self, video: Video, indices: range) -> None:
        self.video = video
        self.indices = indices

    @property
    def times(self) -> np.ndarray:
        """(len,) float64: presentation times in seconds."""
        return self.video.times[list(self.indices)]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frames in pixels."""
        return self.video.size

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> VideoSlice: ...
    def __getitem__(self, index: int | slice) -> Frame | VideoSlice:
        """Return a frame by its position in the slice, or a slice of the slice."""
        if isinstance(index, slice):
            return VideoSlice(self.video, self.indices[index])
        if not -len(self) <= index < len(self):
            raise FrameIndexError(f"frame {index} is outside this slice of {self.video.name} ({len(self)} frames)")
        return self.video[self.indices[index]]

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in the order of the slice; one that cannot be decoded is reported and skipped."""
        step = self.indices.step
        if abs(step) != 1 or not self.indices:
            return _skip_lost((self.video._read(index) for index in self.indices), warn_lost)
        low, high = min(self.indices), max(self.indices) + 1
        return self.video.frames(low, high, reverse=step < 0)

    def __reversed__(self) -> Iterator[Frame]:
        return iter(self[::-1])


def _skip_lost(items: Iterator[Frame | Lost], on_error: OnError) -> Iterator[Frame]:
    for item in items:
        if isinstance(item, Lost):
            on_error(item.index, item.message)
        else:
            yield item
