"""Copying the sound of one file into another as it is, packet by packet, beside the frames that are written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from vidseg.errors import VideoError
from vidseg.video.container import Clock, open_container


class AudioCopy:
    """The first sound track of a source, on its way into an output container."""

    def __init__(self, container: Any, origin: float, sound: Any, target: Any) -> None:
        self._container = container
        self._origin = origin
        self._packets: Iterator[av.Packet] = container.demux(sound)
        self._target = target
        self._waiting: av.Packet | None = None

    @classmethod
    def of(cls, path: Path, output: Any) -> AudioCopy | None:
        """Return the copy of the sound of `path` into `output`; None where it has none, or `output` cannot hold it."""
        try:
            container, video = open_container(path, path.name)
        except VideoError as error:
            warnings.warn(f"no sound is copied: {error}", stacklevel=4)
            return None
        if not container.streams.audio:
            container.close()
            return None
        sound = container.streams.audio[0]
        codec = sound.codec_context.codec.canonical_name
        if codec not in output.supported_codecs:
            container.close()
            warnings.warn(
                f"the sound of {path.name} is left out: {output.format.name} cannot hold {codec}", stacklevel=4
            )
            return None
        return cls(container, Clock.of(container, video).origin, sound, output.add_stream_from_template(sound))

    def copy_until(self, seconds: float, *, start: float) -> None:
        """Copy the packets that begin before `seconds` of the source; `start` is where the output begins."""
        while True:
            packet = self._waiting or next(self._packets, None)
            if packet is None or self._container is None:
                return
            self._waiting = None
            if packet.pts is None:
                continue
            tick = float(packet.time_base)
            begin = packet.pts * tick - self._origin
            if begin >= seconds:
                self._waiting = packet
                return
            if start and begin + (packet.duration or 0) * tick <= start:
                continue
            shift = round((self._origin + start) / tick)
            packet.pts -= shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            packet.stream = self._target
            self._target.container.mux(packet)

    def close(self) -> None:
        """Close the source."""
        self._container.close()
