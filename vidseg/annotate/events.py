"""From rows that changed to the events that tell the page: one rule for gestures, undo, redo and propagation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .project import Project
from .rows import MaskInfo, is_stale
from .store import Touched

FEW = 64
"""More touched masks or prompted frames than this are told as one `reload`."""

Event = dict[str, Any]


def mask_events(project: Project, masks: Iterable[MaskInfo], *, job: int | None = None) -> Iterator[Event]:
    """Yield the event that carries masks, all of one video."""
    masks = list(masks)
    if masks:
        known = {number: project.anchors(masks[0].video, number) for number in {mask.object for mask in masks}}
        found = [mask.to_json(stale=is_stale(mask, known[mask.object])) for mask in masks]
        yield {"event": "masks", "video": masks[0].video, "masks": found, "job": job}


def stale_event(project: Project, video: int, object: int) -> Event:
    """Return the event with all stale ranges of an object."""
    known = project.anchors(video, object)
    lane = project.lane(video, object)
    return {"event": "stale", "video": video, "object": object, "stale": lane.spans(lane.stale(known))}


def history_event(project: Project) -> Event:
    """Return the event with what undo and redo would do."""
    return {"event": "history", **history(project)}


def history(project: Project) -> dict[str, Any]:
    """What undo and redo would do, and how many of each there are."""
    undo, redo, undo_count, redo_count = project.store.history()
    shown = [
        None if entry is None else {"label": entry.label, "video": entry.video, "frame": entry.frame}
        for entry in (undo, redo)
    ]
    return {"undo": shown[0], "redo": shown[1], "undo_count": undo_count, "redo_count": redo_count}


def changes(project: Project, touched: Touched) -> Iterator[Event]:
    """Yield the events for rows that a gesture, an undo or a redo has touched."""
    objects, masks = touched.keys["object"], touched.keys["mask"]
    places = {*touched.places.values()}
    for number in sorted({video for video, _ in objects}):
        listed = [known.to_json() for known in project.objects(number)]
        yield {"event": "objects", "video": number, "objects": listed}
    if len(masks) > FEW or len(places) > FEW:
        yield from _reloads({(key[0], key[1], key[2]) for key in masks} | {(a, b, c) for a, b, c in places})
    else:
        for video, object, frame in sorted(places):
            found = project.prompts(video, object, start=frame, stop=frame + 1)
            listed = [prompt.to_json() for prompt in found]
            yield {"event": "prompts", "video": video, "object": object, "frame": frame, "prompts": listed}
        yield from _masks(project, sorted((key[0], key[1], key[2]) for key in masks))
    for video, object in sorted({(video, object) for video, object, _ in places}):
        if project.object(video, object) is not None:
            yield stale_event(project, video, object)


def _masks(project: Project, places: list[tuple[int, int, int]]) -> Iterator[Event]:
    present: dict[int, list[MaskInfo]] = {}
    for video, object, frame in places:
        mask = project.mask(video, object, frame)
        if mask is not None:
            present.setdefault(video, []).append(mask)
        else:
            yield {
                "event": "masks_removed", "video": video, "objects": [object], "start": frame, "stop": frame + 1
            }  # fmt: skip
    for masks in present.values():
        yield from mask_events(project, masks)


def _reloads(places: set[tuple[int, int, int]]) -> Iterator[Event]:
    for video in sorted({place[0] for place in places}):
        mine = [place for place in places if place[0] == video]
        frames = [frame for _, _, frame in mine]
        yield {
            "event": "reload", "video": video, "objects": sorted({object for _, object, _ in mine}),
            "start": min(frames), "stop": max(frames) + 1,
        }  # fmt: skip
