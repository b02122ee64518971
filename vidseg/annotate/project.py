"""A project: one SQLite file with videos, objects, prompts, masks, history, jobs and settings.

Here: opening, reading, and what is not undoable (videos, settings, jobs). Changes of objects, prompts and masks are
gestures (`store.Gesture`), made in `edit` and `session`. The prompts are the truth; masks can be computed again.

    with Project.open("dance.vidseg", create=True) as project:
        video = project.add_video("dance.mp4")
        for mask in project.masks(video.id):
            print(mask.frame, mask.object, mask.decode().sum())
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..errors import ProjectError
from ..video import open_video
from . import schema
from .fingerprint import files_of, fingerprint
from .lane import COLUMNS, Lane
from .lock import ProjectLock
from .rows import Anchors, MaskInfo, ObjectInfo, PromptInfo, VideoInfo, anchors
from .store import Store
from .tables import mask_from_row, object_from_row, prompt_from_row

DEFAULTS: dict[str, Any] = {
    "combine": "nearer",
    "agreement": True,
    "repropagate": "auto",
    "exclusive": False,
    "closer": False,
    "hover": True,
    "opacity": 0.5,
    "brush_radius": 12,
    "brightness": 1,
    "page": {},
}
"""Settings and their values in a new project."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a model has learned: its name, from how many masks, and the weights, None for nothing."""

    model: str = ""
    masks: int = 0
    weights: bytes | None = None


