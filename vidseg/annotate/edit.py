"""Gestures on masks and prompts that need no model: drawing, pinning, clearing, accepting, importing.

Each opens one gesture (one line of the history) and returns what it touched. `session` adds those that ask the model.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..masks import rle
from . import paint
from .guards import need_frame, need_object, need_range, spare_accepted
from .project import Project
from .rows import MaskInfo, ObjectInfo, PromptInfo, describe, overlap
from .store import Gesture, Touched, now
from .tables import mask_to_row


def draw(
    project: Project,
    video: int,
    object: int,
    frame: int,
    *,
    kind: str,
    value: Mapping[str, Any],
    overwrite: bool = False,
) -> Touched:
    """Change the mask of a frame by hand.

    `kind` and `value` are those of a prompt without its `rle`: "brush" (mode, radius, points), "polygon" (mode,
    points), or "mask" (`rle` given: takes the place of what is there).
    """
    info = need_frame(project, video, frame)
    known = need_object(project, video, object)
    spare_accepted(project, video, [object], start=frame, stop=frame + 1, overwrite=overwrite)
    before = project.mask(video, object, frame)
    if kind == "mask":
        mask = rle.decode(value["rle"])
    else:
        if kind == "brush":
            stroke = paint.brush(info.size, value["points"], value["radius"])
        else:
            stroke = paint.polygon(info.size, value["points"])
        mask = paint.combine(None if before is None else before.decode(), stroke, value["mode"])
    with project.store.gesture(f"{_VERBS[kind]} {known.name}", video=video, frame=frame) as gesture:
        pin(gesture, video, object, frame, mask, kind=kind, value=value, source="edited", before=before)
    return gesture.touched


_VERBS = {"brush": "paint", "polygon": "polygon on", "mask": "draw"}


def pin(
    gesture: Gesture,
    video: int,
    object: int,
    frame: int,
    mask: np.ndarray,
    *,
    source: str,
    kind: str = "mask",
    value: Mapping[str, Any] | None = None,
    state: str = "unreviewed",
    before: MaskInfo | None = None,
) -> int:
    """Write a mask that stands by itself, as a prompt and as a mask; return the prompt's id."""
    fields = describe(mask)
    kept = {**(value or {}), "rle": {"size": list(fields["size"]), "counts": fields["counts"]}}
    number = add_prompt(gesture, video, object, frame, kind, kept)
    made = MaskInfo(video, object, frame, **fields, source=source, state=state, origin=frame)
    put_correction(gesture, made, before)
    return number


def add_prompt(gesture: Gesture, video: int, object: int, frame: int, kind: str, value: Mapping[str, Any]) -> int:
    """Insert a prompt and return its id."""
    row = {"video": video, "object": object, "frame": frame, "kind": kind, "value": json.dumps(value), "created": now()}
    return gesture.add_prompt(row)


def put_mask(gesture: Gesture, mask: MaskInfo) -> None:
    """Insert or replace a mask."""
    gesture.put("mask", mask_to_row(mask))


def put_correction(gesture: Gesture, mask: MaskInfo, before: MaskInfo | None) -> None:
    """Put a person's mask in the place of the one before, and note how much was left of one that was propagated.

    Corrections come one by one: what each leaves of the last is multiplied.
    """
    left = None if before is None else 1.0 if before.source == "propagated" else before.agreement
    if before is not None and left is not None:
        mask = dataclasses.replace(mask, agreement=left * overlap(before.decode(), mask.decode()))
    put_mask(gesture, mask)


def clear_prompts(
    project: Project,
    video: int,
    object: int,
    *,
    start: int,
    stop: int,
    masks: bool = False,
    overwrite: bool = False,
) -> Touched:
    """Remove all prompts of an object in a range; its masks there are no longer pinned, or removed with `masks`."""
    need_range(project, video, start, stop)
    known = need_object(project, video, object)
    spare_accepted(project, video, [object], start=start, stop=stop, overwrite=overwrite)
    with project.store.gesture(f"clear prompts of {known.name}", video=video, frame=start) as gesture:
        frames = set()
        for prompt in project.prompts(video, object, start=start, stop=stop):
            gesture.remove("prompt", (prompt.id,))
            frames.add(prompt.frame)
        for mask in list(project.masks(video, object, start=start, stop=stop)):
            key = (video, object, mask.frame)
            if masks:
                gesture.remove("mask", key)
            elif mask.frame in frames:
                gesture.update("mask", key, source="propagated", origin=mask.frame, revision=0, agreement=None)
    return gesture.touched


def set_state(
    project: Project, video: int, objects: Sequence[int] | None, *, start: int, stop: int, state: str
) -> Touched:
    """Mark the masks of some objects (None: all that are not locked) in a range as accepted, rejected or unreviewed."""
    need_range(project, video, start, stop)
    if objects is None:
        objects = [known.id for known in project.objects(video) if not known.locked]
    names = [need_object(project, video, number).name for number in objects]
    what = names[0] if len(names) == 1 else f"{len(names)} objects"
    verb = {"accepted": "accept", "rejected": "reject", "unreviewed": "unreview"}[state]
    with project.store.gesture(f"{verb} {what}", video=video, frame=start) as gesture:
        for number in objects:
            rows = project._rows(
                "SELECT frame FROM mask WHERE video = ? AND object = ? AND frame >= ? AND frame < ? AND state != ?",
                video, number, start, stop, state,
            )  # fmt: skip
            for row in rows:
                gesture.update("mask", (video, number, row[0]), state=state)
    return gesture.touched


def add_masks(
    project: Project,
    video: int,
    tracks: Iterable[tuple[Mapping[str, Any], Mapping[int, Mapping[str, Any]]]],
    *,
    label: str,
    origin: str,
    source: str,
) -> tuple[list[ObjectInfo], Touched]:
    """Add objects with masks that stand by themselves, as one gesture.

    `tracks` holds (fields of the object: name, class, colour, all optional; {frame: run lengths}); `origin` is
    noted with every prompt ("imported", "proposal"), `source` with every mask.
    """
    from .objects import insert_object

    made = []
    with project.store.gesture(label, video=video) as gesture:
        for fields, masks in tracks:
            known = insert_object(project, gesture, video, **fields)
            for frame, mask in masks.items():
                pin(gesture, video, known.id, frame, rle.decode(mask), source=source, value={"origin": origin})
            made.append(known)
    return made, gesture.touched


def take_back(gesture: Gesture, prompt: PromptInfo, left: Sequence[PromptInfo], mask: MaskInfo | None) -> None:
    """Remove one prompt; `mask` is what the `left` ones of its frame say, None if there are none."""
    gesture.remove("prompt", (prompt.id,))
    if left and mask is not None:
        put_mask(gesture, mask)
    elif not left:
        gesture.remove("mask", (prompt.video, prompt.object, prompt.frame))
