"""Following objects through time: one transition, `step`, and the loops over a video that are built on it.

The decision to know: state is a value. `step` takes a state and a frame and returns a new state and the result; the old
state stays valid, so undo is keeping it, a checkpoint is saving it, and a correction in the past is stepping from the
state of that time. Its size is bounded (see `vidseg.memory`).

Two ways to use later prompts, as in SAM 2's file mode and in a live stream:
`track` on a video with random access is primed: every prompted frame is encoded first, so the frames before a prompt
see it too. `step`, and `track` on an iterator, are causal: a frame sees only what came before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vidseg.errors import PromptError, VideoError, VidsegError, needs_extra
from vidseg.masks import boxes as boxes_of
from vidseg.memory import Limits, Memory, MemoryBank, Pointer, join, layout, memory_tokens, seen, tokens_of
from vidseg.model import Decoded, ImageFeatures, Sam2
from vidseg.picture import full_size, prepare, prompt_tensors
from vidseg.postprocess import make_exclusive
from vidseg.types import Frame, Prompt

if TYPE_CHECKING:
    from vidseg.video import Video

_FED_BACK = 32.0  # logits given back to the decoder are clamped to this, as in SAM 2
_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTrack:
    """One object: what it remembers and its answer on the last frame it was seen on.

    Attributes:
        id: the caller's number for it.
        bank: what it remembers.
        frame: index of the frame that `logits` (1, h, w), `score` (1,) and `iou` (1,) belong to; -1 for none.
    """

    id: int
    bank: MemoryBank
    frame: int
    logits: Tensor
    score: Tensor
    iou: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class TrackerState:
    """All objects, and the index of the last frame seen (-1 before the first)."""

    tracks: tuple[ObjectTrack, ...] = ()
    frame: int = -1

    @property
    def ids(self) -> tuple[int, ...]:
        """The objects' ids, in the order of the results."""
        return tuple(t.id for t in self.tracks)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a file; `load` reads it back, on any device. The file appears whole or not at all."""
        part = Path(f"{os.fspath(path)}.part")
        torch.save({"vidseg_state": _VERSION, "frame": self.frame, "tracks": [_pack(t) for t in self.tracks]}, part)
        part.replace(path)

    @staticmethod
    def load(path: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> TrackerState:
        """Read a state that `save` wrote; nothing in the file is executed. Raises VidsegError for another file."""
        try:
            packed = torch.load(path, map_location=device, weights_only=True)
            if packed["vidseg_state"] != _VERSION:
                raise VidsegError(f"{path} is a tracker state of version {packed['vidseg_state']}; this is {_VERSION}")
            return TrackerState(tuple(_unpack(t) for t in packed["tracks"]), packed["frame"])
        except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as e:
            raise VidsegError(f"{path} is not a saved tracker state; give a file that TrackerState.save wrote") from e


@dataclass(frozen=True, slots=True, eq=False)
class TrackResult:
    """The answer on one frame, for N objects.

    Attributes:
        frame, seconds: the frame's index and time; size: its (H, W).
        ids: the objects' ids, in the order of everything below.
        logits: (N, h, w) mask logits at low resolution; above 0 is the object.
        score: (N,) logit that the object is in the frame; iou: (N,) predicted IoU of its mask, 0 to 1.
    """

    frame: int
    seconds: float
    size: tuple[int, int]
    ids: tuple[int, ...]
    logits: Tensor
    score: Tensor
    iou: Tensor

    def full_logits(self) -> Tensor:
        """Return mask logits (N, H, W) at the frame's size."""
        return full_size(self.logits, self.size)

    def masks(self) -> np.ndarray:
        """Return masks (N, H, W), bool, at the frame's size."""
        return (self.full_logits() > 0).cpu().numpy()

    def boxes(self) -> np.ndarray:
        """Return (N, 4) xyxy boxes of the masks in pixels; zeros for an empty mask."""
        return boxes_of(self.masks())

    @property
    def visible(self) -> np.ndarray:
        """(N,) bool: the model thinks that the object is in this frame."""
        return (self.score > 0).cpu().numpy()

    def to_supervision(self) -> Any:
        """Return `supervision.Detections` of the visible objects, with masks, boxes, confidence and tracker ids."""
        try:
            import supervision
        except ImportError as e:
            raise needs_extra("supervision", "supervision") from e
        masks, keep = self.masks(), self.visible
        keep = keep & masks.any(axis=(1, 2))
        return supervision.Detections(
            xyxy=boxes_of(masks[keep]),
            mask=masks[keep],
            confidence=self.score.float().sigmoid().cpu().numpy()[keep],
            class_id=np.zeros(int(keep.sum()), dtype=int),
            tracker_id=np.array(self.ids, dtype=int)[keep],
        )


