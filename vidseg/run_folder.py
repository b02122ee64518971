"""The folder that a tracking run leaves behind, valid at every moment, and how an interrupted run finds its way back.

    masks/00000.png ...   index PNGs, each whole or absent
    overlay.mp4           written last but one
    adapted.safetensors   the weights of a model that was adapted to the prompted frames, if that was asked for
    tracks.json           written last: where it is, the run is finished
    unfinished/           only while the run goes on: job.json (the header of tracks.json), journal.jsonl (its frames
                          so far), checkpoint.json and the tracker state it names

A checkpoint names a state and a length of the journal, and is replaced only after both are safely on the disk. A
resumed run cuts the journal to that length, repairs masks that a power cut emptied, and computes on from there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from vidseg.errors import ConfigError, MaskFormatError, VidsegError
from vidseg.masks import palette
from vidseg.masks.files import replacing
from vidseg.tracker import TrackerState
from vidseg.tracks import FrameRecord, Journal, TracksHeader, read_tracks, write_tracks

__all__ = ["Checkpoint", "RunFolder"]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Where to go on: `frame` of sweep number `sweep` is the last one finished, `state` the tracker's after it."""

    sweep: int
    frame: int
    state: TrackerState


class RunFolder:
    """The files of one run in `path`; `header` says what the run was asked.

    Use `open` first, then `write` and `checkpoint`, and at last `finish`.
    """

    def __init__(self, path: str | Path, header: TracksHeader) -> None:
        self.path = Path(path)
        self.header = header
        self.masks = self.path / "masks"
        self.overlay = self.path / "overlay.mp4"
        self.tracks = self.path / "tracks.json"
        self.adapted = self.path / "adapted.safetensors"
        self._work = self.path / "unfinished"
        self._journal: Journal | None = None
        self._state: Path | None = None
        self._fresh = False

    def open(self, *, resume: bool = False, overwrite: bool = False) -> Checkpoint | None:
        """Make the folder ready: return where to go on, or None to start at the beginning.

        Args:
            resume: continue an unfinished run of the same job if there is one.
            overwrite: remove what an earlier run left.

        Raises:
            ConfigError: the folder holds results and neither was asked for, or the results of another job, or another
                process is at work in it.
        """
        journal = self._work / "journal.jsonl"
        if overwrite and journal.is_file():
            self._open_journal(journal.stat().st_size)  # nobody else has it open
            self.close()
        if self._work.is_dir() and {item.name for item in self._work.iterdir()} <= {"job.json.part"}:
            shutil.rmtree(self._work)  # killed before it had begun
        there = [item for item in (self._work, self.tracks, self.overlay, self.masks, self.adapted) if item.exists()]
        ours = (self._work / "job.json").is_file() or self.tracks.is_file()
        if there and not ours:
            raise ConfigError(f"{there[0]} is in the way and no vidseg run made it; choose another --out, or move it")
        if there and overwrite:
            self._remove_all()
        elif there and not resume:
            state = "a finished run" if self.tracks.is_file() else "an unfinished run (continue it with --resume)"
            raise ConfigError(f"{self.path} already holds {state}; give --overwrite to replace it, or another --out")
        elif there:
            self._check_same_job()
        if self._work.is_dir():
            return self._read_checkpoint()
        if not self.finished:
            self._fresh = True
            self._work.mkdir(parents=True)
            with _safely(self._work / "job.json") as file:
                json.dump(self.header.to_json(), file)
            self.masks.mkdir(exist_ok=True)
            self._open_journal()
        return None

    @property
    def finished(self) -> bool:
        """Whether the results are complete."""
        return self.tracks.is_file() and not self._work.exists()

    def mask_path(self, frame: int) -> Path:
        """The index PNG of a frame."""
        return self.masks / f"{frame:05d}.png"

    def write(self, record: FrameRecord, index: np.ndarray) -> None:
        """Keep a frame: its (H, W) uint8 index mask as PNG and its record in the journal."""
        palette.write_index(self.mask_path(record.frame), index)
        self.journal.append(record)

    def checkpoint(self, sweep: int, frame: int, state: TrackerState) -> None:
        """Make sure that a run killed from now on continues after `frame` of sweep number `sweep`."""
        length = self.journal.sync()
        path = self._work / f"state-{sweep}-{frame}.pt"
        state.save(path)
        _sync(path)
        with _safely(self._work / "checkpoint.json") as file:
            json.dump({"sweep": sweep, "frame": frame, "state": path.name, "journal": length}, file)
        if self._state is not None and self._state != path:
            self._state.unlink(missing_ok=True)
        self._state = path

    def records(self) -> Iterator[FrameRecord]:
        """Yield the records of all frames so far, frames ascending."""
        return self.journal.records()

    def finish(self) -> tuple[int, int]:
        """Write tracks.json and remove what only an unfinished run needs; a run that is finished is left as it is.

        Returns the numbers of frames and of skipped ones.
        """
        if self.finished:
            found = read_tracks(self.tracks).frames
            return len(found), sum(record.skipped is not None for record in found)
        counts = [0, 0]

        def counted() -> Iterator[FrameRecord]:
            for record in self.records():
                counts[0] += 1
                counts[1] += record.skipped is not None
                yield record

        write_tracks(self.tracks, self.header, counted())
        if hasattr(os, "sync"):
            os.sync()  # from here on nothing is left to repair the masks with
        self.close()
        shutil.rmtree(self._work)
        return counts[0], counts[1]

    def close(self) -> None:
        """Close the journal; what is on the disk stays as it is."""
        if self._journal is not None:
            with suppress(OSError):  # what is not on the disk by now was not to be kept
                self._journal.__exit__()
            self._journal = None

    def abandon(self) -> None:
        """Remove what `open` made, if it made it: for a run that failed before it had finished a frame."""
        self.close()
        if not self._fresh:
            return
        shutil.rmtree(self._work, ignore_errors=True)
        self.adapted.unlink(missing_ok=True)
        for folder in (self.masks, self.path):
            with suppress(OSError):  # it holds something: then it stays
                folder.rmdir()

    @property
    def journal(self) -> Journal:
        """The records so far."""
        assert self._journal is not None, "the run is not open"
        return self._journal

    def _remove_all(self) -> None:
        """Remove what runs wrote, tracks.json first, so that a half-removed run never looks finished."""
        self.tracks.unlink(missing_ok=True)
        self.overlay.unlink(missing_ok=True)
        self.adapted.unlink(missing_ok=True)
        for mask in self.masks.glob("[0-9]*.png*"):
            mask.unlink()
        with suppress(OSError):
            self.masks.rmdir()
        shutil.rmtree(self._work, ignore_errors=True)

    def _check_same_job(self) -> None:
        """Raise ConfigError unless the results in the folder are those of this very job."""
        path = self.tracks if self.finished else self._work / "job.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read ({error}); give --overwrite to start again") from None
        before = TracksHeader.from_json(content, name=str(path)).to_json()
        for key, now in self.header.to_json().items():
            if before[key] != now:
                raise ConfigError(
                    f"the run in {self.path} had another {_difference(key, before[key], now)}; "
                    "repeat its command to resume it, or give --overwrite or another --out"
                )

    def _read_checkpoint(self) -> Checkpoint | None:
        path = self._work / "checkpoint.json"
        if not path.is_file():  # killed before the first one
            self._open_journal()
            return None
        try:
            saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self._state = self._work / saved["state"]
            state = TrackerState.load(self._state, device=self.header.model["device"])
            self._open_journal(saved["journal"])
        except ConfigError:
            raise
        except (OSError, ValueError, KeyError, VidsegError) as error:
            raise ConfigError(f"{path} is damaged ({error}); give --overwrite to start again") from None
        self._repair()
        return Checkpoint(saved["sweep"], saved["frame"], state)

    def _open_journal(self, length: int = 0) -> None:
        try:
            self._journal = Journal(self._work / "journal.jsonl", length=length)
        except BlockingIOError:
            raise ConfigError(
                f"another process is tracking into {self.path}; wait for it or give another --out"
            ) from None

    def _repair(self) -> None:
        """Write masks again that are missing or damaged, from the journal."""
        for record in self.records():
            path = self.mask_path(record.frame)
            try:
                whole = palette.read_index(path).shape == self.header.size
            except MaskFormatError:
                whole = False
            if not whole:
                palette.write_index(path, record.index(self.header.size))


def _difference(key: str, before: Any, now: Any) -> str:
    """Say what differs, briefly: prompts and digests are not shown."""
    if isinstance(before, dict) and isinstance(now, dict):
        part = next(name for name in {**before, **now} if before.get(name) != now.get(name))
        return _difference(f"{key} {part}", before.get(part), now.get(part))
    if isinstance(before, list) or key.endswith("digest"):
        return "content of the " + key.removesuffix(" digest") if key.endswith("digest") else f"set of {key}"
    return f"{key} ({before}, now {now})"


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def _safely(path: Path) -> Iterator[IO]:
    """`replacing`, with the text on the disk before the name appears."""
    with replacing(path) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
