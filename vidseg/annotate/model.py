"""The annotator's `Segmenter` on vidseg's own models: SAM 2, the shipped one, and anything else `load_model` returns.

An encoded frame carries the frame's number and size with what was seen of it, through one window or several (see
`vidseg.gaze`). A track is one object's memory bank, the direction of travel and where to look next; `follow` puts all
tracks into one state, so that objects are tracked as one batch. Imports torch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .. import automatic
from ..adaptation import Adaptation
from ..correction import Told, held, one_by_one, tell
from ..encode_ahead import lanes, pays
from ..errors import WeightsError
from ..gaze import around
from ..image import EncodedImage
from ..learner import adapting
from ..memory import Memory, MemoryBank, Pointer, memory_tokens
from ..model import Decoded, ImageFeatures, Sam2
from ..model.config import COARSEST
from ..second_look import Closer, View, best_of, decode, look
from ..state import ObjectTrack, TrackerState
from ..threads import compute_on
from ..tracker import Setting, advance, limits_of, look_at, window_for
from ..train.sources.examples import Example
from ..types import Box, Click, Frame, Prompt
from ..window import Edges, Window, whole
from .paint import local_change
from .segmenter import Answer, Followed

_CLICKS = 0.5  # share of clips with clicks when the model learns: clicks are what it will be asked next
_CLOSER = 4 / 3  # times the side of the input that a model was loaded for, to look closer
_GUESSED = 10.0  # logits of a first guess: as sure as a mask prompt's, see Sam2.decode_mask


class EncodedFrame:
    """A frame as the model sees it: all of it, and through the window that was looked through last; either is encoded
    when it is first wanted.
    """

    def __init__(self, model: Sam2, frame: Frame) -> None:
        self.frame = frame
        self.narrow: View | None = None
        self._model = model
        self._all: View | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frame."""
        return self.frame.image.shape[0], self.frame.image.shape[1]

    @property
    def features(self) -> ImageFeatures:
        """Of all of the frame."""
        return self.view().features

    def view(self, window: Window | None = None) -> View:
        """What is seen through a window; of all of the frame without one."""
        if window is None or window == whole(self.size):
            self._all = self._all or look_at(self._model, self.frame)
            return self._all
        if self.narrow is None or self.narrow.window != window:
            self.narrow = look_at(self._model, self.frame, window)
        return self.narrow


class Remembered(NamedTuple):
    """What is kept of an object on one frame, the window through which it was seen, and where it was, if anywhere."""

    memory: Memory
    window: Window
    edges: Edges | None


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """One object on its way: what it remembers, where it was up to which frame (see `ObjectTrack`), where to look next,
    and whether frames come in descending order.
    """

    bank: MemoryBank
    frame: int
    trace: tuple[Edges | None, ...]
    gaze: tuple[Window, ...]
    reverse: bool


@dataclass(slots=True, eq=False)
class _Answered:
    """What was answered last from nothing: after the box or the first click, and after each click that followed."""

    encoded: EncodedFrame | None = None
    box: Box | None = None
    clicks: tuple[Click, ...] = ()
    answers: list[Told] = field(default_factory=list)

    def keep(self, clicks: tuple[Click, ...]) -> None:
        """Forget the answers to clicks that are not among these."""
        same = 0
        for mine, new in zip(self.clicks, clicks, strict=False):
            if mine != new:
                break
            same += 1
        del self.answers[same + (self.box is not None) :]
        self.clicks = self.clicks[:same]


