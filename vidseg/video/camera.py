"""A camera by its number, through OpenCV: live frames, no length, no way back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from vidseg.errors import VideoError
from vidseg.types import Frame
from vidseg.video.video import Lost, Video


def accepts(source: Any) -> bool:
    """Whether the source is a camera number: 0 or "0"."""
    return isinstance(source, int) or (isinstance(source, str) and source.isdecimal())


def open(source: Any, *, backend: str = "auto") -> Video:
    """Open a camera.

    Raises:
        VideoError: there is no such camera, or another program holds it.
    """
    import cv2

    capture = cv2.VideoCapture()
    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)  # it would print a page where one line says it
    try:
        opened = capture.open(int(source))
    except cv2.error:
        opened = False
    finally:
        log.setLogLevel(level)
    if not opened:
        raise VideoError(f"camera {source} cannot be opened; is it connected, and not in use by another program?")
    return Camera(capture, int(source))


class Camera(Video):
    """A live camera; `seconds` counts from the first frame, by the computer's clock.

    Args:
        capture: an open `cv2.VideoCapture`, or anything with its `read` and `release`.
        number: the camera's number, for messages.
    """

    known_length = False

    def __init__(self, capture: Any, number: int) -> None:
        self.name = f"camera {number}"
        self._capture = capture
        self._started: float | None = None
        self._index = 0
        self._first = self._grab()
        if self._first is None:
            capture.release()
            raise VideoError(f"{self.name} is open but gives no picture; is it covered by a switch or in use?")
        height, width = self._first.image.shape[:2]
        self.size = (height, width)

    def _grab(self) -> Frame | None:
        good, image = self._capture.read()
        if not good:
            return None
        now = time.monotonic()
        if self._started is None:
            self._started = now
        frame = Frame(self._index, now - self._started, image[..., ::-1].copy())
        self._index += 1
        return frame

    def _forward(self, start: int, stop: int | None) -> Iterator[Frame | Lost]:
        while stop is None or self._index - (self._first is not None) < stop:
            frame, self._first = self._first or self._grab(), None
            if frame is None:
                return
            if frame.index >= start:
                yield frame

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()
