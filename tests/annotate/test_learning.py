"""The model learns from what a person stands for, while clicks go on; what it learned lasts, and can be forgotten."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapes
from flood import Flood

from vidseg.annotate import Project, Refused, Session, open_session, schema
from vidseg.annotate.learning import surest, vouched
from vidseg.annotate.model import ModelSegmenter
from vidseg.errors import WeightsError
from vidseg.train.sources import Example
from vidseg.types import Click, Frame

SPAN = {"objects": None, "direction": "both", "frame": 0, "reach": "all"}


@pytest.fixture
def followed(session: Session) -> Session:
    """Both objects clicked on frame 0 and followed to the end; the disc accepted on frames 4 and 5."""
    for number in (1, 2):
        session.do("object.add", video=1)
        click(session, number, 0)
    session.do("propagate.start", video=1, **SPAN)
    session.wait(20)
    session.do("review.set", video=1, objects=[1], start=4, stop=6, state="accepted")
    return session


def click(session: Session, number: int, frame: int) -> None:
    rows, columns = np.nonzero(shapes.truth(frame)[number])
    place = {"x": float(columns.mean()) + 0.5, "y": float(rows.mean()) + 0.5}
    session.do("prompt.click", video=1, object=number, frame=frame, on=True, **place)


def learn(session: Session, **fields: Any) -> None:
    session.do("model.learn", **fields)
    session.wait(20)


def stale(session: Session, number: int) -> list[int]:
    return session.project.lane(1, number).where(
        session.project.lane(1, number).stale(session.project.anchors(1, number))
    )


def ious(session: Session, number: int) -> dict[int, float]:
    return {mask.frame: round(mask.iou, 4) for mask in session.project.masks(1, number)}


def test_it_learns_from_what_was_prompted_drawn_or_accepted_and_from_nothing_else(followed: Session) -> None:
    followed.do("review.set", video=1, objects=[2], start=8, stop=9, state="rejected")
    followed.do("prompt.polygon", video=1, object=2, frame=9, mode="replace", points=[[1, 1], [20, 1], [20, 20]])
    followed.do(
        "prompt.polygon", video=1, object=2, frame=12, mode="erase", points=[[0, 0], [90, 0], [90, 60], [0, 60]]
    )
    assert vouched(followed.project) == [(1, 1, 0), (1, 1, 4), (1, 1, 5), (1, 2, 0), (1, 2, 9)]


def test_it_also_learns_from_propagated_masks_that_it_was_surest_of(followed: Session) -> None:
    followed.do("review.set", video=1, objects=[2], start=1, stop=12, state="rejected")
    chosen = vouched(followed.project)
    found = surest(followed.project, chosen)
    assert not set(found) & set(chosen)
    assert [frame for _, object, frame in found if object == 2] == [12, 14, 16, 18, 20, 21, 22, 23]
    assert len([frame for _, object, frame in found if object == 1]) == 8
    assert surest(followed.project, [place for place in chosen if place[1] == 2]) == found[8:]


def test_what_it_was_not_sure_of_is_not_learned(followed: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidseg.annotate.learning.SURE", 0.95)
    assert surest(followed.project, vouched(followed.project)) == []


def test_of_many_masks_it_learns_from_some_of_every_object(followed: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    followed.do("review.set", video=1, objects=None, start=0, stop=24, state="accepted")
    monkeypatch.setattr("vidseg.annotate.learning._MOST", 6)
    found = vouched(followed.project)
    assert [object for _, object, _ in found] == [1, 1, 1, 2, 2, 2]
    assert [frame for _, _, frame in found][:3] == [0, 12, 23] or [frame for _, _, frame in found][:3] == [0, 11, 23]


def test_what_nobody_accepted_is_then_out_of_date_and_propagated_by_the_model_that_learned(followed: Session) -> None:
    assert stale(followed, 1) == stale(followed, 2) == []
    learn(followed)
    assert followed.snapshot()["model"] == {
        "name": "flood", "state": "ready", "message": "", "learned": 4, "learning": None,
    }  # fmt: skip
    assert stale(followed, 1) == [1, 2, 3, *range(6, 24)] and stale(followed, 2) == list(range(1, 24))
    followed.do("propagate.start", video=1, **SPAN)
    followed.wait(20)
    assert stale(followed, 1) == stale(followed, 2) == []
    found = ious(followed, 1)
    assert {found[4], found[5]} == {0.9} and {found[frame] for frame in (1, 3, 6, 23)} == {0.904}
    for number in (1, 2):
        for mask in followed.project.masks(1, number):
            assert (mask.decode() == shapes.truth(mask.frame)[number]).all()


def test_corrections_that_propagate_by_themselves_do_so_after_learning_too(followed: Session) -> None:
    followed.project.set_settings({"repropagate": "auto"})
    learn(followed)
    assert ious(followed, 2)[23] == 0.904 and stale(followed, 2) == []


def test_clicks_are_answered_while_it_learns_and_it_can_be_stopped(followed: Session) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Flood):
        def learning(self, examples, *, steps):
            for done in range(1, steps + 1):
                begun.set()
                go_on.wait(0.02)
                yield done
            return Flood(len(examples))

    followed.worker.call(lambda: followed.exchange(Slow(), masks=0))
    heard: list[dict[str, Any]] = []
    followed.listen(heard.append)
    followed.do("model.learn", steps=2000)
    assert begun.wait(10)
    with pytest.raises(Refused, match="learning already"):
        followed.do("model.learn")
    click(followed, 1, 20)
    model = followed.snapshot()["model"]
    assert model["learning"]["steps"] == 2000 and 0 < model["learning"]["done"] < 2000
    followed.do("model.stop")
    followed.wait(10)
    assert followed.snapshot()["model"]["learning"] is None and followed.project.learned().weights is None
    told = [event["model"]["learning"] for event in heard if event["event"] == "model"]
    assert told[-1] is None and len(told) > 3
    with pytest.raises(Refused, match="is not learning"):
        followed.do("model.stop")


def test_what_was_learned_is_not_part_of_the_history(followed: Session) -> None:
    learn(followed)
    while followed.project.store.history()[0] is not None:
        followed.do("undo")
    assert followed.snapshot()["model"]["learned"] == 4 and not list(followed.project.masks(1))
    while followed.project.store.history()[1] is not None:
        followed.do("redo")
    assert stale(followed, 2) == list(range(1, 24))


def test_what_was_learned_is_there_when_the_project_is_opened_again(tmp_path: Path, video: Path) -> None:
    def open_again(load: Callable[[], Flood] = Flood) -> Session:
        session = open_session(tmp_path / "p.vidseg", videos=[video], load=load)
        session.worker.call(lambda: session.segmenter)
        return session

    class Other(Flood):
        name = "other"

    with open_again() as session:
        session.project.set_settings({"repropagate": "off"})
        session.do("object.add", video=1)
        click(session, 1, 0)
        learn(session)
        session.do("propagate.start", video=1, **SPAN)
        session.wait(20)
    with open_again() as session:
        assert session.snapshot()["model"]["learned"] == 1 and stale(session, 1) == []
        click(session, 1, 10)
        session.do("propagate.start", video=1, **SPAN)
        session.wait(20)
        assert ious(session, 1)[12] == 0.901
    with open_again(Other) as session:  # another model has not learned it
        assert session.snapshot()["model"]["learned"] == 0
    with open_again() as session:
        session.do("model.forget")
        assert session.snapshot()["model"]["learned"] == 0 and len(stale(session, 1)) == 22
        with pytest.raises(Refused, match="learned nothing yet"):
            session.do("model.forget")
    with open_again() as session:
        assert session.snapshot()["model"]["learned"] == 0


def test_what_no_longer_fits_the_model_is_told_and_left_alone(tmp_path: Path, video: Path) -> None:
    class Changed(Flood):
        def with_weights(self, weights: bytes) -> Flood:
            raise WeightsError("what was learned does not fit flood; learn again")

    with open_session(tmp_path / "p.vidseg", videos=[video], load=Changed) as session:
        session.project.set_learned("flood", b"7", masks=7)
        heard: list[dict[str, Any]] = []
        session.listen(heard.append)
        session.do("object.add", video=1)
        click(session, 1, 0)
        assert session.snapshot()["model"]["learned"] == 0 and session.snapshot()["model"]["state"] == "ready"
        assert [event["message"] for event in heard if event["event"] == "notice"] == [
            "what was learned does not fit flood; learn again"
        ]


def test_without_a_mask_there_is_nothing_to_learn_from(session: Session) -> None:
    session.do("object.add", video=1)
    with pytest.raises(Refused, match="nothing to learn from; click, draw or accept") as caught:
        session.do("model.learn")
    assert caught.value.code == "nothing"


def test_learning_that_fails_says_so_and_leaves_the_model_as_it_was(followed: Session) -> None:
    class Broken(Flood):
        def learning(self, examples, *, steps):
            yield 1
            raise MemoryError("no memory left")

    followed.worker.call(lambda: followed.exchange(Broken(), masks=0))
    heard: list[dict[str, Any]] = []
    followed.listen(heard.append)
    learn(followed)
    notices = [event["message"] for event in heard if event["event"] == "notice"]
    assert notices == ["the model could not learn: no memory left"]
    assert followed.project.learned().weights is None and followed.snapshot()["model"]["learned"] == 0
    click(followed, 1, 7)


def test_a_project_from_before_there_was_learning_can_be_read_and_then_learns(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.vidseg"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        with open_session(path, videos=[video], load=Flood) as session:
            session.do("object.add", video=1)
            click(session, 1, 0)
            session.do("propagate.start", video=1, **SPAN)
            session.wait(20)
    with Project.open(path, readonly=True) as project:
        lane = project.lane(1, 1)
        assert project.learned_number() == 0 and not lane.stale(project.anchors(1, 1)).any()
    with open_session(path, load=Flood) as session:
        assert stale(session, 1) == []
        learn(session)
        assert session.project.learned().weights == b"1"
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(schema.MIGRATIONS)
    connection.close()


def test_looking_closer_is_kept_and_learned_with_and_leaves_masks_as_they_are(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "p.vidseg"
    with open_session(path, videos=[video], load=Flood) as session:
        session.do("object.add", video=1)
        click(session, 1, 0)
        session.do("propagate.start", video=1, **SPAN)
        session.wait(20)
        session.do("settings.set", settings={"closer": True})
        click(session, 1, 3)  # answered after that
        assert session.segmenter.closer and session.segmenter.learned == 0
        session.wait(20)
        assert stale(session, 1) == []
        learn(session)
        assert session.segmenter.closer and session.segmenter.learned > 0
    with open_session(path, load=Flood) as session:
        assert session.segmenter.closer and session.segmenter.learned > 0
        session.do("model.forget")
        assert session.segmenter.closer and session.segmenter.learned == 0
        session.do("settings.set", settings={"closer": False})
        click(session, 1, 5)
        assert not session.segmenter.closer


def test_a_running_propagation_goes_on_when_the_model_looks_closer(tmp_path: Path, video: Path) -> None:
    with open_session(tmp_path / "p.vidseg", videos=[video], load=Flood) as session:
        session.do("object.add", video=1)
        click(session, 1, 0)
        session.do("propagate.start", video=1, **SPAN)
        session.do("settings.set", settings={"closer": True})
        session.wait(20)
        assert session.segmenter.closer
        assert all(session.project.mask(1, 1, n) is not None for n in range(session.project.video(1).frames))


def test_the_models_segmenter_learns_remembers_and_forgets(tiny_model: Any) -> None:
    image, mask = shapes.draw(0), shapes.truth(0)[1]
    first = ModelSegmenter(tiny_model, name="tiny")
    steps = first.learning([Example(image, mask)], steps=2)
    done = []
    while True:
        try:
            done.append(next(steps))
        except StopIteration as end:
            learned = end.value
            break
    assert done == [0, 1, 1, 2] and learned.name == "tiny"  # two clips a step

    def answer(segmenter: ModelSegmenter) -> np.ndarray:
        encoded = segmenter.encode(Frame(0, 0.0, image))
        return np.array(segmenter.segment(encoded, clicks=[Click(12.0, 15.0)], ambiguous=True).iou)

    again = first.with_weights(learned.weights())
    assert (answer(again) == answer(learned)).all() and (answer(again) != answer(first)).any()
    assert (answer(again.as_loaded()) == answer(first)).all()
    for damaged in (b"nonsense", b""):
        with pytest.raises(WeightsError, match="what was learned does not fit tiny"):
            first.with_weights(damaged)