class Setting(NamedTuple):
    """How to track: `limits` of memory, `exclusive` objects that may not overlap, `reverse` in time."""

    limits: Limits = Limits()
    exclusive: bool = False
    reverse: bool = False


DEFAULT = Setting()


def limits_of(model: Sam2) -> Limits:
    """Return the memory limits a model was made for."""
    return Limits(recent=model.config.num_maskmem - 1)


@torch.inference_mode()
def step(
    model: Sam2, state: TrackerState, frame: Frame, prompts: Sequence[Prompt] = (), *, setting: Setting = DEFAULT
) -> tuple[TrackerState, TrackResult]:
    """Advance all objects by one frame, and apply the prompts given on it.

    A prompt for an unknown id adds an object. A prompt for a known one corrects it: the object is first followed to
    this frame, then its memory, its mask here and the clicks give the new mask, which is remembered like a first
    prompt. Calling again with the same frame answers from the state; only prompted objects change. A prompt holds all
    that is said of an object on a frame, and replaces what was said before.

    Args:
        model: from `load_model`.
        state: the state before; `TrackerState()` to begin.
        frame: the next frame. Skipping frames is allowed; time is read from `frame.index`.
        prompts: clicks, boxes or masks whose `frame` is this frame's index.
        setting: memory limits, exclusive masks, direction of time.

    Raises:
        PromptError: a prompt that does not fit this frame.
    """
    check_prompts(prompts, frame)
    features = model.encode_image(prepare(model, frame.image))
    return advance(model, state, frame, prompts, features=features, setting=setting)


@torch.inference_mode()
def advance(
    model: Sam2,
    state: TrackerState,
    frame: Frame,
    prompts: Sequence[Prompt] = (),
    *,
    features: ImageFeatures,
    setting: Setting = DEFAULT,
    primed: bool = False,
) -> tuple[TrackerState, TrackResult]:
    """`step` for callers who encoded the frame themselves; `primed` prompts stand alone and see no memory."""
    prompted = {p.object: p for p in prompts}
    alone = {i for i, p in prompted.items() if primed or p.mask is not None}
    waiting = [t for t in state.tracks if t.frame != frame.index and t.id not in alone]
    tracks = {t.id: t for t in state.tracks}
    tracks |= {t.id: t for t in _follow(model, waiting, frame.index, features, setting)}
    size = (frame.image.shape[0], frame.image.shape[1])
    for prompt in prompted.values():
        track = None if primed else tracks.get(prompt.object)
        bank = tracks[prompt.object].bank if prompt.object in tracks else MemoryBank()
        tracks[prompt.object] = _answer(model, track, bank, prompt, size=size, features=features, setting=setting)
    state = TrackerState(tuple(tracks.values()), frame.index)
    return state, _result(model, state, frame, setting)


