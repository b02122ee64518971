"""Boxes of other people's detectors and trackers, read as prompts: MOTChallenge text, YOLO labels, COCO JSON.

Boxes that belong to one track become one object, prompted on all its frames; a detection without a track is an object
of its own. Frame numbers start at 0 here; what a file starts at is said by `first_frame`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import MaskFormatError
from ..types import Box, Prompt
from .files import read_json
from .formats.fields import as_box, as_int, as_list, as_object, as_score


def read_mot(path: str | Path, *, first_frame: int = 1, min_score: float = 0.0) -> list[Prompt]:
    """Return the boxes of a MOTChallenge file (det.txt, gt.txt, or a tracker's result), by frame and object.

    Lines are `frame, id, x, y, width, height, score, ...`; the id -1 is a detection without a track. Lines with a
    score below `min_score` are left out, and those of gt.txt with the score 0, which mark what is not counted.

    Raises MaskFormatError naming the line that cannot be used.
    """
    found = []
    for n, line in enumerate(_lines(Path(path)), 1):
        where = f"{path}: line {n}"
        columns = [column.strip() for column in line.split(",")] if "," in line else line.split()
        if len(columns) < 6:
            raise MaskFormatError(f"{where} has {len(columns)} columns; expected frame, id, x, y, width, height, score")
        frame, track = as_int(_whole(columns[0]), f"{where}: frame"), as_int(_whole(columns[1]), f"{where}: id")
        score = as_score(columns[6], where) if len(columns) > 6 else 1.0
        if score < min_score or (score == 0 and track >= 0):
            continue
        found.append((_frame(frame, first_frame, where), track if track >= 0 else None, as_box(columns[2:6], where)))
    return _prompts(found)


def read_yolo(path: str | Path, *, size: tuple[int, int], first_frame: int = 0) -> list[Prompt]:
    """Return the boxes of a YOLO label file, or of all in a folder, for frames of `size` (H, W).

    The last number in a file's name is its frame. Lines are `class x y width height`, and then a score, a track id or
    both; a fifth number that is whole and above 1, or a sixth, is the id. Polygons (more columns) become their boxes.

    Raises MaskFormatError naming the line that cannot be used.
    """
    path = Path(path)
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise MaskFormatError(f"{path} holds no label files; expected text files named after their frames")
    found = []
    for file in files:
        digits = re.findall(r"\d+", file.stem)
        if not digits:
            raise MaskFormatError(f"{file} has no number in its name; expected a name such as clip_00012.txt")
        frame = _frame(int(digits[-1]), first_frame, str(file))
        for n, line in enumerate(_lines(file), 1):
            if line.strip():
                track, box = _yolo_line(line, size, f"{file}: line {n}")
                found.append((frame, track, box))
    return _prompts(found)


def read_coco(path: str | Path, *, first_frame: int = 0, min_score: float = 0.0) -> list[Prompt]:
    """Return the boxes of a COCO file: a list of results, or a data set with images and annotations.

    In a list of results the frame is `image_id` less `first_frame`; in a data set it is the image's `frame`, or its
    place among the images in the order of their names. `track_id` says which boxes are one object.

    Raises MaskFormatError naming the entry that cannot be used.
    """
    content = read_json(path)
    frames = None
    if isinstance(content, dict):
        frames = _frames_of_images(as_list(content.get("images"), f'{path}: "images"'), path)
        content = as_list(content.get("annotations"), f'{path}: "annotations"')
    found = []
    for n, entry in enumerate(as_list(content, str(path))):
        where = f"{path}: entry {n}"
        entry = as_object(entry, where)
        if as_score(entry.get("score", 1.0), where) < min_score:
            continue
        image = as_int(entry.get("image_id"), f"{where}: image_id")
        if frames is not None and image not in frames:
            raise MaskFormatError(f"{where} belongs to image {image}, which is not in the file")
        frame = _frame(image, first_frame, where) if frames is None else frames[image]
        track = entry.get("track_id")
        track = None if track is None else as_int(track, f"{where}: track_id", low=0)
        found.append((frame, track, as_box(entry.get("bbox"), where)))
    return _prompts(found)


BOX_FORMATS = {"mot": read_mot, "yolo": read_yolo, "coco": read_coco}
"""name -> reader of boxes as prompts."""


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MaskFormatError(f"{path} cannot be read ({error}); expected a text file of boxes") from None


def _whole(text: str) -> Any:
    """A whole number that a tool wrote as 3.0 or 3.00, as the number; other text stays as it is."""
    return text.rstrip("0").rstrip(".") if re.fullmatch(r"-?\d+\.0*", text) else text


def _frame(number: int, first_frame: int, where: str) -> int:
    if number < first_frame:
        raise MaskFormatError(f"{where}: frame {number} lies before the first one, {first_frame}; set first_frame")
    return number - first_frame


def _yolo_line(line: str, size: tuple[int, int], where: str) -> tuple[int | None, Box]:
    height, width = size
    columns = line.split()
    as_int(columns[0], f"{where}: class", low=0)
    values = [as_score(column, where) for column in columns[1:]]
    if len(values) < 4:
        raise MaskFormatError(f"{where} has {len(columns)} columns; expected class, x, y, width, height")
    if any(abs(value) > 2 for value in values[:4]):
        raise MaskFormatError(f"{where} has coordinates above 1; YOLO boxes are shares of the frame")
    if len(values) > 6:  # a polygon, with a track id at the end where the count is odd
        track = as_int(values[-1], f"{where}: track id", low=0) if len(values) % 2 else None
        xs, ys = values[: len(values) // 2 * 2 : 2], values[1::2]
        return track, Box(min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height)
    last = values[-1] if len(values) > 4 else None
    is_id = last is not None and last.is_integer() and (len(values) == 6 or last > 1 or "." not in columns[-1])
    x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
    box = as_box([x - w / 2, y - h / 2, w, h], where)
    return (int(last) if is_id and last is not None else None), box


def _frames_of_images(images: list[Any], path: str | Path) -> dict[int, int]:
    """Return {image id: frame}: the image's own `frame`, or its place in the order of names."""
    entries = [as_object(entry, f"{path}: image {n}") for n, entry in enumerate(images)]
    ids = [as_int(entry.get("id"), f"{path}: image {n}: id") for n, entry in enumerate(entries)]
    order = sorted(range(len(ids)), key=lambda n: (str(entries[n].get("file_name", "")), ids[n]))
    return {ids[n]: as_int(entries[n].get("frame", place), f"{path}: image {n}") for place, n in enumerate(order)}


def _prompts(found: Iterable[tuple[int, int | None, Box]]) -> list[Prompt]:
    """Return one prompt a box; tracks keep their ids (one more each where one is 0), detections get the next free ones.

    Boxes without an area are left out.
    """
    boxes = [item for item in sorted(found, key=lambda item: item[0]) if _has_area(item[2])]
    tracks = {track for _, track, _ in boxes if track is not None}
    shift = int(0 in tracks)
    free = max(tracks, default=0) + shift
    prompts = []
    for frame, track, box in boxes:
        if track is None:
            free += 1
        prompts.append(Prompt(object=free if track is None else track + shift, frame=frame, box=box))
    return prompts


def _has_area(box: Box) -> bool:
    return box.x2 > box.x1 and box.y2 > box.y1