class ModelSegmenter:
    """See `annotate.segmenter.Segmenter`; `model` is from `load_model`.

    `loaded` is the model before it learned, where `model` has; with `closer` it sees frames on more pixels.
    """

    def __init__(self, model: Sam2, *, name: str = "", loaded: Sam2 | None = None, closer: bool = False) -> None:
        self._plain = model
        self._model = _close_up(model) if closer else model
        self._loaded = loaded or model
        self._limits = limits_of(model)
        self._threads = torch.get_num_threads()
        self._lanes = lanes(model)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="vidseg-encode") if pays(model) else None
        self._answered = _Answered()
        self._view_of: tuple[EncodedFrame, View] | None = None
        self._seen: tuple[View | None, tuple[Remembered, ...], Tensor | None] = None, (), None
        self._coming: Window | None = None  # through which the frame that is encoded ahead will be wanted
        self.name = name or model.config.name

    @torch.inference_mode()
    def encode(self, frame: Frame) -> EncodedFrame:
        """Look at all of a frame."""
        encoded = EncodedFrame(self._model, frame)
        encoded.view()
        return encoded

    def encode_ahead(self, read: Callable[[], Frame]) -> Callable[[], EncodedFrame]:
        """See `Segmenter`: on some of the cores, until the result is taken, where that pays; through the window that
        `follow` will want.
        """
        window = self._coming

        def look() -> EncodedFrame:
            encoded = EncodedFrame(self._model, read())
            encoded.view(window)
            return encoded

        if self._beside is None:
            return look
        share = self._threads // 2

        def encode() -> EncodedFrame:
            compute_on(share)
            return look()

        def take() -> EncodedFrame:
            try:
                return begun.result()
            finally:
                compute_on(self._threads)

        begun = self._beside.submit(encode)
        compute_on(self._threads - share)
        return take

    @torch.inference_mode()
    def segment(
        self,
        encoded: EncodedFrame,
        *,
        clicks: Sequence[Click] = (),
        box: Box | None = None,
        mask: np.ndarray | None = None,
        memories: Sequence[Remembered] = (),
        ambiguous: bool = False,
    ) -> Answer:
        """Answer a box and clicks one after the other, or all together as corrections of a `mask`.

        A model that looks twice sees a frame as it does those that are remembered, and corrects a mask around the last
        click only, from close by.
        """
        height, width = encoded.size
        inside = tuple(Click(min(c.x, width - 1e-3), min(c.y, height - 1e-3), c.on) for c in clicks)
        closer, window = None, whole(encoded.size)
        if mask is None:
            decoded, closer = self._one_by_one(encoded, inside, box)
        else:
            if memories:
                window = self._window_of(encoded, Prompt(1, encoded.frame.index, clicks=inside, box=box, mask=mask))
            view = encoded.view(window)
            conditioned = self._conditioned(view, encoded.frame.index, tuple(memories))
            prompt = Prompt(1, encoded.frame.index, clicks=inside, box=box)
            decoded = self._decode(encoded, view, conditioned, prompt, self._guess(mask, view))
            if self._model.config.second_look and inside and box is None:
                closer = self._focused(encoded, window, mask, decoded, inside)
        best = int(decoded.best[0])
        order = [int(n) for n in decoded.iou[0].argsort(descending=True)] if ambiguous else [best]
        pixels = _pixels(decoded.candidates[0, order], window, encoded.size)
        if closer is not None:
            pixels[order.index(best)] = (closer.logits > 0).cpu().numpy()
        return Answer(
            pixels, tuple(_share(decoded.iou[0, n]) for n in order), float(decoded.score[0].float().sigmoid())
        )

    def _one_by_one(self, encoded: EncodedFrame, clicks: tuple[Click, ...], box: Box | None) -> Told:
        """Answer a box or the first click, then each further click; see `vidseg.correction`.

        The answers along the way are kept: of the last prompts only what is new is decoded. A click that is all there
        is has three candidates; only the best is looked at closer.
        """
        if self._answered.encoded is not encoded or self._answered.box != box:
            self._answered = _Answered(encoded, box)
        known, parts = self._answered, [*one_by_one(Prompt(1, encoded.frame.index, clicks=clicks, box=box))]
        known.keep(parts[-1].clicks)
        plain = self._conditioned(encoded.view(), encoded.frame.index, ())
        answer = partial(self._decode, encoded, encoded.view(), plain)
        for part in parts[len(known.answers) :]:
            before, view = known.answers[-1] if known.answers else None, partial(self._view, encoded)
            known.answers.append(tell(self._model, before, part, encoded.frame.image, view=view, decode=answer))
        known.clicks = parts[-1].clicks
        return known.answers[-1]

    def _window_of(self, encoded: EncodedFrame, prompt: Prompt) -> Window:
        """The window to look at a mask through, and at what is pointed at: the last one if all lies within."""
        times, everything = self._model.config.second_look, whole(encoded.size)
        if not times or prompt.mask is None:
            return everything
        if encoded.narrow is not None and prompt.clicks and encoded.narrow.window.shows(prompt):
            return encoded.narrow.window
        (edges,) = everything.edges(torch.from_numpy(prompt.mask)[None])
        window = around([edges] if edges else [], encoded.size, times)
        return window if window.shows(prompt) else everything

    def _conditioned(self, view: View, frame: int, memories: tuple[Remembered, ...]) -> Tensor:
        """A view's features in sight of memories; the last are kept, since clicks come one after the other."""
        known, seen, features = self._seen
        if known is not view or [*map(id, seen)] != [*map(id, memories)]:
            bank = MemoryBank(tuple(one.memory for one in memories))
            tokens = memory_tokens(self._model, bank, frame, limits=self._limits)
            features = self._model.attend(view.features.vision, view.features.position, tokens)
            self._seen = view, memories, features
        assert features is not None
        return features

    def _decode(
        self, encoded: EncodedFrame, view: View, conditioned: Tensor, prompt: Prompt, guess: Tensor | None
    ) -> Decoded:
        multimask = guess is None and prompt.box is None
        return decode(self._model, view, conditioned, prompt, guess, multimask=multimask, like=encoded.size)

    def _focused(
        self, encoded: EncodedFrame, seen: Window, mask: np.ndarray, decoded: Decoded, clicks: tuple[Click, ...]
    ) -> Closer:
        """The corrected mask, looked at through a window around the last click and cut; what lies outside stays.

        It is the mean of two answers, which the correction so far and the mask as it was have led.
        """
        pixels = _pixels(best_of(decoded), seen, encoded.size)[0]
        logits, corrected = (
            _as_logits(one, self._model.device) for one in (mask, local_change(mask, pixels, clicks[-1]))
        )
        prompt, view = Prompt(1, encoded.frame.index, clicks=clicks), partial(self._view, encoded)
        return held(self._model, logits, prompt, encoded.frame.image, view=view, led_by=(corrected, logits))

    def _view(self, encoded: EncodedFrame, window: Window) -> View:
        """What the model sees of a frame through a window; the last view is kept, for the next click."""
        if self._view_of is None or self._view_of[0] is not encoded or self._view_of[1].window != window:
            self._view_of = encoded, look(self._model, encoded.frame.image, window)
        return self._view_of[1]

    def _guess(self, mask: np.ndarray, view: View) -> Tensor:
        """A mask as the logits that the decoder takes for a first guess, (1, 1, 4h, 4w)."""
        h, w = view.features.vision.shape[-2:]
        logits = _as_logits(mask, self._model.device)[None]
        return view.window.seen(logits, (4 * h, 4 * w))[None].to(self._model.dtype)

    @torch.inference_mode()
    def memorise(self, encoded: EncodedFrame, mask: np.ndarray) -> Remembered:
        """Remember that the object is `mask` (H, W) bool on this frame, as it looks in the window around it."""
        prompt = Prompt(1, encoded.frame.index, mask=mask)
        view = encoded.view(self._window_of(encoded, prompt))
        state, _ = advance(self._model, TrackerState(), encoded.frame, [prompt], view=view)
        (track,) = state.tracks
        return Remembered(track.bank.prompted[0], view.window, track.edges)

    def begin(self, vouched: Sequence[Remembered], recent: Sequence[Remembered], *, reverse: bool = False) -> Trail:
        """Start to follow an object that is remembered, where it was seen last."""
        memories, past = (tuple(one.memory for one in kept) for kept in (vouched, recent))
        bank = MemoryBank(
            memories[: self._limits.prompted],
            past[-self._limits.recent :] if self._limits.recent else (),
            tuple(Pointer(memory.frame, memory.pointer) for memory in past)[-self._limits.pointers :],
        )
        last = [*vouched, *recent][-1:]
        self._coming = last[0].window if last else None
        frame, trace = (last[0].memory.frame, (last[0].edges,)) if last else (-1, ())
        return Trail(bank, frame, trace, tuple(one.window for one in last) * 2, reverse)

    @torch.inference_mode()
    def follow(self, tracks: Sequence[Trail], encoded: EncodedFrame) -> list[tuple[Trail, Followed]]:
        """Find all objects on a frame, in one batch."""
        if not tracks:
            return []
        blank = torch.zeros(0, device=self._model.device)
        objects = tuple(
            ObjectTrack(n, track.bank, track.frame, blank, blank, blank, track.trace)
            for n, track in enumerate(tracks, 1)
        )
        setting = Setting(self._limits, reverse=tracks[0].reverse, lanes=self._lanes)
        before = TrackerState(objects, gaze=_joined([track.gaze for track in tracks], encoded.size))
        view = encoded.view(window_for(before, encoded.frame.index))
        state, result = advance(self._model, before, encoded.frame, view=view, setting=setting)
        self._coming = state.gaze[-1] if state.gaze else None
        masks = result.masks()
        scores, ious = result.score.float().sigmoid().tolist(), result.iou.float().clamp(0, 1).tolist()
        places = {number: row for row, number in enumerate(result.ids)}
        now = {track.id: track for track in state.tracks}
        return [
            (
                replace(track, bank=now[n].bank, frame=now[n].frame, trace=now[n].trace, gaze=state.gaze),
                Followed(masks[places[n]], scores[places[n]], ious[places[n]]),
            )
            for n, track in enumerate(tracks, 1)
        ]

    def learning(self, examples: Sequence[Example], *, steps: int) -> Generator[int, None, ModelSegmenter]:
        """Adapt a copy of the model as it was loaded; see `vidseg.adapt`."""
        work = adapting(self._loaded, examples, Adaptation(steps=steps, clicks=_CLICKS))
        while True:
            try:
                done = next(work)
            except StopIteration as end:
                return ModelSegmenter(end.value, name=self.name, loaded=self._loaded)
            yield done.number

    def weights(self) -> bytes:
        """The model's weights as a safetensors file."""
        return save({key: value.contiguous() for key, value in self._model.state_dict().items()})

    def with_weights(self, weights: bytes) -> ModelSegmenter:
        """The same model with what it had learned."""
        model = copy.deepcopy(self._loaded)
        try:
            model.load_state_dict(load(weights))
        except (RuntimeError, SafetensorError) as error:
            raise WeightsError(
                f"what was learned does not fit {self.name} ({str(error).splitlines()[0]}); learn again"
            ) from None
        return ModelSegmenter(model, name=self.name, loaded=self._loaded)

    def as_loaded(self) -> ModelSegmenter:
        """The same model before it learned anything."""
        return ModelSegmenter(self._loaded, name=self.name)

    def looking(self, *, closer: bool) -> ModelSegmenter:
        """The same model, which sees frames on a third more pixels a side than it was loaded for, or on as many.

        SAM 2's models see what they were trained to see, a square of a fixed size.
        """
        return ModelSegmenter(self._plain, name=self.name, loaded=self._loaded, closer=closer)

    def propose(self, encoded: EncodedFrame, options: automatic.Grid) -> Iterator[list[automatic.Proposal]]:
        """Yield masks of everything on a frame, some at a time."""
        return automatic.candidates(EncodedImage(self._model, encoded.size, encoded.features), options)


