"""The overlay video: H.264 that every browser plays, with the frame times and the sound of its source.

Written to `NAME.part` and renamed when it is complete, so a file with the final name is always whole. Frame times are
kept to 1/90,000 s. H.264 in its common form stores pairs of rows and columns: an odd height or width is padded by
repeating the last one (`encoded_size`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Colorspace, VideoReformatter

from vidseg.errors import VideoError
from vidseg.video.audio import AudioCopy
from vidseg.video.container import explain

TICKS = 90_000  # a second
LEAD_IN_SECONDS = 1.0  # a first frame later than this is an excerpt's, which starts at time zero
BT709 = 1  # as H.264 numbers matrices, primaries and transfer curves
LIMITED = 1  # range 16-235
# Processor time a frame of 854x480: 4.4 ms with the preset ultrafast, 6.5 superfast, 8.7 veryfast; the files' sizes
# are as 1.7, 1.2 and 1.
CODING = {"preset": "superfast", "crf": "20", "bf": "0"}


class OverlayWriter:
    """Writes frames as an mp4 video; a context manager that leaves either a whole file or none.

    Args:
        path: the file to write, usually "overlay.mp4".
        size: (H, W) of the frames.
        fps: frames a second, for frames written without a time.
        times: the seconds of all frames, for frames written without a time.
        audio: a file whose sound is copied as it is, cut to the frames written; left out with a warning where mp4
            cannot hold it, silently where there is none.

    A first frame later than one second marks an excerpt: the file then starts with that frame, sound included.

    Attributes:
        encoded_size: (H, W) of the video, rounded up to even numbers.

    Raises:
        VideoError: the file cannot be written (no such folder, disk full ...), frames of another size, or times that do
            not increase.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        *,
        fps: float | None = None,
        times: Sequence[float] | np.ndarray | None = None,
        audio: str | os.PathLike[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.size = size
        self.encoded_size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._part = self.path.with_name(self.path.name + ".part")
        self._times = times
        self._fps = _rate(times) if not fps else Fraction(fps).limit_denominator(60_000)
        self._duration = round(TICKS / self._fps)
        self._count = 0
        self._start = 0.0
        self._pts = -1
        self._reformatter = VideoReformatter()
        self._audio: AudioCopy | None = None
        self._container: Any = None
        try:
            self._part.open("wb").close()  # FFmpeg opens it with the first frame: too late to hear of a missing folder
            self._container = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
            self._stream = self._video_stream()
            self._audio = None if audio is None else AudioCopy.of(Path(audio), self._container)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def write(self, image: np.ndarray, seconds: float | None = None) -> None:
        """Add a frame: (H, W, 3) uint8 RGB, shown `seconds` after the start of the source.

        Without `seconds`, the time is the next of `times`, or follows from `fps`.
        """
        if image.shape != (*self.size, 3) or image.dtype != np.uint8:
            expected = f"({self.size[0]}, {self.size[1]}, 3) uint8"
            raise VideoError(f"a frame of shape {image.shape} {image.dtype} for {self.path.name}; expected {expected}")
        pts = self._next_pts(self._scheduled() if seconds is None else float(seconds))
        try:
            self._mux(self._stream.encode(self._picture(image, pts)))
            if self._audio is not None:
                self._audio.copy_until(self._start + pts / TICKS, start=self._start)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self._pts = pts
        self._count += 1

    def close(self) -> None:
        """Finish the file and give it its name; without any frame, raise VideoError and leave nothing."""
        if self._container is None:
            return
        if not self._count:
            self.discard()
            raise VideoError(f"no frame was written to {self.path}, so there is no video")
        try:
            self._mux(self._stream.encode())
            if self._audio is not None:
                self._audio.copy_until(self._start + (self._pts + self._duration) / TICKS, start=self._start)
                self._audio.close()
            container, self._container = self._container, None
            container.close()
            os.replace(self._part, self.path)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def discard(self) -> None:
        """Give up: remove what was written."""
        container, self._container = self._container, None
        if self._audio is not None:
            self._audio.close()
        if container is not None:
            with contextlib.suppress(FFmpegError, OSError):
                container.close()
        with contextlib.suppress(OSError):
            self._part.unlink()

    def __enter__(self) -> OverlayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _video_stream(self) -> Any:
        stream = self._container.add_stream("libx264", rate=self._fps, options=dict(CODING))
        stream.height, stream.width = self.encoded_size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = Fraction(1, TICKS)
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        return stream

    def _scheduled(self) -> float:
        """Return the time of a frame written without one."""
        if self._times is None:
            return float(self._count / self._fps)
        if self._count >= len(self._times):
            raise VideoError(
                f"frame {self._count} of {self.path.name} has no time: {len(self._times)} times were given"
            )
        return float(self._times[self._count])

    def _next_pts(self, seconds: float) -> int:
        """Return the ticks of a frame in the file."""
        if not self._count:
            self._start = seconds if seconds > LEAD_IN_SECONDS else 0.0
        pts = round((seconds - self._start) * TICKS)
        if pts <= self._pts:
            before = self._start + self._pts / TICKS
            raise VideoError(f"a frame at {seconds:.3f} s after one at {before:.3f} s; write frames in order of time")
        return pts

    def _picture(self, image: np.ndarray, pts: int) -> av.VideoFrame:
        height, width = self.encoded_size
        if (height, width) != self.size:
            image = np.pad(image, ((0, height - self.size[0]), (0, width - self.size[1]), (0, 0)), mode="edge")
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        picture = self._reformatter.reformat(rgb, format="yuv420p", dst_colorspace=Colorspace.ITU709)
        picture.pts, picture.time_base = pts, Fraction(1, TICKS)
        return picture

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            packet.duration = self._duration
            self._container.mux(packet)

    def _failure(self, error: BaseException) -> VideoError:
        """Clean up after a failed write; return the error that says so."""
        self.discard()
        return VideoError(f"{self.path} cannot be written ({explain(error)}); nothing was left of it")


def _rate(times: Sequence[float] | np.ndarray | None) -> Fraction:
    """Return frames a second by the usual distance between times, 25 where that says nothing."""
    steps = np.diff(np.asarray(() if times is None else times, float))
    return (
        Fraction(1 / float(np.median(steps))).limit_denominator(60_000)
        if len(steps) and np.median(steps) > 0
        else Fraction(25)
    )
