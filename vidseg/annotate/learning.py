"""The model learns from the project: from every mask that a person prompted, drew or accepted, over all videos; and,
lest it forget how an object looks from elsewhere, from a few that it propagated and was surest of.

Gestures begin and end it; the worker does it a step at a time, before it propagates, and clicks are answered in
between. What was learned is kept in the project file, and makes all propagated masks that nobody accepted out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..adaptation import DEFAULT, PARTS, SURE
from ..errors import VidsegError
from ..train.sources.examples import Example
from .project import Project
from .refused import Refused
from .segmenter import Segmenter
from .session import Session

Result = dict[str, Any]

_MOST = 48  # masks that are learned from
_LARGEST_PX = 720  # short side of the pictures that are kept to learn from


@dataclass(eq=False)
class Learning:
    """Learning in progress: `work` does a step and returns the segmenter that has learned."""

    steps: int
    work: Generator[int, None, Segmenter]
    masks: int
    done: int = 0

    def to_json(self) -> dict[str, int]:
        """How far it is, as the page knows it."""
        return {"done": self.done, "steps": self.steps}


def start(session: Session, *, steps: int = DEFAULT.steps) -> Result:
    """model.learn."""
    chosen = vouched(session.project)
    if not chosen:
        raise Refused(
            "nothing", "there is nothing to learn from; click, draw or accept the mask of an object, then learn"
        )
    with session.project.store.lock:
        if session.learning is not None:
            raise Refused("busy", "the model is learning already; stop that first")
        session.learning = Learning(steps, _learn(session, chosen, steps), len(chosen))
    return _told(session)


def stop(session: Session) -> Result:
    """model.stop: what was learned before is kept."""
    with session.project.store.lock:
        if session.learning is None:
            raise Refused("nothing", "the model is not learning")
        session.learning = None
    return _told(session)


def forget(session: Session) -> Result:
    """model.forget: go back to the model as it was loaded."""

    def work() -> Result:
        if session.project.learned().weights is None:
            raise Refused("nothing", "the model has learned nothing yet")
        session.learning = None
        session.project.set_learned(session.segmenter.name, None, masks=0)
        session.exchange(session.segmenter.as_loaded(), masks=0)
        return _told(session)

    return session.worker.call(work)


def go_on(session: Session, learning: Learning) -> None:
    """Do one step; at the end take over the model that has learned. On the worker's thread."""
    try:
        learning.done = next(learning.work)
    except StopIteration as end:
        if session.learning is learning:
            session.project.set_learned(session.segmenter.name, end.value.weights(), masks=learning.masks)
            session.exchange(end.value, masks=learning.masks)
            session.learning = None  # last, so that whoever waits for it sees what follows from it
    except Exception as error:  # what it learns from is out of its hands
        session.learning = None
        message = f"the model could not learn: {' '.join(str(error).split()) or type(error).__name__}"
        session.tell([{"event": "notice", "level": "error", "message": message}])
    session.tell_model()


def vouched(project: Project) -> list[tuple[int, int, int]]:
    """The (video, object, frame) of masks that a person stands for, of every object about equally many, in all at most
    `_MOST` where there are not more objects.
    """
    found = []
    for video in project.videos():
        if project.video_status(video.id)[0] != "ok":
            continue
        for known in project.objects(video.id):
            lane = project.lane(video.id, known.id)
            frames = lane.where((~lane.propagated | lane.accepted) & ~lane.rejected & (lane.area > 0))
            if frames:
                found.append((video.id, known.id, frames))
    each = max(1, _MOST // max(1, len(found)))
    return [(video, object, frame) for video, object, frames in found for frame in _spread(frames, each)]


def surest(project: Project, chosen: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Of the same objects, masks that were propagated and that nobody judged, where the model was surest."""
    found = []
    for video, object in sorted({place[:2] for place in chosen}):
        lane = project.lane(video, object)
        sure = lane.propagated & ~lane.accepted & ~lane.rejected & (lane.area > 0) & (lane.confidence >= SURE)
        for part in np.array_split(np.flatnonzero(sure), PARTS):
            if len(part):
                best = part[lane.confidence[part].argmax()]
                found.append((video, object, int(lane.frame[best])))
    return found


def _spread(frames: list[int], count: int) -> list[int]:
    """At most `count` of ascending `frames`, the first and the last among them."""
    if len(frames) <= count:
        return frames
    return [frames[round(n)] for n in np.linspace(0, len(frames) - 1, count)]


def _learn(session: Session, chosen: list[tuple[int, int, int]], steps: int) -> Generator[int, None, Segmenter]:
    """Read the examples, one a turn, and learn from them; yields the steps done."""
    examples, told = [], set(chosen)
    places = chosen + surest(session.project, chosen)
    for video, object, frame in sorted(places, key=lambda place: (place[0], place[2])):
        mask = session.project.mask(video, object, frame)
        try:
            picture = session.frames.read(video, frame, reader="still").image
        except VidsegError:  # a frame that can no longer be read
            continue
        if mask is not None:
            known = Example(picture, mask.decode(), object, frame, video, told=(video, object, frame) in told)
            examples.append(known.reduced(_LARGEST_PX))
        yield 0
    return (yield from session.segmenter.learning(examples, steps=steps))


def _told(session: Session) -> Result:
    session.tell_model()
    session.worker.wake()
    return {"model": session.model_json()}


LEARNING: dict[str, Callable[..., Result]] = {"model.learn": start, "model.stop": stop, "model.forget": forget}
"""These gestures by their name in the protocol."""
