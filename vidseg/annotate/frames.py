"""Frames of the project's videos: decoded once for the model, and as JPEG or WebP for the page.

Players ask for frames in order and thumbnails from anywhere, while the model reads on its own; so each reader keeps a
cursor of its own, and a cursor that is asked for its next frame just decodes on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2
import numpy as np

from ..errors import VideoError
from ..types import Frame
from ..video import Video, open_video
from .cache import Recent
from .project import Project
from .refused import Refused

FORMATS = {"jpeg": ".jpg", "webp": ".webp", "png": ".png"}
_AHEAD = 8  # frames that a cursor decodes on rather than seeks


class Cursor:
    """Reads one video: any frame, and cheaply the next one in either direction. One thread at a time."""

    def __init__(self, video: Video) -> None:
        self._video = video
        self._running: Iterator[Frame] | None = None
        self._next, self._last, self._step = -1, -1, 1

    def read(self, index: int) -> Frame:
        """Return a frame; raises VideoError if it cannot be decoded."""
        if self._running is None or not 0 <= (index - self._next) * self._step <= _AHEAD:
            backwards = index == self._last - 1
            self._begin(index, -1 if backwards else 1)
        frame: Frame | None = None
        while frame is None or (index - frame.index) * self._step > 0:
            frame = next(self._running, None) if self._running is not None else None
            if frame is None:
                break
        self._next, self._last = index + self._step, index
        if frame is None or frame.index != index:
            self._running = None
            return self._video[index]  # raises with the reason
        return frame

    def _begin(self, index: int, step: int) -> None:
        self.close()
        self._step = step
        if step > 0:
            self._running = self._video.frames(index, on_error=_ignore)
        else:
            self._running = self._video.frames(0, index + 1, reverse=True, on_error=_ignore)
        self._next = index

    def close(self) -> None:
        """Stop decoding on."""
        closing = getattr(self._running, "close", None)
        if closing is not None:
            closing()
        self._running = None


def _ignore(index: int, message: str) -> None:
    """A broken frame is reported when it is asked for, not when it is passed."""


class Frames:
    """The pictures of a project. May be used from any thread."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, int], threading.Lock] = {}
        self._videos: dict[int, Video] = {}
        self._cursors: dict[tuple[str, int], Cursor] = {}
        self._thumbnails: Recent[bytes] = Recent(2000)

    def read(self, video: int, frame: int, *, reader: str = "player") -> Frame:
        """Return a decoded frame; each `reader` (any name) has its own place in the video.

        Raises Refused("unavailable") if the file is missing or changed, VideoError if the frame is broken.
        """
        with self._lock:
            source = self._video(video)
            lock = self._locks.setdefault((reader, video), threading.Lock())
            cursor = self._cursors.setdefault((reader, video), Cursor(source))
        with lock:
            return cursor.read(frame)

    def picture(
        self, video: int, frame: int, *, form: str = "jpeg", quality: int = 90, width: int | None = None
    ) -> bytes:
        """Return a frame as an encoded picture; `form` is one of `FORMATS`, `width` scales it down."""
        return encode(self.read(video, frame).image, form=form, quality=quality, width=width)

    def thumbnail(self, video: int, frame: int, *, height: int = 72) -> bytes:
        """Return a small JPEG of a frame."""

        def make() -> bytes:
            image = self.read(video, frame, reader="thumbnails").image
            return encode(image, quality=75, width=max(1, round(image.shape[1] * height / image.shape[0])))

        key = (video, self._project.video(video).fingerprint, frame, height)
        with self._lock:
            kept = key in self._thumbnails
        picture = b"" if kept else make()
        with self._lock:
            return self._thumbnails.get(key, lambda: picture or make())

    def _video(self, video: int) -> Video:
        if video not in self._videos:
            status, message = self._project.video_status(video)
            if status != "ok":
                raise Refused("unavailable", message)
            self._videos[video] = open_video(self._project.source(video))
        return self._videos[video]

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for cursor in self._cursors.values():
                cursor.close()
            for video in self._videos.values():
                video.close()
            self._cursors.clear()
            self._videos.clear()


def encode(image: np.ndarray, *, form: str = "jpeg", quality: int = 90, width: int | None = None) -> bytes:
    """Return an (H, W, 3) uint8 RGB image as JPEG, WebP or PNG bytes, at most `width` pixels wide.

    Raises VideoError if OpenCV cannot write it.
    """
    height, full = image.shape[:2]
    if width is not None and width < full:
        size = (width, max(1, round(height * width / full)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    options = {
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    }[form]
    done, coded = cv2.imencode(FORMATS[form], cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise VideoError(f"a picture of {image.shape[1]}x{image.shape[0]} pixels could not be written as {form}")
    return coded.tobytes()
