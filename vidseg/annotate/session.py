"""A project at work: the project, a model, one worker thread, and everyone who is told what happens.

`Session.do("prompt.click", video=1, ...)` is the one door for the page, scripts and tests alike; the names and fields
are those of `docs/annotate-protocol.md`. What a gesture has returned is on disk. The gestures themselves are in
`gestures.py`; here is what they share: pictures, encoded frames, jobs and events.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import VidsegError, WeightsError
from ..types import Frame
from . import events, propagate, view
from .cache import Recent
from .events import Event
from .frames import Frames
from .project import Project
from .propagate import Job, JobSpec
from .refused import Refused
from .rows import MaskInfo
from .segmenter import Encoded, Memory, Segmenter
from .store import Touched
from .worker import Worker

if TYPE_CHECKING:
    from .learning import Learning

_ENCODED, _MEMORIES = 8, 64
_PAUSE = 0.6  # seconds after the last correction before its consequences are computed

Listener = Callable[[Event], None]


class Session:
    """A project with a model at hand; a context manager.

    Args:
        project: open for writing.
        load: makes the model; called once, on the worker's thread, when a model is first needed. None: no model.
        own: close the project with the session.

    All public methods may be called from any thread.
    """

    def __init__(self, project: Project, load: Callable[[], Segmenter] | None = None, *, own: bool = False) -> None:
        self.project = project
        self._own = own
        self.frames = Frames(project)
        self.candidates: dict[tuple[int, int, int], tuple[int, np.ndarray, list[dict[str, Any]]]] = {}
        self.proposals: dict[tuple[int, int], dict[str, Any]] = {}
        self.hovers = itertools.count(1)
        self.newest_hover = 0
        self._load = load
        self._segmenter: Segmenter | None = None
        self.model: dict[str, Any] = {"name": "", "state": "loading" if load else "failed", "message": "", "learned": 0}
        self.learning: Learning | None = None
        if load is None:
            self.model["message"] = "no model was loaded; only drawing, reviewing and exporting work"
        self._listeners: list[Listener] = []
        self._encoded: Recent[Encoded] = Recent(_ENCODED)
        self._ahead: dict[tuple[int, str, int], Callable[[], Encoded]] = {}
        self._memories: Recent[Memory | None] = Recent(_MEMORIES)
        self._jobs: list[Job] = []
        self._due: dict[tuple[int, int], float] = {}
        self._reviewed = 0.0
        self._review_due: set[int] = set()
        self._review_pause = 1.0
        self._telling = project.store.lock  # one lock for both: a gesture may tell, and telling reads the project
        self.worker = Worker(self._idle)
        self._restore_jobs()

    def close(self) -> None:
        """Stop the worker after the frame it is at; unfinished jobs go on when the project is opened again."""
        self.worker.stop()
        self.frames.close()
        if self._own:
            self.project.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Doing and telling

    def do(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """Do a gesture of the protocol and return its result, with values as JSON has them.

        The fields are taken as they are; `api.parse` checks what comes from a page.

        Raises Refused, whose `code` says why; VidsegError for anything else that a person can mend.
        """
        from .asking import ASKING
        from .gestures import GESTURES
        from .learning import LEARNING
        from .proposing import PROPOSING

        known = {**ASKING, **GESTURES, **LEARNING, **PROPOSING}
        if name not in known:
            raise Refused("bad_request", f"there is no gesture {name!r}")
        return known[name](self, **fields)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(event)` for every event from now on, from any thread; return what ends that."""
        with self._telling:
            self._listeners = [*self._listeners, listener]

        def leave() -> None:
            with self._telling:
                self._listeners = [one for one in self._listeners if one is not listener]

        return leave

    def tell(self, found: Iterable[Event]) -> None:
        """Send events to everyone who listens, in one order for all."""
        with self._telling:
            for event in found:
                stamped = {**event, "revision": self.project.store.revision}
                for listener in self._listeners:
                    listener(stamped)

    def changed(self, touched: Touched) -> None:
        """Tell what a gesture has touched, let jobs plan again, and see whether corrections have consequences."""
        with self._telling:
            self._forget_candidates()
            self.tell([*events.changes(self.project, touched), events.history_event(self.project)])
        places = {(video, object) for video, object, _ in touched.places.values()}
        places |= {(key[0], key[1]) for key in touched.keys["object"]}
        with self.project.store.lock:
            for job in self._jobs:
                job.replan = job.replan or any((job.video, number) in places for number in job.spec.objects)
        self.tell_review(key[0] for key in touched.keys["mask"])
        self.repropagate(places)

    def _forget_candidates(self) -> None:
        """Drop candidates of places where something else has been said since, or been taken back."""
        for place, (prompt, _, _) in list(self.candidates.items()):
            video, object, frame = place
            said = self.project.prompts(video, object, start=frame, stop=frame + 1)
            if not said or said[-1].id != prompt:
                del self.candidates[place]
                head = {"event": "candidates", "video": video, "object": object, "frame": frame}
                self.tell([{**head, "candidates": [], "chosen": 0}])

    def tell_review(self, videos: Iterable[int]) -> None:
        """Tell, within about a second, how much of these videos is reviewed."""
        self._review_due.update(videos)
        self.worker.wake()

    def snapshot(self) -> dict[str, Any]:
        """Everything that a freshly loaded page needs, except pictures, masks and timelines."""
        return view.snapshot(self.project, model=self.model_json(), jobs=[job.to_json() for job in self.jobs()])

    # The model, on the worker's thread

    @property
    def segmenter(self) -> Segmenter:
        """The model; loaded when first asked for. Raises Refused("unavailable") if there is none."""
        if self._segmenter is None:
            if self._load is None:
                raise Refused("unavailable", self.model["message"])
            try:
                self._segmenter = self._as_set(self._as_learned(self._load()))
            except Exception as error:  # torch has many ways to say that a model does not fit
                self._load = None
                message = " ".join(str(error).split()) or type(error).__name__
                self.model |= {"name": "", "state": "failed", "message": message}
                self.tell_model()
                raise Refused("unavailable", message) from error
            self.model |= {"name": self._segmenter.name, "state": "ready", "message": ""}
            self.tell_model()
        return self._segmenter

    def _as_learned(self, segmenter: Segmenter) -> Segmenter:
        """A model that was just loaded with what it has learned in this project, if it has and that still fits."""
        learned = self.project.learned()
        if learned.weights is None or learned.model != segmenter.name:
            return segmenter
        try:
            segmenter = segmenter.with_weights(learned.weights)
        except WeightsError as error:
            self.tell([{"event": "notice", "level": "warning", "message": str(error)}])
            return segmenter
        self.model["learned"] = learned.masks
        return segmenter

    def _as_set(self, segmenter: Segmenter) -> Segmenter:
        """A model that sees frames as the setting `closer` says."""
        return segmenter.looking(closer=True) if self.project.settings()["closer"] else segmenter

    def exchange(self, segmenter: Segmenter, *, masks: int) -> None:
        """Go on with another model, which has learned from so many masks: what the one before saw and remembered is
        dropped, and what it propagated is out of date if what was learned is new.
        """
        self.look_no_further()
        self._segmenter = self._as_set(segmenter)
        self._encoded, self._memories = Recent(_ENCODED), Recent(_MEMORIES)
        self.model["learned"] = masks
        places = [(video.id, one.id) for video in self.project.videos() for one in self.project.objects(video.id)]
        with self.project.store.lock:
            for job in self._jobs:
                job.replan = True
        self.tell(events.stale_event(self.project, *place) for place in places)
        self.repropagate(places)

    def look_closer(self) -> None:
        """Let the model see frames as the setting `closer` says, from the next one on; masks stay as they are."""

        def work() -> None:
            if self._segmenter is not None:
                self.exchange(self._segmenter.looking(closer=False), masks=self.model["learned"])

        self.worker.submit(work)

    def model_json(self) -> dict[str, Any]:
        """The model as the page knows it."""
        return {**self.model, "learning": None if self.learning is None else self.learning.to_json()}

    def tell_model(self) -> None:
        """Tell how the model is."""
        self.tell([{"event": "model", "model": self.model_json()}])

    def prepare(self) -> None:
        """Begin to load the model now, in the background."""
        if self._load is not None:
            self.worker.submit(lambda: self.segmenter)

    def encoded(self, video: int, frame: int, *, direction: int = 0) -> Encoded:
        """A frame as the model sees it; the last few are kept. In a direction of travel, frames are decoded ahead."""
        key = (video, self.project.video(video).fingerprint, frame)

        def make() -> Encoded:
            begun = self._ahead.pop(key, None)
            return begun() if begun is not None else self.segmenter.encode(self._read(video, frame, direction))

        return self._encoded.get(key, make)

    def look_ahead(self, video: int, frame: int, *, direction: int) -> None:
        """Begin to encode the frame that `encoded` will be asked for next."""
        key = (video, self.project.video(video).fingerprint, frame)
        if key not in self._encoded and key not in self._ahead:
            self._ahead[key] = self.segmenter.encode_ahead(partial(self._read, video, frame, direction))

    def look_no_further(self) -> None:
        """Drop what `look_ahead` began and nobody asked for."""
        while self._ahead:
            with suppress(VidsegError):
                self._ahead.popitem()[1]()

    def _read(self, video: int, frame: int, direction: int) -> Frame:
        reader = {1: "forward", 0: "still", -1: "backward"}[direction]
        return self.frames.read(video, frame, reader=reader, ahead=4 if direction else 0)

    def is_encoded(self, video: int, frame: int) -> bool:
        """Whether the model has looked at that frame lately."""
        return (video, self.project.video(video).fingerprint, frame) in self._encoded

    def memory(self, video: int, object: int, frame: int) -> Memory | None:
        """What the model remembers of an object's mask on a frame; None if there is no mask."""
        mask = self.project.mask(video, object, frame)
        if mask is None:
            return None

        def make() -> Memory:
            return self.segmenter.memorise(self.encoded(video, frame), mask.decode())

        return self._memories.get((video, frame, mask.counts), make)

    def object_name(self, video: int, object: int) -> str:
        """The name of an object, for labels."""
        known = self.project.object(video, object)
        return f"object {object}" if known is None else known.name

    # Jobs

    def jobs(self) -> list[Job]:
        """Unfinished jobs, oldest first."""
        with self.project.store.lock:
            return list(self._jobs)

    def job(self, number: int) -> Job:
        """One unfinished job; raises Refused("not_found")."""
        for job in self.jobs():
            if job.id == number:
                return job
        raise Refused("not_found", f"there is no unfinished job {number}")

    def start_job(self, video: int, spec: JobSpec) -> Job:
        """Queue a propagation."""
        with self.project.store.lock:
            job = Job(self.project.add_job(video, spec.to_json()), video, spec)
            self._jobs.append(job)
        self.tell_job(job)
        self.worker.wake()
        return job

    def set_job(self, job: Job, state: str, message: str = "") -> None:
        """Change a job's state, on disk and for everyone; a finished one is forgotten."""
        with self.project.store.lock:
            if job not in self._jobs:
                return
            job.state, job.message = state, message or job.message
            job.clock = []
            self.project.update_job(job.id, state=state, done=job.done, total=job.total)
            if state in ("done", "cancelled", "failed"):
                self._jobs.remove(job)
            self.tell_job(job)
        self.worker.wake()

    def tell_job(self, job: Job) -> None:
        """Tell how far a job is."""
        self.tell([{"event": "job", "job": job.to_json()}])

    def propagated(self, job: Job, masks: list[MaskInfo]) -> None:
        """Tell what a propagation has written on a frame."""
        found: list[Event] = [*events.mask_events(self.project, masks, job=job.id)]
        if found and job.done <= 1:
            found.append(events.history_event(self.project))
        self.tell([*found, {"event": "job", "job": job.to_json()}])
        self._review_due.add(job.video)

    def wait(self, seconds: float = 3600.0) -> None:
        """Return when all jobs that are not paused are finished, and learning is; for scripts and tests.

        Raises ProjectError if that takes longer than `seconds`.
        """
        end = time.monotonic() + seconds
        while self.learning or self._due or any(job.state in ("queued", "running") for job in self.jobs()):
            if time.monotonic() > end:
                raise Refused("busy", f"propagation did not finish within {seconds:g} seconds")
            time.sleep(0.01)

    def repropagate(self, places: Iterable[tuple[int, int]]) -> None:
        """Plan, a moment from now, to bring the stale masks of these (video, object) up to date."""
        if self.project.settings()["repropagate"] == "auto" and (self._load or self._segmenter):
            for place in places:
                self._due[place] = time.monotonic() + _PAUSE
            self.worker.wake()

    def _restore_jobs(self) -> None:
        for row in self.project.jobs():
            job = Job(row["id"], row["video"], JobSpec.from_json(row), state=row["state"])
            job.done, job.total = 0, row["total"]
            if job.state == "running":
                job.state = "queued"
            self._jobs.append(job)

    def _idle(self) -> bool:
        """A small piece of background work; called by the worker when nothing is asked for."""
        try:
            return self._work()
        except Exception as error:  # a full disk, say: the thread that everything else needs must not end
            self._due.clear()
            message = f"propagation is paused: {' '.join(str(error).split()) or type(error).__name__}"
            with self.project.store.lock:
                for job in self._jobs:
                    job.state, job.message = "paused", message
                self.tell([{"event": "notice", "level": "error", "message": message}])
                self.tell({"event": "job", "job": job.to_json()} for job in self._jobs)
            return False

    def _work(self) -> bool:
        self._start_due()
        self._tell_due()
        if self.learning is not None:
            from .learning import go_on

            go_on(self, self.learning)
            return True
        with self.project.store.lock:
            running = [job for job in self._jobs if job.state in ("running", "queued")]
            if not running or (self._load is None and self._segmenter is None):
                return False
            job = running[0]
            if job.state == "queued":
                self._run(job)
        if job.steps is None:
            job.steps = propagate.run(self, job)
        try:
            next(job.steps)
        except StopIteration:
            self.set_job(job, "done")
            self.tell([events.history_event(self.project)])
            self.repropagate((job.video, number) for number in job.spec.objects)
        except Exception as error:  # one bad job must not keep the others from running
            self.set_job(job, "failed", " ".join(str(error).split()) or type(error).__name__)
        return True

    def _run(self, job: Job) -> None:
        job.state, job.steps = "running", None  # a pause may have cut off a frame: what is missing is planned again
        self.project.update_job(job.id, state="running", done=job.done, total=job.total)
        self.tell_job(job)

    def _start_due(self) -> None:
        now = time.monotonic()
        for place in [place for place, due in list(self._due.items()) if due <= now]:
            with self.project.store.lock:
                video, object = place
                busy = any(job.video == video and object in job.spec.objects for job in self._jobs)
                span = None if busy else self._stale_span(video, object)
                if span is not None:
                    settings = self.project.settings()
                    spec = JobSpec({object: span}, combine=settings["combine"], agreement=False, only_stale=True)
                    self.start_job(video, spec)
                self._due.pop(place, None)

    def _stale_span(self, video: int, object: int) -> tuple[int, int] | None:
        known = self.project.object(video, object)
        if known is None or known.locked:
            return None
        around = self.project.anchors(video, object)
        lane = self.project.lane(video, object)
        found = lane.spans(lane.stale(around) & ~lane.accepted)
        return (found[0][0], found[-1][1]) if found and around.frames else None

    def _tell_due(self) -> None:
        if self._review_due and time.monotonic() - self._reviewed >= self._review_pause:
            began = time.monotonic()
            due, self._review_due = self._review_due, set()
            with contextlib.suppress(Refused):
                self.tell(self._review_event(video) for video in sorted(due))
            self._reviewed = time.monotonic()
            self._review_pause = max(1.0, 30 * (self._reviewed - began))  # at most 3 % of the time

    def _review_event(self, video: int) -> Event:
        best = view.ranking(self.project, video, limit=1)
        worst = best["frames"][0] if best["frames"] else None
        return {"event": "review", "video": video, "share_reviewed": best["share_reviewed"], "worst": worst}


def open_session(
    path: str | Path, *, videos: Iterable[str | Path] = (), load: Callable[[], Segmenter] | None = None
) -> Session:
    """Open or create a project, register videos, and return a session on it; closing it closes the project, too."""
    existed = Path(path).exists()
    project = Project.open(path, create=True)
    try:
        for source in videos:
            project.add_video(source)
        return Session(project, load, own=True)
    except BaseException:
        project.close()
        if not existed:
            Path(path).unlink(missing_ok=True)
        raise