def _follow(
    model: Sam2, tracks: Sequence[ObjectTrack], frame: int, features: ImageFeatures, setting: Setting
) -> list[ObjectTrack]:
    """Track objects to a frame without prompts; those that see the same times share a batch."""
    limits, reverse = setting.limits, setting.reverse
    views = {t.id: seen(t.bank, frame, limits=limits, reverse=reverse) for t in tracks}
    followed = []
    for _, group in groupby(sorted(tracks, key=lambda t: layout(views[t.id])), key=lambda t: layout(views[t.id])):
        members = list(group)
        shared = features.take(torch.zeros(len(members), dtype=torch.long, device=model.device))
        view = join([views[t.id] for t in members])
        tokens = tokens_of(model, view, frame, limits=limits, reverse=reverse)
        conditioned = model.attend(shared.vision, shared.position, tokens)
        decoded = model.decode(conditioned, features.high_res, multimask=True)
        stored = model.encode_memory(shared.vision, decoded.logits, decoded.score, binarise=False)
        for row, track in enumerate(members):
            followed.append(_moved(track, frame, decoded, stored, row, prompted=False, limits=limits))
    return followed


def _answer(
    model: Sam2,
    track: ObjectTrack | None,
    bank: MemoryBank,
    prompt: Prompt,
    *,
    size: tuple[int, int],
    features: ImageFeatures,
    setting: Setting,
) -> ObjectTrack:
    """Answer a prompt: alone for a new object (`track` is None), as a correction of what was tracked otherwise."""
    given = prompt_tensors(model, prompt, size)
    if given.mask is not None:
        decoded = model.decode_mask(features.vision, features.high_res, given.mask)
    else:
        tokens, before = None, None
        if track is not None:
            tokens = memory_tokens(model, bank, prompt.frame, limits=setting.limits, reverse=setting.reverse)
            if track.frame == prompt.frame:
                before = track.logits[:, None].clamp(-_FED_BACK, _FED_BACK)
        assert given.labels is not None
        decoded = model.decode(
            model.attend(features.vision, features.position, tokens),
            features.high_res,
            points=given.points,
            labels=given.labels,
            mask=before,
            multimask=given.labels.shape[1] <= 1,
        )
    stored = model.encode_memory(features.vision, decoded.logits, decoded.score, binarise=True)
    blank = decoded.logits[:0]
    old = ObjectTrack(prompt.object, bank, -1, blank, blank, blank)
    return _moved(old, prompt.frame, decoded, stored, 0, prompted=True, limits=setting.limits)


def _moved(
    track: ObjectTrack, frame: int, decoded: Decoded, stored: Tensor, row: int, *, prompted: bool, limits: Limits
) -> ObjectTrack:
    one = slice(row, row + 1)
    # Memories are kept in bfloat16, as SAM 2 does. Rows are cloned, so that no track keeps the others' batch alive.
    memory = Memory(frame, stored[one].to(torch.bfloat16, copy=True), decoded.pointer[one].clone())
    bank = track.bank.remember(memory, prompted=prompted, limits=limits)
    iou = decoded.iou[one].gather(1, decoded.best[one, None])[:, 0].float()
    return ObjectTrack(track.id, bank, frame, decoded.logits[one].clone(), decoded.score[one].float(), iou)


