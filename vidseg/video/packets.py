"""From packets to frames with exact numbers: what a file reader and a stream reader share.

Here: counting packets without decoding them, and pairing decoded pictures with packets. Not here: opening and seeking
(`file`, `stream`). The one decision to know: the number of a frame is its rank among the presentation times of all
packets from the first keyframe on, so a picture that the decoder never returns still keeps its number.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.error import EOFError as AvEOFError
from av.error import FFmpegError

Decoded = tuple[int, "av.VideoFrame | str"]  # a frame's index, and its picture or why there is none
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


def scan(packets: Iterable[av.Packet]) -> PacketIndex | None:
    """Index the frames of a file from its packets; None where packets have no presentation times (some AVI)."""
    times: list[int] = []
    keys: list[int] = []
    for packet in _until_error(packets):
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


def decode(packets: Iterable[av.Packet], position: int = 0) -> Iterator[Decoded]:
    """Yield (index, picture) in order of presentation, with (index, reason) for a frame that cannot be decoded.

    Args:
        packets: packets of one video stream, beginning at a keyframe, up to the end or the flush packet.
        position: the index of that keyframe.

    Pictures shown before the keyframe (of an open group) are left out: they need pictures that were not decoded.
    """
    waiting: list[int] = []
    first: int | None = None
    reason = ""
    for packet in _until_error(packets):
        if counts(packet) and packet.pts is not None:
            if first is None and packet.is_keyframe:
                first = packet.pts
            if first is not None and packet.pts >= first:
                heapq.heappush(waiting, packet.pts)
        try:
            pictures = packet.decode()
        except AvEOFError:
            pictures = []
        except FFmpegError as error:
            reason, pictures = error.strerror or str(error), []
            if packet.pts is None and packet.size:
                yield position, reason
                position += 1
        for picture in pictures:
            if first is not None and picture.pts is not None and picture.pts < first:
                continue
            for _ in range(_missing(waiting, picture.pts)):
                yield position, reason or "its data is damaged"
                position += 1
            yield position, "its data is damaged" if picture.is_corrupt else picture
            position += 1
    for _ in waiting:
        yield position, reason or "its data is damaged or missing"
        position += 1


def _missing(waiting: list[int], pts: int | None) -> int:
    """Take the packet of the picture shown at `pts` off the heap; return how many packets gave no picture before it."""
    if pts is None or not waiting:
        return 0
    skipped = 0
    while waiting and waiting[0] < pts:
        heapq.heappop(waiting)
        skipped += 1
    if waiting and waiting[0] == pts:
        heapq.heappop(waiting)
        return skipped
    return max(skipped - 1, 0)  # the decoder moved the time a little: the nearest packet before is this picture's


def _until_error(packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
    """Yield packets up to the place where the container itself is damaged; what came before is good."""
    try:
        yield from packets
    except FFmpegError:
        return
