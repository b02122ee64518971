"""Opening what FFmpeg reads, with errors a person understands: shared by the file and the stream reader.

Here: from a source to an open container and its video stream, and the origin of its clock. Not here: decoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.error import EOFError as AvEOFError
from av.error import FFmpegError, InvalidDataError

from vidseg.errors import VideoError

ATTACHED_PICTURE = 0x400  # a bit of FFmpeg's "disposition" of a stream
NOT_VIDEO = {"tty", "srt", "ass", "webvtt"}  # FFmpeg "plays" text files: refuse them


def open_container(source: Any, name: str, **options: Any) -> tuple[Any, Any]:
    """Return (container, video stream) of a path, URL or file object; decoding uses several threads.

    Raises:
        VideoError: FFmpeg cannot read it, or it holds no video.
    """
    # "file:" keeps FFmpeg from reading a colon in a file's name as a protocol.
    target = f"file:{source}" if isinstance(source, Path) else source
    try:
        container = av.open(target, metadata_errors="replace", **options)
    except (InvalidDataError, AvEOFError) as error:
        raise VideoError(f"{name} is not a video, or is damaged or incomplete ({explain(error)})") from error
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{name} cannot be opened ({explain(error)})") from error
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if container.format.name in NOT_VIDEO:
        container.close()
        raise VideoError(f"{name} is a text file, not a video")
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        container.close()
        raise VideoError(f"{name} has no video stream (it holds: {kinds})")
    streams[0].thread_type = "AUTO"
    return container, streams[0]


def _is_cover(stream: Any) -> bool:
    """Whether a video stream is only the cover picture of a music file."""
    return bool(int(getattr(stream, "disposition", 0)) & ATTACHED_PICTURE)


@dataclass(frozen=True, slots=True)
class Clock:
    """How presentation times in ticks become seconds.

    Attributes:
        tick: seconds a tick.
        origin: seconds on the container's clock that count as time zero. A file that starts late as a whole (a
            transport stream) starts at zero; a picture track that starts after the sound keeps that delay; no frame has
            a negative time.
        fps: average frames a second as the container states it, None where it does not.
    """

    tick: float
    origin: float
    fps: float | None

    @classmethod
    def of(cls, container: Any, stream: Any) -> Clock:
        """Return the clock of a stream in an open container."""
        tick = float(stream.time_base)
        origin = max(0.0, (container.start_time or 0) / av.time_base)
        if stream.start_time is not None:
            origin = min(origin, stream.start_time * tick)
        rate = stream.average_rate or stream.guessed_rate
        return cls(tick, origin, float(rate) if rate else None)

    def seconds(self, pts: Any, index: Any) -> Any:
        """Return the time of `pts`, in ticks (a number or an array); without one, by its index at 25 a second."""
        return index / (self.fps or 25.0) if pts is None else pts * self.tick - self.origin


def explain(error: BaseException) -> str:
    """Return FFmpeg's or the system's reason for an error, without the numbers around it."""
    return str(getattr(error, "strerror", None) or error)
