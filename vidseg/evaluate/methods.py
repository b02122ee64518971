"""What is scored: a model, a baseline, or masks that another program wrote; all answer a task frame by frame.

A method gets a task and its prompts and yields (frame index, (O, H, W) bool masks) in the order of `task.objects`. The
two baselines are the floor that any tracker has to beat: copying the first mask, and carrying it along by optical flow.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Protocol as Interface

import cv2
import numpy as np

from vidseg.errors import DataError
from vidseg.evaluate.protocols import Task
from vidseg.masks import palette
from vidseg.types import Prompt
from vidseg.video import Video, open_video
from vidseg.video.folder import SUFFIXES

if TYPE_CHECKING:
    from vidseg.adaptation import Adaptation
    from vidseg.memory import Limits
    from vidseg.model import Sam2
    from vidseg.tracker import TrackResult

Answer = tuple[int, np.ndarray]


class Method(Interface):
    """Anything that can be scored."""

    def follow(self, task: Task, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Yield the masks of every frame it has an answer for, in the order of time."""
        ...


@dataclass(frozen=True)
class Copy:
    """The baseline that does nothing: every object stays where its prompt showed it. Needs mask prompts."""

    def follow(self, task: Task, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Yield the prompted masks; pictures are not read."""
        masks = np.zeros((len(task.objects), *_shape(task, prompts)), bool)
        for frame in range(len(task.video.stems)):
            if _place(masks, task, prompts, frame):
                yield frame, masks.copy()


@dataclass(frozen=True)
class Flow:
    """The baseline that sees motion only: masks are carried from frame to frame by dense optical flow.

    Each frame's flow to the frame before it (OpenCV's DIS, medium preset, on grey pictures) says where every pixel came
    from; the mask is read there with linear interpolation and kept soft, so that errors do not add up by rounding, and
    cut at one half for the answer. What comes from outside the picture is not the object. Needs mask prompts.
    """

    def follow(self, task: Task, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Yield the warped masks."""
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        soft = np.zeros((len(task.objects), *_shape(task, prompts)), np.float32)
        rows, columns = np.indices(soft.shape[1:], dtype=np.float32)
        before: np.ndarray | None = None
        for frame in video_of(task).frames(min(task.starts.values())):
            grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
            if before is not None:
                flow = dis.calc(grey, before, None)  # type: ignore[call-overload]  # an array here is where it starts
                x, y = columns + flow[..., 0], rows + flow[..., 1]
                soft = np.stack([cv2.remap(one, x, y, cv2.INTER_LINEAR) for one in soft])
            before = grey
            _place(soft, task, prompts, frame.index)
            masks = soft > 0.5
            if not task.protocol.overlapping:
                masks &= np.arange(len(soft))[:, None, None] == soft.argmax(axis=0)
            yield frame.index, masks


