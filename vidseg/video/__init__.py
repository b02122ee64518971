"""Video in and out: `open_video`, reading ahead, drawing masks on frames, writing an overlay video.

numpy, PyAV and OpenCV; no torch. A source is a `Video`: frames with exact indices and times.
"""

from vidseg.video.open import open_video
from vidseg.video.overlay import colour, draw
from vidseg.video.read_ahead import read_ahead
from vidseg.video.video import FrameIndexError, UnknownLengthError, Video, VideoSlice
from vidseg.video.writer import OverlayWriter

__all__ = [
    "FrameIndexError",
    "OverlayWriter",
    "UnknownLengthError",
    "Video",
    "VideoSlice",
    "colour",
    "draw",
    "open_video",
    "read_ahead",
]
