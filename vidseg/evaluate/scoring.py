"""From a method's answers to the scores of one sequence: which frame is compared with what, and the clock."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from vidseg.errors import DataError
from vidseg.evaluate import metrics
from vidseg.evaluate.methods import Answer
from vidseg.evaluate.output import Output
from vidseg.evaluate.protocols import Task
from vidseg.evaluate.results import ObjectResult, SequenceResult


def score_answers(task: Task, answers: Iterable[Answer], *, output: Output | None = None) -> SequenceResult:
    """Score a method's answers on the frames that count; frames without an answer are empty masks.

    The time is the method's alone: neither scoring nor writing masks counts.

    Raises DataError if the answers are of another size than the labels.
    """
    counted = {object_id: set(task.counted(object_id)) for object_id in task.objects}
    open_frames = sorted(set().union(*counted.values()))
    scores: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    frames, seconds = 0, 0.0
    for frame, masks, spent in _timed(answers):
        frames, seconds = frames + 1, seconds + spent
        if frame in open_frames:
            scores[frame] = _score(task, frame, masks, counted)
        if output:
            output.write(task, frame, masks)
    for frame in open_frames:
        if frame not in scores:
            truth, _ = task.truth(frame)
            scores[frame] = _score(task, frame, np.zeros_like(truth), counted)
    objects = []
    for place, object_id in enumerate(task.objects):
        mine = tuple(sorted(counted[object_id]))
        j, f = (tuple(float(scores[frame][which][place]) for frame in mine) for which in (0, 1))
        objects.append(ObjectResult(task.name(object_id), mine, j, f))
    return SequenceResult(task.video.name, tuple(objects), frames, seconds)


def _score(task: Task, frame: int, masks: np.ndarray, counted: Mapping[int, set[int]]) -> tuple[np.ndarray, np.ndarray]:
    """J and F (O,) of one frame; nan for objects that do not count there."""
    truth, void = task.truth(frame)
    if masks.shape != truth.shape:
        raise DataError(
            f"sequence {task.video.name}, frame {task.video.stem(frame)}: the masks are "
            f"{masks.shape[2]}x{masks.shape[1]} pixels, the labels "
            f"{truth.shape[2]}x{truth.shape[1]}; expected the same size"
        )
    j, f = np.full(len(masks), np.nan), np.full(len(masks), np.nan)
    for place, object_id in enumerate(task.objects):
        if frame in counted[object_id]:
            j[place] = metrics.region(masks[place], truth[place], void)
            f[place] = metrics.boundary(masks[place], truth[place], void)
    return j, f


def _timed(answers: Iterable[Answer]) -> Iterator[tuple[int, np.ndarray, float]]:
    iterator = iter(answers)
    while True:
        started = time.perf_counter()
        answer = next(iterator, None)
        if answer is None:
            return
        yield (*answer, time.perf_counter() - started)