@dataclass(frozen=True)
class SavedMasks:
    """Masks in a folder: SEQUENCE/FRAME.png with object ids, or SEQUENCE/OBJECT/FRAME.png for objects that overlap."""

    folder: Path

    def follow(self, task: Task, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Yield the masks of all frames that are scored; `prompts` play no part.

        Raises DataError if a scored frame's file is missing, or holds an object that the task does not know.
        """
        for frame in sorted({frame for object_id in task.objects for frame in task.counted(object_id)}):
            yield frame, self.read(task, frame)

    def read(self, task: Task, frame: int) -> np.ndarray:
        """Return the (O, H, W) bool masks of one frame. Raises as `follow`."""
        place, name = self.folder / task.video.name, f"{task.video.stem(frame)}.png"
        if not place.is_dir():
            raise DataError(
                f"{place} is missing: no masks for sequence {task.video.name}; --sequences chooses which are scored"
            )
        folders = [place / task.name(object_id) for object_id in task.objects]
        if task.protocol.overlapping and any(folder.is_dir() for folder in folders):
            return np.stack([palette.read_index(folder / name) > 0 for folder in folders])
        return _split(place / name, task)


@dataclass(frozen=True, eq=False)
class Tracker:
    """A vidseg model: all objects in one pass, each prompted on its own first frame.

    Where two objects claim a pixel it goes to the higher logit, unless the protocol lets objects overlap. An object has
    no mask before its prompt. `corrected` prompts (see `interactive`) act as on live video: from their frame on.
    `limits` is how much of the past a frame sees, if not what the model was made for. With an `adaptation` a copy of
    the model learns from the prompted frames of each video before it follows its objects.
    """

    model: Sam2
    corrected: bool = False
    limits: Limits | None = None
    adaptation: Adaptation | None = None

    def follow(self, task: Task, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Yield the tracked masks from the first prompted frame on."""
        from vidseg.learner import adapt, as_masks, examples_of, followed
        from vidseg.tracker import track

        video, model = video_of(task), self.model
        if self.adaptation is not None:
            examples = examples_of(model, video, prompts)
            known = examples + followed(model, video, prompts)
            model, prompts = adapt(model, known, self.adaptation), as_masks(prompts, examples)
        frames = video.frames(min(task.starts.values())) if self.corrected else video
        for result in track(model, frames, prompts, limits=self.limits):
            yield result.frame, merged(result, task)


def merged(result: TrackResult, task: Task) -> np.ndarray:
    """Return the (O, H, W) bool masks of a result in the task's order, empty for objects that are not there yet."""
    masks = np.zeros((len(task.objects), *result.size), bool)
    rows = [row for row, object_id in enumerate(result.ids) if task.starts[object_id] <= result.frame]
    if not rows:
        return masks
    logits = result.full_logits()[rows]
    found = logits > 0
    if len(rows) > 1 and not task.protocol.overlapping:
        owner = logits.argmax(dim=0)
        for place in range(len(rows)):
            found[place] &= owner == place
    masks[[task.objects.index(result.ids[row]) for row in rows]] = found.cpu().numpy()
    return masks


def video_of(task: Task) -> Video:
    """Open the pictures of a task's video. Raises DataError if the data set has none."""
    pictures = task.video.pictures
    if isinstance(pictures, Path):
        return open_video(pictures)
    if not pictures:
        raise DataError(
            f"sequence {task.video.name} has masks but no pictures; only --masks and --baseline copy need none"
        )
    place = pictures[0].parent
    if all(path in set(pictures) for path in place.iterdir() if path.suffix.lower() in SUFFIXES):
        return open_video(place)
    return open_video(f"{glob.escape(str(place))}/*{pictures[0].suffix}")  # masks lie beside the pictures


def _shape(task: Task, prompts: Sequence[Prompt]) -> tuple[int, ...]:
    masks = [prompt.mask for prompt in prompts if prompt.mask is not None]
    if len(masks) < len(prompts):
        raise DataError("the baselines copy and flow start from masks; use the prompt mask")
    return masks[0].shape


def _place(masks: np.ndarray, task: Task, prompts: Sequence[Prompt], frame: int) -> bool:
    """Write the masks prompted on `frame` into (O, H, W) `masks`, in place; whether any object was prompted by now."""
    for prompt in prompts:
        if prompt.frame == frame and prompt.mask is not None:
            if not task.protocol.overlapping:
                masks[:, prompt.mask] = 0
            masks[task.objects.index(prompt.object)] = prompt.mask
    return any(prompt.frame <= frame for prompt in prompts)


def _split(path: Path, task: Task) -> np.ndarray:
    """The (O, H, W) masks of an index PNG."""
    index = palette.read_index(path)
    if task.protocol.merged:
        return (index > 0)[None]
    known = set(task.objects) | {0}
    unknown = sorted(set(np.unique(index).tolist()) - known)
    if unknown:
        raise DataError(
            f"{path} holds the object {unknown[0]}, but sequence {task.video.name} has the objects "
            f"{', '.join(map(str, task.objects))}; write the ids of the first mask (or choose --protocol davis2016)"
        )
    return np.stack([index == object_id for object_id in task.objects])
