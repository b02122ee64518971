"""CVAT for video 1.1: one XML a video, a track an object, a shape a frame.

Written: `<video>.xml`. Every frame is a keyframe, so that CVAT interpolates nothing; `outside="1"` marks the first
frame without the object. `shape` is "polygon" (along pixel edges, holes and parts joined by seams without area, so
nothing is lost unless `tolerance` simplifies them), "mask" (CVAT's run lengths, exact) or "box". A track in CVAT has
shapes of one kind: boxes of frames without a mask are held only by tracks that have no masks at all.

Read: "for video" and "for images" XML with polygons, masks and boxes; boxes between keyframes are interpolated.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from ...errors import MaskFormatError
from ...types import Box
from .. import polygons, rle
from ..annotation import Annotation, Annotations, Track, categories, checked
from ..files import replacing
from ..palette import hex_colour
from ..report import Report, Tally
from .fields import as_frames, as_int, as_polygon, as_score, as_size

NAME = "cvat"
Shape = Literal["polygon", "mask", "box"]


def write(annotations: Annotations, out: str | Path, *, shape: Shape = "polygon", tolerance: float = 0.0) -> Report:
    """Write `out`/<video>.xml for every video; polygons are simplified by at most `tolerance` pixels."""
    if shape not in ("polygon", "mask", "box"):
        raise MaskFormatError(f'shape {shape!r} is unknown; expected "polygon", "mask" or "box"')
    videos = checked(annotations)
    tally = Tally(NAME, out, holds={"identities", "categories", "boxes"})
    for annotation in videos:
        tally.video(annotation)
        with replacing(Path(out) / f"{annotation.video}.xml") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
            _write_meta(file, annotation)
            for track in annotation.tracks:
                _write_track(file, track, annotation.frames, shape, tolerance, tally)
            file.write("</annotations>\n")
        tally.files += 1
    return tally.report()


def read(path: str | Path) -> list[Annotation]:
    """Return the annotation of a CVAT XML file, or of all in a folder, named after the file.

    Track ids are one more than in the file where the file starts at 0; in "for images" XML, whose shapes have no
    track, every shape is an object of its own.

    Raises MaskFormatError naming the track and frame that cannot be used.
    """
    path = Path(path)
    paths = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    if not paths:
        raise MaskFormatError(f"{path} holds no XML files")
    return [_Reader(file).read() for file in paths]


def _write_meta(file: IO, annotation: Annotation) -> None:
    height, width = annotation.size
    labels = "".join(
        f"        <label><name>{escape(name)}</name><color>{hex_colour(number)}</color>"
        "<type>any</type><attributes></attributes></label>\n"
        for name, number in categories([annotation]).items()
    )
    name = escape(annotation.video)
    file.write(
        f"  <meta>\n    <task>\n      <id>0</id>\n      <name>{name}</name>\n      <size>{annotation.frames}</size>\n"
        "      <mode>interpolation</mode>\n      <overlap>0</overlap>\n      <bugtracker></bugtracker>\n"
        f"      <flipped>False</flipped>\n      <start_frame>0</start_frame>\n"
        f"      <stop_frame>{annotation.frames - 1}</stop_frame>\n      <frame_filter></frame_filter>\n"
        f"      <labels>\n{labels}      </labels>\n"
        f"      <original_size>\n        <width>{width}</width>\n        <height>{height}</height>\n"
        f"      </original_size>\n    </task>\n    <source>{name}</source>\n  </meta>\n"
    )


def _write_track(file: IO, track: Track, frames: int, shape: Shape, tolerance: float, tally: Tally) -> None:
    shown = track.frames()
    kind: Shape = shape if track.masks else "box"
    if kind != "box":
        tally.lose("boxes", len(track.boxes))
        shown = sorted(track.masks)
    file.write(f'  <track id="{track.id}" label={quoteattr(track.category)} source="manual">\n')
    for n, frame in enumerate(shown):
        if kind == "box":
            body = _box(track.box(frame) or Box(0, 0, 0, 0))
            tally.boxes += 1
            tally.lose("masks", frame in track.masks)
        else:
            body = _mask(track.masks[frame]) if kind == "mask" else _polygon(track.masks[frame], tolerance, tally)
            tally.masks += 1
        file.write(_element(kind, frame, body, outside=False))
        following = shown[n + 1] if n + 1 < len(shown) else frames
        if following > frame + 1:
            file.write(_element(kind, frame + 1, body, outside=True))
    file.write("  </track>\n")


def _element(kind: str, frame: int, body: str, *, outside: bool) -> str:
    return (
        f'    <{kind} frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0" {body} z_order="0"></{kind}>\n'
    )


def _box(box: Box) -> str:
    return 'xtl="{:.10g}" ytl="{:.10g}" xbr="{:.10g}" ybr="{:.10g}"'.format(*box)


def _polygon(mask: rle.Rle, tolerance: float, tally: Tally) -> str:
    size = (mask["size"][0], mask["size"][1])
    ring = polygons.join([polygons.simplify(part, tolerance) for part in polygons.rings(rle.decode(mask))])
    if tolerance > 0:
        filled = rle.decode(polygons.fill(ring, size))
        tally.lose("polygon", np.count_nonzero(filled ^ rle.decode(mask)))
    return 'points="' + ";".join(f"{x:.2f},{y:.2f}" for x, y in ring) + '"'


def _mask(mask: rle.Rle) -> str:
    x1, y1, x2, y2 = (int(n) for n in rle.box(mask))
    rows = rle.decode(mask)[y1:y2, x1:x2]
    runs = rle.counts(rle.encode(rows.T))  # CVAT counts along the rows
    numbers = ", ".join(str(n) for n in runs.tolist())
    return f'rle="{numbers}" left="{x1}" top="{y1}" width="{x2 - x1}" height="{y2 - y1}"'


@dataclass(slots=True)
class _Found:
    """The shapes of one track while it is read: frame -> what is there, None where it is outside."""

    label: str
    shapes: dict[int, rle.Rle | Box | None] = field(default_factory=dict)


@dataclass(slots=True)
class _Reader:
    path: Path
    size: tuple[int, int] | None = None
    frames: int = 0
    tracks: dict[int, _Found] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def read(self) -> Annotation:
        """Return the annotation; the file is read element by element."""
        handlers: dict[str, Callable[[Any], None]] = {
            "meta": self._meta,
            "track": self._track,
            "image": self._image,
        }
        depth = 0
        try:
            for event, element in ElementTree.iterparse(self.path, events=("start", "end")):
                depth += 1 if event == "start" else -1
                if event == "end" and depth == 1:
                    if element.tag in handlers:
                        handlers[element.tag](element)
                    element.clear()
        except (ElementTree.ParseError, OSError, ValueError) as error:
            raise MaskFormatError(f"{self.path} cannot be read as XML ({error}); expected a CVAT 1.1 file") from None
        if self.size is None:
            raise MaskFormatError(f"{self.path} does not say how large the frames are (meta, original_size)")
        shift = int(0 in self.tracks)
        tracks = tuple(_finished(number + shift, found) for number, found in sorted(self.tracks.items()))
        last = max((frame for track in tracks for frame in track.frames()), default=0)
        return Annotation(self.path.stem, self.size, max(self.frames, last + 1), tracks, frame_names=tuple(self.names))

    def _meta(self, element: ElementTree.Element) -> None:
        where = f"{self.path}: meta"
        original = element.find(".//original_size")
        if original is not None:
            self.size = as_size(original.findtext("height"), original.findtext("width"), where)
        self.frames = as_frames(element.findtext(".//size") or 0, f"{where}: size")

    def _track(self, element: ElementTree.Element) -> None:
        number = as_int(element.get("id"), f"{self.path}: track id", low=0)
        if number in self.tracks:
            raise MaskFormatError(f"{self.path} has the track {number} twice")
        found = self.tracks[number] = _Found(element.get("label") or "object")
        for shape in element:
            where = f"{self.path}: track {number}, frame {shape.get('frame')}"
            frame = as_frames(shape.get("frame"), where)
            if shape.get("outside") == "1":
                found.shapes[frame] = None
            elif shape.tag in ("box", "polygon", "mask"):
                found.shapes[frame] = self._shape(shape, where)

    def _image(self, element: ElementTree.Element) -> None:
        where = f"{self.path}: image {element.get('id')}"
        size = as_size(element.get("height"), element.get("width"), where)
        if self.size not in (None, size):
            raise MaskFormatError(f"{where} is {size[1]}x{size[0]}, the images before it are of another size")
        self.size = size
        frame = len(self.names)
        self.names.append(PurePosixPath(element.get("name") or str(frame)).stem)
        for shape in element:
            if shape.tag in ("box", "polygon", "mask"):
                content = self._shape(shape, f"{where}, {shape.tag}")
                self.tracks[len(self.tracks) + 1] = _Found(shape.get("label") or "object", {frame: content})

    def _shape(self, shape: ElementTree.Element, where: str) -> rle.Rle | Box:
        if self.size is None:
            raise MaskFormatError(f"{self.path} does not say how large the frames are before its first track")
        if shape.tag == "box":
            x1, y1, x2, y2 = (as_score(shape.get(key), where) for key in ("xtl", "ytl", "xbr", "ybr"))
            return Box(x1, y1, x2, y2)
        if shape.tag == "mask":
            return _read_mask(shape, self.size, where)
        pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
        if any(len(pair) != 2 for pair in pairs):
            raise MaskFormatError(f"{where} has points that are not pairs x,y")
        return polygons.fill(as_polygon([n for pair in pairs for n in pair], self.size, where), self.size)


def _read_mask(shape: ElementTree.Element, size: tuple[int, int], where: str) -> rle.Rle:
    left, top = (as_int(shape.get(key), f"{where}: {key}", low=0) for key in ("left", "top"))
    height, width = as_size(shape.get("height"), shape.get("width"), where)
    if left + width > size[1] or top + height > size[0]:
        raise MaskFormatError(f"{where} has a mask that passes the {size[1]}x{size[0]} frame")
    runs = [as_int(n, f"{where}: rle", low=0) for n in (shape.get("rle") or "").split(",")]
    full = np.zeros(size, bool)
    try:
        full[top : top + height, left : left + width] = rle.decode({"size": [width, height], "counts": runs}).T
    except MaskFormatError as error:
        raise MaskFormatError(f"{where}: {error}") from None
    return rle.encode(full)


def _finished(number: int, found: _Found) -> Track:
    masks: dict[int, rle.Rle] = {}
    boxes: dict[int, Box] = {}
    for frame, shape in _interpolated(sorted(found.shapes.items(), key=lambda item: item[0])):
        if isinstance(shape, Box):
            boxes[frame] = shape
        else:
            masks[frame] = shape
    return Track(number, category=found.label, masks=masks, boxes=boxes)


def _interpolated(shapes: list[tuple[int, rle.Rle | Box | None]]) -> Iterator[tuple[int, rle.Rle | Box]]:
    """Yield what is visible; between two keyframes of a box its corners move evenly (and rest before it is outside)."""
    for n, (frame, shape) in enumerate(shapes):
        if shape is None:
            continue
        yield frame, shape
        following, then = shapes[n + 1] if n + 1 < len(shapes) else (frame, None)
        if isinstance(shape, Box) and (then is None or isinstance(then, Box)):
            end = np.array(then or shape)
            for between in range(frame + 1, following):
                share = (between - frame) / (following - frame)
                yield between, Box(*(np.array(shape) * (1 - share) + end * share).tolist())
