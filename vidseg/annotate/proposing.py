"""Gestures of the data engine's second and third stage: propose objects, accept some, or take all and track them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..automatic import Grid, Proposal, suppress
from ..masks import rle
from . import edit, gestures
from .guards import need_frame
from .refused import Refused
from .rows import overlap
from .session import Session
from .worker import HOVER

Result = dict[str, Any]
_KNOWN = 0.5  # IoU with an annotated object from which on a proposal says nothing new


def make(session: Session, *, video: int, frame: int, **options: Any) -> Result:
    """proposals.make."""
    need_frame(session.project, video, frame)
    grid = Grid(**options)
    batches = session.worker.call(lambda: session.segmenter.propose(session.encoded(video, frame), grid))
    every: list[Proposal] = []
    while (batch := session.worker.call(lambda: next(batches, None), priority=HOVER)) is not None:
        every += batch  # clicks are answered between two batches
    found = suppress(every, grid.max_overlap)
    known = [mask.decode() for mask in session.project.masks(video, start=frame, stop=frame + 1) if mask.area]
    fresh = [one for one in found if all(overlap(one.mask, mask) < _KNOWN for mask in known)]
    session.proposals[video, frame] = {f"p{n}": _shown(f"p{n}", one) for n, one in enumerate(fresh, 1)}
    return {"proposals": _tell(session, video, frame)}


def _shown(key: str, proposal: Proposal) -> Result:
    code = rle.encode(np.asarray(proposal.mask))
    return {
        "key": key, "rle": code, "box": list(rle.box(code)), "area": rle.area(code),
        "iou": round(proposal.iou, 4), "stability": round(proposal.stability, 4),
    }  # fmt: skip


def _tell(session: Session, video: int, frame: int) -> list[Result]:
    left = list(session.proposals.get((video, frame), {}).values())
    session.tell([{"event": "proposals", "video": video, "frame": frame, "proposals": left}])
    return left


def _take(session: Session, video: int, frame: int, keys: Sequence[str] | str) -> list[Result]:
    """Remove and return proposals; raises Refused if one does not exist."""
    need_frame(session.project, video, frame)
    with session.project.store.lock:
        left = session.proposals.get((video, frame), {})
        wanted = list(left) if keys == "all" else list(dict.fromkeys(keys))
        missing = [key for key in wanted if key not in left]
        if missing:
            raise Refused("not_found", f"there is no proposal {missing[0]} on frame {frame}")
        if not wanted:
            raise Refused("nothing", f"there are no proposals on frame {frame}")
        return [left.pop(key) for key in wanted]


def accept(session: Session, *, video: int, frame: int, keys: Sequence[str] | str, **fields: Any) -> Result:
    """proposals.accept."""
    taken = _take(session, video, frame, keys)
    looks = {"class_name": fields.get("class", "")}
    label = "accept a proposal" if len(taken) == 1 else f"accept {len(taken)} proposals"
    made, touched = edit.add_masks(
        session.project,
        video,
        [(looks, {frame: one["rle"]}) for one in taken],
        label=label,
        origin="proposal",
        source="prompted",
    )
    _tell(session, video, frame)
    session.changed(touched)
    return {"objects": [known.to_json() for known in made]}


def dismiss(session: Session, *, video: int, frame: int, keys: Sequence[str] | str) -> Result:
    """proposals.dismiss."""
    _take(session, video, frame, keys)
    _tell(session, video, frame)
    return {}


def automatic(session: Session, *, video: int, frame: int, **options: Any) -> Result:
    """automatic.start: propose, accept all, propagate both ways."""
    fields = {"class": options.pop("class")} if "class" in options else {}
    if not make(session, video=video, frame=frame, **options)["proposals"]:
        raise Refused("nothing", "nothing new was found on this frame; lower the thresholds or use a finer grid")
    made = accept(session, video=video, frame=frame, keys="all", **fields)["objects"]
    numbers = [known["id"] for known in made]
    job = gestures.propagate(session, video=video, objects=numbers, direction="both", frame=frame, reach="all")
    return {"objects": made, **job}


PROPOSING: dict[str, Callable[..., Result]] = {
    "proposals.make": make,
    "proposals.accept": accept,
    "proposals.dismiss": dismiss,
    "automatic.start": automatic,
}
"""These gestures by their name in the protocol."""
