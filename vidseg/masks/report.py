"""What an export wrote and what the format could not hold, with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .annotation import CATEGORY, Annotation

LOSSES = {
    "overlap": "pixels in two objects at once; the format gives each pixel to one, the one on top keeps it",
    "polygon": "pixels by which polygons differ from their masks",
    "bridge": "pixels of thin bridges that join the parts of an object into one polygon",
    "masks": "masks; the format holds boxes only, which were written",
    "boxes": "boxes of frames without a mask; the format holds masks only",
    "ids": "objects with an id that does not fit the format; they were renumbered",
    "identities": "objects; the format does not say which masks of two frames are the same object",
    "names": "names of objects",
    "categories": "objects with a category; the format has none",
    "scores": "confidences",
    "crowds": "objects marked as a crowd",
    "times": "frame times",
    "frame_names": "videos whose frames have names of their own",
}
"""What can be lost, by the word that `Loss.what` uses."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that a format could not hold: `what` is a key of LOSSES, `count` says how many."""

    what: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} {LOSSES[self.what]}"


@dataclass(frozen=True, slots=True)
class Report:
    """What `write` did: the format, where to, how many files, masks and boxes; and what could not be held."""

    format: str
    path: Path
    files: int
    masks: int
    boxes: int
    losses: tuple[Loss, ...]

    @property
    def masks_exact(self) -> bool:
        """Whether reading the files gives back exactly the pixels of every object."""
        return not {"overlap", "polygon", "bridge", "masks"} & {loss.what for loss in self.losses}

    def lost(self, what: str) -> int:
        """Return the count of one kind of loss, 0 if there was none."""
        return sum(loss.count for loss in self.losses if loss.what == what)

    def __str__(self) -> str:
        head = f"{self.format}: {self.files} files, {self.masks} masks, {self.boxes} boxes in {self.path}"
        return "\n".join([head, *(f"  not held: {loss}" for loss in self.losses)])


class Tally:
    """Counts while a format is written; `report` closes it."""

    def __init__(self, format: str, path: str | Path, *, holds: Collection[str]):
        unknown = set(holds) - set(LOSSES)
        assert not unknown, unknown
        self.format, self.path, self.holds = format, Path(path), frozenset(holds)
        self.files = self.masks = self.boxes = 0
        self.lost: Counter[str] = Counter()

    def lose(self, what: str, count: int | np.integer) -> None:
        """Count something that the format cannot hold."""
        self.lost[what] += int(count)

    def video(self, annotation: Annotation) -> None:
        """Count what an annotation has beside masks and this format has no place for."""
        tracks = annotation.tracks
        present = {
            "boxes": sum(len(track.boxes) for track in tracks),
            "identities": sum(len(track.frames()) > 1 for track in tracks),
            "names": sum(track.name != "" for track in tracks),
            "categories": sum(track.category != CATEGORY for track in tracks),
            "scores": sum(len(track.scores) for track in tracks),
            "crowds": sum(track.crowd for track in tracks),
            "times": len(annotation.times),
            "frame_names": int(bool(annotation.frame_names)),
        }
        for what, count in present.items():
            if what not in self.holds:
                self.lose(what, count)

    def report(self) -> Report:
        """Return the report, losses in the order of LOSSES."""
        losses = tuple(Loss(what, self.lost[what]) for what in LOSSES if self.lost[what])
        return Report(self.format, self.path, self.files, self.masks, self.boxes, losses)
