"""Gestures on objects: add, change, delete, merge two, split one, swap two over a range.

Where these move masks between objects, the frames at the seams are pinned (a mask prompt each), so that propagating
again keeps what was decided.
"""

from __future__ import annotations

from typing import Any

from . import edit
from .guards import need_frame, need_object, need_range, need_video, spare_accepted
from .project import Project
from .refused import Refused
from .rows import COLOURS, MaskInfo, ObjectInfo, PromptInfo, describe
from .store import Gesture, Touched
from .tables import mask_to_row

MAX_ID = 65535


def add_object(project: Project, video: int, **fields: Any) -> tuple[ObjectInfo, Touched]:
    """Add an object; `fields`: name, class_name, colour, all optional."""
    need_video(project, video)
    name = fields.get("name") or f"object {_next_id(project, video)}"
    with project.store.gesture(f"add {name}", video=video) as gesture:
        known = insert_object(project, gesture, video, **fields)
    return known, gesture.touched


def insert_object(
    project: Project, gesture: Gesture, video: int, *, name: str = "", class_name: str = "", colour: str = ""
) -> ObjectInfo:
    """Insert an object under the next free id, at the end of the list."""
    number = _next_id(project, video)
    if number > MAX_ID:
        raise Refused("bad_request", f"a video can have objects up to id {MAX_ID}; delete some first")
    position = len(project.objects(video))
    colour = colour or COLOURS[(number - 1) % len(COLOURS)]
    known = ObjectInfo(video, number, name or f"object {number}", class_name, colour, position)
    gesture.put("object", _row(known))
    return known


def update_object(project: Project, video: int, object: int, **fields: Any) -> tuple[ObjectInfo, Touched]:
    """Change name, class_name, colour, locked or position (undoable), or hidden (a matter of view: not undoable)."""
    known = need_object(project, video, object, unlocked=False)
    hidden = fields.pop("hidden", None)
    if hidden is not None:
        with project.store.transaction() as connection:
            connection.execute("UPDATE object SET hidden = ? WHERE video = ? AND id = ?", (int(hidden), video, object))
    touched = Touched()
    if fields:
        verb = "rename" if set(fields) == {"name"} else "change"
        with project.store.gesture(f"{verb} {known.name}", video=video) as gesture:
            position = fields.pop("position", None)
            if position is not None:
                _move(project, gesture, known, position)
            columns = {("class" if name == "class_name" else name): value for name, value in fields.items()}
            if columns:
                gesture.update("object", (video, object), **columns)
        touched = gesture.touched
    touched.keys["object"].add((video, object))
    return need_object(project, video, object, unlocked=False), touched


def delete_object(project: Project, video: int, object: int, *, overwrite: bool = False) -> Touched:
    """Remove an object with all its prompts and masks."""
    known = need_object(project, video, object)
    spare_accepted(project, video, [object], start=0, stop=project.video(video).frames, overwrite=overwrite)
    with project.store.gesture(f"delete {known.name}", video=video) as gesture:
        _remove(project, gesture, known)
    return gesture.touched


def merge_objects(
    project: Project, video: int, *, into: int, other: int, overwrite: bool = False
) -> tuple[ObjectInfo, Touched]:
    """Unite the masks of two objects frame by frame under the id `into`; `other` is gone."""
    if into == other:
        raise Refused("nothing", "an object cannot be merged with itself; choose two")
    keep, gone = need_object(project, video, into), need_object(project, video, other)
    frames = project.video(video).frames
    spare_accepted(project, video, [into, other], start=0, stop=frames, overwrite=overwrite)
    masks = {mask.frame: mask for mask in project.masks(video, into)}
    pinned = set(project.anchors(video, into).frames) | set(project.anchors(video, other).frames)
    with project.store.gesture(f"merge {gone.name} into {keep.name}", video=video) as gesture:
        for mask in list(project.masks(video, other)):
            mine = masks.get(mask.frame)
            masks[mask.frame] = mask if mine is None else _union(mine, mask)
        for prompt in project.prompts(video, into):
            gesture.remove("prompt", (prompt.id,))
        _remove(project, gesture, gone)
        for frame, mask in masks.items():
            if frame in pinned:
                edit.pin(gesture, video, into, frame, mask.decode(), source="edited", value={"origin": "merged"},
                         state=mask.state)  # fmt: skip
            else:
                row = {**mask_to_row(mask), "object": into}
                gesture.put("mask", row)
        _renew(project, gesture, video, into)
    return keep, gesture.touched


def split_object(
    project: Project, video: int, object: int, *, frame: int, overwrite: bool = False
) -> tuple[ObjectInfo, Touched]:
    """Make the part of an object from `frame` on an object of its own; return the new one."""
    info = need_frame(project, video, frame)
    known = need_object(project, video, object)
    spare_accepted(project, video, [object], start=frame, stop=info.frames, overwrite=overwrite)
    if frame == 0 or next(project.masks(video, object, start=frame), None) is None:
        raise Refused("nothing", f"{known.name} has no masks on both sides of frame {frame} to split")
    with project.store.gesture(f"split {known.name}", video=video, frame=frame) as gesture:
        made = insert_object(project, gesture, video, name=f"{known.name} b"[:100], class_name=known.class_name)
        _hand_over(project, gesture, known.id, made.id, video=video, start=frame, stop=info.frames)
        _pin_seam(project, gesture, video, made.id, frame, origin="split")
        _renew(project, gesture, video, known.id)
        _renew(project, gesture, video, made.id)
    return made, gesture.touched


