"""COCO instance segmentation: one JSON, one image a frame, one annotation an object and frame.

Written: `annotations/instances.json`. Pictures are named `<video>/<frame>.jpg`; export the frames under such names to
train on them. Masks are compressed run lengths (exact), or polygons (`segmentation="polygons"`: along pixel edges,
holes joined by seams, exact unless simplified by `tolerance` pixels). `iscrowd` is 0, as every track is one object,
whatever the form of its mask; a crowd track gets 1 and always run lengths. Fields beyond COCO that other readers
ignore: `track_id`, `name` and `score` of an annotation, `video` and `frame` of an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from ...errors import MaskFormatError
from .. import polygons, rle
from ..annotation import Annotation, Annotations, Track, categories, checked
from ..files import read_json, write_json
from ..report import Report, Tally
from .fields import as_box, as_int, as_list, as_object, as_polygon, as_score, as_size

NAME = "coco"


def write(
    annotations: Annotations,
    out: str | Path,
    *,
    segmentation: Literal["rle", "polygons"] = "rle",
    tolerance: float = 0.0,
    suffix: str = ".jpg",
) -> Report:
    """Write `out`/annotations/instances.json; `suffix` is that of the pictures' names."""
    if segmentation not in ("rle", "polygons"):
        raise MaskFormatError(f'segmentation {segmentation!r} is unknown; expected "rle" or "polygons"')
    videos = checked(annotations)
    tally = Tally(NAME, out, holds={"identities", "names", "categories", "scores", "boxes", "crowds", "frame_names"})
    for annotation in videos:
        tally.video(annotation)
    numbers = categories(videos)
    content = {
        "info": {"description": "written by vidseg"},
        "licenses": [],
        "categories": [{"id": number, "name": name, "supercategory": ""} for name, number in numbers.items()],
        "images": _images(videos, suffix),
        "annotations": _instances(videos, numbers, segmentation == "polygons", tolerance, tally),
    }
    write_json(Path(out) / "annotations" / "instances.json", content)
    tally.files += 1
    return tally.report()


def read(path: str | Path) -> list[Annotation]:
    """Return one annotation a video of a COCO JSON file (or of the folder that `write` filled).

    Images belong to one video if their `file_name` is in the same folder; they become its frames in the order of
    their names, and must be of one size. Annotations with the same `track_id` are one object; without it every
    annotation is an object of its own. Polygons are filled as pycocotools does.

    Raises MaskFormatError naming the entry that cannot be used.
    """
    path = json_path(Path(path), "annotations/instances.json")
    content = as_object(read_json(path), str(path))
    images = _read_images(as_list(content.get("images"), f'{path}: "images"'), path)
    numbers = read_categories(content, path)
    tracks: dict[str, dict[Any, Track]] = {video: {} for video in images}
    place = {number: (video, frame) for video, rows in images.items() for frame, (number, _, _) in enumerate(rows)}
    for n, entry in enumerate(as_list(content.get("annotations"), f'{path}: "annotations"')):
        where = f"{path}: annotation {n}"
        entry = as_object(entry, where)
        image = as_int(entry.get("image_id"), f"{where}: image_id")
        if image not in place:
            raise MaskFormatError(f"{where} belongs to image {image}, which is not in the file")
        video, frame = place[image]
        _add(tracks[video], frame, entry, images[video][0][2], numbers, where)
    return [_annotation(video, rows, tracks[video].values()) for video, rows in images.items()]


def json_path(path: Path, inside: str) -> Path:
    """Return the JSON file meant by `path`: itself, the one that `write` leaves in a folder, or the only one in it."""
    if not path.is_dir():
        return path
    files = list(path.glob("*.json"))
    return files[0] if len(files) == 1 else path / inside


def read_categories(content: dict[str, Any], path: Path) -> dict[int, str]:
    """Return {category id: name}."""
    result = {}
    for n, entry in enumerate(as_list(content.get("categories", []), f'{path}: "categories"')):
        where = f"{path}: category {n}"
        entry = as_object(entry, where)
        result[as_int(entry.get("id"), f"{where}: id")] = str(entry.get("name", ""))
    return result


def xywh(mask: rle.Rle) -> list[float]:
    """Return the box of a mask as COCO writes it: x, y, width, height."""
    x1, y1, x2, y2 = rle.box(mask)
    return [x1, y1, x2 - x1, y2 - y1]


def read_mask(value: Any, size: tuple[int, int], where: str) -> rle.Rle:
    """Return the run lengths of a COCO `segmentation`: polygons (their union) or run lengths, as a list or text."""
    try:
        if not isinstance(value, list):
            return rle.normalise(value, size=size)
        parts = [polygons.fill(as_polygon(points, size, where), size) for points in value]
    except MaskFormatError as error:
        raise error if str(error).startswith(where) else MaskFormatError(f"{where}: {error}") from None
    if len(parts) == 1:
        return parts[0]
    union = np.zeros(size, bool)
    for part in parts:
        union |= rle.decode(part)
    return rle.encode(union)


