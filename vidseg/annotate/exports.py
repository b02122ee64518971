"""Masks out of a project, through the formats of `vidseg.masks.formats`; and the overlay video.

`export` is what the command line and the page's requests come down to; `Exports` are those that the page has asked for.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MaskFormatError
from ..masks.annotation import CATEGORY, Annotation, Track
from ..masks.formats import FORMATS, find
from ..video import OverlayWriter, open_video
from .guards import need_video
from .project import Project
from .refused import Refused
from .rows import VideoInfo

if TYPE_CHECKING:
    from ..masks.rle import Rle
    from .session import Session

OVERLAY = "overlay"
EXPORTS = (*FORMATS, OVERLAY)
"""Formats that can be written."""
POLYGONS = ("coco", "cvat", "yolo-seg")
"""Formats that hold, or can hold, polygons."""
_SHOWN = ("unreviewed", "accepted")


def about() -> list[dict[str, Any]]:
    """The formats and what they hold, for the page."""
    notes = {
        name: " ".join((module.__doc__ or "").split("\n\n")[0].split()).rstrip(".") for name, module in FORMATS.items()
    }
    notes[OVERLAY] = "An mp4 of the video with the masks drawn on it, for showing around"
    flat = {"davis", "youtube-vos", "mots", OVERLAY}
    inexact = {"yolo-seg", "yolo-track", "csv"}
    return [
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
    ]


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
        name or file_name(video.name), video.size, video.frames, tuple(tracks), times, video.fps, _frame_names(video)
    )


def collect(project: Project, *, videos: Sequence[int] | None, states: Sequence[str]) -> list[Annotation]:
    """Return the masks of some videos (None: all), each under a name of its own."""
    chosen = project.videos() if videos is None else [need_video(project, number) for number in videos]
    found: list[Annotation] = []
    for video in chosen:
        name = file_name(video.name)
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


def file_name(name: str) -> str:
    """The name of a video or project as it names files: without suffix and without what a file name cannot hold."""
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
                path = self._pack(Path(folder), f"{file_name(self._session.project.path.name)}-{format}")
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
