"""Video files through PyAV: exact frame numbers and times, single frames, reverse order in bounded memory.

Not here: pipes and URLs, which cannot seek (`stream`), and the seeking itself (`seek`). The one decision to know: the
index (one pass over the packets, nothing decoded: 30 ms for ten seconds of 720p) is made when a length, a time table or
a seek first needs it; a loop from the start never does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidseg.errors import VideoError
from vidseg.types import Frame
from vidseg.video.container import Clock, open_container
from vidseg.video.packets import MOST_LOST_AT_START, Decoded, PacketIndex, decode, scan
from vidseg.video.picture import Converter
from vidseg.video.seek import Cursor, Seeker
from vidseg.video.video import Lost, Video

REVERSE_BYTES = 256 * 1024**2  # pictures held at once when a video is read backwards, counted as RGB


def accepts(source: Any) -> bool:
    """Whether this reader takes the source: any path that the readers before it declined."""
    return True


def open(source: Any, *, backend: str = "auto") -> Video:
    """Open a video file.

    Raises:
        VideoError: the file is missing, empty, damaged or not a video.
    """
    path = Path(source)
    if not path.exists():
        raise VideoError(f"{path} does not exist; give a video file, a folder or pattern of images, or a camera number")
    if path.is_file() and path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes)")
    if backend == "decord":
        from vidseg.video.decord import DecordFile

        return DecordFile(path)
    return VideoFile(path)


class VideoFile(Video):
    """A video file; every loop over it opens the file anew, so loops and `video[i]` do not disturb each other."""

    path: Path

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self._lock = threading.Lock()
        self._cursor: Cursor | None = None
        container, stream = open_container(path, self.name)
        with container:
            clock = Clock.of(container, stream)
            self._converter = Converter(_first_picture(stream, self.name), self.name, clock)
        self.size = self._converter.size
        self.fps = clock.fps

    @cached_property
    def _index(self) -> PacketIndex | None:
        container, stream = open_container(self.path, self.name)
        with container:
            return scan(stream)

    @cached_property
    def _seconds(self) -> np.ndarray:
        clock = self._converter.clock
        if self._index is not None:
            seconds = clock.seconds(self._index.pts, None)
        else:  # no times in the packets: only decoding counts the frames
            with Seeker(self.path, None) as seeker:
                pictures = seeker.decode_from(0)
                seconds = np.array([clock.seconds(getattr(picture, "pts", None), i) for i, picture in pictures])
        seconds.flags.writeable = False
        return seconds

    def _measure(self) -> np.ndarray:
        return self._seconds

    def _forward(self, start: int, stop: int | None) -> Iterator[Frame | Lost]:
        converter = self._converter.copy()
        with Seeker(self.path, self._index if start else None) as seeker:
            for index, picture in _until(seeker.decode_from(start), stop):
                if index >= start:
                    yield converter.frame(index, picture)

    def _read(self, index: int) -> Frame | Lost:
        with self._lock:
            if self._cursor is None:
                self._cursor = Cursor(self.path, self._index)
            return self._converter.frame(index, self._cursor.read(index))

    def _backward(self, start: int, stop: int) -> Iterator[Frame | Lost]:
        converter = self._converter.copy()
        with Seeker(self.path, self._index) as seeker:
            for low, high in reversed(self._runs(start, stop)):
                held = [item for item in _until(seeker.decode_from(low), high) if item[0] >= low]
                while held:
                    yield converter.frame(*held.pop())

    def _runs(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Cut frames `start` to `stop - 1` at keyframes, and again where a run would not fit in `REVERSE_BYTES`."""
        height, width = self.size
        most = max(8, REVERSE_BYTES // (height * width * 3))
        keys = [] if self._index is None else [int(key) for key in self._index.keys if start < key < stop]
        edges = [start, *keys, stop]
        groups = pairwise(edges)
        return [(low, min(low + most, high)) for first, high in groups for low in range(first, high, most)]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._cursor is not None:
                self._cursor.close()
            self._cursor = None


def _first_picture(stream: Any, name: str) -> av.VideoFrame:
    """Return the first picture that decodes; its size and rotation are the video's."""
    for _, picture in islice(decode(stream), MOST_LOST_AT_START):
        if not isinstance(picture, str):
            return picture
    raise VideoError(f"{name} has a video stream but not one frame of it can be decoded; is the file complete?")


def _until(items: Iterator[Decoded], stop: int | None) -> Iterator[Decoded]:
    """Yield up to frame `stop - 1` without decoding any further."""
    for item in items:
        if stop is None or item[0] < stop:
            yield item
        if stop is not None and item[0] >= stop - 1:
            return
