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
from ..video import Video, open_video, read_ahead
from .cache import Recent
from .project import Project
from .refused import Refused

FORMATS = {"jpeg": ".jpg", "webp": ".webp", "png": ".png"}
_SKIP = 8  # frames that a cursor decodes and passes over rather than seeks
_KEPT_BYTES = 24 << 20  # of decoded frames that a cursor keeps: a page asks for several at once, in any order


class Cursor:
    """Reads one video: any frame, and cheaply the next ones in either direction. One thread at a time.

    With `ahead`, that many frames are decoded in advance in a thread.
    """

    def __init__(self, video: Video, *, ahead: int = 0) -> None:
        self._video = video
        self._ahead = ahead
        self._running: Iterator[Frame] | None = None
        self._next, self._last, self._step = -1, -1, 1
        height, width = video.size
        self._kept: Recent[Frame] = Recent(max(2, _KEPT_BYTES // (3 * height * width)))

    def read(self, index: int) -> Frame:
        """Return a frame; raises VideoError if it cannot be decoded."""
        return self._kept.get(index, lambda: self._read(index))

    def _read(self, index: int) -> Frame:
        if self._running is None or not 0 <= (index - self._next) * self._step <= _SKIP:
            backwards = index == self._last - 1
            self._begin(index, -1 if backwards else 1)
        self._last = index
        for frame in self._running or ():
            self._next = frame.index + self._step
            if frame.index == index:
                return frame
            if (frame.index - index) * self._step > 0:
                break  # the frame is broken and was passed over
            self._kept.get(frame.index, lambda frame=frame: frame)  # type: ignore[misc]
        self.close()
        return self._video[index]  # raises with the reason

    def _begin(self, index: int, step: int) -> None:
        self.close()
        if step > 0:
            frames = self._video.frames(index, on_error=_ignore)
        else:
            frames = self._video.frames(0, index + 1, reverse=True, on_error=_ignore)
        self._running = read_ahead(frames, self._ahead) if self._ahead else frames
        self._next, self._step = index, step

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

    def read(self, video: int, frame: int, *, reader: str = "player", ahead: int = 0) -> Frame:
        """Return a decoded frame; each `reader` (any name) has its own place in the video, and may decode `ahead`.

        Raises Refused("unavailable") if the file is missing or changed, VideoError if the frame is broken.
        """
        with self._lock:
            source = self._video(video)
            lock = self._locks.setdefault((reader, video), threading.Lock())
            cursor = self._cursors.setdefault((reader, video), Cursor(source, ahead=ahead))
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
