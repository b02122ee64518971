"""From a decoded picture to an (H, W, 3) uint8 RGB array, upright, always of one size.

The matrix and range that the file states are used (FFmpeg's defaults where it states none), alpha is dropped, more
than 8 bits are rounded to 8, rotation and mirroring that the file asks for are applied. Pixel aspect ratio is not:
pixels stay as they are stored.
"""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vidseg.types import Frame
from vidseg.video.container import Clock
from vidseg.video.video import Lost


class Converter:
    """Turns decoded pictures of one stream into frames; keeps FFmpeg's scaler between them, which saves time.

    Attributes:
        size: (H, W) of every frame, that of the first picture made upright.
        clock: from presentation times to seconds.
    """

    def __init__(self, first: av.VideoFrame, name: str, clock: Clock) -> None:
        self.clock = clock
        self._name = name
        self._reformatter = VideoReformatter()
        self._turns, self._mirror = orientation(first)
        self._stored = (first.width, first.height)
        self.size = self._stored if self._turns % 2 else self._stored[::-1]

    def copy(self) -> Converter:
        """Return a converter with a scaler of its own, for another loop or thread."""
        other = copy(self)
        other._reformatter = VideoReformatter()
        return other

    def frame(self, index: int, picture: av.VideoFrame | str) -> Frame | Lost:
        """Return the frame of a picture, or `Lost` for the reason why there is none."""
        if isinstance(picture, str):
            return Lost(index, f"frame {index} of {self._name} cannot be decoded ({picture})")
        return Frame(index, float(self.clock.seconds(picture.pts, index)), self.image(picture))

    def image(self, picture: av.VideoFrame) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB; a picture of another size (a stream that changes) is scaled to the first's."""
        width, height = self._stored
        image = self._reformatter.reformat(picture, width=width, height=height, format="rgb24").to_ndarray()
        if self._mirror:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, self._turns))


def orientation(picture: av.VideoFrame) -> tuple[int, bool]:
    """Return how to make a picture upright: quarter turns anticlockwise, after mirroring left-right where True.

    The display matrix of the file says so (ISO 14496-12, 8.3.2); other angles than quarter turns go to the nearest.
    """
    data: Any = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    matrix = np.frombuffer(bytes(data), np.int32)[:9].reshape(3, 3) / 65536
    (a, b), (c, d) = matrix[0, :2], matrix[1, :2]
    mirror = bool(a * d - b * c < 0)
    if mirror:
        a, b = -a, -b
    return round(math.atan2(-b, a) / (math.pi / 2)) % 4, mirror
