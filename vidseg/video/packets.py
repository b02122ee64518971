"""From packets to frames with exact numbers: what a file reader and a stream reader share.

Here: counting packets without decoding them, and pairing decoded pictures with packets. Not here: opening and seeking
(`file`, `stream`). The one decision to know: the number of a frame is its rank among the presentation times of all
packets from the first keyframe on, so a picture that the decoder never returns still keeps its number.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.error import EOFError as AvEOFError
from av.error import FFmpegError

from vidseg.video.container import explain

Decoded = tuple[int, "av.VideoFrame | str"]  # a frame's index, and its picture or why there is none
SKIPPING = {"h264", "hevc"}  # decoders that leave out unreferenced pictures and change no other; dav1d does
DAMAGED = "its data is damaged or missing"
MOST_LOST_AT_START = 1000  # a video whose first 1,000 frames cannot be decoded is given up


@dataclass(frozen=True, slots=True, eq=False)
class PacketIndex:
    """Which frames a file holds.

    Attributes:
        pts: (T,) int64 presentation times in ticks, ascending.
        keys: (K,) int64 frame numbers of the keyframes, ascending; decoding may start there.
    """

    pts: np.ndarray
    keys: np.ndarray

    def key_before(self, index: int) -> int:
        """Return the position in `keys` of the last keyframe at or before frame `index`."""
        return int(np.searchsorted(self.keys, index, side="right")) - 1


def counts(packet: av.Packet) -> bool:
    """Whether a packet becomes a frame that is shown: not empty, not cut away by an edit list, not an alt-ref."""
    if not packet.size or packet.is_discard:
        return False
    if packet.stream.codec_context.name in ("vp8", "libvpx"):
        return bool(bytes(packet)[0] & 0x10)  # show_frame, RFC 6386 section 9.1
    return True


def is_timed(stream: Any) -> bool:
    """Whether packets say when they are shown; AVI stores no times, and FFmpeg's guess fails for B-frames."""
    return not (stream.container.format.name == "avi" and stream.codec_context.has_b_frames)


def scan(stream: Any) -> PacketIndex | None:
    """Index the frames of a stream from its packets; None where packets have no presentation times."""
    times: list[int] = []
    keys: list[int] = []
    if not is_timed(stream):
        return None
    for packet in _until_error(stream.container.demux(stream)):
        if not counts(packet):
            continue
        if packet.pts is None:
            return None
        if packet.is_keyframe:
            keys.append(packet.pts)
        if keys:
            times.append(packet.pts)
    if not keys:
        return None
    pts = np.sort(np.asarray(times, np.int64))
    pts = pts[np.searchsorted(pts, keys[0]) :]
    return PacketIndex(pts, np.unique(np.searchsorted(pts, np.asarray(keys, np.int64))))


class Wanted:
    """From which time on every picture is wanted; those before it are only decoded where others refer to them."""

    def __init__(self) -> None:
        self.pts: int | None = None

    def prepare(self, packet: av.Packet) -> None:
        """Tell the decoder whether it may skip this packet's picture. That never changes the pictures after it."""
        if self.pts is not None and packet.pts is not None and packet.stream.codec_context.name in SKIPPING:
            packet.stream.codec_context.skip_frame = "NONREF" if packet.pts < self.pts else "DEFAULT"


def decode(
    stream: Any, packets: Iterable[av.Packet] | None = None, *, position: int = 0, wanted: Wanted | None = None
) -> Iterator[Decoded]:
    """Yield (index, picture) in order of presentation, with (index, reason) for a frame that cannot be decoded.

    Args:
        stream: the video stream of an open container.
        packets: its packets from a keyframe on; None for those from where the container stands.
        position: the index of that keyframe.
        wanted: pictures before its time may be skipped, and are then reported as not decoded.

    Pictures shown before the keyframe (of an open group) are left out: they need pictures that were not decoded.
    """
    ranks = _Ranks() if is_timed(stream) else _Counted()
    reason = ""
    for packet in _until_error(stream.container.demux(stream) if packets is None else packets):
        ranks.sent(packet)
        if wanted is not None:
            wanted.prepare(packet)
        try:
            pictures = packet.decode()
        except AvEOFError:
            continue
        except FFmpegError as error:
            reason = explain(error)
            lost, pictures = ranks.failed(packet), []
            yield from ((position + i, reason) for i in range(lost))
            position += lost
        for picture in pictures:
            gap = ranks.received(picture)
            if gap is None:
                continue
            yield from ((position + i, reason or DAMAGED) for i in range(gap))
            position += gap + 1
            # Not picture.is_corrupt: with several threads the decoder sets it on one run and not on the next.
            yield position - 1, DAMAGED if picture.pts in ranks.damaged else picture
    yield from ((position + i, reason or DAMAGED) for i in range(ranks.left()))


class _Ranks:
    """Pairs pictures with packets by their presentation time; `damaged` holds the times of broken packets."""

    def __init__(self) -> None:
        self.damaged: set[int | None] = set()
        self._waiting: list[int] = []
        self._first: int | None = None

    def sent(self, packet: av.Packet) -> None:
        """Note a packet that goes to the decoder."""
        if not counts(packet) or packet.pts is None:
            return
        if packet.is_corrupt:
            self.damaged.add(packet.pts)
        if self._first is None and packet.is_keyframe:
            self._first = packet.pts
        if self._first is not None and packet.pts >= self._first:
            heapq.heappush(self._waiting, packet.pts)

    def failed(self, packet: av.Packet) -> int:
        """Return how many frames an error stands for; where there are times, the gap between pictures tells later."""
        return int(packet.pts is None and packet.size > 0)

    def received(self, picture: av.VideoFrame) -> int | None:
        """Return how many frames before this one gave no picture; None for a picture that does not count."""
        pts, waiting = picture.pts, self._waiting
        if pts is None or self._first is None:
            return 0
        if pts < self._first:
            return None
        skipped = 0
        while waiting and waiting[0] < pts:
            heapq.heappop(waiting)
            skipped += 1
        if waiting and waiting[0] == pts:
            heapq.heappop(waiting)
            return skipped
        return max(skipped - 1, 0)  # the decoder moved the time a little: the nearest packet before is this picture's

    def left(self) -> int:
        """Return how many packets at the end gave no picture."""
        return len(self._waiting)


class _Counted(_Ranks):
    """Counts pictures as they come, for streams whose packets have no times; the first shown gets the first's slot."""

    def __init__(self) -> None:
        super().__init__()
        self._slots: deque[int | None] = deque()

    def sent(self, packet: av.Packet) -> None:
        """Note the decoding time of a packet: pictures are shown in the same rhythm."""
        if packet.size:
            self._slots.append(packet.dts)
        if packet.is_corrupt and packet.dts is not None:
            self.damaged.add(packet.dts)

    def failed(self, packet: av.Packet) -> int:
        """Take an error for one frame."""
        if packet.size and self._slots:
            self._slots.popleft()
        return int(packet.size > 0)

    def received(self, picture: av.VideoFrame) -> int | None:
        """Replace the time that was guessed for the picture."""
        picture.pts = self._slots.popleft() if self._slots else None
        return 0


def _until_error(packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
    """Yield packets up to the place where the container itself is damaged; what came before is good."""
    try:
        yield from packets
    except FFmpegError:
        return
