"""Pipes and stream URLs through PyAV: frames in order as they come, no length, no way back."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from vidseg.errors import VideoError
from vidseg.types import Frame
from vidseg.video.container import Clock, open_container
from vidseg.video.packets import MOST_LOST_AT_START, Decoded, decode
from vidseg.video.picture import Converter
from vidseg.video.video import Lost, Video

TIMEOUT_SECONDS = 20.0
FASTSTART = "; an mp4 can be piped only with its index in front (ffmpeg -i IN -c copy -movflags +faststart OUT)"


def accepts(source: Any) -> bool:
    """Whether the source is "-" or a URL."""
    return isinstance(source, str) and (source == "-" or "://" in source)


def open(source: Any, *, backend: str = "auto") -> Video:
    """Open standard input ("-") or a URL (http, rtsp, rtmp, udp ...).

    Raises:
        VideoError: nothing answers, nothing comes, or it is no video.
    """
    if source == "-":
        return VideoStream(_Pipe(sys.stdin.buffer), "standard input")
    return VideoStream(source, source, timeout=TIMEOUT_SECONDS)


class VideoStream(Video):
    """A video that can be read once, from its beginning; a second loop goes on where the first one stopped."""

    known_length = False

    def __init__(self, source: Any, name: str, **options: Any) -> None:
        self.name = name
        self._container, stream = open_container(source, name, **options)
        self._items = decode(stream)
        self._ready = deque(_to_first_picture(self._items))
        if not self._ready or isinstance(self._ready[-1][1], str):
            hint = FASTSTART if "mp4" in self._container.format.name else ""
            self.close()
            raise VideoError(f"{name} has a video stream but not one frame of it can be decoded{hint}")
        self._converter = Converter(self._ready[-1][1], name, Clock.of(self._container, stream))
        self.size = self._converter.size
        self.fps = self._converter.clock.fps
        self._next_index = 0

    def _forward(self, start: int, stop: int | None) -> Iterator[Frame | Lost]:
        while stop is None or self._next_index < stop:
            item = self._ready.popleft() if self._ready else next(self._items, None)
            if item is None:
                return
            self._next_index = item[0] + 1
            if item[0] >= start:
                yield self._converter.frame(*item)

    def _check_start(self, start: int) -> None:
        super()._check_start(start)
        if start < self._next_index:
            raise VideoError(
                f"frame {start} of {self.name} has passed (it is at frame {self._next_index}); a stream cannot go back"
            )

    def close(self) -> None:
        """Close the stream."""
        self._container.close()


class _Pipe:
    """Standard input for FFmpeg: takes what has come instead of waiting for a full buffer, and never seeks."""

    def __init__(self, file: Any) -> None:
        self.read = getattr(file, "read1", file.read)


def _to_first_picture(items: Iterator[Decoded]) -> Iterator[Decoded]:
    for item in islice(items, MOST_LOST_AT_START):
        yield item
        if not isinstance(item[1], str):
            return