def swap_objects(
    project: Project, video: int, *, a: int, b: int, start: int, stop: int, overwrite: bool = False
) -> Touched:
    """Exchange the masks and prompts of two objects on frames `start` to `stop - 1`."""
    if a == b:
        raise Refused("nothing", "an object cannot be swapped with itself; choose two")
    info = need_range(project, video, start, stop)
    names = [need_object(project, video, number).name for number in (a, b)]
    spare_accepted(project, video, [a, b], start=start, stop=stop, overwrite=overwrite)
    with project.store.gesture(f"swap {names[0]} and {names[1]}", video=video, frame=start) as gesture:
        mine = _take(project, gesture, a, video=video, start=start, stop=stop)
        _hand_over(project, gesture, b, a, video=video, start=start, stop=stop)
        _give(gesture, b, *mine)
        for number in (a, b):
            for frame in {start - 1, start, stop - 1, stop} & set(range(info.frames)):
                _pin_seam(project, gesture, video, number, frame, origin="swapped")
            _renew(project, gesture, video, number)
    return gesture.touched


def _take(
    project: Project, gesture: Gesture, object: int, *, video: int, start: int, stop: int
) -> tuple[list[PromptInfo], list[MaskInfo]]:
    """Remove and return an object's prompts and masks in a range."""
    prompts = project.prompts(video, object, start=start, stop=stop)
    masks = list(project.masks(video, object, start=start, stop=stop))
    for mask in masks:
        gesture.remove("mask", (video, object, mask.frame))
    return prompts, masks


def _give(gesture: Gesture, object: int, prompts: list[PromptInfo], masks: list[MaskInfo]) -> None:
    for prompt in prompts:
        gesture.update("prompt", (prompt.id,), object=object)
    for mask in masks:
        gesture.put("mask", {**mask_to_row(mask), "object": object})


def _hand_over(
    project: Project, gesture: Gesture, giver: int, taker: int, *, video: int, start: int, stop: int
) -> None:
    _give(gesture, taker, *_take(project, gesture, giver, video=video, start=start, stop=stop))


def _pin_seam(project: Project, gesture: Gesture, video: int, object: int, frame: int, *, origin: str) -> None:
    mask = project.mask(video, object, frame)
    if mask is not None and not project.prompts(video, object, start=frame, stop=frame + 1):
        edit.pin(gesture, video, object, frame, mask.decode(), source="edited", value={"origin": origin},
                 state=mask.state)  # fmt: skip


def _renew(project: Project, gesture: Gesture, video: int, object: int) -> None:
    """Let propagated masks that a person has re-ordered depend on the prompts that are there now."""
    known = project.anchors(video, object)
    for mask in list(project.masks(video, object)):
        origin = known.nearest(mask.frame)
        if mask.source == "propagated" and origin is not None:
            gesture.update("mask", (video, object, mask.frame), origin=origin, revision=known.revisions[origin],
                           seen=known.seen)  # fmt: skip


def _union(mine: MaskInfo, other: MaskInfo) -> MaskInfo:
    both = mine.state if mine.state == other.state else "unreviewed"
    source = mine.source if mine.source == other.source else "edited"
    if "propagated" in (mine.source, other.source):
        source = "propagated"
    return MaskInfo(
        mine.video, mine.object, mine.frame, **describe(mine.decode() | other.decode()),
        score=max(mine.score, other.score), iou=min(mine.iou, other.iou), source=source, state=both,
    )  # fmt: skip


def _remove(project: Project, gesture: Gesture, known: ObjectInfo) -> None:
    for prompt in project.prompts(known.video, known.id):
        gesture.remove("prompt", (prompt.id,))
    for mask in list(project.masks(known.video, known.id)):
        gesture.remove("mask", (known.video, known.id, mask.frame))
    gesture.remove("object", (known.video, known.id))


def _move(project: Project, gesture: Gesture, known: ObjectInfo, position: int) -> None:
    others = [one for one in project.objects(known.video) if one.id != known.id]
    others.insert(min(position, len(others)), known)
    for place, one in enumerate(others):
        if one.position != place:
            gesture.update("object", (one.video, one.id), position=place)


def _next_id(project: Project, video: int) -> int:
    return max((known.id for known in project.objects(video)), default=0) + 1


def _row(known: ObjectInfo) -> dict[str, Any]:
    return {
        "video": known.video, "id": known.id, "name": known.name, "class": known.class_name, "colour": known.colour,
        "position": known.position, "hidden": int(known.hidden), "locked": int(known.locked),
    }  # fmt: skip
