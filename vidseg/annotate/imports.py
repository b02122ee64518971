"""Masks of other tools and boxes of detectors into a project, each file as one gesture.

`import_file` is what the command line comes down to; `import_upload` what the page sends.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import MaskFormatError, VideoError
from ..masks.annotation import CATEGORY, Annotation
from ..masks.formats import READABLE, find
from . import edit
from .exports import file_name
from .guards import need_video
from .project import Project
from .refused import Refused
from .rows import ObjectInfo, VideoInfo
from .store import Touched

if TYPE_CHECKING:
    from .session import Session

IMPORTS = {
    "davis": "a .zip of palette PNGs",
    "coco": "a .json with instances",
    "coco-video": "a .json in YouTube-VIS style",
    "sav": "a .json of SA-V",
    "mot": "a det.txt or gt.txt",
    "yolo": "a .zip of label files",
    "coco-boxes": "a .json with detections",
}
"""Formats that can be read, and what the page should ask for."""
BOXES = {"mot": "mot", "yolo": "yolo", "coco-boxes": "coco"}
"""Those of them that bring boxes, by their name in `vidseg.masks.detections`."""
MAX_UPLOAD = 512 << 20
_MAX_UNPACKED, _MAX_FILES = 4 << 30, 200_000


def about() -> list[dict[str, Any]]:
    """The formats that can be read, for the page."""
    return [
        {"name": name, "as": "prompts" if name in BOXES else "masks", "accepts": accepts}
        for name, accepts in IMPORTS.items()
    ]


def import_file(
    project: Project, video: int, format: str, path: str | Path
) -> tuple[list[ObjectInfo], dict[str, Any], Touched]:
    """Add the masks or boxes in a file or folder to a video, as new objects, in one gesture.

    Returns the objects, counts and remarks {"masks", "prompts", "report"}, and what was touched.

    Raises MaskFormatError if the file is not of that format or is made for pictures of another size.
    """
    info = need_video(project, video)
    if format in BOXES:
        return _import_boxes(project, info, format, Path(path))
    if format not in READABLE:
        raise MaskFormatError(f"format {format!r} cannot be imported; expected one of {', '.join(IMPORTS)}")
    found, report = _choose(find(format).read(Path(path)), info)
    frames, remarks = _frames_of(found, info)
    tracks, lost = [], 0
    for track in found.tracks:
        masks = {frames[frame]: mask for frame, mask in track.masks.items() if frame in frames}
        lost += len(track.masks) - len(masks)
        fields = {"name": track.name[:100], "class_name": "" if track.category == CATEGORY else track.category[:100]}
        tracks.append((fields, masks))
    if lost:
        remarks.append(f"{lost} masks outside the video were left out")
    count = sum(len(masks) for _, masks in tracks)
    if not count:
        raise MaskFormatError(f"{Path(path).name} holds no masks for the {info.frames} frames of {info.name}")
    made, touched = edit.add_masks(
        project, video, tracks, label=f"import {format}", origin="imported", source="imported"
    )
    return made, {"masks": count, "prompts": 0, "report": report + remarks}, touched


def _choose(found: Sequence[Annotation], video: VideoInfo) -> tuple[Annotation, list[str]]:
    """Return the annotation that belongs to a video: the only one, or the one with its name."""
    named = [one for one in found if one.video == file_name(video.name)]
    if len(found) != 1 and len(named) != 1:
        names = ", ".join(one.video for one in found[:5])
        raise MaskFormatError(f"the file holds {len(found)} videos ({names}); none is called {file_name(video.name)}")
    chosen = found[0] if len(found) == 1 else named[0]
    if chosen.size != video.size:
        raise MaskFormatError(
            f"the masks are made for pictures of {chosen.size[1]}x{chosen.size[0]}; "
            f"{video.name} has {video.size[1]}x{video.size[0]}"
        )
    others = len(found) - 1
    return chosen, [f"{others} other videos in the file were left out"] if others else []


def _frames_of(found: Annotation, video: VideoInfo) -> tuple[dict[int, int], list[str]]:
    """Return {frame of the annotation: frame of the video}, by the frames' names where these are numbers."""
    names = found.frame_names
    if names and found.frames != video.frames and all(name.isdigit() and int(name) < video.frames for name in names):
        return {n: int(name) for n, name in enumerate(names)}, []
    remarks = []
    if found.frames > video.frames:
        remarks = [f"the file has {found.frames} frames, {video.name} has {video.frames}"]
    return {n: n for n in range(min(found.frames, video.frames))}, remarks


