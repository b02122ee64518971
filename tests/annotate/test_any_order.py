"""Any gestures in any order, undo, redo and restarts, against a small model of what must be there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapes
from flood import Flood
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vidseg.annotate import Refused, Session, open_session, view
from vidseg.annotate.rows import is_stale

FRAMES = 10
MEMORY = Path("/dev/shm")  # nothing here is about power cuts, and flushing to a disk takes most of the time
frames = st.integers(0, FRAMES - 1)
xs, ys = st.integers(1, shapes.SIZE[1] - 1), st.integers(1, shapes.SIZE[0] - 1)


class Annotating(RuleBasedStateMachine):
    """Drives a session and keeps a model: objects, prompted frames, accepted masks, and every earlier state."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.root = Path(self.folder.name)
        clip = shapes.write(self.root / "clip", frames=FRAMES)
        self.session = self.open(clip)
        self.prompted: dict[int, set[int]] = {}
        self.accepted: dict[tuple[int, int], str] = {}
        self.learned = 0  # times that the model learned or forgot, which no undo takes back
        self.past: list[Any] = []
        self.future: list[Any] = []

    def open(self, *videos: Path) -> Session:
        session = open_session(self.root / "p.vidseg", videos=videos, load=Flood)
        session.project.set_settings({"repropagate": "off"})
        return session

    def teardown(self) -> None:
        self.session.close()
        self.folder.cleanup()

    def state(self) -> tuple[Any, Any, int]:
        """All that a person can see, this machine's memory of it, and how often the model had learned by then."""
        project = self.session.project
        seen = view.annotation(project, 1, start=0, stop=FRAMES)
        shown = (seen["masks"], seen["prompts"], [one.to_json() for one in project.objects(1)])
        return shown, ({key: set(value) for key, value in self.prompted.items()}, dict(self.accepted)), self.learned

    def do(self, name: str, /, **fields: Any) -> dict[str, Any] | None:
        """Do a gesture; None if it was refused, which must change nothing."""
        before = self.state()
        lines = self.session.project.store.history()[2]
        try:
            result = self.session.do(name, video=1, **fields)
            self.session.wait(30)
        except Refused as refusal:
            assert refusal.code in ("nothing", "accepted"), refusal
            assert self.state()[0] == before[0]
            return None
        if self.session.project.store.history()[2] > lines:
            self.past.append(before)
            self.future.clear()
        return result

    def objects(self) -> list[int]:
        return sorted(self.prompted)

    def free(self, number: int, frame: int) -> bool:
        return (number, frame) not in self.accepted

    def say(self, name: str, number: int, frame: int, **fields: Any) -> None:
        result = self.do(name, object=number, frame=frame, **fields)
        assert (result is not None) == self.free(number, frame)
        if result is not None:
            self.prompted[number].add(frame)
            assert result["mask"]["source"] == ("prompted" if name in ("prompt.click", "prompt.box") else "edited")

    @initialize()
    def first(self) -> None:
        self.add()

    @rule()
    def add(self) -> None:
        if len(self.prompted) < 4:
            made = self.do("object.add")
            assert made is not None
            self.prompted[made["object"]["id"]] = set()

    @precondition(lambda self: self.prompted)
    @rule(data=st.data(), frame=frames, x=xs, y=ys, on=st.booleans())
    def click(self, data: Any, frame: int, x: int, y: int, on: bool) -> None:
        self.say("prompt.click", data.draw(st.sampled_from(self.objects())), frame, x=x, y=y, on=on)

    @precondition(lambda self: self.prompted)
    @rule(data=st.data(), frame=frames, disc=st.booleans())
    def click_an_object(self, data: Any, frame: int, disc: bool) -> None:
        rows, columns = np.nonzero(shapes.truth(frame)[1 if disc else 2])
        place = {"x": float(columns.mean()), "y": float(rows.mean())}
        self.say("prompt.click", data.draw(st.sampled_from(self.objects())), frame, on=True, **place)

    @precondition(lambda self: self.prompted)
    @rule(data=st.data(), frame=frames, x=xs, y=ys, mode=st.sampled_from(["add", "erase"]))
    def paint(self, data: Any, frame: int, x: int, y: int, mode: str) -> None:
        number = data.draw(st.sampled_from(self.objects()))
        self.say("prompt.brush", number, frame, mode=mode, radius=5.0, points=[[x, y], [x + 9, y]])

    @precondition(lambda self: self.prompted)
    @rule(data=st.data(), start=frames, length=st.integers(1, 4), masks=st.booleans())
    def clear(self, data: Any, start: int, length: int, masks: bool) -> None:
        number = data.draw(st.sampled_from(self.objects()))
        stop = min(FRAMES, start + length)
        if self.do("prompt.clear", object=number, start=start, stop=stop, masks=masks) is not None:
            self.prompted[number] -= set(range(start, stop))
            assert all(self.free(number, frame) for frame in range(start, stop))

    @precondition(lambda self: self.prompted)
    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        number = data.draw(st.sampled_from(self.objects()))
        done = self.do("object.delete", object=number)
        assert (done is None) == any(key[0] == number for key in self.accepted)
        if done is not None:
            del self.prompted[number]

    @precondition(lambda self: len(self.prompted) > 1)
    @rule(data=st.data())
    def merge(self, data: Any) -> None:
        into, other = data.draw(st.permutations(self.objects()))[:2]
        if self.do("object.merge", into=into, **{"from": other}) is not None:
            self.prompted[into] |= self.prompted.pop(other)
            self.prompted[into] &= {mask.frame for mask in self.session.project.masks(1, into)}

    def there(self, number: int) -> set[int]:
        """The frames on which an object has a mask."""
        return {mask.frame for mask in self.session.project.masks(1, number)}

    @precondition(lambda self: self.prompted)
    @rule(data=st.data(), frame=frames)
    def split(self, data: Any, frame: int) -> None:
        number = data.draw(st.sampled_from(self.objects()))
        if len(self.prompted) < 5 and (made := self.do("object.split", object=number, frame=frame)) is not None:
            rest = {one for one in self.prompted[number] if one >= frame}
            self.prompted[number] -= rest
            self.prompted[made["object"]["id"]] = rest | ({frame} & self.there(made["object"]["id"]))

    @precondition(lambda self: len(self.prompted) > 1)
    @rule(data=st.data(), start=frames, length=st.integers(1, 4))
    def swap(self, data: Any, start: int, length: int) -> None:
        a, b = data.draw(st.permutations(self.objects()))[:2]
        stop = min(FRAMES, start + length)
        span, seams = set(range(start, stop)), {start - 1, start, stop - 1, stop}
        if self.do("object.swap", a=a, b=b, start=start, stop=stop) is not None:
            one, two = self.prompted[a], self.prompted[b]
            self.prompted[a] = (one - span) | (two & span) | (seams & self.there(a))
            self.prompted[b] = (two - span) | (one & span) | (seams & self.there(b))

    @rule(data=st.data(), index=st.integers(0, 2))
    def candidate(self, data: Any, index: int) -> None:
        if self.session.candidates:
            _, number, frame = data.draw(st.sampled_from(sorted(self.session.candidates)))
            if self.do("prompt.candidate", object=number, frame=frame, index=index) is not None:
                assert frame in self.prompted[number]

    @rule(frame=frames, direction=st.sampled_from(["forward", "backward", "both"]))
    def propagate(self, frame: int, direction: str) -> None:
        done = self.do("propagate.start", objects=None, direction=direction, frame=frame, reach="all")
        assert (done is None) == (not any(self.prompted.values()))
        if done is not None and direction == "both":
            for number, prompted in self.prompted.items():
                masks = {mask.frame: mask for mask in self.session.project.masks(1, number)}
                assert not prompted or len(masks) == FRAMES
                known = self.session.project.anchors(1, number)
                stale = [mask for mask in masks.values() if is_stale(mask, known) and mask.state != "accepted"]
                assert not prompted or not stale

    @rule(start=frames, length=st.integers(1, 6), state=st.sampled_from(["accepted", "rejected", "unreviewed"]))
    def review(self, start: int, length: int, state: str) -> None:
        stop = min(FRAMES, start + length)
        assert self.do("review.set", objects=None, start=start, stop=stop, state=state) is not None
        for mask in self.session.project.masks(1, start=start, stop=stop):
            key = (mask.object, mask.frame)
            if state == "accepted":
                self.accepted[key] = mask.counts
            else:
                self.accepted.pop(key, None)

    @rule()
    def undo(self) -> None:
        self.exchange("undo", self.past, self.future)

    @rule()
    def redo(self) -> None:
        self.exchange("redo", self.future, self.past)

    def exchange(self, name: str, source: list[Any], target: list[Any]) -> None:
        before = self.state()
        try:
            self.session.do(name)
        except Refused as refusal:
            assert refusal.code == "nothing" and not source
            return
        shown, (prompted, accepted), learned = source.pop()
        target.append(before)
        if learned == self.learned:
            assert self.state()[0] == shown
        else:
            assert without_stale(self.state()[0]) == without_stale(shown)
        self.prompted, self.accepted = prompted, accepted

    @rule()
    def learn(self) -> None:
        self.change_model("model.learn", steps=2)

    @rule()
    def forget(self) -> None:
        self.change_model("model.forget")

    def change_model(self, name: str, **fields: Any) -> None:
        """Learn or forget: no mask changes by it, but those that the model propagated are out of date."""
        before, project = self.state()[0], self.session.project
        known = project.learned().weights is not None
        possible = known if name == "model.forget" else any(mask.area for mask in self.spoken_for())
        try:
            self.session.do(name, **fields)
            self.session.wait(30)
        except Refused as refusal:
            assert refusal.code == "nothing" and not possible
            assert self.state()[0] == before
            return
        assert possible and (project.learned().weights is not None) == (name == "model.learn")
        self.learned += 1
        assert without_stale(self.state()[0]) == without_stale(before)
        for mask in project.masks(1):
            if mask.source == "propagated" and mask.state != "accepted":
                assert is_stale(mask, project.anchors(1, mask.object))

    def spoken_for(self) -> list[Any]:
        """The masks that a person prompted, drew or accepted, and did not reject."""
        masks = [mask for mask in self.session.project.masks(1) if mask.state != "rejected"]
        return [mask for mask in masks if mask.source != "propagated" or mask.state == "accepted"]

    @rule()
    def restart(self) -> None:
        before = self.state()[0]
        self.session.close()
        self.session = self.open()
        assert self.state()[0] == before

    @invariant()
    def everything_said_is_there(self) -> None:
        project = self.session.project
        assert [one.id for one in sorted(project.objects(1), key=lambda one: one.id)] == self.objects()
        for number, prompted in self.prompted.items():
            assert set(project.anchors(1, number).frames) == prompted
            for frame in prompted:
                mask = project.mask(1, number, frame)
                assert mask is not None and mask.source != "propagated"
        for (number, frame), counts in self.accepted.items():
            mask = project.mask(1, number, frame)
            assert mask is not None and (mask.state, mask.counts) == ("accepted", counts)
        assert project.check() == []


def without_stale(shown: Any) -> Any:
    """What is shown, but for which masks are out of date."""
    masks, *rest = shown
    return [{key: value for key, value in mask.items() if key != "stale"} for mask in masks], *rest


COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}

TestAnyOrder = Annotating.TestCase
TestAnyOrder.settings = settings(max_examples=12, stateful_step_count=18, derandomize=True, **COMMON)


@pytest.mark.slow
class TestAnyOrderForLonger(Annotating.TestCase):
    """The same, with 300 random sequences of up to 40 gestures."""

    settings = settings(max_examples=300, stateful_step_count=40, **COMMON)