def _result(model: Sam2, state: TrackerState, frame: Frame, setting: Setting) -> TrackResult:
    size = (frame.image.shape[0], frame.image.shape[1])
    if state.tracks:
        logits, score, iou = (torch.cat([getattr(t, k) for t in state.tracks]) for k in ("logits", "score", "iou"))
    else:
        h, w = model.config.input_size(size)
        logits = torch.zeros(0, h // 4, w // 4, device=model.device)
        score = iou = torch.zeros(0, device=model.device)
    if setting.exclusive:
        logits = make_exclusive(logits)
    return TrackResult(frame.index, frame.seconds, size, state.ids, logits, score, iou)


def remove(state: TrackerState, object: int) -> TrackerState:
    """Return a state without one object. Raises PromptError if it has no such object."""
    if object not in state.ids:
        known = ", ".join(map(str, state.ids)) or "none"
        raise PromptError(f"there is no object {object} to remove; objects now: {known}")
    return replace(state, tracks=tuple(t for t in state.tracks if t.id != object))


@torch.inference_mode()
def prime(model: Sam2, video: Sequence[Frame], prompts: Iterable[Prompt], *, limits: Limits) -> TrackerState:
    """Return a state in which every prompt is remembered and no frame was tracked: where `sweep` starts.

    Each prompt is answered alone, without memory, as SAM 2 does with prompts given before it propagates.
    """
    state = TrackerState()
    for index, given in _by_frame(prompts).items():
        frame = video[index]
        check_prompts(given, frame)
        features = model.encode_image(prepare(model, frame.image))
        state, _ = _prompted_only(model, state, frame, given, features, limits)
    return TrackerState(tuple(replace(t, frame=-1) for t in state.tracks))


def _prompted_only(
    model: Sam2, state: TrackerState, frame: Frame, prompts: list[Prompt], features: ImageFeatures, limits: Limits
) -> tuple[TrackerState, None]:
    tracks = {t.id: t for t in state.tracks}
    size = (frame.image.shape[0], frame.image.shape[1])
    for p in prompts:
        bank = tracks[p.object].bank if p.object in tracks else MemoryBank()
        tracks[p.object] = _answer(
            model, None, bank, p, size=size, features=features, setting=Setting(limits=limits)
        )
    return TrackerState(tuple(tracks.values()), frame.index), None


def sweep(
    model: Sam2,
    state: TrackerState,
    frames: Iterable[Frame],
    prompts: Iterable[Prompt] = (),
    *,
    setting: Setting = DEFAULT,
    primed: bool = False,
) -> Iterator[tuple[TrackerState, TrackResult]]:
    """Step through `frames`, applying each prompt on its frame; yield the state after every frame, and the result.

    `primed`: the prompts were given to `prime`, and are answered alone again when their frame comes.
    """
    given = _by_frame(prompts)
    for frame in frames:
        here = given.get(frame.index, [])
        check_prompts(here, frame)
        with torch.inference_mode():
            features = model.encode_image(prepare(model, frame.image))
        state, result = advance(model, state, frame, here, features=features, setting=setting, primed=primed)
        yield state, result


def track(
    model: Sam2,
    video: Video | Iterable[Frame],
    prompts: Iterable[Prompt],
    *,
    reverse: bool = False,
    exclusive: bool = False,
    limits: Limits | None = None,
) -> Iterator[TrackResult]:
    """Follow prompted objects through a video; yield one result a frame.

    A video with random access (`open_video` on a file or folder, or a list of frames) is primed with all prompts, then
    swept from the first prompted frame to the end, or from the last to the beginning with `reverse`. Any other
    iterable of frames is a stream: it is taken as it comes, and a prompt acts from its frame on.

    Raises:
        PromptError: no prompt, or one that does not fit its frame.
        VideoError: `reverse` on a stream.
    """
    prompts = list(prompts)
    if not prompts:
        raise PromptError("nothing to track: no prompt was given; give at least one click, box or mask")
    setting = Setting(limits or limits_of(model), exclusive, reverse)
    random_access = hasattr(video, "__getitem__")
    if not random_access:
        if reverse:
            raise VideoError("a stream cannot be tracked in reverse; save it to a file first")
        yield from (result for _, result in sweep(model, TrackerState(), video, prompts, setting=setting))
        return
    indices = sorted({p.frame for p in prompts})
    first = indices[-1] if reverse else indices[0]
    # One prompted frame needs no priming: it is the first one swept.
    state = TrackerState() if len(indices) == 1 else prime(model, video, prompts, limits=setting.limits)
    for _, result in sweep(model, state, _from(video, first, reverse=reverse), prompts, setting=setting, primed=True):
        yield result


def _from(video: Any, first: int, *, reverse: bool) -> Iterator[Frame]:
    if hasattr(video, "frames"):
        yield from video.frames(0, first + 1, reverse=True) if reverse else video.frames(first)
        return
    yield from (video[i] for i in (range(first, -1, -1) if reverse else range(first, len(video))))


def _by_frame(prompts: Iterable[Prompt]) -> dict[int, list[Prompt]]:
    ordered = sorted(prompts, key=lambda p: p.frame)
    return {index: list(group) for index, group in groupby(ordered, key=lambda p: p.frame)}


def check_prompts(prompts: Sequence[Prompt], frame: Frame) -> None:
    """Raise PromptError unless every prompt can be used on `frame`.

    Checked: the frame number, ids from 1, one prompt an object, something said in it, finite coordinates inside the
    picture, a box with an area, a mask of the frame's size that is not empty and stands alone.
    """
    h, w = frame.image.shape[:2]
    ids: set[int] = set()
    for p in prompts:
        where = f"object {p.object} on frame {p.frame}"
        if p.frame != frame.index:
            raise PromptError(f"the prompt for {where} was given with frame {frame.index}; give it with its own frame")
        if p.object < 1:
            raise PromptError(f"object id {p.object} is not positive; ids start at 1 (0 is the background)")
        if p.object in ids:
            raise PromptError(f"two prompts for {where}; put all clicks and the box into one prompt")
        ids.add(p.object)
        if p.mask is not None:
            _check_mask(p, where, (h, w))
        elif not p.clicks and p.box is None:
            raise PromptError(f"the prompt for {where} says nothing; give a click, a box or a mask")
        for c in p.clicks:
            if not (np.isfinite(c.x) and np.isfinite(c.y) and 0 <= c.x < w and 0 <= c.y < h):
                raise PromptError(f"click ({c.x:g}, {c.y:g}) for {where} is outside the picture of {w}x{h} pixels")
        if p.box is not None:
            _check_box(p, where, (h, w))


def _check_mask(prompt: Prompt, where: str, size: tuple[int, int]) -> None:
    assert prompt.mask is not None
    if prompt.clicks or prompt.box is not None:
        raise PromptError(f"the prompt for {where} has a mask and clicks or a box; a mask stands alone")
    if prompt.mask.shape != size:
        got = "x".join(map(str, prompt.mask.shape[::-1]))
        raise PromptError(f"the mask for {where} is {got}; the picture is {size[1]}x{size[0]}, masks must match it")
    if not prompt.mask.any():
        raise PromptError(f"the mask for {where} is empty; give a frame on which the object can be seen")


def _check_box(prompt: Prompt, where: str, size: tuple[int, int]) -> None:
    assert prompt.box is not None
    x1, y1, x2, y2 = prompt.box
    if not np.isfinite(prompt.box).all() or x2 <= x1 or y2 <= y1:
        raise PromptError(f"box {x1:g},{y1:g},{x2:g},{y2:g} for {where} has no area; give x1,y1,x2,y2 with x1<x2, y1<y2")
    if x2 <= 0 or y2 <= 0 or x1 >= size[1] or y1 >= size[0]:
        raise PromptError(
            f"box {x1:g},{y1:g},{x2:g},{y2:g} for {where} is outside the picture of {size[1]}x{size[0]} pixels"
        )


def _pack(track: ObjectTrack) -> dict[str, Any]:
    bank = track.bank
    return {
        "id": track.id,
        "frame": track.frame,
        "answer": (track.logits, track.score, track.iou),
        "prompted": [(m.frame, m.features, m.pointer) for m in bank.prompted],
        "recent": [(m.frame, m.features, m.pointer) for m in bank.recent],
        "pointers": [(p.frame, p.pointer) for p in bank.pointers],
    }


def _unpack(packed: dict[str, Any]) -> ObjectTrack:
    bank = MemoryBank(
        tuple(Memory(*m) for m in packed["prompted"]),
        tuple(Memory(*m) for m in packed["recent"]),
        tuple(Pointer(*p) for p in packed["pointers"]),
    )
    return ObjectTrack(packed["id"], bank, packed["frame"], *packed["answer"])