class Project:
    """An annotation project on disk; a context manager.

    One process at a time may write (`ProjectLock`); any number may open it `readonly`. All methods may be called from
    any thread.
    """

    def __init__(self, path: Path, *, readonly: bool, create: bool) -> None:
        self.path = path
        self.readonly = readonly
        if not path.exists() and not create:
            raise ProjectError(f"{path} does not exist; start one with `vidseg annotate VIDEO --project {path}`")
        self._lock = None if readonly else ProjectLock(path)
        try:
            self.store = Store(schema.connect(path, readonly=readonly))
        except ProjectError:
            if self._lock is not None:
                self._lock.release()
            raise
        self._learns = self._rows("PRAGMA user_version")[0][0] >= 2  # an older file that is only read stays as it is
        self._videos: dict[int, VideoInfo] = {}
        self._marks: dict[Path, tuple[Any, str]] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, readonly: bool = False, create: bool = False) -> Project:
        """Open a project file; with `create`, start one if there is none.

        Raises ProjectError if it is missing, not a project, from a newer vidseg, or open elsewhere.
        """
        return cls(Path(path), readonly=readonly, create=create)

    def close(self) -> None:
        """Close the file and let others have it."""
        self.store.connection.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Videos

    def add_video(self, source: str | os.PathLike[str]) -> VideoInfo:
        """Register a video file, folder or pattern of images; one that is already there (by content) is returned.

        If its file has moved since, the project is re-linked to `source`.

        Raises VideoError if it cannot be read or has no known length.
        """
        path = Path(source).absolute()
        mark = fingerprint(path)
        for known in self.videos():
            if known.fingerprint == mark:
                return known if self._find(known) is not None else self.relink(known.id, source)
            if Path(known.path) == path:
                raise ProjectError(
                    f"{path.name} has changed since it was annotated in {self.path.name} (video {known.id}); "
                    f"re-link it with `vidseg project relink {self.path} {known.id} {path}` or start another project"
                )
        with open_video(path) as video:
            size, fps, times, name = video.size, video.fps, np.asarray(video.times, np.float64), video.name
        with self.store.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO video (name, path, relative, height, width, frames, fps, times, fingerprint)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (name, str(path), self._relative(path), *size, len(times), fps, times.tobytes(), mark),
            )
        return self.video(int(cursor.lastrowid or 0))

    def relink(self, video: int, source: str | os.PathLike[str], *, force: bool = False) -> VideoInfo:
        """Point a video of the project at another path.

        The content must be the same; with `force` only the size and the number of frames must be.

        Raises ProjectError if they are not.
        """
        known, path = self.video(video), Path(source).absolute()
        mark = fingerprint(path)
        if mark != known.fingerprint:
            with open_video(path) as found:
                size, times = found.size, np.asarray(found.times, np.float64)
            if size != known.size or len(times) != known.frames:
                raise ProjectError(
                    f"{path.name} has {len(times)} frames of {size[1]}x{size[0]}, {known.name} had {known.frames} of "
                    f"{known.size[1]}x{known.size[0]}; its masks would not fit"
                )
            if not force:
                raise ProjectError(
                    f"{path.name} has the size of {known.name} but another content; add --force if it is the same video"
                )
        with self.store.transaction() as connection:
            connection.execute(
                "UPDATE video SET path = ?, relative = ?, fingerprint = ? WHERE id = ?",
                (str(path), self._relative(path), mark, video),
            )
        self._videos.pop(video, None)
        return self.video(video)

    def videos(self) -> list[VideoInfo]:
        """All videos in the order in which they were added."""
        with self.store.lock:
            numbers = [row[0] for row in self.store.connection.execute("SELECT id FROM video ORDER BY id")]
            return [self.video(number) for number in numbers]

    def video(self, number: int) -> VideoInfo:
        """One video; raises ProjectError if there is none with that id."""
        with self.store.lock:
            if number not in self._videos:
                row = self.store.connection.execute("SELECT * FROM video WHERE id = ?", (number,)).fetchone()
                if row is None:
                    raise ProjectError(f"{self.path.name} has no video {number}")
                times = np.frombuffer(row["times"], np.float64)
                size = (row["height"], row["width"])
                self._videos[number] = VideoInfo(
                    row["id"], row["name"], row["path"], row["relative"], size, row["fps"], times, row["fingerprint"]
                )
            return self._videos[number]

    def source(self, video: int) -> Path:
        """Where the video's file is now: where it was, or at the same place relative to the project.

        Raises ProjectError, saying how to re-link it, if it is missing or has another content.
        """
        status, message = self.video_status(video)
        path = self._find(self.video(video))
        if status != "ok" or path is None:
            raise ProjectError(message)
        return path

    def video_status(self, video: int) -> tuple[str, str]:
        """Return "ok", "missing" or "changed", and what to do about it."""
        known = self.video(video)
        if self._find(known) is not None:
            return "ok", ""
        path = Path(known.path)
        command = f"`vidseg project relink {self.path} {video} NEW_PATH`"
        if path.exists():
            return (
                "changed",
                f"{path} is another video than the one that was annotated; point to the right one: {command}",
            )
        return "missing", f"{path} is not there any more; if it moved: {command}"

    def _find(self, video: VideoInfo) -> Path | None:
        places = [Path(video.path)]
        if video.relative is not None:
            places.insert(0, self.path.absolute().parent / video.relative)
        return next((place for place in places if self._mark(place) == video.fingerprint), None)

    def _mark(self, path: Path) -> str | None:
        """The fingerprint of what lies at a path, None for nothing; read again only when size or time have changed."""
        files = files_of(path)
        if not files:
            return None
        state = tuple((file.stat().st_size, file.stat().st_mtime_ns) for file in files)
        if self._marks.get(path, (None, ""))[0] != state:
            self._marks[path] = (state, fingerprint(path))
        return self._marks[path][1]

    def _relative(self, path: Path) -> str | None:
        try:
            return os.path.relpath(path, self.path.absolute().parent)
        except ValueError:  # another drive
            return None

    # Objects, prompts, masks

    def objects(self, video: int) -> list[ObjectInfo]:
        """The objects of a video in the order in which the page lists them."""
        return [
            object_from_row(row)
            for row in self._rows("SELECT * FROM object WHERE video = ? ORDER BY position, id", video)
        ]

    def object(self, video: int, number: int) -> ObjectInfo | None:
        """One object, or None."""
        rows = self._rows("SELECT * FROM object WHERE video = ? AND id = ?", video, number)
        return object_from_row(rows[0]) if rows else None

    def prompts(
        self, video: int, object: int | None = None, *, start: int = 0, stop: int | None = None
    ) -> list[PromptInfo]:
        """The prompts of a video (of one object) on frames `start` to `stop - 1`, oldest first."""
        where, values = _place(video, object, start, stop)
        return [prompt_from_row(row) for row in self._rows(f"SELECT * FROM prompt WHERE {where} ORDER BY id", *values)]

    def prompt(self, number: int) -> PromptInfo | None:
        """One prompt, or None."""
        rows = self._rows("SELECT * FROM prompt WHERE id = ?", number)
        return prompt_from_row(rows[0]) if rows else None

    def masks(
        self, video: int, object: int | None = None, *, start: int = 0, stop: int | None = None
    ) -> Iterator[MaskInfo]:
        """The masks of a video (of one object) on frames `start` to `stop - 1`, by frame and object; read in chunks."""
        size = self.video(video).size
        stop = self.video(video).frames if stop is None else stop
        for first in range(start, stop, 512):
            where, values = _place(video, object, first, min(stop, first + 512))
            for row in self._rows(f"SELECT * FROM mask WHERE {where} ORDER BY frame, object", *values):
                yield mask_from_row(row, size)

    def lane(self, video: int, object: int, *, start: int = 0, stop: int | None = None) -> Lane:
        """The masks of one object on frames `start` to `stop - 1` as columns of numbers, without pixels: fast."""
        where, values = _place(video, object, start, stop)
        return Lane.of(self._rows(f"SELECT {', '.join(COLUMNS)} FROM mask WHERE {where} ORDER BY frame", *values))

    def mask(self, video: int, object: int, frame: int) -> MaskInfo | None:
        """The mask of one object on one frame, or None if none was computed."""
        return next(self.masks(video, object, start=frame, stop=frame + 1), None)

    def anchors(self, video: int, object: int) -> Anchors:
        """The prompted frames of an object."""
        rows = self._rows("SELECT frame, id FROM prompt WHERE video = ? AND object = ?", video, object)
        return anchors(((row[0], row[1]) for row in rows), self.learned_number())

    def share_reviewed(self, video: int) -> float:
        """Accepted and rejected masks, as a share of all, 0..1."""
        row = self._rows("SELECT count(*), sum(state != 'unreviewed') FROM mask WHERE video = ?", video)[0]
        return (row[1] or 0) / row[0] if row[0] else 0.0

    # What the model has learned

    def learned_number(self) -> int:
        """How often the model has learned or forgotten; 0 for never."""
        rows = self._rows("SELECT number FROM learned") if self._learns else []
        return int(rows[0][0]) if rows else 0

    def learned(self) -> Learned:
        """What the model has learned last; without weights if it has not, or has forgotten it."""
        rows = self._rows("SELECT model, masks, weights FROM learned") if self._learns else []
        return Learned(*rows[0]) if rows else Learned()

    def set_learned(self, model: str, weights: bytes | None, *, masks: int) -> None:
        """Keep what the model of that name has learned from so many masks, in place of anything it learned before."""
        with self.store.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO learned VALUES (1, ?, ?, ?, ?)",
                (self.learned_number() + 1, model, masks, weights),
            )

    # Settings and jobs

    def settings(self) -> dict[str, Any]:
        """All settings, with their defaults where they were never set."""
        found = {row[0]: json.loads(row[1]) for row in self._rows("SELECT key, value FROM setting")}
        return {**DEFAULTS, **found}

    def set_settings(self, values: Mapping[str, Any]) -> None:
        """Store some settings."""
        with self.store.transaction() as connection:
            for key, value in values.items():
                connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (key, json.dumps(value)))

    def add_job(self, video: int, spec: Mapping[str, Any]) -> int:
        """Note a propagation that is to be done, so that it continues after a crash; return its id."""
        with self.store.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO job (video, spec, state) VALUES (?, ?, 'queued')", (video, json.dumps(spec))
            )
            return int(cursor.lastrowid or 0)

    def update_job(self, job: int, *, state: str, done: int = 0, total: int = 0) -> None:
        """Note how far a job has come; finished ones are forgotten."""
        with self.store.transaction() as connection:
            if state in ("done", "cancelled", "failed"):
                connection.execute("DELETE FROM job WHERE id = ?", (job,))
            else:
                connection.execute(
                    "UPDATE job SET state = ?, done = ?, total = ? WHERE id = ?", (state, done, total, job)
                )

    def jobs(self) -> list[dict[str, Any]]:
        """Jobs that were not finished, oldest first: id, video, state, done, total and what was asked for."""
        rows = self._rows("SELECT id, video, spec, state, done, total FROM job ORDER BY id")
        named = ("id", "video", "state", "done", "total")
        return [{**json.loads(row["spec"]), **{name: row[name] for name in named}} for row in rows]

    def check(self) -> list[str]:
        """Look for damage: of the file, of links between rows, of masks; return one line a finding."""
        found = [f"file: {row[0]}" for row in self._rows("PRAGMA integrity_check") if row[0] != "ok"]
        found += [
            f"{row[0]} {row[1]} points to a {row[2]} that is gone" for row in self._rows("PRAGMA foreign_key_check")
        ]
        for video in self.videos():
            status, message = self.video_status(video.id)
            if status != "ok":
                found.append(message)
            found += _check_masks(self, video)
        return found

    def _rows(self, query: str, *values: Any) -> Sequence[Any]:
        with self.store.lock:
            return self.store.connection.execute(query, values).fetchall()


def _check_masks(project: Project, video: VideoInfo) -> Iterator[str]:
    from ..errors import MaskFormatError
    from ..masks import rle

    for mask in project.masks(video.id):
        try:
            area = rle.area(mask.rle)
        except MaskFormatError as error:
            yield f"{video.name}, object {mask.object}, frame {mask.frame}: {error}"
        else:
            if area != mask.area:
                yield f"{video.name}, object {mask.object}, frame {mask.frame}: area {mask.area} noted, {area} found"
    beyond = project._rows(
        "SELECT count(*) FROM mask WHERE video = ? AND (frame < 0 OR frame >= ?)", video.id, video.frames
    )[0][0]
    if beyond:
        yield f"{video.name}: {beyond} masks lie outside its {video.frames} frames"


def _place(video: int, object: int | None, start: int, stop: int | None) -> tuple[str, tuple[int, ...]]:
    where, values = "video = ? AND frame >= ?", [video, start]
    if stop is not None:
        where, values = where + " AND frame < ?", [*values, stop]
    if object is not None:
        where, values = where + " AND object = ?", [*values, object]
    return where, tuple(values)
