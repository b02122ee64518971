"""A tracking run from source to files: decode, track, write, survive being stopped. What `vidseg track` does.

Three threads or four: frames are decoded ahead and, where that pays, encoded ahead; the caller's thread tracks; a
worker writes masks, journal and overlay. All queues are bounded and nothing is kept of a frame once it is written, so
memory does not grow with the video. No pixel belongs to two objects: the larger logit wins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from vidseg.adaptation import Adaptation
from vidseg.encode_ahead import Encoded, Windows, encoded, lanes
from vidseg.errors import ConfigError, VideoError, VidsegError
from vidseg.job import Job, Sweep, check_job, describe, plan
from vidseg.learner import Step, adapt, as_masks, examples_of, followed
from vidseg.masks import palette
from vidseg.model import Sam2
from vidseg.run_folder import Checkpoint, RunFolder
from vidseg.second_look import View
from vidseg.stopwatch import Stopwatch, peak_memory_mb
from vidseg.threads import compute_on
from vidseg.tracker import Setting, TrackerState, TrackResult, advance, limits_of, prime
from vidseg.tracks import FrameRecord, frame_record
from vidseg.types import Frame
from vidseg.video import OverlayWriter, Video, draw, read_ahead
from vidseg.weights import load_model, save_model
from vidseg.worker import Worker

__all__ = ["Summary", "run_job"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did.

    Attributes:
        folder: where the results are.
        frames: frames with a mask file; skipped: those among them that could not be decoded, and are blank.
        objects: number of objects.
        seconds: wall time of this process, from the first frame to the last file; of a resumed run the rest only.
        frames_per_second: by stage as if it ran alone (on a GPU the model's time shows up under "masks", which waits
            for it), and "total".
        peak_memory_mb: largest resident memory of the process so far, None where the system does not tell.
    """

    folder: str
    frames: int
    skipped: int
    objects: int
    seconds: float
    frames_per_second: dict[str, float]
    peak_memory_mb: float | None


def run_job(
    model: Sam2,
    video: Video,
    job: Job,
    *,
    resume: bool = False,
    overwrite: bool = False,
    checkpoint_seconds: float = 10.0,
    progress: Callable[[int, int | None], object] | None = None,
    notice: Callable[[str], object] | None = None,
    adapting: Callable[[Step], object] | None = None,
) -> Summary:
    """Track the job's objects through the video and write the results to its folder.

    Args:
        model: from `load_model`.
        video: from `open_video`.
        job: what to do.
        resume: go on with an unfinished run of the same job in the folder; the result equals an uninterrupted run's.
        overwrite: replace what an earlier run left there.
        checkpoint_seconds: how much work a killed process loses at most.
        progress: called with (frames done, frames in all or None) after every frame, from another thread.
        notice: called with a sentence about each frame that cannot be decoded.
        adapting: called after every clip of the job's adaptation.

    Raises:
        PromptError, VideoError, ConfigError: the job cannot be done as given; nothing is left behind.
        VidsegError: it was stopped (disk full ...) after some frames, which are kept.
        KeyboardInterrupt: with a message that says how to go on.

    A stream that is interrupted or breaks off has ended: its results are completed.
    """
    job = check_job(job, video)
    if resume and not video.known_length:
        raise ConfigError(f"{video.name} is a stream and cannot be resumed; save it to a file first")
    folder = RunFolder(job.folder, describe(job, model, video))
    try:
        checkpoint = folder.open(resume=resume, overwrite=overwrite)
    except OSError:
        folder.abandon()
        raise
    run = _Run(
        model,
        video,
        job,
        folder,
        checkpoint,
        checkpoint_seconds if video.known_length else float("inf"),
        progress,
        notice,
        adapting,
    )
    try:
        return run.run()
    except (KeyboardInterrupt, OSError, VidsegError) as error:
        raise run.explained(error) from error
    finally:
        folder.close()


