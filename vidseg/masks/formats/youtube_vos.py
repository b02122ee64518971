"""YouTube-VOS: the palette PNGs of DAVIS and a meta.json that names each object's category and frames.

Written: `Annotations/<video>/<frame>.png` for every frame and `meta.json`. Read: a folder with both. Overlaps go to
the object on top; names and scores have no place.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import MaskFormatError
from ..annotation import CATEGORY, Annotation, Annotations, Track, checked
from ..files import read_json, write_json
from ..report import Report, Tally
from . import davis

NAME = "youtube-vos"


def write(annotations: Annotations, out: str | Path, *, renumber: bool = False) -> Report:
    """Write palette PNGs and meta.json below `out`.

    Raises MaskFormatError if an object id is above 255; with `renumber` the objects of such a video become 1, 2, 3 ...
    """
    tally = Tally(NAME, out, holds={"identities", "categories", "frame_names"})
    videos = tuple(davis.with_small_ids(annotation, renumber, tally) for annotation in checked(annotations))
    for annotation in videos:
        davis.write_pngs(annotation, Path(out) / "Annotations" / annotation.video, tally)
    write_json(Path(out) / "meta.json", {"videos": {annotation.video: _meta(annotation) for annotation in videos}})
    tally.files += 1
    return tally.report()


def read(path: str | Path) -> list[Annotation]:
    """Return the annotations of the videos below `path`, with the categories of its meta.json.

    Raises MaskFormatError if the PNGs or meta.json cannot be read.
    """
    path = Path(path)
    content = read_json(path / "meta.json")
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict):
        raise MaskFormatError(
            f'{path / "meta.json"} has no "videos"; expected {{"videos": {{name: {{"objects": ...}}}}}}'
        )
    result = []
    for annotation in davis.read(path):
        objects = videos.get(annotation.video, {}).get("objects", {})
        tracks = tuple(replace(track, category=_category(objects, track)) for track in annotation.tracks)
        result.append(replace(annotation, tracks=tracks))
    return result


def _meta(annotation: Annotation) -> dict[str, Any]:
    objects = {
        str(track.id): {
            "category": track.category,
            "frames": [annotation.frame_name(frame) for frame in sorted(track.masks)],
        }
        for track in annotation.tracks
    }
    return {"objects": objects}


def _category(objects: dict[str, Any], track: Track) -> str:
    entry = objects.get(str(track.id), {})
    return str(entry.get("category", CATEGORY)) if isinstance(entry, dict) else CATEGORY
