"""What every mask format reads and writes: the objects of one video, their masks as run lengths, and their names.

A frame of a track is visible where it has a mask with pixels; an empty mask means the same as none. `boxes` holds what
came as a box only: where a frame has a mask, the mask's own box is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import MaskFormatError
from ..types import Box
from . import rle
from .rle import Rle

CATEGORY = "object"
"""The category of a track that nobody gave one."""


@dataclass(frozen=True, slots=True)
class Track:
    """One object through a video.

    Attributes:
        id: a positive integer, unique in its video.
        name: what a person calls it; may be empty.
        category: its class, for example "car".
        masks: frame index -> COCO run lengths at the video's size.
        scores: frame index -> confidence.
        boxes: frame index -> box in pixels, for frames without a mask.
        crowd: a group that nobody could tell apart (COCO's iscrowd), no single object.
    """

    id: int
    name: str = ""
    category: str = CATEGORY
    masks: Mapping[int, Rle] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)
    boxes: Mapping[int, Box] = field(default_factory=dict)
    crowd: bool = False

    def box(self, frame: int) -> Box | None:
        """Return the object's box on a frame: its mask's, else the one it was given, else None."""
        if frame in self.masks:
            return rle.box(self.masks[frame])
        return self.boxes.get(frame)

    def frames(self) -> list[int]:
        """Return the frames that have a mask or a box, ascending."""
        return sorted(self.masks.keys() | self.boxes.keys())


@dataclass(frozen=True, slots=True)
class Annotation:
    """The objects of one video.

    Attributes:
        video: its name, used for files and folders.
        size: (H, W) in pixels.
        frames: how many frames it has.
        tracks: the objects; where masks overlap, a later one lies on top.
        times: seconds of every frame, or empty if unknown.
        fps: frames per second, or None if unknown or not constant.
        frame_names: the names of the frames' files without suffix; empty means 00000, 00001 ...
    """

    video: str
    size: tuple[int, int]
    frames: int
    tracks: tuple[Track, ...] = ()
    times: tuple[float, ...] = ()
    fps: float | None = None
    frame_names: tuple[str, ...] = ()

    def frame_name(self, frame: int) -> str:
        """Return the file name of a frame, without suffix."""
        return self.frame_names[frame] if self.frame_names else f"{frame:05d}"

    def seconds(self, frame: int) -> float | None:
        """Return the time of a frame in seconds, or None if neither times nor a rate are known."""
        if self.times:
            return self.times[frame]
        return frame / self.fps if self.fps else None

    def masks_at(self, frame: int) -> Iterator[tuple[Track, Rle]]:
        """Yield the tracks that have a mask on a frame, with it, from the bottom to the top."""
        for track in self.tracks:
            if frame in track.masks:
                yield track, track.masks[frame]


Annotations = Annotation | Iterable[Annotation]


def checked(annotations: Annotations) -> tuple[Annotation, ...]:
    """Return annotations with canonical run lengths and without empty masks, as writers want them.

    Characters that cannot be printed become spaces in names and categories.

    Raises MaskFormatError naming the video, object and frame if ids, names, frames or sizes make no sense.
    """
    videos = (annotations,) if isinstance(annotations, Annotation) else tuple(annotations)
    names = [annotation.video for annotation in videos]
    for name in names:
        if names.count(name) > 1:
            raise MaskFormatError(f"two videos are called {name!r}; rename one, files are named after them")
    return tuple(_checked(annotation) for annotation in videos)


def categories(annotations: Iterable[Annotation]) -> dict[str, int]:
    """Return {category: id}, ids from 1 in the order in which the tracks name them."""
    found: dict[str, int] = {}
    for annotation in annotations:
        for track in annotation.tracks:
            found.setdefault(track.category, len(found) + 1)
    return found


def from_index_masks(index: np.ndarray, frame: int, found: dict[int, dict[int, Rle]]) -> None:
    """Add the objects of one (H, W) index mask to `found`, {id: {frame: run lengths}}."""
    for number in np.unique(index):
        if number:
            found.setdefault(int(number), {})[frame] = rle.encode(index == number)


def _checked(annotation: Annotation) -> Annotation:
    where = f"video {annotation.video!r}"
    check_name(annotation.video, where)
    for name in annotation.frame_names:
        check_name(name, where)
    if annotation.frame_names and len(set(annotation.frame_names)) != annotation.frames:
        raise MaskFormatError(f"{where} has {annotation.frames} frames; expected as many different frame names")
    if annotation.times and len(annotation.times) != annotation.frames:
        raise MaskFormatError(f"{where} has {annotation.frames} frames and {len(annotation.times)} times")
    ids = [track.id for track in annotation.tracks]
    if len(set(ids)) != len(ids):
        raise MaskFormatError(f"{where} has two objects with one id; the ids are {ids}")
    return replace(annotation, tracks=tuple(_checked_track(track, annotation, where) for track in annotation.tracks))


def _checked_track(track: Track, annotation: Annotation, where: str) -> Track:
    if isinstance(track.id, bool) or not isinstance(track.id, (int, np.integer)) or track.id < 1:
        raise MaskFormatError(f"{where} has the object id {track.id!r}; ids are whole numbers from 1")
    for frame in {*track.masks, *track.boxes, *track.scores}:
        if not 0 <= frame < annotation.frames:
            raise MaskFormatError(
                f"{where}, object {track.id}: frame {frame} is outside the {annotation.frames} frames "
                f"(0-{annotation.frames - 1})"
            )
    masks = {}
    for frame in sorted(track.masks):
        try:
            mask = rle.normalise(track.masks[frame], size=annotation.size)
        except MaskFormatError as error:
            raise MaskFormatError(f"{where}, object {track.id}, frame {frame}: {error}") from None
        if rle.area(mask):
            masks[frame] = mask
    numbers = [*track.scores.values(), *(n for box in track.boxes.values() for n in box)]
    if not np.isfinite(np.array(numbers, float)).all():
        raise MaskFormatError(f"{where}, object {track.id}: a score or a box is not a finite number")
    return replace(
        track,
        id=int(track.id),
        name=_printable(track.name),
        category=_printable(track.category) or CATEGORY,
        masks=masks,
        scores=dict(track.scores),
        boxes={frame: Box(*box) for frame, box in sorted(track.boxes.items()) if frame not in masks},
    )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()


def check_name(name: str, where: str) -> None:
    """Raise MaskFormatError unless `name` can be the name of a file or folder and nothing else."""
    if not name or name.strip(". ") == "" or any(c in '/\\:*?"<>|' or ord(c) < 32 for c in name) or len(name) > 200:
        raise MaskFormatError(f"{where}: {name!r} cannot name a file; use letters, digits, space, - _ and .")
