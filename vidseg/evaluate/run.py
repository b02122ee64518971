"""Run a method over a data set and score it: `run` for the result, `each` for one sequence at a time.

Nothing is printed. With an `Output` folder the masks and scores of every finished sequence are kept there, and a second
run with the same settings goes on where the first stopped. Only one frame's masks are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidseg.evaluate import user
from vidseg.evaluate.data import Dataset, open_dataset
from vidseg.evaluate.interactive import correct
from vidseg.evaluate.methods import Method, Tracker
from vidseg.evaluate.output import Output
from vidseg.evaluate.protocols import Task, find_protocol
from vidseg.evaluate.results import Results, SequenceResult
from vidseg.evaluate.scoring import score_answers
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
    protocol = find_protocol(protocol, dataset).name  # of the whole set, so that a choice of sequences changes nothing
    dataset = dataset.select(tuple(sequences))
    found = tuple(each(method, dataset, prompt=prompt, protocol=protocol, seed=seed))
    settings = {"data": str(dataset.folder), "prompt": prompt, "protocol": protocol, "seed": seed}
    absent = tuple(line for video in dataset.videos for line in video.absent())
    return Results(found, settings, dataset.skipped + absent)


def each(
    method: Sam2 | Method,
    dataset: Dataset,
    *,
    prompt: str = "mask",
    protocol: str = "auto",
    seed: int = 0,
    corrections: int = 0,
    output: Output | None = None,
) -> Iterator[SequenceResult]:
    """Score sequence by sequence; what `output` already holds is read instead of computed.

    With `corrections` a simulated user corrects so many masks of each sequence by a click (see `interactive`); the
    method is then a `Tracker` with `corrected`. Other arguments as in `run`.
    """
    method = as_method(method)
    rules = find_protocol(protocol, dataset)
    for video in dataset.videos:
        found = output.finished(video.name) if output else None
        if found is None:
            task = Task(video, rules)
            prompts = prompts_of(task, prompt, seed=seed)
            if corrections:
                found = correct(method, task, prompts, corrections=corrections, seed=seed, output=output)
            else:
                found = score_answers(task, method.follow(task, prompts), output=output)
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
