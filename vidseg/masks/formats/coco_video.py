"""COCO for video, as YouTube-VIS has it: one JSON, one annotation an object with a list of masks, one a frame.

Written: `annotations/instances.json` with compressed run lengths, null where the object is absent. Beyond the format
are `track_id`, `name` and `scores` of an annotation and `name`, `fps` and `times` of a video, which others ignore.
Read: such a file, run lengths as text or lists. Nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import MaskFormatError
from .. import rle
from ..annotation import Annotation, Annotations, Track, categories, checked
from ..files import read_json, write_json
from ..report import Report, Tally
from .coco import json_path, read_categories, read_mask, xywh
from .fields import as_box, as_frames, as_int, as_list, as_object, as_score, as_size

NAME = "coco-video"


def write(annotations: Annotations, out: str | Path, *, suffix: str = ".jpg") -> Report:
    """Write `out`/annotations/instances.json; `suffix` is that of the pictures' names."""
    videos = checked(annotations)
    holds = {"identities", "names", "categories", "scores", "boxes", "crowds", "times", "frame_names"}
    tally = Tally(NAME, out, holds=holds)
    for annotation in videos:
        tally.video(annotation)
    numbers = categories(videos)
    content = {
        "info": {"description": "written by vidseg"},
        "licenses": [],
        "categories": [{"id": number, "name": name, "supercategory": ""} for name, number in numbers.items()],
        "videos": (_video(annotation, n, suffix) for n, annotation in enumerate(videos, 1)),
        "annotations": _tracks(videos, numbers, tally),
    }
    write_json(Path(out) / "annotations" / "instances.json", content)
    tally.files += 1
    return tally.report()


def read(path: str | Path) -> list[Annotation]:
    """Return the annotations of a YouTube-VIS JSON file (or of the folder that `write` filled).

    Raises MaskFormatError naming the entry that cannot be used.
    """
    path = json_path(Path(path), "annotations/instances.json")
    content = as_object(read_json(path), str(path))
    numbers = read_categories(content, path)
    videos: dict[int, dict[str, Any]] = {}
    for n, entry in enumerate(as_list(content.get("videos"), f'{path}: "videos"')):
        where = f"{path}: video {n}"
        videos[as_int(as_object(entry, where).get("id"), f"{where}: id")] = _read_video(entry, where)
    tracks: dict[int, list[Track]] = {number: [] for number in videos}
    for n, entry in enumerate(as_list(content.get("annotations") or [], f'{path}: "annotations"')):
        where = f"{path}: annotation {n}"
        number = as_int(as_object(entry, where).get("video_id"), f"{where}: video_id")
        if number not in videos:
            raise MaskFormatError(f"{where} belongs to video {number}, which is not in the file")
        tracks[number].append(_read_track(entry, videos[number], numbers, len(tracks[number]) + 1, where))
    result = [Annotation(**fields, tracks=tuple(tracks[number])) for number, fields in videos.items()]
    for annotation in result:
        ids = [track.id for track in annotation.tracks]
        if len(set(ids)) != len(ids):
            raise MaskFormatError(f"{path}: video {annotation.video!r} has one track_id twice; the ids are {ids}")
    return result


def _video(annotation: Annotation, number: int, suffix: str) -> dict[str, Any]:
    names = [f"{annotation.video}/{annotation.frame_name(n)}{suffix}" for n in range(annotation.frames)]
    return {
        "id": number,
        "name": annotation.video,
        "height": annotation.size[0],
        "width": annotation.size[1],
        "length": annotation.frames,
        "file_names": names,
        "fps": annotation.fps,
        "times": list(annotation.times),
    }


def _tracks(videos: tuple[Annotation, ...], numbers: dict[str, int], tally: Tally) -> Iterator[dict[str, Any]]:
    count = 0
    for n, annotation in enumerate(videos, 1):
        for track in annotation.tracks:
            count += 1
            masks = [track.masks.get(frame) for frame in range(annotation.frames)]
            boxes = [xywh(mask) if mask else None for mask in masks]
            for frame, (x1, y1, x2, y2) in track.boxes.items():
                boxes[frame] = [x1, y1, x2 - x1, y2 - y1]
            tally.masks += len(track.masks)
            tally.boxes += len(track.boxes)
            entry = {
                "id": count,
                "video_id": n,
                "category_id": numbers[track.category],
                "iscrowd": int(track.crowd),
                "height": annotation.size[0],
                "width": annotation.size[1],
                "length": annotation.frames,
                "segmentations": masks,
                "bboxes": boxes,
                "areas": [rle.area(mask) if mask else None for mask in masks],
                "track_id": track.id,
                "name": track.name,
            }
            if track.scores:
                scores = [track.scores.get(frame) for frame in range(annotation.frames)]
                entry["scores"] = [None if score is None else float(score) for score in scores]
            yield entry


def _read_video(entry: dict[str, Any], where: str) -> dict[str, Any]:
    files = as_list(entry.get("file_names") or [], f"{where}: file_names")
    length = as_frames(entry.get("length", len(files)), f"{where}: length")
    names = tuple(PurePosixPath(str(name)).stem for name in files)
    if names and len(names) != length:
        raise MaskFormatError(f"{where} has the length {length} and {len(names)} file names")
    folder = PurePosixPath(str(files[0])).parent.name if files else ""
    times = tuple(as_score(time, f"{where}: times") for time in as_list(entry.get("times") or [], f"{where}: times"))
    return {
        "video": str(entry.get("name") or folder or entry["id"]),
        "size": as_size(entry.get("height"), entry.get("width"), where),
        "frames": length,
        "frame_names": () if names == tuple(f"{n:05d}" for n in range(length)) else names,
        "times": times,
        "fps": None if entry.get("fps") is None else as_score(entry["fps"], f"{where}: fps"),
    }


def _read_track(
    entry: dict[str, Any], video: dict[str, Any], numbers: dict[int, str], default: int, where: str
) -> Track:
    category = as_int(entry.get("category_id"), f"{where}: category_id")
    if category not in numbers:
        raise MaskFormatError(f"{where} has the category {category}, which is not in the file")
    lists = {}
    for key in ("segmentations", "bboxes", "scores"):
        lists[key] = as_list(entry.get(key) or [], f"{where}: {key}")
        if lists[key] and len(lists[key]) != video["frames"]:
            raise MaskFormatError(f"{where} has {len(lists[key])} {key} for {video['frames']} frames")
    masks = {
        frame: read_mask(value, video["size"], f"{where}, frame {frame}")
        for frame, value in enumerate(lists["segmentations"])
        if value
    }
    boxes = {
        frame: as_box(value, f"{where}, frame {frame}")
        for frame, value in enumerate(lists["bboxes"])
        if value and frame not in masks
    }
    scores = {
        frame: as_score(value, f"{where}, frame {frame}")
        for frame, value in enumerate(lists["scores"])
        if value is not None
    }
    return Track(
        id=as_int(entry.get("track_id", default), f"{where}: track_id", low=1),
        name=str(entry.get("name", "")),
        category=numbers[category] or "object",
        masks=masks,
        scores=scores,
        boxes=boxes,
        crowd=bool(entry.get("iscrowd", 0)),
    )
