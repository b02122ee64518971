"""Adapting a model to a video: a copy of it learns how the objects look from the frames on which they are known.

Each known mask is filmed as if by a moving camera, or cut out and moved, as pictures are in training; so the copy sees
the object from many sides before it meets the rest of the video. Of a car that turns one frame shows one side, though,
and a copy that knows nothing else loses it: so it also learns from what the model follows by itself, where it is
surest. The decision to know: the given model stays as it is, and the answer is a model like any other, which can be
saved and loaded.
Source: fine-tuning on the first mask is OSVOS (arXiv 1611.05198), pairs of frames made of it are Lucid Data Dreaming
(arXiv 1703.09554), learning from one's own sure answers further on is OnAVOS (arXiv 1706.09364), going only part of the
way to the tuned weights is WiSE-FT (arXiv 2109.01903).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from vidseg.adaptation import DEFAULT, PARTS, SURE, Adaptation
from vidseg.errors import ConfigError, VideoError
from vidseg.model import Sam2
from vidseg.prompt_check import check_prompts
from vidseg.tracker import Setting, TrackerState, advance, by_frame, look_at, sweep
from vidseg.train.clip import stack
from vidseg.train.config import OptimiserConfig
from vidseg.train.losses import LossConfig, means, total
from vidseg.train.model_step import StepConfig, make_batch, precision, run_batch
from vidseg.train.schedule import factor_at, make_optimiser, set_rate
from vidseg.train.sources.examples import Example, Examples
from vidseg.train.user import PromptConfig
from vidseg.types import Frame, Prompt
from vidseg.weights import preferred_dtype

if TYPE_CHECKING:
    from vidseg.video import Video

__all__ = ["Example", "Step", "adapt", "adapting", "as_masks", "examples_of", "followed"]

_LOSSES = LossConfig(focal=2.0, gamma=0.0, alpha=-1.0)
_AHEAD = 300  # frames that are followed at most
_LARGE = 512  # pixels of input from which activations are computed twice rather than kept


class Step(NamedTuple):
    """`number` of `steps` are done; `overlap` is the mean J, 0..1, on the last clip."""

    number: int
    steps: int
    overlap: float


def adapt(
    model: Sam2,
    examples: Sequence[Example],
    settings: Adaptation = DEFAULT,
    *,
    progress: Callable[[Step], object] | None = None,
) -> Sam2:
    """Return a model that has learned how the objects of `examples` look.

    Args:
        model: from `load_model`; left as it is.
        examples: frames with known masks, of one object or several (see `examples_of`), and what the model follows of
            them by itself (see `followed`).
        settings: how long, and how fast.
        progress: called after every clip.

    Raises:
        DataError: no example shows an object large enough to be seen.
    """
    steps = adapting(model, examples, settings)
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            return end.value
        if progress is not None:
            progress(done)


def adapting(model: Sam2, examples: Sequence[Example], settings: Adaptation = DEFAULT) -> Generator[Step, None, Sam2]:
    """`adapt` clip by clip, for callers with other things to do in between; the adapted model is the value returned."""
    size = _clip_size(model, examples)
    source = Examples(examples, short_side=min(size))
    with torch.inference_mode(False):
        learner = copy.deepcopy(model).float().requires_grad_(True).train()
        learner = learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        schedule = OptimiserConfig(rate=settings.rate, beta2=0.98, decay=0.0, warmup=5, final=0.05)
        optimiser = make_optimiser(learner, schedule)
    for number in range(settings.steps):
        for place in range(settings.batch):  # one after the other: less memory than two at once, in hardly more time
            overlap = _learn(learner, source, settings, number, place, size)
            last = place + 1 == settings.batch
            if last:
                set_rate(optimiser, settings.rate * factor_at(number, settings.steps, schedule))
                _move(learner, optimiser, schedule.clip)
            yield Step(number + last, settings.steps, overlap)
    return _between(model, learner, settings.share)


def examples_of(model: Sam2, video: Video | Sequence[Frame], prompts: Iterable[Prompt]) -> list[Example]:
    """Return the prompted frames as examples: masks that were given, and the model's answers to clicks and boxes.

    Raises:
        PromptError: a prompt that does not fit its frame.
    """
    found = []
    for index, here in by_frame(prompts).items():
        frame = video[index]
        check_prompts(here, index=index, size=(frame.image.shape[0], frame.image.shape[1]))
        _, result = advance(model, TrackerState(), frame, here, view=look_at(model, frame), primed=True)
        masks = dict(zip(result.ids, result.masks(), strict=True))
        given = {prompt.object: prompt.mask for prompt in here}
        for id in result.ids:
            mask = given[id]
            found.append(Example(frame.image, masks[id] if mask is None else mask, id, index))
    return found


def followed(
    model: Sam2,
    video: Video | Sequence[Frame],
    prompts: Iterable[Prompt],
    *,
    stop: int | None = None,
    reverse: bool = False,
) -> list[Example]:
    """Return what the model follows of prompted objects, where it is surest: a few frames of each, evenly spread.

    At most 300 frames are followed, from the first prompt (the last if `reverse`) to `stop`, which is left out; those
    that cannot be read are passed over.
    """
    prompts = tuple(prompts)
    told = {(prompt.object, prompt.frame) for prompt in prompts}
    begin = (max if reverse else min)(prompt.frame for prompt in prompts)
    end = (-1 if reverse else len(video)) if stop is None else stop
    order = range(begin, end, -1 if reverse else 1)[:_AHEAD]
    met: list[Frame] = []
    best: dict[tuple[int, int], tuple[float, Example]] = {}
    frames = _readable(video, order, met)
    for _, result in sweep(model, TrackerState(), frames, prompts, setting=Setting(reverse=reverse)):
        part = order.index(result.frame) * PARTS // len(order)
        sure = {
            row: float(iou)
            for row, (id, iou, score) in enumerate(zip(result.ids, result.iou, result.score, strict=True))
            if (id, result.frame) not in told
            and score > 0
            and iou > (best[id, part][0] if (id, part) in best else SURE)
        }
        masks = result.masks() if sure else ()
        for row, iou in sure.items():
            if masks[row].any():
                example = Example(met[-1].image, masks[row], result.ids[row], result.frame, told=False)
                best[example.object, part] = iou, example.reduced(2 * min(_clip_size(model, [example])))
    return [example for _, example in best.values()]


def _readable(video: Video | Sequence[Frame], order: Iterable[int], met: list[Frame]) -> Iterator[Frame]:
    """The frames that can be read; the last one lies in `met`."""
    for index in order:
        with suppress(VideoError):
            met[:] = [video[index]]
            yield met[0]


def as_masks(prompts: Iterable[Prompt], examples: Iterable[Example]) -> tuple[Prompt, ...]:
    """Return prompts as the masks that `examples_of` found for them, so that an adapted model follows what it learned.

    Where nothing was found the prompt stays as it is.
    """
    masks = {(one.frame, one.object): one.mask for one in examples if one.mask.any()}
    return tuple(
        Prompt(prompt.object, prompt.frame, mask=masks[place])
        if (place := (prompt.frame, prompt.object)) in masks
        else prompt
        for prompt in prompts
    )


def _clip_size(model: Sam2, examples: Sequence[Example]) -> tuple[int, int]:
    """(h, w) of the clips: what the model sees of the first example; for a square model before it is squashed."""
    if not examples:
        raise ConfigError("there is nothing to adapt to: no mask was given; give at least one click, box or mask")
    height, width = examples[0].image.shape[:2]
    return replace(model.config, square=False).input_size((height, width))


def _prompts(settings: Adaptation) -> PromptConfig:
    """The mixture of prompts of the clips."""
    box, click, correct = 0.3 * settings.clicks, 0.7 * settings.clicks, settings.clicks
    return PromptConfig(mask=1 - settings.clicks, sloppy=0, box=box, click=click, correct=correct, clicks=2)


def _learn(
    learner: Sam2, source: Examples, settings: Adaptation, number: int, place: int, size: tuple[int, int]
) -> float:
    """Add the gradients of clip `place` of step `number`; return its mean J."""
    rng = np.random.default_rng([settings.seed, number, place])
    clip = source.clip(rng, frames=settings.frames, size=size, objects=1)
    device, prompts = learner.device, _prompts(settings)
    dtype = preferred_dtype(learner.config, device)
    config = StepConfig(checkpointing=learner.config.image_size > _LARGE)
    with torch.inference_mode(False), torch.enable_grad():
        batch = make_batch(stack([clip]), prompts, seed=settings.seed, number=number, first=place, device=device)
        with precision(device, None if dtype == torch.float32 else dtype):
            sums, _ = run_batch(learner, batch, _LOSSES, prompts, config)
        parts = means(sums)
        (total(parts, _LOSSES) / settings.batch).backward()
    return float(parts["overlap"].detach())


def _move(learner: Sam2, optimiser: torch.optim.Optimizer, clip: float) -> None:
    """Step along the gradients, and drop them."""
    with torch.inference_mode(False):
        norm = torch.nn.utils.clip_grad_norm_(learner.parameters(), clip)
        if torch.isfinite(norm):
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def _between(model: Sam2, learner: Sam2, share: float) -> Sam2:
    """A copy of `model` with weights `share` of the way to those of `learner`."""
    with torch.inference_mode(False), torch.no_grad():
        answer = copy.deepcopy(model)
        for mine, learned in zip(answer.parameters(), learner.parameters(), strict=True):
            mine.copy_(torch.lerp(mine.float(), learned, share))
    return answer.eval().requires_grad_(False)
