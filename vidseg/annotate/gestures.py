"""The gestures of the protocol, each a function of the session and the fields; `GESTURES` lists them.

A gesture checks, does one transaction, tells what changed and returns its result. These need no model and run where
they are called; those that ask it are in `asking`, those that propose objects in `proposing`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..masks import rle
from . import edit, objects, plan, view
from .asking import answered
from .guards import need_frame, need_object, need_range
from .propagate import JobSpec
from .refused import Refused
from .rows import ObjectInfo
from .session import Session
from .store import Touched

Result = dict[str, Any]


# Objects


def _fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {("class_name" if name == "class" else name): value for name, value in fields.items()}


def add_object(session: Session, *, video: int, **fields: Any) -> Result:
    """object.add."""
    known, touched = objects.add_object(session.project, video, **_fields(fields))
    return _told(session, touched, known)


def update_object(session: Session, *, video: int, object: int, **fields: Any) -> Result:
    """object.update."""
    if not fields:
        raise Refused("bad_request", "object.update names nothing to change; give name, class, colour, hidden ...")
    known, touched = objects.update_object(session.project, video, object, **_fields(fields))
    return _told(session, touched, known)


def delete_object(session: Session, *, video: int, object: int, overwrite: bool = False) -> Result:
    """object.delete."""
    session.changed(objects.delete_object(session.project, video, object, overwrite=overwrite))
    return {}


def merge_objects(session: Session, *, video: int, into: int, overwrite: bool = False, **fields: Any) -> Result:
    """object.merge; `from` is a Python keyword, hence `fields`."""
    known, touched = objects.merge_objects(session.project, video, into=into, other=fields["from"], overwrite=overwrite)
    return _told(session, touched, known)


def split_object(session: Session, *, video: int, object: int, frame: int, overwrite: bool = False) -> Result:
    """object.split."""
    known, touched = objects.split_object(session.project, video, object, frame=frame, overwrite=overwrite)
    return _told(session, touched, known)


def swap_objects(
    session: Session, *, video: int, a: int, b: int, start: int, stop: int, overwrite: bool = False
) -> Result:
    """object.swap."""
    session.changed(objects.swap_objects(session.project, video, a=a, b=b, start=start, stop=stop, overwrite=overwrite))
    return {}


def _told(session: Session, touched: Touched, known: ObjectInfo) -> Result:
    session.changed(touched)
    return {"object": known.to_json()}


# Edits


def _draw(kind: str) -> Callable[..., Result]:
    def gesture(
        session: Session, *, video: int, object: int, frame: int, overwrite: bool = False, **value: Any
    ) -> Result:
        began = time.perf_counter()
        if kind == "mask":
            info = need_frame(session.project, video, frame)
            value = {"origin": "drawn", "rle": rle.normalise(value["rle"], size=info.size)}
        touched = edit.draw(session.project, video, object, frame, kind=kind, value=value, overwrite=overwrite)
        session.changed(touched)
        return answered(session, video, object, frame, began)

    gesture.__doc__ = f"prompt.{kind}."
    return gesture


def clear_prompts(
    session: Session,
    *,
    video: int,
    object: int,
    start: int,
    stop: int,
    masks: bool = False,
    overwrite: bool = False,
) -> Result:
    """prompt.clear."""
    touched = edit.clear_prompts(
        session.project, video, object, start=start, stop=stop, masks=masks, overwrite=overwrite
    )
    session.changed(touched)
    return answered(session, video, object, start, time.perf_counter())


# History


def undo(session: Session) -> Result:
    """Take the newest gesture back; a running propagation that is the newest is cancelled first."""
    project = session.project
    with project.store.lock:
        entry = project.store.history()[0]
        for job in session.jobs():
            if entry is not None and job.id == entry.job:
                session.set_job(job, "cancelled")
        done = project.store.undo()
    return _exchanged(session, done, "there is nothing to undo")


def redo(session: Session) -> Result:
    """Do again what was undone."""
    return _exchanged(session, session.project.store.redo(), "there is nothing to redo")


def _exchanged(session: Session, done: Any, refusal: str) -> Result:
    if done is None:
        raise Refused("nothing", refusal)
    entry, touched = done
    session.changed(touched)
    return {"label": entry.label, "video": entry.video, "frame": entry.frame}


# Propagation


def propagate(
    session: Session,
    *,
    video: int,
    direction: str,
    frame: int,
    reach: str,
    objects: Sequence[int] | None = None,
    start: int | None = None,
    stop: int | None = None,
    overwrite: bool = False,
) -> Result:
    """propagate.start."""
    project = session.project
    info = need_frame(project, video, frame)
    if reach == "range":
        if start is None or stop is None:
            raise Refused("bad_request", "propagate.start: a range needs start and stop")
        need_range(project, video, start, stop)
    if objects is None:
        numbers = [known.id for known in project.objects(video) if not known.locked]
    else:
        numbers = [need_object(project, video, number).id for number in objects]
    spans = {}
    for number in numbers:
        span = plan.reach(
            project.anchors(video, number), frame=frame, frames=info.frames, direction=direction, reach=reach,
            start=start, stop=stop,
        )  # fmt: skip
        if span is not None:
            spans[number] = span
    if not spans:
        raise Refused("nothing", "there is nothing to propagate; click an object first")
    settings = project.settings()
    spec = JobSpec(
        spans, direction, combine=settings["combine"], agreement=settings["agreement"],
        exclusive=settings["exclusive"], overwrite=overwrite,
    )  # fmt: skip
    return {"job": session.start_job(video, spec).to_json()}


def _job(state: str, allowed: tuple[str, ...]) -> Callable[..., Result]:
    def gesture(session: Session, *, job: int) -> Result:
        found = session.job(job)
        with session.project.store.lock:
            if found.state in allowed:
                session.set_job(found, state)
        return {"job": found.to_json()}

    return gesture


# Review and settings


def set_state(
    session: Session, *, video: int, objects: Sequence[int] | None, start: int, stop: int, state: str
) -> Result:
    """review.set."""
    touched = edit.set_state(session.project, video, objects, start=start, stop=stop, state=state)
    masks = touched.keys["mask"]
    for number in sorted({key[1] for key in masks}):
        span = [key[2] for key in masks if key[1] == number]
        if len(span) == max(span) + 1 - min(span):
            event = {"event": "states", "video": video, "objects": [number], "start": min(span), "stop": max(span) + 1}
            session.tell([{**event, "state": state}])
            masks = {key for key in masks if key[1] != number}
    changed = len(touched.keys["mask"])
    touched.keys["mask"] = masks
    session.changed(touched)
    session.tell_review([video])
    return {"changed": changed}


def next_frame(
    session: Session, *, video: int, object: int | None = None, frame: int | None = None, anywhere: bool = False
) -> Result:
    """review.next."""
    return view.following(session.project, video, frame=frame, object=object, anywhere=anywhere)


def set_settings(session: Session, *, settings: Mapping[str, Any]) -> Result:
    """settings.set."""
    before = session.project.settings()
    session.project.set_settings(settings)
    found = session.project.settings()
    if found["closer"] != before["closer"]:
        session.look_closer()
    session.tell([{"event": "settings", "settings": found}])
    return {"settings": found}


GESTURES: dict[str, Callable[..., Result]] = {
    "object.add": add_object,
    "object.update": update_object,
    "object.delete": delete_object,
    "object.merge": merge_objects,
    "object.split": split_object,
    "object.swap": swap_objects,
    "prompt.brush": _draw("brush"),
    "prompt.polygon": _draw("polygon"),
    "prompt.mask": _draw("mask"),
    "prompt.clear": clear_prompts,
    "undo": undo,
    "redo": redo,
    "propagate.start": propagate,
    "propagate.pause": _job("paused", ("queued", "running")),
    "propagate.resume": _job("queued", ("paused",)),
    "propagate.cancel": _job("cancelled", ("queued", "running", "paused")),
    "review.set": set_state,
    "review.next": next_frame,
    "settings.set": set_settings,
    "ping": lambda session: {},
}
"""Every gesture by its name in the protocol."""
