"""Run a method over a data set and score it: `run` for the result, `each` for one sequence at a time.

Nothing is printed. With an `Output` folder the masks and scores of every finished sequence are kept there, and a second
run with the same settings goes on where the first stopped. Only one frame's masks are in memory at a time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidseg.errors import ConfigError, DataError
from vidseg.evaluate import metrics, user
from vidseg.evaluate.data import Dataset, open_dataset
from vidseg.evaluate.methods import Answer, Method, Tracker
from vidseg.evaluate.protocols import Task, find_protocol
from vidseg.evaluate.results import ObjectResult, Results, SequenceResult
from vidseg.masks import palette
from vidseg.masks.files import replacing
from vidseg.types import Prompt

if TYPE_CHECKING:
    from vidseg.model import Sam2


def run(
    method: Sam2 | Method,
    dataset: Dataset | str | Path,
    *,
    prompt: str = "mask",
    sequences: Sequence[str] = (),
    protocol: str = "auto",
    seed: int = 0,
) -> Results:
    """Score a model (or any `Method`) on labelled video and return what was found; nothing is written.

    Args:
        method: a model from `load_model`, or one of `methods`: Copy(), Flow(), SavedMasks(folder), Tracker(model).
        dataset: a folder of labelled video, or what `open_dataset` returned.
        prompt: what is given of every object on its first frame: "mask", "box", "click" or "clicks3".
        sequences: names of the sequences to score; all if empty.
        protocol: "auto" for what the layout calls for, or a name in `protocols.PROTOCOLS`.
        seed: for the simulated user's choice among equally good clicks.

    Raises:
        DataError: the data set cannot be used.
        MaskFormatError: a mask file is damaged.
        VideoError: a picture is.
    """
    dataset = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    dataset = dataset.select(tuple(sequences))
    found = tuple(each(method, dataset, prompt=prompt, protocol=protocol, seed=seed))
    settings = {"data": str(dataset.folder), "prompt": prompt, "protocol": protocol, "seed": seed}
    return Results(found, settings, dataset.skipped)


def each(
    method: Sam2 | Method,
    dataset: Dataset,
    *,
    prompt: str = "mask",
    protocol: str = "auto",
    seed: int = 0,
    output: Output | None = None,
) -> Iterator[SequenceResult]:
    """Score sequence by sequence; what `output` already holds is read instead of computed. Arguments as in `run`."""
    method = as_method(method)
    rules = find_protocol(protocol, dataset)
    for video in dataset.videos:
        found = output.finished(video.name) if output else None
        if found is None:
            task = Task(video, rules)
            answers = method.follow(task, prompts_of(task, prompt, seed=seed))
            found = score_answers(task, answers, output=output)
            if output:
                output.finish(found)
        yield found


def as_method(method: Sam2 | Method) -> Method:
    """A model as a method; anything else as it is."""
    return method if hasattr(method, "follow") else Tracker(method)  # type: ignore[arg-type,return-value]


def prompts_of(task: Task, kind: str, *, seed: int = 0) -> list[Prompt]:
    """What the simulated user says at the start: one prompt an object, on its first frame."""
    prompts = []
    for place, (object_id, frame) in enumerate(task.starts.items()):
        mask = task.truth(frame)[0][place]
        prompts.append(user.prompt(kind, object_id, frame, mask, key=task.video.name, seed=seed))
    return prompts


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
            f"sequence {task.video.name}, frame {task.video.stems[frame]}: the masks are "
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


@dataclass(frozen=True)
class Output:
    """The folder of an evaluation: `settings.json`, `masks/SEQUENCE/*.png`, `scores/SEQUENCE.json`.

    `keeps_masks` is false where the masks that are scored lie in a folder already.
    """

    folder: Path
    keeps_masks: bool = True

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Note the settings, or check that they are those of the results already here.

        Raises ConfigError if the folder holds the results of other settings.
        """
        path, settings = self.folder / "settings.json", json.loads(json.dumps(settings))
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = [key for key in sorted({*before, *settings}) if before.get(key) != settings.get(key)]
            if changed:
                key = changed[0]
                raise ConfigError(
                    f"{self.folder} holds results of other settings ({key} was {before.get(key)!r}, now "
                    f"{settings.get(key)!r}); give another --out, or delete the folder"
                )
            return
        with replacing(path) as file:
            file.write(json.dumps(settings, indent=2) + "\n")

    def masks_of(self, name: str) -> Path:
        """Where the masks of a sequence are written."""
        return self.folder / "masks" / name

    def finished(self, name: str) -> SequenceResult | None:
        """The kept result of a sequence, or None if it was not finished."""
        path = self.folder / "scores" / f"{name}.json"
        return SequenceResult.from_json(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def finish(self, result: SequenceResult) -> None:
        """Keep the scores of a sequence, after which it counts as finished."""
        with replacing(self.folder / "scores" / f"{result.name}.json") as file:
            file.write(json.dumps(result.to_json()) + "\n")

    def write(self, task: Task, frame: int, masks: np.ndarray) -> None:
        """Write the (O, H, W) masks of a frame: one index PNG, or one PNG an object where objects may overlap."""
        if not self.keeps_masks:
            return
        place, name = self.masks_of(task.video.name), f"{task.video.stems[frame]}.png"
        if task.protocol.overlapping:
            for object_id, mask in zip(task.objects, masks, strict=True):
                palette.write_index(place / task.name(object_id) / name, mask.astype(np.uint8))
        else:
            palette.write_index(place / name, palette.merge(masks, task.objects))
