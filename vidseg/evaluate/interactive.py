"""The interactive mode: a simulated user looks for the worst mask, clicks on it, and the video is followed again.

One correction at a time, on the object and frame with the lowest J of all annotated frames: a click at the centre of
the largest wrong region. Corrections act as they do on live video (`vidseg.tracker.step`), from their frame on; those
on one frame add up. J&F against the number of corrections tells how much work an object costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidseg.evaluate import metrics, user
from vidseg.evaluate.methods import Answer, Method
from vidseg.evaluate.output import Output
from vidseg.evaluate.protocols import Task
from vidseg.evaluate.results import SequenceResult, summarise
from vidseg.evaluate.scoring import score_answers
from vidseg.types import Prompt


@dataclass(slots=True, eq=False)
class _Worst:
    """The worst mask met so far: whose, where, and what it should have been."""

    j: float = 1.0
    object_id: int = 0
    frame: int = -1
    predicted: np.ndarray | None = None
    truth: np.ndarray | None = None


def correct(
    method: Method,
    task: Task,
    prompts: Sequence[Prompt],
    *,
    corrections: int,
    seed: int = 0,
    output: Output | None = None,
) -> SequenceResult:
    """Follow a video, correct it up to `corrections` times, and return the last result with its `curve`.

    `method` must take a prompt for an object on a later frame as a correction: `Tracker(model, corrected=True)` does.
    The curve has J&F in per cent before the first correction and after each; it ends early if no error is left.
    """
    prompts, curve = list(prompts), []
    while True:
        worst = _Worst()
        answers = _watched(method.follow(task, prompts), task, prompts, worst)
        result = score_answers(task, answers, output=output)
        curve.append(summarise(result.objects).j_and_f)
        more = _corrected(prompts, worst, key=task.video.name, seed=seed) if len(curve) <= corrections else None
        if more is None:
            return replace(result, curve=tuple(curve))
        prompts = more


def _watched(answers: Iterable[Answer], task: Task, prompts: Sequence[Prompt], worst: _Worst) -> Iterator[Answer]:
    """Pass the answers on and note the worst mask among them; a frame given as a mask needs no correction."""
    annotated = set(task.video.labels.frames())
    given = {(prompt.object, prompt.frame) for prompt in prompts if prompt.mask is not None}
    for frame, masks in answers:
        if frame in annotated:
            truth, void = task.truth(frame)
            ignored = np.zeros(masks.shape[1:], bool) if void is None else void
            for place, object_id in enumerate(task.objects):
                if (object_id, frame) in given or frame < task.starts[object_id]:
                    continue
                j = metrics.region(masks[place], truth[place], void)
                if j < worst.j:
                    worst.j, worst.object_id, worst.frame = j, object_id, frame
                    worst.predicted, worst.truth = masks[place] & ~ignored, truth[place] & ~ignored
        yield frame, masks


def _corrected(prompts: Sequence[Prompt], worst: _Worst, *, key: str, seed: int) -> list[Prompt] | None:
    """The prompts with one more click, or None where nothing is wrong."""
    if worst.predicted is None or worst.truth is None:
        return None
    click = user.correction(
        worst.predicted, worst.truth, key=key, object_id=worst.object_id, frame=worst.frame, seed=seed
    )
    if click is None:
        return None
    there = [p for p in prompts if (p.object, p.frame) == (worst.object_id, worst.frame)]
    others = [p for p in prompts if p not in there]
    before = there[0] if there else Prompt(worst.object_id, worst.frame)
    return [*others, replace(before, clicks=(*before.clicks, click))]
