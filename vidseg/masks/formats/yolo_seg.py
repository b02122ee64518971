"""YOLO segmentation (Ultralytics): a text file a frame, a line an object: class and a polygon in shares of the frame.

Written: `labels/train/<video>_<frame>.txt` for every frame (empty where there is no object), and `data.yaml`, which
names the classes and, for reading back, the videos. Export the frames as `images/train/<video>_<frame>.jpg` to train.
Polygons run through pixel centres, the way these tools fill them, holes joined in: a mask in one piece comes back
exactly. Parts are joined by thin bridges, as Ultralytics' own converter does (`parts="bridge"`), or get lines of their
own (`parts="split"`: exact, but one object becomes several). Which masks are one object over time is not held.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from PIL import Image

from ...errors import MaskFormatError
from ...types import Box
from .. import polygons, rle
from ..annotation import Annotation, Annotations, Track, categories, checked
from ..files import replacing
from ..report import Report, Tally
from .fields import as_frames, as_int, as_object, as_size

NAME = "yolo-seg"
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def write(
    annotations: Annotations,
    out: str | Path,
    *,
    parts: Literal["bridge", "split"] = "bridge",
    tolerance: float = 0.0,
) -> Report:
    """Write label files and data.yaml below `out`; polygons are simplified by at most `tolerance` pixels."""
    if parts not in ("bridge", "split"):
        raise MaskFormatError(f'parts {parts!r} is unknown; expected "bridge" or "split"')
    videos = checked(annotations)
    tally = Tally(NAME, out, holds={"categories", "boxes", "frame_names"})
    numbers = {name: number - 1 for name, number in categories(videos).items()}
    for annotation in videos:
        tally.video(annotation)
        for frame in range(annotation.frames):
            with replacing(label_path(Path(out), annotation, frame)) as file:
                for track in annotation.tracks:
                    number = numbers[track.category]
                    if frame in track.masks:
                        for polygon in _polygons(track.masks[frame], parts == "bridge", tolerance, tally):
                            file.write(_line(number, polygon, annotation.size))
                    elif frame in track.boxes:
                        file.write(box_line(number, track.boxes[frame], annotation.size))
                        tally.boxes += 1
            tally.files += 1
    write_data_yaml(Path(out), videos, numbers)
    tally.files += 1
    return tally.report()


def read(path: str | Path, *, size: tuple[int, int] | None = None) -> list[Annotation]:
    """Return the annotations of a YOLO data set: its folder or data.yaml; one a video, or one a folder of labels.

    Every line is an object of its own, as YOLO does not say which belong together. Where data.yaml was not written
    by vidseg, the size (H, W) of the frames comes from the pictures beside the labels, or is given as `size`.

    Raises MaskFormatError naming the file and line that cannot be used.
    """
    root = Path(path).parent if Path(path).is_file() else Path(path)
    settings = _read_settings(root / "data.yaml")
    names = settings.get("names") or {}
    names = dict(enumerate(names)) if isinstance(names, list) else as_object(names, f"{root / 'data.yaml'}: names")
    if "vidseg" in settings:
        videos = as_object(settings["vidseg"] or {}, f"{root / 'data.yaml'}: vidseg")
        return [_read_own(root, video, entry, names) for video, entry in videos.items()]
    folders = sorted({file.parent for file in root.rglob("*.txt") if "labels" in file.relative_to(root).parts[:-1]})
    folders = folders or ([root] if any(root.glob("*.txt")) else [])
    if not folders:
        raise MaskFormatError(f"{root} holds no label files; expected labels/**/*.txt")
    result = []
    for folder in folders:
        files = sorted(folder.glob("*.txt"))
        result.append(_read_files(folder.name, files, size or _size_of_pictures(files), names))
    return result


def label_path(out: Path, annotation: Annotation, frame: int) -> Path:
    """Return the label file of a frame."""
    return out / "labels" / "train" / f"{annotation.video}_{annotation.frame_name(frame)}.txt"


def box_line(number: int, box: Box, size: tuple[int, int], *, end: str = "") -> str:
    """Return a line with a class and a box as centre and size in shares of the frame."""
    height, width = size
    x1, y1, x2, y2 = box
    centre = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return f"{number} " + " ".join(f"{n:.8f}" for n in centre) + end + "\n"


def write_data_yaml(out: Path, videos: tuple[Annotation, ...], numbers: dict[str, int]) -> None:
    """Write data.yaml: where the pictures are, the classes, and sizes and frames of the videos."""
    with replacing(out / "data.yaml") as file:
        file.write("path: .\ntrain: images/train\nval: images/train\nnames:\n")
        file.writelines(f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for name, number in numbers.items())
        file.write("vidseg:  # for reading back\n")
        for annotation in videos:
            entry: dict[str, Any] = {"size": list(annotation.size), "frames": annotation.frames}
            if annotation.frame_names:
                entry["frame_names"] = list(annotation.frame_names)
            file.write(
                f"  {json.dumps(annotation.video, ensure_ascii=False)}: {json.dumps(entry, ensure_ascii=False)}\n"
            )


def _polygons(mask: rle.Rle, bridge: bool, tolerance: float, tally: Tally) -> Iterator[np.ndarray]:
    """Yield the polygons of a mask and count the pixels by which they differ from it."""
    decoded = rle.decode(mask)
    found = [polygons.simplify(polygon, tolerance) for polygon in polygons.contour(decoded)]
    bridged = bridge and len(found) > 1
    if bridged:
        found = [polygons.join(found)]
    filled = np.any([polygons.fill_contour(polygon, decoded.shape) for polygon in found], axis=0)
    tally.lose("bridge" if bridged and not tolerance else "polygon", np.count_nonzero(filled ^ decoded))
    tally.masks += 1
    yield from found


def _line(number: int, polygon: np.ndarray, size: tuple[int, int]) -> str:
    corners = np.resize(polygon, (max(3, len(polygon)), 2))  # a part of one or two pixels walks there and back
    shares = (corners + 0.5) / (size[1], size[0])
    return f"{number} " + " ".join(f"{n:.8f}" for n in shares.ravel()) + "\n"


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return as_object(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, str(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MaskFormatError(f"{path} is not YAML ({' '.join(str(error).split())})") from None


def _read_own(root: Path, video: str, entry: Any, names: dict[Any, Any]) -> Annotation:
    where = f"{root / 'data.yaml'}: {video}"
    size = as_object(entry, where).get("size")
    if not isinstance(size, list) or len(size) != 2:
        raise MaskFormatError(f"{where} has the size {size!r}; expected [H, W]")
    frame_names = tuple(str(name) for name in entry.get("frame_names") or ())
    frames = as_frames(entry.get("frames"), f"{where}: frames")
    if len(frame_names) not in (0, frames):
        raise MaskFormatError(f"{where} has {frames} frames and {len(frame_names)} frame names")
    plain = Annotation(str(video), as_size(size[0], size[1], where), frames, frame_names=frame_names)
    files = (label_path(root, plain, frame) for frame in range(frames))
    found = _read_files(plain.video, files, plain.size, names)
    return Annotation(plain.video, plain.size, frames, found.tracks, frame_names=frame_names)


def _size_of_pictures(files: list[Path]) -> tuple[int, int]:
    for file in files:
        stem = Path(*("images" if part == "labels" else part for part in file.parts)).with_suffix("")
        for suffix in PICTURES:
            picture = stem.with_name(stem.name + suffix)
            if picture.is_file():
                with Image.open(picture) as image:
                    return image.height, image.width
    raise MaskFormatError(
        f"{files[0].parent} has no pictures beside its labels, so the size of the frames is unknown; give it as (H, W)"
    )


@dataclass(slots=True)
class _Lines:
    """The objects of the label files read so far."""

    size: tuple[int, int]
    names: dict[Any, Any]
    tracks: list[Track] = field(default_factory=list)

    def add(self, line: str, frame: int, where: str) -> None:
        columns = line.split()
        try:
            shares = np.array(columns[1:], float)
        except ValueError:
            shares = np.empty(0)
        if not (shares.size == 4 or (shares.size >= 6 and shares.size % 2 == 0)) or not (abs(shares) <= 2).all():
            raise MaskFormatError(f"{where} is no class with a polygon or box in shares of the frame (0 to 1)")
        number = as_int(columns[0], f"{where}: class", low=0)
        category = str(self.names.get(number, f"class {number}"))
        values = shares.reshape(-1, 2) * (self.size[1], self.size[0])
        own: dict[str, Any] = {}
        if shares.size == 4:
            (x1, y1), (x2, y2) = (values[0] - values[1] / 2).tolist(), (values[0] + values[1] / 2).tolist()
            own["boxes"] = {frame: Box(x1, y1, x2, y2)}
        else:
            corners = np.floor(values + 1e-4)  # a whole number of pixels, written as a share, may come back just below
            own["masks"] = {frame: rle.encode(polygons.fill_contour(corners, self.size))}
        self.tracks.append(Track(len(self.tracks) + 1, category=category, **own))


def _read_files(video: str, files: Iterable[Path], size: tuple[int, int], names: dict[Any, Any]) -> Annotation:
    lines = _Lines(size, names)
    stems = []
    for frame, file in enumerate(files):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MaskFormatError(f"{file} cannot be read ({error}); expected a YOLO label file") from None
        for n, line in enumerate(text.splitlines(), 1):
            if line.strip():
                lines.add(line, frame, f"{file}: line {n}")
        stems.append(file.stem)
    return Annotation(video, size, len(stems), tuple(lines.tracks), frame_names=tuple(stems))
