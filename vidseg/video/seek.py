"""Starting to decode a file at any frame, exactly.

Here: an open file that can go to the keyframe before a frame and check that it arrived. Not here: what is done with the
pictures (`file`). The one decision to know: where a file's own index leads astray, an earlier keyframe is tried, and at
last the file is opened anew; the frames are the same, only later.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from vidseg.video.container import open_container
from vidseg.video.packets import Decoded, PacketIndex, Wanted, decode


class Seeker:
    """One open video file and where to find its keyframes."""

    def __init__(self, path: Path, index: PacketIndex | None) -> None:
        self._path = path
        self._index = index
        self._container, self._stream = open_container(path, path.name)
        self._fresh = True
        self._wanted = Wanted()

    def __enter__(self) -> Seeker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def decode_from(self, start: int) -> Iterator[Decoded]:
        """Decode from the last keyframe at or before frame `start`; frames before `start` may come first, or lack."""
        self.want(start)
        fresh, self._fresh = self._fresh, False
        if self._index is not None:
            for key in range(self._index.key_before(start), -1, -1):
                items = self._seek(self._index, int(self._index.keys[key]))
                if items is not None:
                    return items
        if self._index is not None or not fresh:
            self.close()
            self._container, self._stream = open_container(self._path, self._path.name)
        return decode(self._stream, wanted=self._wanted)

    def want(self, index: int) -> None:
        """Say that no frame before `index` is needed from now on: the decoder need not make those that stand alone."""
        self._wanted.pts = None if self._index is None else int(self._index.pts[index])

    def _seek(self, index: PacketIndex, position: int) -> Iterator[Decoded] | None:
        """Go to the keyframe with number `position` or an earlier one; None if the file led to something else."""
        try:
            self._container.seek(int(index.pts[position]), stream=self._stream, backward=True)
            packets = self._container.demux(self._stream)
            first = next(packet for packet in packets if packet.is_keyframe or not packet.size)
        except (FFmpegError, StopIteration):
            return None
        if first.pts is None:
            return None
        found = int(np.searchsorted(index.pts, first.pts))
        # In an MPEG program stream the times just after a jump can be a frame off: then they are no keyframe's.
        if found > position or found not in index.keys or index.pts[found] != first.pts:
            return None
        return decode(self._stream, chain([first], packets), position=found, wanted=self._wanted)


class Cursor:
    """Single frames by number; goes on decoding from where it is when that is the shorter way."""

    def __init__(self, path: Path, index: PacketIndex | None) -> None:
        self._seeker = Seeker(path, index)
        self._index = index
        self._items: Iterator[Decoded] = iter(())
        self._last: Decoded | None = None

    def read(self, index: int) -> av.VideoFrame | str:
        """Return the picture of frame `index`, or why there is none."""
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        if self._is_ahead(index):
            self._seeker.want(index)
        else:
            self._items = self._seeker.decode_from(index)
        self._last = None
        for item in self._items:
            if item[0] >= index:
                self._last = item
                break
        if self._last is None or self._last[0] != index:
            return "the file ends before it"
        return self._last[1]

    def _is_ahead(self, index: int) -> bool:
        """Whether `index` lies ahead with no keyframe between that would be nearer."""
        if self._last is None or index < self._last[0]:
            return False
        return self._index is None or self._index.key_before(index) == self._index.key_before(self._last[0])

    def close(self) -> None:
        """Close the file."""
        self._seeker.close()
