"""Single frames of a file through decord, on request (`backend="decord"`); numbers, times and loops stay PyAV's.

Not the default: 12 frames at random from each of six 720p clips took decord 0.6 112 ms of processor time a frame and
PyAV 72 (0.65 and 0.44 s on the clock of two busy cores; three runs, each within 6 %), as `seek` skips pictures that no
other picture needs. The frames were equal bit for bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidseg.errors import VideoError
from vidseg.types import Frame
from vidseg.video.file import VideoFile
from vidseg.video.video import Lost


class DecordFile(VideoFile):
    """A video file whose `video[i]` is decoded by decord.

    Raises:
        VideoError: decord is not installed, cannot read the file, or finds other frames in it than FFmpeg does.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            import decord
        except ImportError as error:
            raise VideoError('decord is not installed; run: pip install decord, or use backend="pyav"') from error
        try:
            self._reader: Any = decord.VideoReader(str(path))
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise VideoError(f'decord cannot read {self.name} ({reason}); use backend="pyav"') from error
        shape = self._reader[0].shape
        if len(self._reader) != len(self) or shape != (*self.size, 3):
            found, expected = f"{len(self._reader)} frames of {shape}", f"{len(self)} of {(*self.size, 3)}"
            raise VideoError(f'decord finds {found} in {self.name} where FFmpeg finds {expected}; use backend="pyav"')

    def _read(self, index: int) -> Frame | Lost:
        with self._lock:
            try:
                image = self._reader[index].asnumpy()
            except Exception as error:
                return Lost(index, f"frame {index} of {self.name} cannot be decoded by decord ({type(error).__name__})")
        return Frame(index, float(self.times[index]), image)