def _images(videos: tuple[Annotation, ...], suffix: str) -> Iterator[dict[str, Any]]:
    first = 1
    for annotation in videos:
        for frame in range(annotation.frames):
            yield {
                "id": first + frame,
                "file_name": f"{annotation.video}/{annotation.frame_name(frame)}{suffix}",
                "height": annotation.size[0],
                "width": annotation.size[1],
                "video": annotation.video,
                "frame": frame,
            }
        first += annotation.frames


def _instances(
    videos: tuple[Annotation, ...], numbers: dict[str, int], as_polygons: bool, tolerance: float, tally: Tally
) -> Iterator[dict[str, Any]]:
    first, count = 1, 0
    for annotation in videos:
        for frame in range(annotation.frames):
            for track in annotation.tracks:
                if frame not in track.masks and frame not in track.boxes:
                    continue
                count += 1
                entry: dict[str, Any] = {
                    "id": count,
                    "image_id": first + frame,
                    "category_id": numbers[track.category],
                    "iscrowd": int(track.crowd),
                    "track_id": track.id,
                }
                if frame in track.masks:
                    mask = track.masks[frame]
                    entry |= {"area": rle.area(mask), "bbox": xywh(mask), "segmentation": mask}
                    if as_polygons and not track.crowd:
                        entry["segmentation"] = _polygons(mask, tolerance, tally)
                    tally.masks += 1
                else:
                    x1, y1, x2, y2 = track.boxes[frame]
                    entry |= {"area": (x2 - x1) * (y2 - y1), "bbox": [x1, y1, x2 - x1, y2 - y1]}
                    tally.boxes += 1
                if track.name:
                    entry["name"] = track.name
                if frame in track.scores:
                    entry["score"] = float(track.scores[frame])
                yield entry
        first += annotation.frames


def _polygons(mask: rle.Rle, tolerance: float, tally: Tally) -> list[list[float]]:
    decoded = rle.decode(mask)
    rings = [polygons.simplify(ring, tolerance) for ring in polygons.rings(decoded)]
    if tolerance > 0:
        filled = np.any([rle.decode(polygons.fill(ring, decoded.shape)) for ring in rings], axis=0)
        tally.lose("polygon", np.count_nonzero(filled ^ decoded))
    return [ring.ravel().tolist() for ring in rings]


Row = tuple[int, str, tuple[int, int]]  # image id, file name, (H, W)


def _read_images(entries: list[Any], path: Path) -> dict[str, list[Row]]:
    """Return {video: its images in the order of their names}, with one size a video."""
    videos: dict[str, list[Row]] = {}
    for n, entry in enumerate(entries):
        where = f"{path}: image {n}"
        entry = as_object(entry, where)
        number = as_int(entry.get("id"), f"{where}: id")
        file = PurePosixPath(str(entry.get("file_name") or number))
        size = as_size(entry.get("height"), entry.get("width"), where)
        videos.setdefault(file.parent.name or path.stem, []).append((number, file.stem, size))
    for video, rows in videos.items():
        rows.sort(key=lambda row: row[1])
        for number, name, size in rows:
            if size != rows[0][2]:
                raise MaskFormatError(
                    f"{path}: image {number} ({name}) is {size[1]}x{size[0]}, others of video {video!r} are "
                    f"{rows[0][2][1]}x{rows[0][2][0]}; put pictures of other sizes into folders of their own"
                )
    return videos


def _add(
    tracks: dict[Any, Track],
    frame: int,
    entry: dict[str, Any],
    size: tuple[int, int],
    numbers: dict[int, str],
    where: str,
) -> None:
    """Add one annotation to its track, which is made where it is the first."""
    number = entry.get("track_id")
    key = len(tracks) + 1 if number is None else ("track", as_int(number, f"{where}: track_id", low=0))
    category = as_int(entry.get("category_id"), f"{where}: category_id")
    if category not in numbers:
        raise MaskFormatError(f"{where} has the category {category}, which is not in the file")
    if key not in tracks:
        tracks[key] = Track(
            id=len(tracks) + 1 if number is None else number,
            name=str(entry.get("name", "")),
            category=numbers[category] or "object",
            masks={},
            scores={},
            boxes={},
            crowd=bool(entry.get("iscrowd", 0)),
        )
    track = tracks[key]
    if frame in track.masks or frame in track.boxes:
        raise MaskFormatError(f"{where}: object {track.id} has two annotations on image {entry['image_id']}")
    # Track is frozen so that nobody else changes it; here, where it is being built, its mappings still grow.
    if entry.get("segmentation"):
        track.masks[frame] = read_mask(entry["segmentation"], size, where)  # type: ignore[index]
    else:
        track.boxes[frame] = as_box(entry.get("bbox"), where)  # type: ignore[index]
    if entry.get("score") is not None:
        track.scores[frame] = as_score(entry["score"], where)  # type: ignore[index]


def _annotation(video: str, rows: list[Row], tracks: Iterable[Track]) -> Annotation:
    names = tuple(name for _, name, _ in rows)
    return Annotation(
        video=video,
        size=rows[0][2],
        frames=len(rows),
        tracks=tuple(tracks),
        frame_names=() if names == tuple(f"{n:05d}" for n in range(len(names))) else names,
    )
