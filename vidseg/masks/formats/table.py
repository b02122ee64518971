"""CSV: a row an object and frame with its box, area and centroid, for spreadsheets and statistics. Written only.

`annotations.csv` has the columns video, frame, seconds, id, name, category, x1, y1, x2, y2 (pixels, the last one past
the object), area_px, centroid_x, centroid_y, score; a field that is not known is empty. The masks are not held.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from .. import rle
from ..annotation import Annotation, Annotations, checked
from ..files import replacing
from ..geometry import centroid
from ..report import Report, Tally

NAME = "csv"
COLUMNS = (
    *("video", "frame", "seconds", "id", "name", "category"),
    *("x1", "y1", "x2", "y2", "area_px", "centroid_x", "centroid_y", "score"),
)


def write(annotations: Annotations, out: str | Path) -> Report:
    """Write `out`/annotations.csv, rows by video, frame and object."""
    videos = checked(annotations)
    tally = Tally(NAME, out, holds={"identities", "names", "categories", "scores", "boxes", "times"})
    with replacing(Path(out) / "annotations.csv") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for annotation in videos:
            tally.video(annotation)
            table.writerows(_rows(annotation, tally))
    tally.files += 1
    tally.lose("masks", sum(len(track.masks) for annotation in videos for track in annotation.tracks))
    return tally.report()


def _rows(annotation: Annotation, tally: Tally) -> Iterator[tuple[object, ...]]:
    for frame in range(annotation.frames):
        seconds = annotation.seconds(frame)
        for track in annotation.tracks:
            box = track.box(frame)
            if box is None:
                continue
            numbers: tuple[object, ...] = ("", "", "")
            if frame in track.masks:
                mask = track.masks[frame]
                numbers = (rle.area(mask), *(f"{n:.3f}" for n in centroid(rle.decode(mask)) or ()))
            tally.boxes += 1
            yield (
                *(annotation.video, frame, "" if seconds is None else f"{seconds:.6f}"),
                *(track.id, track.name, track.category),
                *(f"{n:g}" for n in box),
                *numbers,
                track.scores.get(frame, ""),
            )
