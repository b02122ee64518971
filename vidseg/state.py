"""What the tracker knows between two frames: plain values, bounded in size, that can be kept, saved and compared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from vidseg.errors import VidsegError
from vidseg.memory import Memory, MemoryBank, Pointer
from vidseg.window import Edges, Window

_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTrack:
    """One object: what it remembers and its answer on the last frame it was seen on.

    Attributes:
        id: the caller's number for it.
        bank: what it remembers.
        frame: index of the frame that `logits` (1, h, w), `score` (1,) and `iou` (1,) belong to; -1 for none.
        trace: where it was found on the frame before and on that one, in pixels; None for nowhere, or where the model
            looks at whole frames. Only the last, where it was prompted or frames were left out.
    """

    id: int
    bank: MemoryBank
    frame: int
    logits: Tensor
    score: Tensor
    iou: Tensor
    trace: tuple[Edges | None, ...] = ()

    @property
    def edges(self) -> Edges | None:
        """Where it was found last; the last of `trace`."""
        return self.trace[-1] if self.trace else None


@dataclass(frozen=True, slots=True, eq=False)
class TrackerState:
    """All objects after a frame.

    Attributes:
        frame: index of the last frame seen; -1 before the first.
        window: the part of that frame that the tracks' logits show; None for all of it.
        gaze: through which windows to look at the frames that come next; all of them where there is none (see
            `vidseg.gaze`).
    """

    tracks: tuple[ObjectTrack, ...] = ()
    frame: int = -1
    window: Window | None = None
    gaze: tuple[Window, ...] = ()

    @property
    def ids(self) -> tuple[int, ...]:
        """The objects' ids, in the order of the results."""
        return tuple(t.id for t in self.tracks)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a file; `load` reads it back, on any device. The file appears whole or not at all."""
        part = Path(f"{os.fspath(path)}.part")
        looks = {"window": self.window and tuple(self.window), "gaze": [tuple(window) for window in self.gaze]}
        tracks = [_pack(t) for t in self.tracks]
        torch.save({"vidseg_state": _VERSION, "frame": self.frame, "tracks": tracks, **looks}, part)
        part.replace(path)

    @staticmethod
    def load(path: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> TrackerState:
        """Read a state that `save` wrote; nothing in the file is executed. Raises VidsegError for another file."""
        try:
            packed = torch.load(path, map_location=device, weights_only=True)
            if packed["vidseg_state"] != _VERSION:
                raise VidsegError(f"{path} is a tracker state of version {packed['vidseg_state']}; this is {_VERSION}")
            window, gaze = packed.get("window"), packed.get("gaze", ())
            return TrackerState(
                tuple(_unpack(t) for t in packed["tracks"]),
                packed["frame"],
                window and Window(*window),
                tuple(Window(*one) for one in gaze),
            )
        except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, UnpicklingError) as e:
            raise VidsegError(f"{path} is not a saved tracker state; give a file that TrackerState.save wrote") from e


def _pack(track: ObjectTrack) -> dict[str, Any]:
    bank = track.bank
    return {
        "id": track.id,
        "frame": track.frame,
        "answer": (track.logits, track.score, track.iou),
        "trace": track.trace,
        "prompted": [(m.frame, m.features, m.pointer) for m in bank.prompted],
        "recent": [(m.frame, m.features, m.pointer) for m in bank.recent],
        "pointers": [(p.frame, p.pointer) for p in bank.pointers],
    }


def _unpack(packed: dict[str, Any]) -> ObjectTrack:
    bank = MemoryBank(
        tuple(Memory(*m) for m in packed["prompted"]),
        tuple(Memory(*m) for m in packed["recent"]),
        tuple(Pointer(*p) for p in packed["pointers"]),
    )
    logits, score, iou = packed["answer"]
    return ObjectTrack(packed["id"], bank, packed["frame"], logits, score, iou, packed.get("trace", ()))