@dataclass(slots=True, eq=False)
class _Run:
    """A run in progress. `done` and `written` are changed by the worker only, `lost` by the decoding thread."""

    model: Sam2
    video: Video
    job: Job
    folder: RunFolder
    checkpoint: Checkpoint | None
    checkpoint_seconds: float
    progress: Callable[[int, int | None], object] | None
    notice: Callable[[str], object] | None
    adapting: Callable[[Step], object] | None
    watch: Stopwatch = field(default_factory=Stopwatch)
    done: int = 0
    written: int = 0
    lost: dict[int, str] = field(default_factory=dict)
    overlay: OverlayWriter | None = None

    def run(self) -> Summary:
        begin = time.perf_counter()
        if not self.folder.finished:
            self._check_prompted()
            if self.job.adaptation is not None:
                self._adapt(self.job.adaptation)
            self._sweep_all(plan(self.job))
            self._check_reached()
        if self.job.overlay and not self.folder.overlay.is_file():
            self._draw_overlay()
        frames, skipped = self.folder.finish()
        seconds = time.perf_counter() - begin
        return Summary(
            folder=str(self.folder.path),
            frames=frames,
            skipped=skipped,
            objects=len({prompt.object for prompt in self.job.prompts}),
            seconds=round(seconds, 3),
            frames_per_second={**self.watch.rates(), "total": round(self.written / max(seconds, 1e-9), 2)},
            peak_memory_mb=peak_memory_mb(),
        )

    def explained(self, error: BaseException) -> BaseException:
        """Clean up if nothing was done; otherwise return an error that says what is kept and how to go on."""
        if not self.done:
            self.folder.abandon()
            return error
        count = f"{self.done} frames" if self._total() is None else f"{self.done} of {self._total()} frames"
        if not self.video.known_length:
            return VidsegError(f"{error}; stopped after {count}, whose masks are in {self.folder.masks}")
        if isinstance(error, KeyboardInterrupt):
            return KeyboardInterrupt(f"interrupted after {count}; the same command with --resume goes on from there")
        text = f"{error.filename or self.folder.path}: {error.strerror}" if isinstance(error, OSError) else str(error)
        return VidsegError(f"{text}; stopped after {count}, when that is solved the same command with --resume goes on")

    def _total(self) -> int | None:
        """Frames in all sweeps, None for a stream."""
        return None if self.job.stop is None else sum(len(todo.order()) for todo in plan(self.job))

    def _check_prompted(self) -> None:
        """Raise VideoError if a prompted frame of a file cannot be decoded, before anything is done."""
        if self.video.known_length and self.checkpoint is None:
            for prompt in self.job.prompts:
                try:
                    self.video[prompt.frame]
                except VideoError:
                    raise self._unusable(prompt.frame) from None

    def _adapt(self, adaptation: Adaptation) -> None:
        """Adapt the model to the prompted frames, whose masks are then the prompts, and to what it follows of them; a
        resumed run goes on with the weights that it began with.
        """
        path, examples = self.folder.adapted, examples_of(self.model, self.video, self.job.prompts)
        if not path.is_file():
            more = [
                example
                for todo in plan(self.job)
                for example in followed(
                    self.model,
                    self.video,
                    [prompt for prompt in self.job.prompts if prompt.object in todo.ids],
                    stop=todo.start - 1 if todo.reverse else todo.stop,
                    reverse=todo.reverse,
                )
            ]
            save_model(adapt(self.model, examples + more, adaptation, progress=self.adapting), path)
        self.model = load_model(path, device=self.model.device, dtype=self.model.dtype)
        self.job = replace(self.job, prompts=as_masks(self.job.prompts, examples))

    def _sweep_all(self, sweeps: Sequence[Sweep]) -> None:
        """Do all sweeps, or what a checkpoint leaves of them."""
        with ExitStack() as stack:
            # In order of time the overlay is drawn along the way; otherwise when all masks are there.
            if self.job.overlay and self.checkpoint is None and len(sweeps) == 1 and not sweeps[0].reverse:
                self.overlay = stack.enter_context(self._overlay_writer())
            for number, todo in enumerate(sweeps):
                state = None
                if self.checkpoint is not None and number <= self.checkpoint.sweep:
                    self.done += len(todo.order())
                    if number < self.checkpoint.sweep:
                        continue
                    todo, state = todo.left_after(self.checkpoint.frame), self.checkpoint.state
                    self.done -= len(todo.order())
                    if not todo.order():
                        continue
                self._sweep(number, todo, state)

    def _check_reached(self) -> None:
        """Say which prompts a stream never came to; raise VideoError if it gave no frame at all."""
        late = [p.frame for p in self.job.prompts if p.frame >= self.job.start + self.done]
        if self.video.known_length or not late:
            return
        if not self.done:
            raise VideoError(f"{self.video.name} gave no frame; is it connected?")
        if self.notice is not None:
            self.notice(f"{self.video.name} ended before frame {min(late)}, whose prompt was not used")

    def _sweep(self, number: int, todo: Sweep, state: TrackerState | None) -> None:
        """Do one sweep, from `state` or from its beginning."""
        primed = self.video.known_length
        given = [prompt for prompt in self.job.prompts if prompt.object in todo.ids]
        setting = Setting(limits_of(self.model), reverse=todo.reverse, lanes=lanes(self.model))
        if state is None:
            several = primed and len({prompt.frame for prompt in given}) > 1
            state = prime(self.model, self.video, given, limits=setting.limits) if several else TrackerState()
        frames = self.video.frames(todo.start, todo.stop, reverse=todo.reverse, on_error=self._lose)
        saved, reached = time.monotonic(), None
        decoded = _ahead(self.watch.each(frames))
        prompted, step = {prompt.frame for prompt in given}, -1 if todo.reverse else 1
        windows = Windows(state.gaze[: 1 if todo.begin() in prompted else 2] or (None,))
        ahead = encoded(self.model, decoded, windows, skip=todo.is_blank)
        with Worker() as worker, closing(ahead):
            worker.put(partial(compute_on, 1))  # of the worker's thread: the others are to track
            try:
                for index, frame, view in self._numbered(todo, ahead):
                    result = None
                    if frame is not None and view is not None:
                        here = [prompt for prompt in given if prompt.frame == index]
                        with self.watch.time("model"):
                            state, result = advance(
                                self.model, state, frame, here, view=view, setting=setting, primed=primed
                            )
                    if frame is not None:
                        windows.after(state.gaze, waits=index + step in prompted)
                    worker.put(partial(self._write, todo, index, frame, result))
                    reached = partial(self.folder.checkpoint, number, index, state)
                    if time.monotonic() - saved > self.checkpoint_seconds:
                        worker.put(reached)
                        saved = time.monotonic()
            except (KeyboardInterrupt, VideoError) as error:
                if self.video.known_length or reached is None:
                    raise
                if self.notice is not None and str(error):  # a stream that breaks off or is stopped has come to its end
                    self.notice(str(error))
            finally:
                if reached is not None and self.video.known_length:
                    with suppress(OSError, VidsegError):  # that of an earlier task, which leaving the block raises
                        worker.put(reached)

    def _lose(self, index: int, message: str) -> None:
        self.lost[index] = message
        if self.notice is not None:
            self.notice(message)

    def _numbered(self, todo: Sweep, frames: Iterator[Encoded]) -> Iterator[tuple[int, Frame | None, View | None]]:
        """Yield every frame of a sweep with its number and what is seen of it; None where it could not be decoded.

        Raises VideoError if that frame has a prompt.
        """
        prompted = {prompt.frame for prompt in self.job.prompts}
        step = -1 if todo.reverse else 1
        due = todo.begin()
        for item in _and_then(frames, todo, known_length=self.video.known_length):
            end = item if isinstance(item, int) else item.frame.index
            for index in range(due, end, step):
                if index in prompted:
                    raise self._unusable(index)
                yield index, None, None
            if not isinstance(item, int):
                yield end, item.frame, item.view
            due = end + step

    def _unusable(self, frame: int) -> VideoError:
        return VideoError(
            f"frame {frame} of {self.video.name} has a prompt but cannot be decoded; prompt another frame"
        )

    def _write(self, todo: Sweep, index: int, frame: Frame | None, result: TrackResult | None) -> None:
        """Keep the result on a frame: mask file, journal, overlay. Done by the worker."""
        ids = todo.ids_on(index)
        with self.watch.time("masks"):
            picture, record = self._answer(todo, index, frame, result)
            if ids:
                self.folder.write(record, picture)
        if self.overlay is not None and frame is not None:
            with self.watch.time("overlay"):
                self.overlay.write(_drawn(frame.image, picture), frame.seconds)
        self.done += 1
        self.written += 1
        if self.progress is not None:
            self.progress(self.done, self._total())

    def _answer(
        self, todo: Sweep, index: int, frame: Frame | None, result: TrackResult | None
    ) -> tuple[np.ndarray, FrameRecord]:
        """Return a frame's (H, W) uint8 index mask and its record."""
        if result is None:
            seconds = None if frame is None else frame.seconds
            skipped = self.lost.get(index, "not decoded") if frame is None else None
            return np.zeros(self.video.size, np.uint8), FrameRecord(index, seconds, (), skipped)
        masks, rows = _exclusive(result, todo.ids_on(index))
        ids = [result.ids[row] for row in rows]
        other = np.zeros(self.video.size, np.uint8)
        if todo.since and todo.reverse and self.folder.mask_path(index).exists():
            # The forward sweep's objects are there; they keep their pixels. Ours may be there from before a crash.
            other = palette.read_index(self.folder.mask_path(index))
            other[np.isin(other, ids)] = 0
            masks &= other == 0
        record = frame_record(
            index,
            result.seconds,
            masks,
            ids=ids,
            score=result.score.cpu().numpy()[rows],
            iou=result.iou.cpu().numpy()[rows],
        )
        return np.maximum(palette.merge(masks, ids), other), record

    def _overlay_writer(self) -> OverlayWriter:
        path = self.video.path
        audio = path if path is not None and path.is_file() else None
        return OverlayWriter(self.folder.overlay, self.video.size, fps=self.video.fps, audio=audio)

    def _draw_overlay(self) -> None:
        """Draw the finished masks on the frames of the whole range."""
        frames = self.video.frames(self.job.start, self.job.stop, on_error=lambda index, message: None)
        with self._overlay_writer() as writer, closing(_ahead(frames)) as ahead:
            for frame in ahead:
                with self.watch.time("overlay"):
                    picture = _drawn(frame.image, palette.read_index(self.folder.mask_path(frame.index)))
                    writer.write(picture, frame.seconds)


