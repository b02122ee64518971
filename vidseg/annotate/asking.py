"""Gestures that ask the model: clicks, boxes, candidates, taking a prompt back, and previews that record nothing.

They run on the worker's thread, between two frames of whatever it is propagating.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..errors import VideoError
from ..masks import rle
from . import edit, paint
from .guards import need_frame, need_inside, need_object, need_prompt, need_video, spare_accepted
from .refused import Refused
from .rows import MaskInfo, PromptInfo, Said, add_up, describe, is_stale
from .segmenter import Answer, Memory
from .session import Session
from .worker import HOVER

Result = dict[str, Any]


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
            mask, answer = answer_prompts(session, info.id, frame, said, object=object)
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
                    edit.put_correction(gesture, prompted(video, object, frame, mask, answer), row)
                break
        _keep_candidates(session, (video, object, frame), number, answer)
        session.changed(gesture.touched)
        return answered(session, video, object, frame, began)

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


def answer_prompts(
    session: Session, video: int, frame: int, said: Said, *, object: int | None = None
) -> tuple[np.ndarray, Answer]:
    """Return the mask that prompts mean on a frame, and the model's whole answer. On the worker's thread.

    A first click alone is ambiguous and gets three candidates. A mask that was there before is corrected click by
    click, in view of what a person said of the `object` on other frames, and changes only where it is clicked.
    Source of the last: FocalClick (arXiv 2204.02574), "Progressive Merge".
    """
    before = None if said.mask is None else rle.decode(said.mask)
    if not said.needs_model and before is not None:
        return before, Answer(before[None], (1.0,))
    encoded, segment = session.encoded(video, frame), session.segmenter.segment
    if before is None:
        alone = said.box is None and len(said.clicks) == 1
        answer = segment(encoded, clicks=said.clicks, box=said.box, ambiguous=alone)
        return answer.masks[0], answer
    others = [] if object is None else _vouched(session, video, object, frame)
    if said.box is not None:
        answer = segment(encoded, clicks=said.clicks, box=said.box, mask=before, memories=others)
        return answer.masks[0], answer
    mask = before
    for count in range(said.settled + 1, len(said.clicks) + 1):
        answer = segment(encoded, clicks=said.clicks[:count], mask=mask, memories=others)
        mask = paint.local_change(mask, answer.masks[0], said.clicks[count - 1])
    return mask, answer


def _vouched(session: Session, video: int, object: int, frame: int) -> list[Memory]:
    """What is remembered of the object's first prompted frame and the nearest one, other than this frame."""
    known = [one for one in session.project.anchors(video, object).frames if one != frame]
    chosen = sorted({known[0], min(known, key=lambda one: abs(one - frame))}) if known else []
    found = []
    for one in chosen:
        with suppress(VideoError):  # a frame that can no longer be read
            found.append(session.memory(video, object, one))
    return [memory for memory in found if memory is not None]


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
    if shown or place in old:
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
            made = prompted(video, object, frame, masks[index], chosen)
            edit.put_correction(gesture, made, project.mask(video, object, frame))
        session.candidates[place] = (number, masks, shown)
    _tell_candidates(session, place, shown, index)
    session.changed(gesture.touched)
    return {**answered(session, video, object, frame, began), "chosen": index}


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
            pixels, answer = answer_prompts(session, video, gone.frame, add_up(left), object=gone.object)
            mask = prompted(video, gone.object, gone.frame, pixels, answer)
        with project.store.gesture(f"remove {gone.kind} from {known.name}", video=video, frame=gone.frame) as gesture:
            edit.take_back(gesture, gone, left, mask)
        session.changed(gesture.touched)
        return answered(session, video, gone.object, gone.frame, began)

    return session.worker.call(work)


def answered(session: Session, video: int, object: int, frame: int, began: float) -> Result:
    """The answer to a prompt or an edit, as the page gets it; `began` is when the work did."""
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
        before, row = [], None
        if object is not None:
            before = session.project.prompts(video, object, start=frame, stop=frame + 1)
            row = session.project.mask(video, object, frame)
        kept, value = _complete(before, row, "click", {"x": float(x), "y": float(y), "on": bool(on)})
        said = add_up([*kept, PromptInfo(0, video, object or 0, frame, "click", value, "")])
        mask, answer = answer_prompts(session, video, frame, said, object=object)
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


ASKING: dict[str, Callable[..., Result]] = {
    "prompt.click": click,
    "prompt.box": box,
    "prompt.candidate": choose_candidate,
    "prompt.remove": remove_prompt,
    "hover": hover,
    "frame.prepare": prepare_frame,
}
"""These gestures by their name in the protocol."""
