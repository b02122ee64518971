"""One propagation: a generator that does one frame at a time, writes it, and can be left at any moment.

What it does next always follows from the rows (which masks are missing or stale), never from memory of its own. So a
click in between, a cancel, a crash and a restart need no special care: it plans again.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import VideoError
from . import edit
from .lane import Lane
from .plan import PAST, Leg, legs, sweep, vouchers
from .project import Project
from .rows import Anchors, MaskInfo, add_up, describe, is_stale, overlap
from .segmenter import Followed, Track

if TYPE_CHECKING:
    from .session import Session


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a propagation is to bring up to date: in each object's [start, stop) range.

    `agreement` asks for both passes between two prompts; `only_stale` leaves frames alone that never had a mask;
    `overwrite` allows accepted masks to be replaced.
    """

    objects: Mapping[int, tuple[int, int]]
    direction: str = "both"
    combine: str = "nearer"
    agreement: bool = True
    exclusive: bool = False
    only_stale: bool = False
    overwrite: bool = False

    @property
    def both_passes(self) -> bool:
        """Whether frames between two prompts are visited from both sides."""
        wanted = self.agreement or self.combine == "confident"
        return wanted and self.direction == "both" and not self.only_stale

    def to_json(self) -> dict[str, Any]:
        """The spec as the job table keeps it."""
        return {**dataclasses.asdict(self), "objects": {str(key): list(value) for key, value in self.objects.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> JobSpec:
        """The inverse of `to_json`; other keys are ignored."""
        names = {one.name for one in dataclasses.fields(cls)}
        fields = {name: one for name, one in value.items() if name in names}
        fields["objects"] = {int(key): (span[0], span[1]) for key, span in value["objects"].items()}
        return cls(**fields)


@dataclass(eq=False)
class Job:
    """A propagation in progress; `state` as in the protocol. Changed under the store's lock only."""

    id: int
    video: int
    spec: JobSpec
    state: str = "queued"
    done: int = 0
    total: int = 0
    frame: int = 0
    direction: int = 1
    message: str = ""
    replan: bool = False
    passed: dict[tuple[int, int], MaskInfo] = field(default_factory=dict)  # (object, frame): the forward pass
    steps: Iterator[None] | None = None
    clock: list[float] = field(default_factory=list)

    @property
    def auto(self) -> bool:
        """Whether it started by itself after a correction."""
        return self.spec.only_stale

    def to_json(self) -> dict[str, Any]:
        """The job as the page knows it."""
        spans = list(self.spec.objects.values())
        rate = (len(self.clock) - 1) / (self.clock[-1] - self.clock[0]) if len(self.clock) > 1 else 0.0
        return {
            "id": self.id, "kind": "propagate", "video": self.video, "objects": sorted(self.spec.objects),
            "direction": self.spec.direction, "start": min(span[0] for span in spans),
            "stop": max(span[1] for span in spans), "auto": self.auto, "state": self.state, "done": self.done,
            "total": self.total, "frame": self.frame, "pass": "forward" if self.direction > 0 else "backward",
            "frames_per_second": round(rate, 2), "message": self.message,
        }  # fmt: skip

    def tick(self) -> None:
        """Note that a frame is done, for the frames a second."""
        self.clock = [*self.clock[-19:], time.monotonic()]


def plan_job(project: Project, job: Job) -> list[Leg]:
    """Return what is left to do, from what the project holds now."""
    found: list[Leg] = []
    for number, (start, stop) in job.spec.objects.items():
        owner = project.object(job.video, number)
        if owner is None or owner.locked:
            continue
        known = project.anchors(job.video, number)
        lane = project.lane(job.video, number, start=start, stop=stop)
        needed, fresh, agree = _wanted(job.spec, known, lane, range(start, stop))
        passed = {
            frame
            for (other, frame), row in job.passed.items()
            if other == number and row.revision == known.revisions.get(known.around(frame)[0] or 0)
        }
        found += legs(
            number, known, needed=needed, fresh=fresh, start=start, stop=stop, direction=job.spec.direction,
            passed=passed, agree=agree,
        )  # fmt: skip
    return found


def _wanted(spec: JobSpec, known: Anchors, lane: Lane, span: range) -> tuple[set[int], set[int], set[int]]:
    """Return the frames to write, those whose masks are up to date, and those on which both passes are wanted.

    Never written are prompted frames, and accepted ones unless they are to be overwritten.
    """
    is_stale = lane.stale(known)
    stale, fresh = set(lane.where(is_stale)), set(lane.where(~is_stale))
    accepted = set() if spec.overwrite else set(lane.where(lane.accepted))
    writable = set(span) - known.revisions.keys() - accepted
    missing = set(span) - stale - fresh
    needed = writable & (stale if spec.only_stale else stale | missing)
    if not spec.both_passes or not known.frames:
        return needed, fresh, set()
    alone = set(lane.where(np.isnan(lane.agreement)))
    between = set(range(known.frames[0] + 1, known.frames[-1]))
    return needed, fresh, writable & between & (missing | stale | alone)


def run(session: Session, job: Job) -> Iterator[None]:
    """Do the job, yielding after every frame; returns when it is done. Runs on the worker's thread."""
    yield from _answer(session, job)
    while True:
        job.replan = False
        todo = plan_job(session.project, job)
        visits = {direction: sweep(todo, direction) for direction in (1, -1)}
        job.total = job.done + sum(map(len, visits.values()))
        for direction in (1, -1):
            job.direction = direction
            mine = [leg for leg in todo if leg.direction == direction]
            yield from _sweep(session, job, mine, visits[direction])
            if job.replan:
                break
        if not job.replan:
            return


def _answer(session: Session, job: Job) -> Iterator[None]:
    """Ask the model for masks of prompts that have none yet: those that were imported."""
    from .asking import answer_prompts, prompted

    project, video = session.project, job.video
    for number in job.spec.objects:
        for frame in project.anchors(video, number).frames:
            if project.mask(video, number, frame) is None:
                said = add_up(project.prompts(video, number, start=frame, stop=frame + 1))
                mask, answer = answer_prompts(session, video, frame, said, object=number)
                with project.store.lock:
                    unchanged = said == add_up(project.prompts(video, number, start=frame, stop=frame + 1))
                    if unchanged and project.object(video, number) is not None and job.state == "running":
                        with project.store.gesture("answer imported prompts", video=video, job=job.id) as gesture:
                            edit.put_mask(gesture, prompted(video, number, frame, mask, answer))
                        session.propagated(job, [prompted(video, number, frame, mask, answer)])
                yield


def _sweep(session: Session, job: Job, todo: Sequence[Leg], frames: Sequence[int]) -> Iterator[None]:
    try:
        yield from _visit(session, job, todo, frames)
    finally:
        session.look_no_further()


def _visit(session: Session, job: Job, todo: Sequence[Leg], frames: Sequence[int]) -> Iterator[None]:
    tracks: dict[Leg, Track] = {}
    for frame, coming in zip(frames, [*frames[1:], None], strict=False):  # there may be no frame at all
        if job.replan:
            return
        active = [leg for leg in todo if leg.covers(frame)]
        try:
            encoded = session.encoded(job.video, frame, direction=job.direction)
        except VideoError as error:
            job.message = str(error)  # a broken frame is left without a mask; tracking goes on after it
            job.done += 1
            yield
            continue
        for leg in active:
            if leg not in tracks:
                tracks[leg] = _start(session, job.video, leg)
        if coming is not None:
            session.look_ahead(job.video, coming, direction=job.direction)
        results = session.segmenter.follow([tracks[leg] for leg in active], encoded)
        found: list[tuple[Leg, Followed]] = []
        for leg, (track, followed) in zip(active, results, strict=True):
            tracks[leg] = track
            if frame in leg.targets:
                found.append((leg, followed))
        if job.spec.exclusive:
            found = _without_overlap(found)
        job.frame, job.done = frame, job.done + 1
        job.tick()
        _write(session, job, frame, found)
        tracks = {leg: track for leg, track in tracks.items() if leg.last != frame}
        yield


def _start(session: Session, video: int, leg: Leg) -> Track:
    """Return a track that remembers the object's prompted frames, and the frames just before if the leg starts late."""
    project = session.project
    known = project.anchors(video, leg.object)
    vouched = [
        memory
        for frame in vouchers(known, leg)
        if frame in known.revisions and (memory := session.memory(video, leg.object, frame)) is not None
    ]
    recent = []
    for frame in range(leg.first - leg.direction * PAST, leg.first, leg.direction):
        row = project.mask(video, leg.object, frame) if (frame - leg.origin) * leg.direction > 0 else None
        if row is not None and not is_stale(row, known):
            recent.append(session.memory(video, leg.object, frame))
    past = [memory for memory in recent if memory is not None]
    return session.segmenter.begin(vouched, past, reverse=leg.direction < 0)


def _write(session: Session, job: Job, frame: int, found: Sequence[tuple[Leg, Followed]]) -> None:
    """Write what was found on a frame, unless the prompts have changed meanwhile; tell everyone."""
    project, written = session.project, []
    objects = "objects" if len(job.spec.objects) > 1 else session.object_name(job.video, min(job.spec.objects))
    with project.store.lock:
        if job.state != "running":
            return
        with project.store.gesture(f"propagate {objects}", video=job.video, frame=frame, job=job.id) as gesture:
            for leg, followed in found:
                known = project.anchors(job.video, leg.object)
                if known.revisions.get(leg.origin) != leg.revision or leg.origin not in known.around(frame):
                    job.replan = True
                    continue
                mask = _merge(project, job, leg, frame, followed, known)
                if mask is not None:
                    edit.put_mask(gesture, mask)
                    written.append(mask)
    session.propagated(job, written)


def _merge(project: Project, job: Job, leg: Leg, frame: int, followed: Followed, known: Anchors) -> MaskInfo | None:
    """Return the row to write for a frame: this pass's mask or, between two prompts, the better of both."""
    row = project.mask(job.video, leg.object, frame)
    if row is not None and row.state == "accepted" and not job.spec.overwrite:
        return None
    fresh = MaskInfo(
        job.video, leg.object, frame, **describe(followed.mask), score=followed.score, iou=followed.iou,
        origin=leg.origin, revision=leg.revision, seen=known.seen,
    )  # fmt: skip
    left = known.around(frame)[0]
    if not job.spec.both_passes or None in known.around(frame) or left is None:
        return fresh
    if leg.direction > 0:
        job.passed[leg.object, frame] = fresh
        return fresh if row is None or is_stale(row, known) else None
    earlier = job.passed.pop((leg.object, frame), None)
    if earlier is None:
        return fresh
    if job.spec.combine == "confident":
        better = fresh.confidence > earlier.confidence
    else:
        better = leg.origin - frame < frame - left
    chosen = dataclasses.replace(fresh if better else earlier, agreement=overlap(earlier.decode(), followed.mask))
    if row is not None and row.counts == chosen.counts:  # what was reviewed stays reviewed
        chosen = dataclasses.replace(chosen, state=row.state)
    return chosen


def _without_overlap(found: Sequence[tuple[Leg, Followed]]) -> list[tuple[Leg, Followed]]:
    """Give every pixel to the object that the model is surest of."""
    taken: np.ndarray | None = None
    kept = []
    for leg, one in sorted(found, key=lambda item: -item[1].score * item[1].iou):
        mask = one.mask if taken is None else one.mask & ~taken
        taken = mask if taken is None else taken | mask
        kept.append((leg, dataclasses.replace(one, mask=mask)))
    return kept