def _close_up(model: Sam2) -> Sam2:
    """The same network with a larger input, unless that is a square."""
    config = model.config
    if config.square:
        return model
    enlarged = copy.copy(model)  # shares all weights
    enlarged.config = replace(config, image_size=round(config.image_size * _CLOSER / COARSEST) * COARSEST)
    return enlarged


def _joined(gazes: Sequence[tuple[Window, ...]], size: tuple[int, int]) -> tuple[Window, ...]:
    """Where to look next for several objects: where all do, or around all that each looks at."""
    if len(set(gazes)) == 1:
        return gazes[0]
    return tuple(around(windows, size, 1.0) for windows in zip(*gazes, strict=False))


def _as_logits(mask: np.ndarray, device: torch.device) -> Tensor:
    """A mask (H, W) as logits, as sure everywhere as a first guess is."""
    return (torch.from_numpy(mask.astype(np.float32)).to(device) * 2 - 1) * _GUESSED


def _pixels(logits: Tensor, window: Window, size: tuple[int, int]) -> np.ndarray:
    """(M, 4h, 4w) logits of a window as (M, H, W) bool masks."""
    return (window.spread(logits.float(), size) > 0).cpu().numpy()


def _share(value: Tensor) -> float:
    return min(1.0, max(0.0, float(value)))
