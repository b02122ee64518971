"""Masks out of a project and into it, through the formats of `vidseg.masks.formats`; and the overlay video.

`export` and `import_file` are what the command line and the page's requests come down to. An import is one gesture.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..errors import MaskFormatError, VideoError
from ..masks.annotation import CATEGORY, Annotation, Track
from ..masks.formats import FORMATS, READABLE, find
from ..video import OverlayWriter, open_video
from . import edit
from .guards import need_video
from .project import Project
from .refused import Refused
from .rows import STATES, ObjectInfo, VideoInfo
from .store import Touched

if TYPE_CHECKING:
    from ..masks.rle import Rle
    from .session import Session

OVERLAY = "overlay"
EXPORTS = (*FORMATS, OVERLAY)
"""Formats that can be written."""
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
POLYGONS = ("coco", "cvat", "yolo-seg")
"""Formats that hold, or can hold, polygons."""
MAX_UPLOAD = 512 << 20
_MAX_UNPACKED, _MAX_FILES = 4 << 30, 200_000
_SHOWN = ("unreviewed", "accepted")


def formats() -> dict[str, Any]:
    """The formats and what they hold, for the page."""
    notes = {
        name: " ".join((module.__doc__ or "").split("\n\n")[0].split()).rstrip(".") for name, module in FORMATS.items()
    }
    notes[OVERLAY] = "An mp4 of the video with the masks drawn on it, for showing around"
    flat = {"davis", "youtube-vos", "mots", OVERLAY}
    inexact = {"yolo-seg", "yolo-track", "csv"}
    return {
        "export": [
            {
                "name": name,
                "title": note.partition(":")[0],
                "notes": note,
                "identities": name not in ("yolo-seg", OVERLAY),
                "overlaps": name not in flat,
                "holes": name not in inexact,
                "polygons": name in POLYGONS,
            }
            for name, note in notes.items()
        ],
        "import": [
            {"name": name, "as": "prompts" if name in BOXES else "masks", "accepts": accepts}
            for name, accepts in IMPORTS.items()
        ],
    }


# Out


def annotation(project: Project, video: VideoInfo, *, states: Sequence[str] = _SHOWN, name: str = "") -> Annotation:
    """Return the masks of a video as the formats take them; objects later in the list lie on top."""
    tracks = []
    for known in project.objects(video.id):
        masks: dict[int, Rle] = {}
        scores = {}
        for mask in project.masks(video.id, known.id):
            if mask.state in states and mask.area:
                masks[mask.frame] = mask.rle
                scores[mask.frame] = round(mask.confidence, 4)
        tracks.append(Track(known.id, known.name, known.class_name or CATEGORY, masks, scores))
    times = tuple(float(second) for second in video.times)
    return Annotation(
        name or _file_name(video.name), video.size, video.frames, tuple(tracks), times, video.fps, _frame_names(video)
    )


def collect(project: Project, *, videos: Sequence[int] | None, states: Sequence[str]) -> list[Annotation]:
    """Return the masks of some videos (None: all), each under a name of its own."""
    chosen = project.videos() if videos is None else [need_video(project, number) for number in videos]
    found: list[Annotation] = []
    for video in chosen:
        name = _file_name(video.name)
        if any(one.video == name for one in found):
            name = f"{name}-{video.id}"
        found.append(annotation(project, video, states=states, name=name))
    return found


def export(
    project: Project,
    format: str,
    out: str | Path,
    *,
    videos: Sequence[int] | None = None,
    states: Sequence[str] = _SHOWN,
    polygons: bool = False,
    tolerance: float = 0.0,
) -> list[str]:
    """Write masks below the folder `out`; return lines that say what was written and what the format cannot hold.

    Args:
        project: the project; may be open read-only.
        format: one of `EXPORTS`.
        out: a folder, made if it does not exist.
        videos: ids; None for all.
        states: which masks; rejected ones are left out by default.
        polygons: polygons in place of run lengths, for "coco" (the others of `POLYGONS` have them anyway).
        tolerance: pixels by which polygons may be simplified.

    Raises MaskFormatError for an unknown format or a video that does not fit it, VideoError if the overlay's video
    cannot be read.
    """
    if format not in EXPORTS:
        raise MaskFormatError(f"format {format!r} is not known; expected one of {', '.join(EXPORTS)}")
    options = _options(format, polygons, tolerance)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    found = collect(project, videos=videos, states=states)
    if format == OVERLAY:
        chosen = project.videos() if videos is None else [project.video(number) for number in videos]
        return [_overlay(project, video, one, out) for video, one in zip(chosen, found, strict=True)]
    return str(find(format).write(found, out, **options)).splitlines()


def _options(format: str, polygons: bool, tolerance: float) -> dict[str, Any]:
    """What the writer of a format is called with."""
    options: dict[str, Any] = {"renumber": True} if format in ("davis", "youtube-vos") else {}
    if (polygons or tolerance) and format not in POLYGONS:
        raise MaskFormatError(f"{format} holds no polygons; leave that option out, or choose {', '.join(POLYGONS)}")
    if format == "coco" and polygons:
        options["segmentation"] = "polygons"
    if tolerance:
        options["tolerance"] = tolerance
    return options


def _overlay(project: Project, video: VideoInfo, masks: Annotation, out: Path) -> str:
    from ..masks import rle
    from ..video import draw

    colours = {known.id: known.id for known in project.objects(video.id)}
    source = project.source(video.id)
    path = out / f"{masks.video}.mp4"
    audio = source if source.is_file() else None
    broken: list[int] = []
    with (
        open_video(source) as frames,
        OverlayWriter(path, video.size, fps=video.fps, times=video.times, audio=audio) as writer,
    ):
        for frame in frames.frames(on_error=lambda index, message: broken.append(index)):
            here = list(masks.masks_at(frame.index))
            image = frame.image
            if here:
                pixels = np.stack([rle.decode(mask) for _, mask in here])
                image = draw(image, pixels, [colours[track.id] for track, _ in here])
            writer.write(image, frame.seconds)
    lost = f", {len(broken)} broken frames left out" if broken else ""
    return f"overlay: {video.frames - len(broken)} frames in {path}{lost}"


def _file_name(name: str) -> str:
    stem = re.sub(r'[/\\:*?"<>|\x00-\x1f]', "_", Path(name).stem).strip(". ")
    return stem[:100] or "video"


def _frame_names(video: VideoInfo) -> tuple[str, ...]:
    """The names of a folder's pictures, where the video is one; masks are named like their frames."""
    folder = Path(video.path)
    names = sorted(path.stem for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    plain = names == [f"{n:05d}" for n in range(len(names))]
    return tuple(names) if len(set(names)) == video.frames and not plain else ()


class Exports:
    """Exports that the page has asked for: made in a thread each, kept in a temporary folder until `close`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder = Path(tempfile.mkdtemp(prefix="vidseg-export-"))
        self._files: dict[str, Path] = {}

    def start(self, *, format: str, videos: Sequence[int] | None = None, **options: Any) -> dict[str, Any]:
        """Begin an export and return its id; events tell the rest. The options are those of `export`."""
        for number in videos or ():
            need_video(self._session.project, number)
        name = secrets.token_urlsafe(12)
        thread = threading.Thread(target=self._run, args=(name, format, videos, options), daemon=True)
        thread.start()
        return {"export": name, "state": "running"}

    def file(self, name: str) -> Path:
        """Return the file of a finished export; raises Refused("not_found")."""
        if name not in self._files:
            raise Refused("not_found", "there is no such export; it may not be finished, or the server was restarted")
        return self._files[name]

    def close(self) -> None:
        """Remove all files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, name: str, format: str, videos: Sequence[int] | None, options: dict[str, Any]) -> None:
        self._tell(name, "running")
        try:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                report = export(self._session.project, format, folder, videos=videos, **options)
                report = [line.replace(folder, "the download") for line in report]
                path = self._pack(Path(folder), f"{_file_name(self._session.project.path.name)}-{format}")
            self._files[name] = path
            self._tell(name, "done", report=report, file=path.name, bytes=path.stat().st_size)
        except Exception as error:  # whatever it was, the page must not wait for ever
            self._tell(name, "failed", message=" ".join(str(error).split()) or type(error).__name__)

    def _pack(self, folder: Path, title: str) -> Path:
        target = Path(tempfile.mkdtemp(dir=self._folder))
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if len(files) == 1:
            return Path(shutil.move(files[0], target / f"{title}{files[0].suffix}"))
        path = target / f"{title}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                kind = zipfile.ZIP_STORED if file.suffix in (".png", ".npz", ".mp4") else zipfile.ZIP_DEFLATED
                archive.write(file, file.relative_to(folder), compress_type=kind)
        return path

    def _tell(self, name: str, state: str, **fields: Any) -> None:
        event = {"event": "export", "export": name, "state": state, "done": int(state == "done"), "total": 1}
        blank = {"message": "", "file": "", "bytes": 0, "report": []}
        self._session.tell([{**event, **blank, **fields}])


# In


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
    named = [one for one in found if one.video == _file_name(video.name)]
    if len(found) != 1 and len(named) != 1:
        names = ", ".join(one.video for one in found[:5])
        raise MaskFormatError(f"the file holds {len(found)} videos ({names}); none is called {_file_name(video.name)}")
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


def with_states(value: Sequence[str]) -> tuple[str, ...]:
    """Check the names of review states; raises MaskFormatError."""
    for one in value:
        if one not in STATES:
            raise MaskFormatError(f"{one!r} is no state of a mask; expected one of {', '.join(STATES)}")
    return tuple(value)