def _ahead(frames: Iterable[Frame]) -> Generator[Frame, None, None]:
    """`read_ahead` as a generator, which can be closed."""
    yield from read_ahead(frames)


def _and_then(frames: Iterator[Encoded], todo: Sweep, *, known_length: bool) -> Iterator[Encoded | int]:
    """Yield the frames, and then, where the end of the video is known, the number after the last one of the sweep."""
    yield from frames
    if known_length and todo.stop is not None:
        yield todo.start - 1 if todo.reverse else todo.stop


def _exclusive(result: TrackResult, ids: frozenset[int]) -> tuple[np.ndarray, list[int]]:
    """Return masks (N, H, W) of the objects `ids` that do not overlap, and their rows in the result."""
    rows = [row for row, id in enumerate(result.ids) if id in ids]
    logits = result.full_logits()
    logits = (logits if len(rows) == len(logits) else logits[rows]).flatten(1)
    masks = logits > 0
    if len(rows) > 1:
        masks &= logits == logits.amax(0)
        taken = masks[0].clone()
        for mask in masks[1:]:  # of equals, the first
            mask &= ~taken
            taken |= mask
    return masks.unflatten(1, result.size).cpu().numpy(), rows


def _drawn(image: np.ndarray, index: np.ndarray) -> np.ndarray:
    masks = palette.split(index)
    return draw(image, np.stack(list(masks.values())) if masks else np.zeros((0, *index.shape), bool), list(masks))
