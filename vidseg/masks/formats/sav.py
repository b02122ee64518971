"""SA-V, the data set of SAM 2: one JSON a video, a list of frames, each a list of run lengths, one an object.

Written: `<video>_manual.json`. Objects without a mask on a frame have an empty one there. Overlaps, holes and
identities are held; names, categories, scores and boxes are not. SA-V has annotations for every fourth frame of its
videos; `step` writes and reads such a spacing (1: every frame).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MaskFormatError
from .. import rle
from ..annotation import Annotation, Annotations, Track, checked
from ..files import read_json, write_json
from ..report import Report, Tally
from .fields import as_frames, as_int, as_list, as_object, as_score, as_size

NAME = "sav"


def write(annotations: Annotations, out: str | Path) -> Report:
    """Write one JSON file a video into `out`, with every frame."""
    videos = checked(annotations)
    tally = Tally(NAME, out, holds={"identities"})
    for annotation in videos:
        tally.video(annotation)
        write_json(Path(out) / f"{annotation.video}_manual.json", _content(annotation))
        tally.files += 1
        tally.masks += sum(len(track.masks) for track in annotation.tracks)
    return tally.report()


def read(path: str | Path, *, step: int = 1) -> list[Annotation]:
    """Return the annotations of an SA-V JSON file, or of all in a folder.

    `step` is the distance of annotated frames: list entry n belongs to frame n * step (4 for Meta's own files).
    Object ids are one more than in the file where the file starts at 0, as ids here start at 1.

    Raises MaskFormatError naming the entry that cannot be used.
    """
    path = Path(path)
    paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not paths:
        raise MaskFormatError(f"{path} holds no JSON files; expected <video>_manual.json")
    return [_read(file, step) for file in paths]


def _content(annotation: Annotation) -> dict[str, Any]:
    height, width = annotation.size
    tracks = annotation.tracks
    areas = [[rle.area(mask) for mask in track.masks.values()] for track in tracks]
    mean = [float(np.mean(values)) if values else 0.0 for values in areas]
    last = annotation.frames - 1
    return {
        "video_id": annotation.video,
        "video_duration": annotation.seconds(last) if last > 0 else 0.0,
        "video_frame_count": float(annotation.frames),
        "video_height": float(height),
        "video_width": float(width),
        "video_resolution": float(height * width),
        "masklet": _frames(annotation),
        "masklet_id": [track.id for track in tracks],
        "masklet_size_rel": [value / (height * width) for value in mean],
        "masklet_size_abs": mean,
        "masklet_size_bucket": ["small" if n < 32**2 else "medium" if n < 96**2 else "large" for n in mean],
        "masklet_visibility_changes": [_visibility_changes(track, annotation.frames) for track in tracks],
        "masklet_first_appeared_frame": [float(min(track.masks, default=0)) for track in tracks],
        "masklet_frame_count": [annotation.frames] * len(tracks),
        "masklet_edited_frame_count": [0] * len(tracks),
        "masklet_type": ["manual"] * len(tracks),
        "masklet_stability_score": [None] * len(tracks),
        "masklet_num": len(tracks),
    }


def _frames(annotation: Annotation) -> Iterator[list[rle.Rle]]:
    height, width = annotation.size
    empty = rle.from_counts([height * width], size=annotation.size)
    for frame in range(annotation.frames):
        yield [track.masks.get(frame, empty) for track in annotation.tracks]


def _visibility_changes(track: Track, frames: int) -> int:
    seen = np.array([frame in track.masks for frame in range(frames)])
    return int(np.count_nonzero(seen[1:] != seen[:-1])) - int(seen.any() and not seen[0])


def _read(path: Path, step: int) -> Annotation:
    content = as_object(read_json(path), str(path))
    size = as_size(content.get("video_height"), content.get("video_width"), str(path))
    listed = as_list(content.get("masklet"), f'{path}: "masklet"')
    ids = [
        as_int(n, f'{path}: "masklet_id"', low=0) for n in as_list(content.get("masklet_id"), f'{path}: "masklet_id"')
    ]
    if len(set(ids)) != len(ids):
        raise MaskFormatError(f"{path} has one masklet_id twice; the ids are {ids}")
    shift = int(0 in ids)
    tracks = [Track(id=number + shift, masks={}) for number in ids]
    for n, entries in enumerate(listed):
        where = f"{path}: masklet {n}"
        if len(as_list(entries, where)) != len(ids):
            raise MaskFormatError(f"{where} has {len(entries)} masks for {len(ids)} masklet_ids")
        for track, entry in zip(tracks, entries, strict=True):
            try:
                mask = rle.normalise(entry, size=size)
            except MaskFormatError as error:
                raise MaskFormatError(f"{where}, object {track.id - shift}: {error}") from None
            if rle.area(mask):
                track.masks[n * step] = mask  # type: ignore[index]  # being built
    counted = as_frames(content.get("video_frame_count", 0), f'{path}: "video_frame_count"')
    name = str(content.get("video_id") or path.stem)
    annotation = Annotation(name, size, max(counted, (len(listed) - 1) * step + 1), tuple(tracks))
    duration = content.get("video_duration")
    if duration and annotation.frames > 1:
        duration = as_score(duration, f'{path}: "video_duration"')
        annotation = replace(annotation, fps=(annotation.frames - 1) / duration if duration > 0 else None)
    return annotation
