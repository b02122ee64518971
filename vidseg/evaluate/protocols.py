"""What counts: which objects of a video are prompted when, and on which frames each of them is scored.

A protocol turns the labels on disk into objects; it computes no score. They differ in a few yes-or-no questions.
Sources: the evaluation code of DAVIS-2016 and DAVIS-2017 (first and last frame left out), of YouTube-VOS (all
annotated frames after an object's first) and of SA-V (an object's first and last annotated frame left out).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vidseg.errors import DataError
from vidseg.evaluate.data import IGNORED, Dataset, LabelledVideo


@dataclass(frozen=True, slots=True)
class Protocol:
    """The rules of a benchmark.

    Attributes:
        name: what `--protocol` calls it.
        merged: all that is labelled (255 too) is one object.
        ignores: pixels of value 255 count neither way; otherwise they are background.
        drops_ends: neither the first nor the last annotated frame counts; else all frames after an object's prompt.
        late: objects that appear after the first annotated frame are prompted and scored as well.
        overlapping: an object's mask may cover another's, and is kept in a folder of its own.
    """

    name: str
    merged: bool = False
    ignores: bool = False
    drops_ends: bool = False
    late: bool = True
    overlapping: bool = False


PROTOCOLS = {
    one.name: one
    for one in (
        Protocol("davis2016", merged=True, drops_ends=True, late=False),
        Protocol("davis2017", drops_ends=True, late=False),
        Protocol("youtubevos"),
        Protocol("sav", drops_ends=True, overlapping=True),
        Protocol("all", ignores=True),
    )
}


@dataclass(frozen=True)
class Task:
    """One video under one protocol: what a method is asked to follow and what it is scored on."""

    video: LabelledVideo
    protocol: Protocol

    @cached_property
    def starts(self) -> dict[int, int]:
        """{object id: frame of its prompt}, ids ascending.

        Raises DataError if nothing is labelled where it should be.
        """
        if self.protocol.late:
            seen = self.video.first_seen
        else:
            first = self.video.labels.frames()[0]
            seen = dict.fromkeys(sorted(self.video.labels.read(first).masks), first)
        if self.protocol.merged:
            found = {1: min(seen.values())} if seen else {}
        else:
            found = {object_id: frame for object_id, frame in seen.items() if object_id != IGNORED}
        if not found:
            where = "any frame" if self.protocol.late else "its first annotated frame"
            raise DataError(f"sequence {self.video.name}: no object is labelled in {where}")
        return found

    @property
    def objects(self) -> tuple[int, ...]:
        """The ids of the objects, ascending; masks (O, H, W) follow this order."""
        return tuple(self.starts)

    def truth(self, frame: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the true masks (O, H, W) bool of an annotated frame, and the (H, W) pixels to ignore or None."""
        truth = self.video.labels.read(frame)
        masks = np.zeros((len(self.objects), *truth.size), bool)
        if self.protocol.merged:
            for mask in truth.masks.values():
                masks[0] |= mask
            return masks, None
        for place, object_id in enumerate(self.objects):
            if object_id in truth.masks:
                masks[place] = truth.masks[object_id]
        return masks, truth.masks.get(IGNORED) if self.protocol.ignores else None

    def counted(self, object_id: int) -> tuple[int, ...]:
        """The frames on which an object is scored, ascending; may be empty."""
        frames = self.video.labels.frames(None if self.protocol.merged else object_id)
        if self.protocol.drops_ends:
            return tuple(frame for frame in frames[1:-1] if frame >= self.starts[object_id])
        return tuple(frame for frame in frames if frame > self.starts[object_id])

    def name(self, object_id: int) -> str:
        """What the data set calls the object."""
        return str(object_id) if self.protocol.merged else self.video.labels.name(object_id)


def find_protocol(name: str, dataset: Dataset) -> Protocol:
    """Return the protocol called `name`; for "auto" the one that the data set's layout calls for.

    In the DAVIS layout that is `davis2016` where the first mask of every sequence holds 0 and 255 only, and
    `davis2017` otherwise.

    Raises DataError if there is no such protocol.
    """
    if name == "auto":
        return PROTOCOLS[_usual(dataset)]
    if name not in PROTOCOLS:
        raise DataError(f"unknown protocol {name!r}; choose one of auto, {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def _usual(dataset: Dataset) -> str:
    if dataset.layout in ("sav", "sav-json"):
        return "sav"
    if dataset.layout == "youtubevos":
        return "youtubevos"
    if dataset.layout == "plain":
        return "all"
    first = (video.labels.read(video.labels.frames()[0]) for video in dataset.videos)
    return "davis2016" if all(set(truth.masks) <= {IGNORED} for truth in first) else "davis2017"
