"""What a tracking run is asked to do: checked against the video, described for `tracks.json`, planned as sweeps.

"forward" and "reverse" are one sweep each and give what `vidseg.track` gives. "both" goes forward from the first
prompted frame, and back from the last frame on which an object is prompted for the first time; an object is taken from
the forward sweep from its first prompt on, and from the other one before that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vidseg import __version__
from vidseg.adaptation import Adaptation
from vidseg.errors import ConfigError, PromptError, VideoError
from vidseg.prompt_check import check_prompts
from vidseg.prompts import to_json
from vidseg.tracks import TracksHeader
from vidseg.types import Prompt
from vidseg.weights import weights_digest

if TYPE_CHECKING:
    from vidseg.model import Sam2
    from vidseg.video import Video

__all__ = ["DIRECTIONS", "Job", "Sweep", "check_job", "describe", "plan"]

DIRECTIONS = ("forward", "reverse", "both")

_END_BYTES = 1 << 20  # of a file's beginning and end that its digest looks at


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What to track and where to leave it.

    Attributes:
        folder: for the results.
        prompts: one for each object and frame.
        start, stop: the range of frames, `stop` not included; None is the end of the video.
        direction: "forward", "reverse" or "both".
        overlay: whether to write overlay.mp4.
        adaptation: how a copy of the model first learns from the prompted frames, None to track with the model itself.
    """

    folder: Path
    prompts: tuple[Prompt, ...]
    start: int = 0
    stop: int | None = None
    direction: str = "forward"
    overlay: bool = True
    adaptation: Adaptation | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass over the frames `start` to `stop - 1` (None: to the end of a stream), descending if `reverse`.

    Attributes:
        first: the frame where the first prompt is met; those before it are left blank.
        ids: the objects that are tracked.
        since: in a run in both directions, each object's first prompted frame; empty otherwise.
    """

    start: int
    stop: int | None
    reverse: bool
    first: int
    ids: frozenset[int]
    since: tuple[tuple[int, int], ...] = ()

    def ids_on(self, frame: int) -> frozenset[int]:
        """The objects whose result on a frame is taken from this sweep."""
        if not self.since:
            return self.ids
        return frozenset(id for id, first in self.since if id in self.ids and (frame < first) == self.reverse)

    def is_blank(self, frame: int) -> bool:
        """Whether a frame is met before the first prompt."""
        return frame > self.first if self.reverse else frame < self.first

    def left_after(self, frame: int) -> Sweep:
        """What is left of the sweep when `frame` is done."""
        return replace(self, stop=frame) if self.reverse else replace(self, start=frame + 1)

    def begin(self) -> int:
        """The frame that comes first."""
        return self.stop - 1 if self.reverse and self.stop is not None else self.start

    def order(self) -> range:
        """The frames as they come, where the end is known."""
        assert self.stop is not None
        return range(self.stop - 1, self.start - 1, -1) if self.reverse else range(self.start, self.stop)


def check_job(job: Job, video: Video) -> Job:
    """Return the job with its range resolved.

    Raises:
        VideoError: a range outside the video, or a direction that a stream does not have.
        PromptError: no prompt, or one outside the range or the picture.
        ConfigError: an unknown direction.
    """
    if job.direction not in DIRECTIONS:
        raise ConfigError(f"unknown direction {job.direction!r}; expected {', '.join(DIRECTIONS)}")
    if not video.known_length and job.direction != "forward":
        raise VideoError(f"{video.name} is a stream, which cannot be tracked in reverse; save it to a file first")
    if not video.known_length and job.adaptation is not None:
        raise VideoError(
            f"{video.name} is a stream, to which no model can be adapted beforehand; save it to a file first"
        )
    count = len(video) if video.known_length else None
    stop = count if job.stop is None else job.stop
    if job.start < 0 or (count is not None and job.start >= count):
        raise VideoError(f"start {job.start} is outside {_extent(video, count)}")
    if count is not None and stop is not None and stop > count:
        raise VideoError(f"end {stop} is outside {_extent(video, count)}; the end itself is not tracked")
    if stop is not None and stop <= job.start:
        raise VideoError(f"start {job.start} and end {stop} leave no frame; the end must be larger than the start")
    if not job.prompts:
        raise PromptError("nothing to track: no prompt was given; give at least one click, box or mask")
    for frame in sorted({prompt.frame for prompt in job.prompts}):
        if frame < 0 or (count is not None and frame >= count):
            where = "before the start" if frame < 0 else "past the end"
            raise PromptError(f"frame {frame} is {where} of {_extent(video, count)}; prompts use 0-based frame numbers")
        if frame < job.start or (stop is not None and frame >= stop):
            last = "the end" if stop is None else stop - 1
            raise PromptError(f"the prompt on frame {frame} is outside the range that is tracked, {job.start}-{last}")
        check_prompts([prompt for prompt in job.prompts if prompt.frame == frame], index=frame, size=video.size)
    largest = max(prompt.object for prompt in job.prompts)
    if largest > 255:
        raise PromptError(f"object id {largest} does not fit an index PNG, which holds the ids 1-255; renumber it")
    return replace(job, stop=stop)


def _extent(video: Video, count: int | None) -> str:
    return video.name if count is None else f"{video.name} ({count} frames, 0-{count - 1})"


def plan(job: Job) -> tuple[Sweep, ...]:
    """Return the sweeps of a checked job, in the order to do them."""
    frames = [prompt.frame for prompt in job.prompts]
    ids = frozenset(prompt.object for prompt in job.prompts)
    if job.direction != "both":
        reverse = job.direction == "reverse"
        return (Sweep(job.start, job.stop, reverse, max(frames) if reverse else min(frames), ids),)
    since = {id: min(p.frame for p in job.prompts if p.object == id) for id in ids}
    forward = Sweep(min(frames), job.stop, False, min(frames), ids, tuple(sorted(since.items())))
    late = frozenset(id for id in ids if since[id] > job.start)
    if not late:
        return (forward,)
    turn = max(since[id] for id in late)
    # Prompts further on are known when the way back begins, as they are in a reverse run.
    return (forward, replace(forward, start=job.start, stop=turn + 1, reverse=True, first=turn, ids=late))


def describe(job: Job, model: Sam2, video: Video) -> TracksHeader:
    """Return the header of `tracks.json` for a checked job: all that decides the result."""
    adapted = {} if job.adaptation is None else {"adaptation": asdict(job.adaptation)}
    return TracksHeader(
        version=__version__,
        model={
            "name": model.config.name,
            "digest": weights_digest(model),
            "image_size": model.config.image_size,
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": torch.device(model.device).type,
            **adapted,
        },
        source={
            "name": video.name,
            "digest": _source_digest(video),
            "frames": len(video) if video.known_length else None,
            "fps": None if video.fps is None else float(video.fps),
        },
        size=(int(video.size[0]), int(video.size[1])),
        start=job.start,
        stop=job.stop,
        direction=job.direction,
        prompts=to_json(job.prompts),
    )


def _source_digest(video: Video) -> str | None:
    """16 digits that change when the source does: from the sizes and names of its files, and the ends of a single one.

    None for a stream.
    """
    if video.path is None or not video.known_length:
        return None
    digest = hashlib.sha256()
    files: Sequence[Path] = getattr(video, "files", (video.path,))
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    if len(files) == 1:
        with open(files[0], "rb") as file:
            digest.update(file.read(_END_BYTES))
            file.seek(max(0, files[0].stat().st_size - _END_BYTES))
            digest.update(file.read())
    return digest.hexdigest()[:16]
