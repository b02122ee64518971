"""Following objects through time: one transition, `step`, and the loops over a video that are built on it.

The decision to know: state is a value. `step` takes a state and a frame and returns a new state and the result; the old
state stays valid, so undo is keeping it, a checkpoint is saving it, and a correction in the past is stepping from the
state of that time. Its size is bounded (see `vidseg.memory`).

Two ways to use later prompts, as in SAM 2's file mode and in a live stream:
`track` on a video with random access is primed: every prompted frame is encoded first, so the frames before a prompt
see it too. `step`, and `track` on an iterator, are causal: a frame sees only what came before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from vidseg.abreast import abreast
from vidseg.correction import Told, tell_all
from vidseg.errors import PromptError, VideoError
from vidseg.gaze import around, next_window, region
from vidseg.inertia import inertia
from vidseg.memory import Limits, Memory, MemoryBank, join, layout, memory_tokens, seen, tokens_of
from vidseg.model import Decoded, Sam2, fed_back
from vidseg.model.linear import passing_shapes
from vidseg.model.roi import Roi, cropped, everywhere, filled
from vidseg.picture import prompt_tensors
from vidseg.postprocess import make_exclusive
from vidseg.prompt_check import check_prompts
from vidseg.result import TrackResult
from vidseg.second_look import View, look
from vidseg.second_look import decode as decode_through
from vidseg.state import ObjectTrack, TrackerState
from vidseg.types import Click, Frame, Prompt
from vidseg.window import OUTSIDE, Edges, Window, whole

if TYPE_CHECKING:
    from vidseg.video import Video

__all__ = [
    "Setting",
    "TrackResult",
    "TrackerState",
    "advance",
    "by_frame",
    "limits_of",
    "look_at",
    "prime",
    "remove",
    "step",
    "sweep",
    "track",
    "window_for",
]


class Setting(NamedTuple):
    """How to track: `limits` of memory (what exceeds the model's own is cut), `exclusive` objects that may not overlap,
    `reverse` in time; in how many `lanes` objects are followed at the same time, where they need not be one batch.
    """

    limits: Limits = Limits()
    exclusive: bool = False
    reverse: bool = False
    lanes: int = 1


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
    check_prompts(prompts, index=frame.index, size=_size(frame))
    view = look_at(model, frame, window_for(state, frame.index))
    return advance(model, state, frame, prompts, view=view, setting=setting)


def window_for(state: TrackerState, frame: int) -> Window | None:
    """Return the window through which `step` looks at the frame of that index; None for all of it."""
    if state.frame == frame:
        return state.window
    return state.gaze[0] if state.gaze else None


@torch.inference_mode()
def look_at(model: Sam2, frame: Frame, window: Window | None = None) -> View:
    """Encode a frame, or what a window shows of it; all of a frame that is smaller than those before."""
    size = _size(frame)
    if window is None or window.right > size[1] or window.bottom > size[0]:
        window = whole(size)
    return look(model, frame.image, window, like=size)


@torch.inference_mode()
def advance(
    model: Sam2,
    state: TrackerState,
    frame: Frame,
    prompts: Sequence[Prompt] = (),
    *,
    view: View,
    setting: Setting = DEFAULT,
    primed: bool = False,
) -> tuple[TrackerState, TrackResult]:
    """`step` for callers who looked at the frame themselves; `primed` prompts stand alone and see no memory."""
    recent = min(setting.limits.recent, limits_of(model).recent)
    setting = setting._replace(limits=replace(setting.limits, recent=recent))
    alone = {p.object for p in prompts if primed or p.mask is not None}
    tracks = {t.id: t for t in state.tracks}
    if state.frame == frame.index:
        tracks = {t.id: _reframed(t, state.window, view.window, frame) for t in state.tracks}
    waiting = [t for t in state.tracks if t.frame != frame.index and t.id not in alone]
    tracks |= {t.id: t for t in _follow(model, waiting, frame.index, view, setting)}
    window = view.window
    if prompts:
        tracks, window = _answer_all(model, tracks, prompts, frame, view, setting, primed=primed)
    gaze = _gaze(model, state, [*tracks.values()], frame, window, prompted=bool(prompts))
    state = TrackerState(tuple(tracks.values()), frame.index, window, gaze)
    return state, _result(model, state, frame, setting)


def _gaze(
    model: Sam2,
    state: TrackerState,
    tracks: Sequence[ObjectTrack],
    frame: Frame,
    window: Window,
    *,
    prompted: bool,
) -> tuple[Window, ...]:
    """The windows of the two frames that come next: after a prompt those of its own frame."""
    times = model.config.second_look
    if not times or not tracks:
        return ()
    if prompted:
        return window, window
    if state.frame == frame.index:
        return state.gaze
    coming = state.gaze[1] if len(state.gaze) > 1 else window
    return coming, next_window(coming, window, [track.edges for track in tracks], _size(frame), times)


def _places(model: Sam2, view: View, logits: Tensor) -> list[Edges | None]:
    """Where the objects of logits (N, h, w) are, in pixels of the frame; None for nowhere, and for all where the model
    does not look closely: nobody asks then, and a GPU would be waited for.
    """
    return view.window.edges(logits) if model.config.second_look else [None] * len(logits)


def _reframed(track: ObjectTrack, before: Window | None, now: Window, frame: Frame) -> ObjectTrack:
    """A track whose logits show the window `now` of the frame instead of the one `before`."""
    size = _size(frame)
    before = before or whole(size)
    if before == now or not track.logits.shape[0]:
        return track
    logits = now.seen(before.spread(track.logits, size), _grid(track.logits))
    return replace(track, logits=logits.to(track.logits.dtype))


def _grid(logits: Tensor) -> tuple[int, int]:
    return logits.shape[-2], logits.shape[-1]


def _follow(model: Sam2, tracks: Sequence[ObjectTrack], frame: int, view: View, setting: Setting) -> list[ObjectTrack]:
    """Track objects to a frame without prompts; those that see the same times, and as much of the frame, share a
    batch.
    """
    limits, reverse, features = setting.limits, setting.reverse, view.features
    views = {t.id: seen(t.bank, frame, limits=limits, reverse=reverse) for t in tracks}
    regions = {t.id: _region(model, t, frame, view) for t in tracks}

    def alike(track: ObjectTrack) -> tuple[object, ...]:
        return regions[track.id].size, layout(views[track.id])

    most = -(-len(tracks) // setting.lanes)
    batches = []
    for _, group in groupby(sorted(tracks, key=alike), key=alike):
        members = list(group)
        batches += [members[start : start + most] for start in range(0, len(members), most)]

    begun = model.begin(features.vision, features.position) if batches else None

    def follow(members: list[ObjectTrack]) -> list[ObjectTrack]:
        past = join([views[t.id] for t in members])
        tokens = tokens_of(model, past, frame, limits=limits, reverse=reverse)
        rois = [regions[t.id] for t in members]
        rois = [] if rois[0].is_all else rois
        conditioned = model.attend(features.vision, features.position, tokens, begun=begun, rois=rois)
        conditioned = conditioned.expand(len(members), -1, -1, -1)  # with nothing remembered it is one row
        decoded = model.decode(conditioned, features.high_res, multimask=model.config.track_candidates)
        if rois:
            near = cropped(decoded.logits[:, None], rois)
            decoded = decoded._replace(logits=filled(near, rois, outside=OUTSIDE)[:, 0])
        stored = model.encode_memory(features.vision, decoded.logits, decoded.score, binarise=False, rois=rois)
        edges = _places(model, view, decoded.logits)
        return [
            _moved(track, frame, decoded, stored, row, edges[row], prompted=False, limits=limits)
            for row, track in enumerate(members)
        ]

    def follow_all(batches: list[list[ObjectTrack]]) -> list[ObjectTrack]:
        return [track for batch in batches for track in follow(batch)]

    batches.sort(key=lambda members: len(members) * regions[members[0].id].area, reverse=True)
    shares = [batches[n :: setting.lanes] for n in range(min(setting.lanes, len(batches)))]
    return [track for share in abreast(follow_all, shares) for track in share]


def _region(model: Sam2, track: ObjectTrack, frame: int, view: View) -> Roi:
    """The part of a view in which to look for an object: around where it was one frame before.

    On a GPU it is all of it. There a small network's time goes into starting pieces of work, which get more, not less.
    """
    grid = _grid(view.features.vision)
    if not model.config.second_look or model.device.type != "cpu" or abs(frame - track.frame) != 1:
        return everywhere(grid)
    return region(track.trace, view.window, grid)


class _Answered(NamedTuple):
    """The answer to a prompt: as it was decoded through a window, with its predicted IoU (1, 1), and the mask (H, W) if
    it was seen from closer by.
    """

    decoded: Decoded
    iou: Tensor
    window: Window
    mask: np.ndarray | None


@passing_shapes()
def _answer_all(
    model: Sam2,
    tracks: Mapping[int, ObjectTrack],
    prompts: Sequence[Prompt],
    frame: Frame,
    view: View,
    setting: Setting,
    *,
    primed: bool = False,
) -> tuple[dict[int, ObjectTrack], Window]:
    """Answer the prompts of a frame; returns all tracks, and the window that their logits now show.

    The answers are remembered as they look through the window around all objects, through which the next frames will
    be seen. New objects are looked for in the whole frame; a mask needs no answer.
    """
    size, kept = _size(frame), dict(tracks)
    all_of_it = view if view.window == whole(size) else None
    answers: dict[int, _Answered] = {}
    for prompt in prompts:
        if prompt.mask is not None:
            continue
        track = None if primed else kept.get(prompt.object)
        if track is not None and _is_all(model, track.bank, prompt):
            track = None
        here = view
        if track is None or not view.window.shows(prompt):
            here = all_of_it = all_of_it or look_at(model, frame)
        if track is not None and track.frame == frame.index:
            track = _reframed(track, view.window, here.window, frame)
        bank = kept[prompt.object].bank if prompt.object in kept else MemoryBank()
        answers[prompt.object] = _answer(model, track, bank, prompt, frame, view=here, setting=setting)
    prompted = {prompt.object for prompt in prompts}
    others = [track for id, track in kept.items() if id not in prompted and track.frame == frame.index]
    around_all = view
    if model.config.second_look:
        places = [track.edges for track in others]
        for prompt in prompts:
            answer = answers.get(prompt.object)
            mask = prompt.mask if answer is None else answer.mask
            if mask is not None:
                places += whole(size).edges(torch.from_numpy(mask)[None])
            elif answer is not None:
                places += answer.window.edges(answer.decoded.logits)
        window = around([one for one in places if one is not None], size, model.config.second_look)
        seen = [one for one in (view, all_of_it) if one is not None and one.window == window]
        around_all = seen[0] if seen else look_at(model, frame, window)
    kept |= {track.id: _reframed(track, view.window, around_all.window, frame) for track in others}
    for prompt in prompts:
        bank = kept[prompt.object].bank if prompt.object in kept else MemoryBank()
        if prompt.mask is not None:
            decoded = _given(model, prompt, around_all, size)
        else:
            decoded = _through(model, answers[prompt.object], prompt, around_all, size)
        kept[prompt.object] = _told(model, prompt, bank, decoded, around_all, setting)
    return kept, around_all.window


def _answer(
    model: Sam2,
    track: ObjectTrack | None,
    bank: MemoryBank,
    prompt: Prompt,
    frame: Frame,
    *,
    view: View,
    setting: Setting,
) -> _Answered:
    """Answer clicks or a box: alone for a new object (`track` is None), else as a correction of what was tracked."""
    (window, features), size = view, _size(frame)
    tokens, before = None, None
    if track is not None:
        tokens = memory_tokens(model, bank, prompt.frame, limits=setting.limits, reverse=setting.reverse)
        if track.frame == prompt.frame:
            before = fed_back(track.logits)
    conditioned = model.attend(features.vision, features.position, tokens)

    def decode(prompt: Prompt, guess: Tensor | None) -> Decoded:
        one = prompt.box is None and len(prompt.clicks) == 1
        multimask = one and (track is None or model.config.track_candidates)
        return decode_through(model, view, conditioned, prompt, guess, multimask=multimask, like=size)

    told = None
    if track is None and model.config.second_look:
        told = tell_all(model, prompt, frame.image, decode=decode)
    decoded, closer = told or Told(decode(prompt, before), None)
    if track is not None and before is not None and _holds(model, bank, prompt):
        decoded = decoded._replace(logits=decoded.logits + _held(track.logits, prompt, window))
    if closer is None:
        return _Answered(decoded, decoded.iou.gather(1, decoded.best[:, None]), window, None)
    return _Answered(decoded, closer.iou, window, (closer.logits > 0).cpu().numpy())


def _is_all(model: Sam2, bank: MemoryBank, prompt: Prompt) -> bool:
    """Whether a prompt replaces all that was said of an object: a box or several clicks on the frame where it began.
    One click corrects.
    """
    shown = prompt.box is not None or (len(prompt.clicks) > 1 and any(click.on for click in prompt.clicks))
    return model.config.second_look > 0 and _began_here(bank, prompt) and shown


def _holds(model: Sam2, bank: MemoryBank, prompt: Prompt) -> bool:
    """Whether a mask resists its correction: one that was followed here and is clicked. The answer to a first click,
    often a part of what is meant, is to change at once.
    """
    return model.config.second_look > 0 and not _began_here(bank, prompt) and prompt.box is None


def _began_here(bank: MemoryBank, prompt: Prompt) -> bool:
    """Whether an object is known from the prompt's frame alone."""
    return all(memory.frame == prompt.frame for memory in bank.prompted)


def _held(logits: Tensor, prompt: Prompt, window: Window) -> Tensor:
    """What to add to the logits of a correction (1, h, w) of the mask that was seen through a window."""
    y, x = (cells / pixels for cells, pixels in zip(_grid(logits), window.size, strict=True))
    clicks = [Click(x * click.x, y * click.y, click.on) for click in window.moved(prompt).clicks]
    return torch.from_numpy(inertia((logits[0] > 0).cpu().numpy(), clicks)).to(logits.device)


def _given(model: Sam2, prompt: Prompt, view: View, size: tuple[int, int]) -> Decoded:
    """A mask as the answer to itself, as it looks through a window."""
    mask = prompt_tensors(model, view.window.moved(prompt), view.window.size, like=size).mask
    assert mask is not None
    return model.decode_mask(view.features.vision, view.features.high_res, mask)


def _through(model: Sam2, answer: _Answered, prompt: Prompt, view: View, size: tuple[int, int]) -> Decoded:
    """An answer as it looks through the window of `view`; one from another window, or from closer by, is taken like a
    mask that was given, unless nothing of it is left at the size of the network's input.
    """
    decoded, iou, window, mask = answer
    if mask is None:
        if view.window == window:
            return decoded
        mask = (window.spread(decoded.logits, size)[0] > 0).cpu().numpy()
    taken = _given(model, Prompt(prompt.object, prompt.frame, mask=mask), view, size)
    if not bool((taken.logits > 0).any()):
        seen = view.window.seen(window.spread(decoded.logits, size), _grid(decoded.logits))
        return decoded._replace(logits=seen.to(decoded.logits.dtype))
    return taken._replace(iou=iou, score=decoded.score)


def _told(model: Sam2, prompt: Prompt, bank: MemoryBank, decoded: Decoded, view: View, setting: Setting) -> ObjectTrack:
    """The track of an object after an answer, which is remembered as what a person said."""
    stored = model.encode_memory(view.features.vision, decoded.logits, decoded.score, binarise=True)
    blank = decoded.logits[:0]
    old = ObjectTrack(prompt.object, bank, -1, blank, blank, blank)
    (edges,) = _places(model, view, decoded.logits)
    return _moved(old, prompt.frame, decoded, stored, 0, edges, prompted=True, limits=setting.limits)


def _moved(
    track: ObjectTrack,
    frame: int,
    decoded: Decoded,
    stored: Tensor,
    row: int,
    edges: Edges | None,
    *,
    prompted: bool,
    limits: Limits,
) -> ObjectTrack:
    one = slice(row, row + 1)
    # Memories are kept in bfloat16, as SAM 2 does. Rows are cloned, so that no track keeps the others' batch alive.
    memory = Memory(frame, stored[one].to(torch.bfloat16, copy=True), decoded.pointer[one].clone())
    bank = track.bank.remember(memory, prompted=prompted, limits=limits)
    iou = decoded.iou[one].gather(1, decoded.best[one, None])[:, 0].float()
    trace = (edges,) if prompted or abs(frame - track.frame) != 1 else (*track.trace[-1:], edges)
    return ObjectTrack(track.id, bank, frame, decoded.logits[one].clone(), decoded.score[one].float(), iou, trace)


def _result(model: Sam2, state: TrackerState, frame: Frame, setting: Setting) -> TrackResult:
    size = _size(frame)
    if state.tracks:
        logits, score, iou = (torch.cat([getattr(t, k) for t in state.tracks]) for k in ("logits", "score", "iou"))
    else:
        h, w = model.config.input_size(size)
        side = model.config.stride // 4
        logits = torch.zeros(0, h // side, w // side, device=model.device)
        score = iou = torch.zeros(0, device=model.device)
    if setting.exclusive:
        logits = make_exclusive(logits)
    return TrackResult(frame.index, frame.seconds, size, state.ids, logits, score, iou, state.window)


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
    tracks: dict[int, ObjectTrack] = {}
    for index, given in by_frame(prompts).items():
        frame = video[index]
        check_prompts(given, index=index, size=_size(frame))
        here, _ = _answer_all(model, tracks, given, frame, look_at(model, frame), Setting(limits), primed=True)
        tracks = {id: replace(track, frame=-1) for id, track in here.items()}
    return TrackerState(tuple(tracks.values()))


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
    given = by_frame(prompts)
    for frame in frames:
        here = given.get(frame.index, [])
        check_prompts(here, index=frame.index, size=_size(frame))
        view = look_at(model, frame, window_for(state, frame.index))
        state, result = advance(model, state, frame, here, view=view, setting=setting, primed=primed)
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
    state = (
        TrackerState()
        if len(indices) == 1
        else prime(model, cast("Sequence[Frame]", video), prompts, limits=setting.limits)
    )
    for _, result in sweep(model, state, _from(video, first, reverse=reverse), prompts, setting=setting, primed=True):
        yield result


def _from(video: Any, first: int, *, reverse: bool) -> Iterator[Frame]:
    if hasattr(video, "frames"):
        yield from video.frames(0, first + 1, reverse=True) if reverse else video.frames(first)
        return
    yield from (video[i] for i in (range(first, -1, -1) if reverse else range(first, len(video))))


def by_frame(prompts: Iterable[Prompt]) -> dict[int, list[Prompt]]:
    """Return the prompts of each frame, frames ascending."""
    ordered = sorted(prompts, key=lambda p: p.frame)
    return {index: list(group) for index, group in groupby(ordered, key=lambda p: p.frame)}


def _size(frame: Frame) -> tuple[int, int]:
    return frame.image.shape[0], frame.image.shape[1]
