"""The gestures of the protocol, each a function of the session and the fields; `GESTURES` lists them by name.

A gesture checks, does one transaction, tells what changed and returns its result. Those that ask the model run on the
worker's thread; the others run where they are called and need not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..masks import rle
from ..types import Click
from . import edit, objects, paint, plan, view
from .guards import need_frame, need_inside, need_object, need_prompt, need_range, need_video, spare_accepted
from .propagate import JobSpec
from .refused import Refused
from .rows import MaskInfo, ObjectInfo, PromptInfo, Said, add_up, describe, is_stale
from .segmenter import Answer
from .session import Session
from .store import Touched
from .worker import HOVER

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


# Prompts that ask the model


def click(
    session: Session,
    *,
    video: int,
    object: int,
    frame: int,
    x: float,
    y: float,
    on: bool,
    overwrite: bool = False,
) -> Result:
    """prompt.click."""
    need_inside(need_video(session.project, video), x, y)
    value = {"x": float(x), "y": float(y), "on": bool(on)}
    return _ask(session, video, object, frame, kind="click", value=value, overwrite=overwrite)


def box(
    session: Session, *, video: int, object: int, frame: int, box: Sequence[float], overwrite: bool = False
) -> Result:
    """prompt.box."""
    height, width = need_video(session.project, video).size
    x1, y1, x2, y2 = (float(edge) for edge in box)
    kept = [max(0.0, x1), max(0.0, y1), min(x2, float(width)), min(y2, float(height))]
    if not (kept[0] < kept[2] and kept[1] < kept[3]):
        raise Refused("bad_request", f"the box lies outside the picture of {width}x{height} pixels")
    value = {"box": kept}
    return _ask(session, video, object, frame, kind="box", value=value, overwrite=overwrite)


def _ask(session: Session, video: int, object: int, frame: int, *, kind: str, value: Result, overwrite: bool) -> Result:
    def work() -> Result:
        began = time.perf_counter()
        project = session.project
        info = need_frame(project, video, frame)
        while True:
            known = need_object(project, video, object)
            spare_accepted(project, video, [object], start=frame, stop=frame + 1, overwrite=overwrite)
            before = project.prompts(video, object, start=frame, stop=frame + 1)
            row = project.mask(video, object, frame)
            kept, filled = _complete(before, row, kind, value)
            said = add_up([*kept, PromptInfo(0, video, object, frame, kind, filled, "")])
            mask, answer = answer_prompts(session, info.id, frame, said)
            with project.store.lock:
                if project.prompts(video, object, start=frame, stop=frame + 1) != before:
                    continue  # another tab was faster: answer both
                spare_accepted(project, video, [object], start=frame, stop=frame + 1, overwrite=overwrite)
                label = f"{kind} on {known.name}"
                with project.store.gesture(label, video=video, frame=frame) as gesture:
                    for old in before:
                        if old not in kept:
                            gesture.remove("prompt", (old.id,))
                    number = edit.add_prompt(gesture, video, object, frame, kind, filled)
                    edit.put_mask(gesture, prompted(video, object, frame, mask, answer))
                break
        _keep_candidates(session, (video, object, frame), number, answer)
        session.changed(gesture.touched)
        return _answered(session, video, object, frame, began)

    return session.worker.call(work)


def _complete(
    before: Sequence[PromptInfo], row: MaskInfo | None, kind: str, value: Result
) -> tuple[list[PromptInfo], Result]:
    """Return the prompts that stay beside a new one, and the new one with the mask that it corrects, if any."""
    kept = [one for one in before if not (kind == "box" and one.kind == "box")]
    corrects = kind == "click" and not before and row is not None and row.area > 0
    if corrects and row is not None:
        return kept, {**value, "base": row.rle}
    return kept, value


def answer_prompts(session: Session, video: int, frame: int, said: Said) -> tuple[np.ndarray, Answer]:
    """Return the mask that prompts mean on a frame, and the model's whole answer. On the worker's thread.

    A first click alone is ambiguous and gets three candidates; what a person drew changes only where it was clicked.
    """
    before = None if said.mask is None else rle.decode(said.mask)
    if not said.needs_model and before is not None:
        return before, Answer(before[None], (1.0,))
    ambiguous = before is None and said.box is None and len(said.clicks) == 1
    answer = session.segmenter.segment(
        session.encoded(video, frame), clicks=said.clicks, box=said.box, mask=before, ambiguous=ambiguous
    )
    mask = answer.masks[0]
    if said.drawn and before is not None and said.clicks:
        mask = paint.local_change(before, mask, said.clicks)
    return mask, answer


def prompted(video: int, object: int, frame: int, mask: np.ndarray, answer: Answer) -> MaskInfo:
    """The mask that a model gave as its answer to prompts."""
    return MaskInfo(
        video, object, frame, **describe(mask), score=float(answer.score), iou=float(answer.iou[0]),
        source="prompted", origin=frame,
    )  # fmt: skip


def _keep_candidates(session: Session, place: tuple[int, int, int], prompt: int, answer: Answer) -> None:
    shown = []
    if len(answer.masks) > 1:
        shown = [
            {"index": n, "rle": rle.encode(mask), "iou": round(float(iou), 4), "score": round(float(answer.score), 4)}
            for n, (mask, iou) in enumerate(zip(answer.masks, answer.iou, strict=True))
        ]
    old = [key for key in session.candidates if key[:2] == place[:2]]
    for key in old:
        del session.candidates[key]
    if shown:
        session.candidates[place] = (prompt, answer.masks, shown)
    if shown or old:
        _tell_candidates(session, place, shown, 0)


def _tell_candidates(session: Session, place: tuple[int, int, int], shown: Sequence[Result], chosen: int) -> None:
    head = dict(zip(("video", "object", "frame"), place, strict=True))
    session.tell([{"event": "candidates", **head, "candidates": list(shown), "chosen": chosen}])


def choose_candidate(
    session: Session, *, video: int, object: int, frame: int, index: int, overwrite: bool = False
) -> Result:
    """prompt.candidate."""
    began = time.perf_counter()
    project, place = session.project, (video, object, frame)
    need_frame(project, video, frame)
    known = need_object(project, video, object)
    spare_accepted(project, video, [object], start=frame, stop=frame + 1, overwrite=overwrite)
    with project.store.lock:
        before = project.prompts(video, object, start=frame, stop=frame + 1)
        prompt, masks, shown = session.candidates.get(place, (0, None, []))
        if masks is None or not before or before[-1].id != prompt:
            raise Refused("nothing", "there are no candidates to choose from; they last until the next prompt")
        if not 0 <= index < len(masks):
            raise Refused("bad_request", f"candidate {index} does not exist; there are {len(masks)}, from 0")
        with project.store.gesture(f"candidate {index + 1} for {known.name}", video=video, frame=frame) as gesture:
            if before[-1].kind == "mask":
                gesture.remove("prompt", (prompt,))
            number = edit.add_prompt(
                gesture, video, object, frame, "mask", {"origin": "candidate", "rle": shown[index]["rle"]}
            )
            chosen = Answer(masks[index : index + 1], (shown[index]["iou"],), shown[index]["score"])
            edit.put_mask(gesture, prompted(video, object, frame, masks[index], chosen))
        session.candidates[place] = (number, masks, shown)
    _tell_candidates(session, place, shown, index)
    session.changed(gesture.touched)
    return {**_answered(session, video, object, frame, began), "chosen": index}


def remove_prompt(session: Session, *, video: int, prompt: int, overwrite: bool = False) -> Result:
    """prompt.remove."""

    def work() -> Result:
        began = time.perf_counter()
        project = session.project
        need_video(project, video)
        gone = need_prompt(project, video, prompt)
        known = need_object(project, video, gone.object)
        span = {"start": gone.frame, "stop": gone.frame + 1}
        spare_accepted(project, video, [gone.object], **span, overwrite=overwrite)
        left = [one for one in project.prompts(video, gone.object, **span) if one.id != prompt]
        mask = None
        if left:
            pixels, answer = answer_prompts(session, video, gone.frame, add_up(left))
            mask = prompted(video, gone.object, gone.frame, pixels, answer)
        with project.store.gesture(f"remove {gone.kind} from {known.name}", video=video, frame=gone.frame) as gesture:
            edit.take_back(gesture, gone, left, mask)
        session.candidates.pop((video, gone.object, gone.frame), None)
        session.changed(gesture.touched)
        return _answered(session, video, gone.object, gone.frame, began)

    return session.worker.call(work)


def _answered(session: Session, video: int, object: int, frame: int, began: float) -> Result:
    project = session.project
    mask = project.mask(video, object, frame)
    known = project.anchors(video, object)
    shown = session.candidates.get((video, object, frame), (0, None, []))[2]
    return {
        "mask": None if mask is None else mask.to_json(stale=is_stale(mask, known)),
        "prompts": [one.to_json() for one in project.prompts(video, object, start=frame, stop=frame + 1)],
        "candidates": shown,
        "chosen": 0,
        "milliseconds": round(1000 * (time.perf_counter() - began)),
    }


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
        session.candidates.pop((video, object, frame), None)
        session.changed(touched)
        return _answered(session, video, object, frame, began)

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
    return _answered(session, video, object, start, time.perf_counter())


# Hover


def hover(
    session: Session, *, video: int, frame: int, x: float, y: float, object: int | None = None, on: bool = True
) -> Result:
    """hover: what a click here would give; nothing is recorded."""
    need_inside(need_frame(session.project, video, frame), x, y)
    ticket = next(session.hovers)
    session.newest_hover = ticket

    def work() -> Result:
        if ticket != session.newest_hover:
            raise Refused("superseded", "a newer hover has replaced this one")
        began = time.perf_counter()
        said = Said()
        if object is not None:
            said = add_up(session.project.prompts(video, object, start=frame, stop=frame + 1))
        clicks = (*said.clicks, Click(float(x), float(y), bool(on)))
        said = Said(clicks, said.box, said.mask, said.drawn)
        mask, answer = answer_prompts(session, video, frame, said)
        passed = round(1000 * (time.perf_counter() - began))
        return {"rle": rle.encode(mask), "iou": round(float(answer.iou[0]), 4), "milliseconds": passed}

    return session.worker.call(work, priority=HOVER)


def prepare_frame(session: Session, *, video: int, frame: int) -> Result:
    """frame.prepare: encode a frame before it is clicked."""
    need_frame(session.project, video, frame)

    def work() -> Result:
        began = time.perf_counter()
        session.encoded(video, frame)
        return {"milliseconds": round(1000 * (time.perf_counter() - began))}

    return session.worker.call(work, priority=HOVER)


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
    session.candidates.clear()
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


def next_frame(session: Session, *, video: int, object: int | None = None, frame: int | None = None) -> Result:
    """review.next."""
    return view.following(session.project, video, frame=frame, object=object)


def set_settings(session: Session, *, settings: Mapping[str, Any]) -> Result:
    """settings.set."""
    session.project.set_settings(settings)
    found = session.project.settings()
    session.tell([{"event": "settings", "settings": found}])
    return {"settings": found}


GESTURES: dict[str, Callable[..., Result]] = {
    "object.add": add_object,
    "object.update": update_object,
    "object.delete": delete_object,
    "object.merge": merge_objects,
    "object.split": split_object,
    "object.swap": swap_objects,
    "prompt.click": click,
    "prompt.box": box,
    "prompt.brush": _draw("brush"),
    "prompt.polygon": _draw("polygon"),
    "prompt.mask": _draw("mask"),
    "prompt.candidate": choose_candidate,
    "prompt.remove": remove_prompt,
    "prompt.clear": clear_prompts,
    "hover": hover,
    "frame.prepare": prepare_frame,
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
