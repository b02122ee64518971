"""Label Studio: tasks as JSON, to import into projects whose labelling setup is written beside them. Written only.

`video.json` has a task a video with a `videorectangle` region an object: boxes in percent of the frame, frames from 1,
a keyframe on every frame, `enabled: false` on the last frame before the object is gone. `images.json` has a task a
frame with a `brushlabels` region an object: the exact mask in Label Studio's run lengths. `video.xml` and `images.xml`
are the setups. The tasks name their media as `<prefix><video>.mp4` and `<prefix><video>/<frame>.jpg`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from .. import rle
from ..annotation import Annotation, Annotations, Track, categories, checked
from ..files import replacing, write_json
from ..palette import hex_colour
from ..report import Report, Tally
from . import brush

NAME = "label-studio"


def write(annotations: Annotations, out: str | Path, *, prefix: str = "", brushes: bool = True) -> Report:
    """Write the tasks and setups into `out`.

    `prefix` goes before the media's names, for example "/data/local-files/?d=clips/"; without `brushes` only the
    boxes are written (a brush takes some kilobytes a mask).
    """
    videos, out = checked(annotations), Path(out)
    tally = Tally(NAME, out, holds={"identities", "names", "categories", "scores", "boxes", "frame_names"})
    for annotation in videos:
        tally.video(annotation)
    write_json(out / "video.json", (_video_task(annotation, prefix, tally) for annotation in videos))
    _write_setup(out / "video.xml", videos, "Video", "video", ("Labels", "VideoRectangle"))
    tally.files += 2
    if brushes:
        write_json(out / "images.json", _image_tasks(videos, prefix, tally))
        _write_setup(out / "images.xml", videos, "Image", "image", ("BrushLabels",))
        tally.files += 2
    else:
        tally.lose("masks", sum(len(track.masks) for annotation in videos for track in annotation.tracks))
    return tally.report()


def _video_task(annotation: Annotation, prefix: str, tally: Tally) -> dict[str, Any]:
    results = [_rectangles(annotation, track, tally) for track in annotation.tracks if track.frames()]
    return {
        "data": {"video": f"{prefix}{annotation.video}.mp4"},
        "annotations": [{"result": results, "was_cancelled": False, "ground_truth": False}],
    }


def _rectangles(annotation: Annotation, track: Track, tally: Tally) -> dict[str, Any]:
    height, width = annotation.size
    shown = track.frames()
    sequence = []
    for frame in shown:
        x1, y1, x2, y2 = track.box(frame) or (0.0, 0.0, 0.0, 0.0)
        keyframe = {
            "frame": frame + 1,
            "enabled": frame + 1 in track.masks or frame + 1 in track.boxes or frame + 1 == annotation.frames,
            "rotation": 0,
            "x": 100 * x1 / width,
            "y": 100 * y1 / height,
            "width": 100 * (x2 - x1) / width,
            "height": 100 * (y2 - y1) / height,
        }
        seconds = annotation.seconds(frame)
        if seconds is not None:
            keyframe["time"] = seconds
        sequence.append(keyframe)
    tally.boxes += len(sequence)
    value: dict[str, Any] = {"framesCount": annotation.frames, "sequence": sequence, "labels": [track.category]}
    last = annotation.seconds(annotation.frames - 1)
    if last is not None:
        value["duration"] = last + (1 / annotation.fps if annotation.fps else 0)
    region: dict[str, Any] = {
        "id": f"{annotation.video}-{track.id}",
        "type": "videorectangle",
        "from_name": "box",
        "to_name": "video",
        "origin": "manual",
        "value": value,
        "meta": {"text": [track.name or str(track.id)]},
    }
    if track.scores:
        region["score"] = sum(track.scores.values()) / len(track.scores)
        tally.lose("scores", len(track.scores) - 1)
    return region


def _image_tasks(videos: tuple[Annotation, ...], prefix: str, tally: Tally) -> Iterator[dict[str, Any]]:
    for annotation in videos:
        for frame in range(annotation.frames):
            results = [_brush(annotation, track, frame, mask) for track, mask in annotation.masks_at(frame)]
            tally.masks += len(results)
            yield {
                "data": {"image": f"{prefix}{annotation.video}/{annotation.frame_name(frame)}.jpg"},
                "annotations": [{"result": results, "was_cancelled": False, "ground_truth": False}],
            }


def _brush(annotation: Annotation, track: Track, frame: int, mask: rle.Rle) -> dict[str, Any]:
    height, width = annotation.size
    return {
        "id": f"{annotation.video}-{track.id}-{frame}",
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "origin": "manual",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush.encode(rle.decode(mask)), "brushlabels": [track.category]},
        "meta": {"text": [track.name or str(track.id)]},
    }


def _write_setup(path: Path, videos: tuple[Annotation, ...], media: str, name: str, controls: tuple[str, ...]) -> None:
    """Write a labelling setup: the media, its labels, and the tool that is not itself a list of labels."""
    labels = "".join(
        f'    <Label value={quoteattr(category)} background="{hex_colour(n)}"/>\n'
        for category, n in categories(videos).items()
    )
    control = {"Labels": "labels", "BrushLabels": "brush", "VideoRectangle": "box"}
    with replacing(path) as file:
        file.write(f'<View>\n  <{media} name="{name}" value="${name}"/>\n')
        file.write(f'  <{controls[0]} name="{control[controls[0]]}" toName="{name}">\n{labels}  </{controls[0]}>\n')
        for tool in controls[1:]:
            file.write(f'  <{tool} name="{control[tool]}" toName="{name}"/>\n')
        file.write("</View>\n")