def _import_boxes(
    project: Project, video: VideoInfo, format: str, path: Path
) -> tuple[list[ObjectInfo], dict[str, Any], Touched]:
    from ..masks import detections
    from .objects import insert_object

    read: Any = detections.BOX_FORMATS[BOXES[format]]
    prompts = read(path, size=video.size) if format == "yolo" else read(path)
    inside = [one for one in prompts if one.frame < video.frames and one.box is not None]
    if not inside:
        raise MaskFormatError(f"{path.name} holds no boxes for the {video.frames} frames of {video.name}")
    height, width = video.size
    made: dict[int, ObjectInfo] = {}
    count = 0
    with project.store.gesture(f"import {format}", video=video.id) as gesture:
        for prompt in inside:
            if prompt.box is None:
                continue
            x1, y1, x2, y2 = prompt.box
            box = [max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)]
            if box[0] < box[2] and box[1] < box[3]:
                if prompt.object not in made:
                    made[prompt.object] = insert_object(project, gesture, video.id)
                number = made[prompt.object].id
                edit.add_prompt(gesture, video.id, number, prompt.frame, "box", {"box": box, "origin": "imported"})
                count += 1
    lost = len(prompts) - count
    report = [f"{lost} boxes outside the video were left out"] if lost else []
    return list(made.values()), {"masks": 0, "prompts": count, "report": report}, gesture.touched


class _Limited:
    """A file that refuses to grow beyond the largest upload."""

    def __init__(self, file: IO[bytes]) -> None:
        self.name = file.name
        self._file = file
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Append; raises Refused("too_large")."""
        self._size += len(chunk)
        if self._size > MAX_UPLOAD:
            raise Refused("too_large", f"the file is larger than {MAX_UPLOAD >> 20} MiB")
        self._file.write(chunk)

    def flush(self) -> None:
        """Let others read what was written."""
        self._file.flush()


@contextlib.contextmanager
def upload() -> Iterator[_Limited]:
    """A temporary file for what the page sends, gone when the block ends."""
    with tempfile.NamedTemporaryFile(prefix="vidseg-import-") as file:
        yield _Limited(file)


def import_upload(session: Session, file: _Limited, *, video: int, format: str) -> dict[str, Any]:
    """Import an uploaded file (a zip is unpacked first) and tell everyone; returns what the page gets."""
    if format not in IMPORTS:
        raise Refused("bad_request", f"format {format!r} cannot be imported; expected one of {', '.join(IMPORTS)}")
    file.flush()
    with tempfile.TemporaryDirectory(prefix="vidseg-import-") as folder:
        path = Path(folder) / "upload"
        if zipfile.is_zipfile(file.name):
            _unpack(Path(file.name), path)
        else:
            path = path.with_suffix(".txt" if format in ("mot", "yolo") else ".json")
            shutil.copyfile(file.name, path)
        made, found, touched = _friendly(import_file, session.project, video, format, path)
    session.changed(touched)
    return {"objects": [known.to_json() for known in made], **found}


def _friendly(work: Callable[..., Any], *args: Any) -> Any:
    """Call `work`; messages about a temporary file speak of the upload instead."""
    try:
        return work(*args)
    except (MaskFormatError, VideoError) as error:
        raise Refused("bad_request", str(error).replace(str(args[-1]), "the file")) from error


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            if len(members) > _MAX_FILES or sum(one.file_size for one in members) > _MAX_UNPACKED:
                raise Refused("too_large", "the archive is too large when unpacked (4 GiB, 200,000 files)")
            file.extractall(folder)  # drops drive letters, leading slashes and ".."
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        raise Refused("bad_request", f"the archive cannot be unpacked ({error})") from None
