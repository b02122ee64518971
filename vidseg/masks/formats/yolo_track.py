"""YOLO tracks: a text file a frame, a line an object: class, box and track id, as Ultralytics and CVAT write them.

Written only: `labels/train/<video>_<frame>.txt` with `class x y width height id`, centre and size in shares of the
frame, and `data.yaml`. Masks are not held. `read_yolo` in `vidseg.masks.detections` reads the boxes back as prompts.
"""

from __future__ import annotations

from pathlib import Path

from ..annotation import Annotations, categories, checked
from ..files import replacing
from ..report import Report, Tally
from .yolo_seg import box_line, label_path, write_data_yaml

NAME = "yolo-track"


def write(annotations: Annotations, out: str | Path) -> Report:
    """Write label files with boxes and track ids, and data.yaml, below `out`."""
    videos = checked(annotations)
    tally = Tally(NAME, out, holds={"identities", "categories", "boxes", "frame_names"})
    numbers = {name: number - 1 for name, number in categories(videos).items()}
    for annotation in videos:
        tally.video(annotation)
        for frame in range(annotation.frames):
            with replacing(label_path(Path(out), annotation, frame)) as file:
                for track in annotation.tracks:
                    box = track.box(frame)
                    if box is not None:
                        file.write(box_line(numbers[track.category], box, annotation.size, end=f" {track.id}"))
                        tally.boxes += 1
            tally.files += 1
        tally.lose("masks", sum(len(track.masks) for track in annotation.tracks))
    write_data_yaml(Path(out), videos, numbers)
    tally.files += 1
    return tally.report()
