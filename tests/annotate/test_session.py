"""Gestures on a live session, with a model whose right answers are known."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapes
from flood import Flood

from vidseg.annotate import Refused, Session, open_session, view
from vidseg.annotate.rows import overlap
from vidseg.masks import rle

LAST = 23


@pytest.fixture
def do(session: Session) -> Callable[..., dict[str, Any]]:
    """Gestures on the only video."""

    def call(name: str, /, **fields: Any) -> dict[str, Any]:
        return session.do(name, **({} if name in ("undo", "redo") else {"video": 1}), **fields)

    return call


def centre(number: int, frame: int) -> dict[str, float]:
    rows, columns = np.nonzero(shapes.truth(frame)[number])
    return {"x": float(columns.mean()) + 0.5, "y": float(rows.mean()) + 0.5}


def pixels(session: Session, number: int, frame: int) -> np.ndarray:
    mask = session.project.mask(1, number, frame)
    assert mask is not None
    return mask.decode()


def click(do: Callable[..., Any], number: int, frame: int, **fields: Any) -> dict[str, Any]:
    return do("prompt.click", object=number, frame=frame, **{"on": True, **centre(number, frame), **fields})


def propagate(session: Session, **fields: Any) -> None:
    options = {"objects": None, "direction": "both", "frame": 0, "reach": "all", **fields}
    session.do("propagate.start", video=1, **options)
    session.wait(20)


def states(session: Session) -> list[str]:
    return [mask.state for mask in session.project.masks(1)]


def test_a_click_is_answered_with_the_mask_three_candidates_and_what_was_said(do: Callable[..., Any]) -> None:
    do("object.add", name="disc")
    answer = click(do, 1, 0)
    assert (rle.decode(answer["mask"]["rle"]) == shapes.truth(0)[1]).all()
    assert answer["mask"]["source"] == "prompted" and not answer["mask"]["stale"]
    assert [one["kind"] for one in answer["prompts"]] == ["click"]
    assert [one["index"] for one in answer["candidates"]] == [0, 1, 2]
    assert [one["iou"] for one in answer["candidates"]] == [0.9, 0.7, 0.5]


def test_candidates_can_be_cycled_and_count_as_one_prompt(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    first = click(do, 1, 0)
    for index in (1, 2, 1):
        answer = do("prompt.candidate", object=1, frame=0, index=index)
        assert answer["mask"]["rle"] == first["candidates"][index]["rle"]
    assert [one["kind"] for one in answer["prompts"]] == ["click", "mask"]
    click(do, 1, 0, x=80.0, y=5.0, on=False)
    with pytest.raises(Refused, match="last until the next prompt"):
        do("prompt.candidate", object=1, frame=0, index=0)


@pytest.mark.parametrize("gesture", ["undo", "object.delete", "prompt.clear", "prompt.brush"])
def test_candidates_go_when_their_prompt_does(session: Session, do: Callable[..., Any], gesture: str) -> None:
    do("object.add")
    click(do, 1, 0)
    heard: list[dict[str, Any]] = []
    session.listen(heard.append)
    fields: dict[str, dict[str, Any]] = {
        "object.delete": {"object": 1},
        "prompt.clear": {"object": 1, "start": 0, "stop": 1},
        "prompt.brush": {"object": 1, "frame": 0, "mode": "add", "radius": 3.0, "points": [[5, 5]]},
    }
    do(gesture, **fields.get(gesture, {}))
    assert session.candidates == {}
    assert [event["candidates"] for event in heard if event["event"] == "candidates"] == [[]]


def test_a_negative_click_takes_away_and_undo_brings_back(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    click(do, 1, 0)
    before = pixels(session, 1, 0)
    click(do, 1, 0, on=False)
    assert not pixels(session, 1, 0).any()
    assert do("undo")["label"] == "click on object 1"
    assert (pixels(session, 1, 0) == before).all()


def test_propagation_follows_both_objects_exactly(session: Session, do: Callable[..., Any]) -> None:
    for number in (1, 2):
        do("object.add")
        click(do, number, 10)
    propagate(session, frame=10)
    for frame in range(LAST + 1):
        for number, mask in shapes.truth(frame).items():
            assert (pixels(session, number, frame) == mask).all()
    assert {mask.source for mask in session.project.masks(1)} == {"prompted", "propagated"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"direction": "forward"}, range(10, 24)),
        ({"direction": "backward"}, range(0, 11)),
        ({"direction": "both", "reach": "range", "start": 8, "stop": 13}, range(8, 13)),
    ],
)
def test_propagation_stays_within_its_reach(
    session: Session, do: Callable[..., Any], fields: dict[str, Any], expected: range
) -> None:
    do("object.add")
    click(do, 1, 10)
    propagate(session, **{"frame": 10, **fields})
    assert [mask.frame for mask in session.project.masks(1)] == list(expected)


def test_next_prompt_ends_the_reach(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    click(do, 1, 5)
    click(do, 1, 15)
    propagate(session, frame=7, direction="forward", reach="next_prompt")
    assert [mask.frame for mask in session.project.masks(1)] == list(range(5, 16))


def test_between_two_prompts_the_passes_agree_and_each_frame_knows_its_origin(
    session: Session, do: Callable[..., Any]
) -> None:
    do("object.add")
    click(do, 1, 0)
    click(do, 1, 10)
    propagate(session)
    between = [mask for mask in session.project.masks(1) if 0 < mask.frame < 10]
    assert [mask.origin for mask in between] == [0] * 5 + [10] * 4
    assert {mask.agreement for mask in between} == {1.0}


def test_a_correction_makes_its_neighbours_stale_and_only_those_are_done_again(
    session: Session, do: Callable[..., Any]
) -> None:
    do("object.add")
    click(do, 1, 0)
    propagate(session)
    do("prompt.polygon", object=1, frame=12, mode="replace", points=[[60, 30], [75, 30], [75, 40]])
    lane = view.timeline(session.project, 1)["objects"][0]
    assert lane["stale"] == [[7, 12], [13, 24]]
    seen = session.segmenter.encoded
    before = {frame: pixels(session, 1, frame) for frame in range(1, 7)}
    session.project.set_settings({"agreement": False})
    propagate(session)
    # 16 stale frames, one that carries the correction, and up to six that give the legs a past
    assert session.segmenter.encoded - seen <= 24
    assert view.timeline(session.project, 1)["objects"][0]["stale"] == []
    assert all((pixels(session, 1, frame) == before[frame]).all() for frame in before)


def test_corrections_propagate_by_themselves(session: Session, do: Callable[..., Any]) -> None:
    session.project.set_settings({"repropagate": "auto"})
    do("object.add")
    click(do, 1, 0)
    propagate(session)
    jobs = []
    session.listen(lambda event: jobs.append(event["job"]) if event["event"] == "job" else None)
    click(do, 1, 12)
    session.wait(20)
    assert jobs[-1]["state"] == "done" and jobs[-1]["auto"]
    assert view.timeline(session.project, 1)["objects"][0]["stale"] == []


def test_accepted_frames_are_never_overwritten_without_asking(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    click(do, 1, 0)
    propagate(session)
    do("review.set", objects=[1], start=5, stop=9, state="accepted")
    before = {frame: pixels(session, 1, frame) for frame in range(5, 9)}
    with pytest.raises(Refused) as caught:
        click(do, 1, 6)
    assert caught.value.to_json() == {
        "code": "accepted", "message": "frame 6 was accepted; overwrite the masks there?", "frames": [6], "count": 1
    }  # fmt: skip
    for name, fields in [
        ("prompt.brush", {"frame": 5, "mode": "add", "radius": 3.0, "points": [[5, 5]]}),
        ("prompt.box", {"frame": 5, "box": [1, 1, 9, 9]}),
        ("prompt.clear", {"start": 0, "stop": 24, "masks": True}),
        ("object.delete", {}),
        ("object.split", {"frame": 7}),
    ]:
        with pytest.raises(Refused, match="accepted; overwrite"):
            do(name, object=1, **fields)
    do("prompt.polygon", object=1, frame=0, mode="replace", points=[[60, 30], [75, 30], [75, 40]])
    propagate(session)
    assert all((pixels(session, 1, frame) == before[frame]).all() for frame in before)
    click(do, 1, 6, overwrite=True)
    assert session.project.mask(1, 1, 6).state == "unreviewed"


def test_with_overwrite_a_propagation_replaces_accepted_frames_that_are_stale(
    session: Session, do: Callable[..., Any]
) -> None:
    do("object.add")
    click(do, 1, 0)
    propagate(session)
    do("review.set", objects=None, start=5, stop=9, state="accepted")
    do("prompt.polygon", object=1, frame=0, mode="replace", points=[[60, 30], [75, 30], [75, 40]])
    propagate(session, overwrite=True)
    assert states(session) == ["unreviewed"] * 24


def test_brush_eraser_and_polygon_edit_the_mask_and_are_pinned(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    click(do, 1, 0)
    answer = do("prompt.brush", object=1, frame=0, mode="add", radius=4.0, points=[[50, 50], [60, 50]])
    assert answer["mask"]["source"] == "edited" and answer["mask"]["confidence"] == 1
    assert pixels(session, 1, 0)[49, 55] and pixels(session, 1, 0)[15, 12]
    do("prompt.brush", object=1, frame=0, mode="erase", radius=40.0, points=[[12, 15]])
    assert not pixels(session, 1, 0)[15, 12]
    propagate(session)
    assert session.project.mask(1, 1, 0).source == "edited"


def test_a_drawn_mask_from_the_page_is_kept_bit_by_bit(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    drawn = np.random.default_rng(1).random(shapes.SIZE) > 0.5
    do("prompt.mask", object=1, frame=4, rle=dict(rle.encode(drawn)))
    assert (pixels(session, 1, 4) == drawn).all()
    with pytest.raises(Exception, match="the frames are 90x60"):
        do("prompt.mask", object=1, frame=4, rle=dict(rle.encode(drawn[:-1])))


def test_a_click_on_a_drawn_mask_leaves_the_rest_of_it_alone(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    do("prompt.polygon", object=1, frame=0, mode="add", points=[[40, 45], [50, 45], [50, 55], [40, 55]])
    drawn = pixels(session, 1, 0)
    click(do, 1, 0)
    assert (pixels(session, 1, 0) == (drawn | shapes.truth(0)[1])).all()


def test_a_box_is_answered_and_a_second_one_replaces_it(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    do("prompt.box", object=1, frame=0, box=[2, 4, 24, 27])
    assert (pixels(session, 1, 0) == shapes.truth(0)[1]).all()
    answer = do("prompt.box", object=1, frame=0, box=[50, 8, 84, 70])
    assert (pixels(session, 1, 0) == shapes.truth(0)[2]).all()
    assert [one["box"] for one in answer["prompts"]] == [[50, 8, 84, 60]]


def test_removing_a_prompt_answers_the_rest_again(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    first = click(do, 1, 0)["prompts"][0]["id"]
    second = click(do, 1, 0, **centre(2, 0))["prompts"][1]["id"]
    do("prompt.remove", prompt=first)
    assert (pixels(session, 1, 0) == shapes.truth(0)[2]).all()
    assert do("prompt.remove", prompt=second)["mask"] is None
    with pytest.raises(Refused, match="there is no prompt"):
        do("prompt.remove", prompt=second)


def test_corrections_tell_how_much_they_left_of_what_was_propagated(session: Session, do: Callable[..., Any]) -> None:
    def left(frame: int) -> float | None:
        return session.project.mask(1, 1, frame).agreement

    do("object.add")
    click(do, 1, 0)
    assert left(0) is None  # nothing was there
    propagate(session)
    before = pixels(session, 1, 8)
    do("prompt.brush", object=1, frame=8, mode="add", radius=6.0, points=[[70, 50]])
    once = overlap(before, pixels(session, 1, 8))
    assert left(8) == pytest.approx(once) and once < 0.9
    half = pixels(session, 1, 8)
    click(do, 1, 8, **centre(2, 8))
    assert left(8) == pytest.approx(once * overlap(half, pixels(session, 1, 8))) and left(8) < once
    do("undo")
    assert left(8) == pytest.approx(once)
    do("prompt.clear", object=1, start=8, stop=9)
    assert left(8) is None


def test_clearing_prompts_unpins_masks_or_removes_them(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    for frame in (0, 10):
        click(do, 1, frame)
    do("prompt.clear", object=1, start=10, stop=11)
    assert session.project.mask(1, 1, 10).source == "propagated"
    assert view.timeline(session.project, 1)["objects"][0]["stale"] == [[10, 11]]
    do("prompt.clear", object=1, start=0, stop=24, masks=True)
    assert list(session.project.masks(1)) == []
    assert session.project.prompts(1) == []


def test_objects_are_named_coloured_moved_hidden_and_locked(session: Session, do: Callable[..., Any]) -> None:
    for name in ("a", "b", "c"):
        do("object.add", name=name)
    do("object.update", object=3, name="cat", colour="#010203", position=0, **{"class": "animal"})
    listed = session.project.objects(1)
    assert [one.name for one in listed] == ["cat", "a", "b"]
    assert (listed[0].class_name, listed[0].colour) == ("animal", "#010203")
    assert len({one.colour for one in listed}) == 3
    do("undo")
    assert [one.name for one in session.project.objects(1)] == ["a", "b", "c"]
    do("object.update", object=1, hidden=True)
    assert session.project.store.history()[0].label == "add c"
    do("object.update", object=1, locked=True)
    with pytest.raises(Refused) as caught:
        click(do, 1, 0)
    assert caught.value.code == "locked"


def test_deleting_an_object_takes_everything_and_undo_brings_it_back(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    click(do, 1, 0)
    propagate(session)
    before = view.annotation(session.project, 1, start=0, stop=24)
    do("object.delete", object=1)
    assert session.project.objects(1) == [] and list(session.project.masks(1)) == []
    do("undo")
    after = view.annotation(session.project, 1, start=0, stop=24)
    assert {**after, "revision": 0} == {**before, "revision": 0}


def test_merging_unites_masks_and_leaves_one_object(session: Session, do: Callable[..., Any]) -> None:
    for number in (1, 2):
        do("object.add")
        click(do, number, 0)
    propagate(session)
    do("object.merge", into=1, **{"from": 2})
    assert [one.id for one in session.project.objects(1)] == [1]
    for frame in (0, 12):
        truth = shapes.truth(frame)
        assert (pixels(session, 1, frame) == (truth[1] | truth[2])).all()
    assert view.timeline(session.project, 1)["objects"][0]["stale"] == []
    do("undo")
    assert (pixels(session, 2, 12) == shapes.truth(12)[2]).all()


def test_splitting_hands_the_rest_to_a_new_object_that_keeps_propagating(
    session: Session, do: Callable[..., Any]
) -> None:
    do("object.add", name="disc", **{"class": "toy"})
    click(do, 1, 0)
    propagate(session)
    made = do("object.split", object=1, frame=12)["object"]
    assert (made["id"], made["class"]) == (2, "toy")
    assert [mask.frame for mask in session.project.masks(1, 1)] == list(range(12))
    assert [mask.frame for mask in session.project.masks(1, 2)] == list(range(12, 24))
    assert session.project.anchors(1, 2).frames == (12,)
    assert all(lane["stale"] == [] for lane in view.timeline(session.project, 1)["objects"])


def test_swapping_exchanges_a_range_and_pins_its_seams(session: Session, do: Callable[..., Any]) -> None:
    for number in (1, 2):
        do("object.add")
        click(do, number, 0)
    propagate(session)
    do("object.swap", a=1, b=2, start=10, stop=15)
    for frame in range(24):
        swapped = 10 <= frame < 15
        assert (pixels(session, 1, frame) == shapes.truth(frame)[2 if swapped else 1]).all()
    assert session.project.anchors(1, 1).frames == (0, 9, 10, 14, 15)
    session.project.set_settings({"agreement": False})
    propagate(session)
    assert (pixels(session, 1, 12) == shapes.truth(12)[2]).all()


def test_a_job_can_be_paused_resumed_and_cancelled(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    click(do, 1, 0)
    with session.project.store.lock:  # nothing can be written while we look
        job = do("propagate.start", objects=None, direction="forward", frame=0, reach="all")["job"]["id"]
        assert session.do("propagate.pause", job=job)["job"]["state"] == "paused"
    done = len(list(session.project.masks(1)))
    assert session.do("propagate.resume", job=job)["job"]["state"] == "queued"
    session.wait(20)
    assert done < len(list(session.project.masks(1))) == 24
    with pytest.raises(Refused, match="no unfinished job"):
        session.do("propagate.cancel", job=job)


def test_a_click_during_propagation_is_answered_and_taken_into_account(
    session: Session, do: Callable[..., Any]
) -> None:
    do("object.add")
    click(do, 1, 0)
    events: list[dict[str, Any]] = []
    clicked: list[int] = []

    def once(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "masks" and event["job"] and not clicked:
            clicked.append(event["masks"][0]["frame"])
            session.worker.submit(lambda: click(do, 1, 16, **centre(2, 16)))

    session.listen(once)
    propagate(session)
    assert clicked
    order = [event for event in events if event["event"] in ("masks", "prompts")]
    at = next(n for n, event in enumerate(order) if event["event"] == "prompts")
    assert any(event["event"] == "masks" and event["job"] for event in order[:at])
    assert any(event["event"] == "masks" and event["job"] for event in order[at + 1 :])
    assert (pixels(session, 1, 20) == shapes.truth(20)[2]).all()
    assert (pixels(session, 1, 3) == shapes.truth(3)[1]).all()


def test_undoing_a_running_propagation_cancels_it_and_takes_its_masks_back(
    session: Session, do: Callable[..., Any]
) -> None:
    do("object.add")
    click(do, 1, 0)
    undone: list[Any] = []

    def once(event: dict[str, Any]) -> None:
        if event["event"] == "masks" and event["job"] and not undone:
            undone.append(session.worker.submit(lambda: do("undo")["label"]))

    session.listen(once)
    propagate(session)
    assert undone[0].result(10) == "propagate object 1"
    assert [mask.frame for mask in session.project.masks(1)] == [0]
    assert session.jobs() == []


def test_locking_an_object_keeps_a_running_propagation_from_it(session: Session, do: Callable[..., Any]) -> None:
    for number in (1, 2):
        do("object.add")
        click(do, number, 0)
    locked: list[Any] = []

    def once(event: dict[str, Any]) -> None:
        if event["event"] == "masks" and event["job"] and not locked:
            locked.append(session.worker.submit(lambda: do("object.update", object=2, locked=True)))

    session.listen(once)
    propagate(session)
    locked[0].result(10)
    assert len(list(session.project.masks(1, 1))) == 24
    assert len(list(session.project.masks(1, 2))) < 5


def test_a_frame_that_cannot_be_decoded_is_left_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    clip = shapes.write(tmp_path / "clip", frames=8)
    data = (clip / "00004.png").read_bytes()
    (clip / "00004.png").write_bytes(data[:60] + bytes(len(data) - 60))
    with open_session(tmp_path / "p.vidseg", videos=[clip], load=Flood) as session:
        session.do("object.add", video=1)
        session.do("prompt.click", video=1, object=1, frame=0, x=12.0, y=15.0, on=True)
        propagate(session)
        assert [mask.frame for mask in session.project.masks(1)] == [0, 1, 2, 3, 5, 6, 7]


def test_work_in_the_background_survives_a_full_disk(
    session: Session, do: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    do("object.add")
    click(do, 1, 0)
    heard: list[dict[str, Any]] = []
    session.listen(heard.append)

    def full(*args: Any, **fields: Any) -> None:
        raise OSError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(session.project, "update_job", full)
        job = do("propagate.start", objects=None, direction="both", frame=0, reach="all")["job"]["id"]
        session.wait(20)
    (notice,) = [event for event in heard if event["event"] == "notice"]
    assert notice["message"] == "propagation is paused: database or disk is full"
    assert session.job(job).state == "paused"
    session.do("propagate.resume", job=job)
    session.wait(20)
    assert len(list(session.project.masks(1))) == 24


def test_an_interrupted_propagation_goes_on_when_the_project_is_opened(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "p.vidseg"
    with open_session(path, videos=[video], load=Flood) as session:
        session.do("object.add", video=1)
        session.do("prompt.click", video=1, object=1, frame=0, x=12.0, y=15.0, on=True)
        with session.project.store.lock:
            session.do("propagate.start", video=1, objects=None, direction="both", frame=0, reach="all")
            session._jobs[0].state = "running"
            session.project.update_job(1, state="running", done=0, total=23)
            session.worker._idle = lambda: False  # as if the process had died here
    with open_session(path, load=Flood) as session:
        session.wait(20)
        assert [mask.frame for mask in session.project.masks(1)] == list(range(24))


def test_review_states_are_set_counted_and_undone(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    click(do, 1, 0)
    propagate(session)
    assert do("review.set", objects=None, start=0, stop=12, state="accepted") == {"changed": 12}
    assert session.project.share_reviewed(1) == 0.5
    do("undo")
    assert session.project.share_reviewed(1) == 0.0


def test_the_worst_unreviewed_frame_comes_next(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    click(do, 1, 0)
    propagate(session)
    session.project.store.connection.execute("UPDATE mask SET iou = 0.2 WHERE frame IN (7, 19)")
    session.project.store.connection.execute("UPDATE mask SET agreement = 0.1 WHERE frame = 19")
    found = do("review.next")
    assert (found["frame"], found["object"]) == (19, 1)
    assert "passes disagree (IoU 0.10)" in found["reasons"]
    after = do("review.next", frame=19)
    assert after["frame"] == 14  # it mends the most, and is no neighbour of the one that is looked at
    do("review.set", objects=[1], start=0, stop=24, state="accepted")
    assert do("review.next")["frame"] is None


def test_the_worst_frame_may_be_one_of_another_video(session: Session, tmp_path: Path) -> None:
    def doubt(video: int, frames: str, iou: float) -> None:
        text = f"UPDATE mask SET iou = {iou} WHERE video = {video} AND frame IN ({frames})"
        session.project.store.connection.execute(text)

    def accept(video: int, start: int, stop: int) -> None:
        session.do("review.set", video=video, objects=[1], start=start, stop=stop, state="accepted")

    def following(video: int = 1, **fields: Any) -> dict[str, Any]:
        return session.do("review.next", video=video, **fields)

    session.project.add_video(shapes.write(tmp_path / "another", frames=20))
    for video in (1, 2):
        session.do("object.add", video=video)
        session.do("prompt.click", video=video, object=1, frame=0, on=True, **centre(1, 0))
        session.do("propagate.start", video=video, objects=None, direction="forward", frame=0, reach="all")
        session.wait(20)
    doubt(1, "12", 0.5)
    doubt(2, "11, 12, 13", 0.1)
    assert following()["video"] == 1
    found = following(anywhere=True)
    assert (found["video"], found["frame"], found["object"]) == (2, 12, 1)
    assert following(2, anywhere=True) == found
    doubt(1, "8, 9, 10, 11, 12, 13, 14", 0.05)
    assert following(2, anywhere=True)["video"] == 1

    accept(2, 0, 5)
    accept(1, 0, 23)  # all but the last frame, which is looked at and comes last, however bad it is
    doubt(1, "23", 0.01)
    assert following(frame=23)["frame"] == 23
    found = following(frame=23, anywhere=True)
    assert (found["video"], found["share_reviewed"]) == (2, 0.25)
    accept(1, 23, 24)
    accept(2, 0, 20)
    assert following(anywhere=True)["frame"] is None


def test_proposals_leave_out_what_is_known_and_become_objects(session: Session, do: Callable[..., Any]) -> None:
    do("object.add")
    click(do, 1, 3)
    (found,) = do("proposals.make", frame=3)["proposals"]
    assert (rle.decode(found["rle"]) == shapes.truth(3)[2]).all()
    (made,) = do("proposals.accept", frame=3, keys=[found["key"]], **{"class": "box"})["objects"]
    assert made["class"] == "box"
    assert (pixels(session, made["id"], 3) == shapes.truth(3)[2]).all()
    with pytest.raises(Refused, match="no proposal"):
        do("proposals.accept", frame=3, keys=[found["key"]])


def test_everything_on_a_frame_can_be_found_and_followed_at_once(session: Session, do: Callable[..., Any]) -> None:
    assert len(do("automatic.start", frame=4)["objects"]) == 2
    session.wait(20)
    masks = [mask.decode() for mask in session.project.masks(1, start=20, stop=21)]
    truth = list(shapes.truth(20).values())
    assert all(any((mask == one).all() for one in truth) for mask in masks) and len(masks) == 2


def test_hover_shows_what_a_click_would_give_and_records_nothing(session: Session, do: Callable[..., Any]) -> None:
    revision = session.project.store.revision
    found = do("hover", frame=5, **centre(2, 5))
    assert (rle.decode(found["rle"]) == shapes.truth(5)[2]).all()
    assert session.project.store.revision == revision


def test_an_older_hover_gives_way_to_a_newer_one(session: Session, do: Callable[..., Any]) -> None:
    import threading

    block = threading.Event()
    session.worker.submit(block.wait)
    refused: list[str] = []

    def old() -> None:
        try:
            do("hover", frame=5, x=1.0, y=1.0)
        except Refused as refusal:
            refused.append(refusal.code)

    thread = threading.Thread(target=old)
    thread.start()
    while session.newest_hover < 1:
        pass
    newer = threading.Thread(target=lambda: do("hover", frame=5, **centre(1, 5)))
    newer.start()
    while session.newest_hover < 2:
        pass
    block.set()
    thread.join()
    newer.join()
    assert refused == ["superseded"]


@pytest.mark.parametrize(
    ("name", "fields", "code", "message"),
    [
        ("prompt.click", {"object": 1, "frame": 99, "x": 1, "y": 1, "on": True}, "not_found", "past the end of shapes"),
        ("prompt.click", {"object": 9, "frame": 0, "x": 1, "y": 1, "on": True}, "not_found", "no object 9"),
        ("prompt.click", {"object": 1, "frame": 0, "x": 91, "y": 1, "on": True}, "bad_request", "outside the picture"),
        ("prompt.box", {"object": 1, "frame": 0, "box": [95, 1, 99, 9]}, "bad_request", "outside the picture"),
        ("review.set", {"objects": None, "start": 5, "stop": 5, "state": "accepted"}, "bad_request", "no range"),
        ("object.merge", {"into": 1, "from": 1}, "nothing", "with itself"),
        ("object.split", {"object": 1, "frame": 5}, "nothing", "no masks on both sides"),
        ("propagate.start", {"objects": None, "direction": "both", "frame": 0, "reach": "all"}, "nothing", "click an"),
        ("proposals.accept", {"frame": 0, "keys": "all"}, "nothing", "no proposals"),
        ("object.update", {"object": 1}, "bad_request", "names nothing to change"),
        ("teleport", {}, "bad_request", "no gesture 'teleport'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    session: Session, do: Callable[..., Any], name: str, fields: dict[str, Any], code: str, message: str
) -> None:
    do("object.add")
    revision = session.project.store.revision
    with pytest.raises(Refused, match=message) as caught:
        do(name, **fields)
    assert caught.value.code == code
    assert session.project.store.revision == revision


def test_without_a_model_drawing_and_reviewing_still_work(tmp_path: Path, video: Path) -> None:
    with open_session(tmp_path / "p.vidseg", videos=[video]) as session:
        session.do("object.add", video=1)
        session.do("prompt.polygon", video=1, object=1, frame=0, mode="add", points=[[1, 1], [9, 1], [9, 9]])
        with pytest.raises(Refused, match="no model was loaded") as caught:
            session.do("prompt.click", video=1, object=1, frame=0, x=1, y=1, on=True)
        assert caught.value.code == "unavailable"
        assert session.snapshot()["model"]["state"] == "failed"


def test_a_model_that_cannot_be_loaded_is_told_in_one_line(tmp_path: Path, video: Path) -> None:
    def load() -> Flood:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    with open_session(tmp_path / "p.vidseg", videos=[video], load=load) as session:
        session.do("object.add", video=1)
        for _ in range(2):
            with pytest.raises(Refused, match=r"CUDA out of memory\. Tried to allocate 2 GiB"):
                session.do("prompt.click", video=1, object=1, frame=0, x=1, y=1, on=True)
        assert session.snapshot()["model"]["state"] == "failed"


def test_everyone_who_listens_hears_the_same_in_the_same_order(session: Session, do: Callable[..., Any]) -> None:
    heard: tuple[list[Any], list[Any]] = ([], [])
    leave = [session.listen(one.append) for one in heard]
    do("object.add")
    click(do, 1, 0)
    propagate(session)
    assert heard[0] == heard[1] and len(heard[0]) > 20
    assert [event["revision"] for event in heard[0]] == sorted(event["revision"] for event in heard[0])
    leave[1]()
    do("undo")
    assert len(heard[0]) > len(heard[1])


def test_a_pause_in_the_middle_of_a_frame_leaves_no_frame_out(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.do("object.add", video=1)
    session.do("prompt.click", video=1, object=1, frame=0, x=12.5, y=15.5, on=True)
    inside, go_on, follow = threading.Event(), threading.Event(), Flood.follow

    def slow(self: Flood, tracks: Any, encoded: Any) -> Any:
        if encoded.index == 6:
            inside.set()
            go_on.wait(20)
        return follow(self, tracks, encoded)

    monkeypatch.setattr(Flood, "follow", slow)
    started = session.do("propagate.start", video=1, objects=None, direction="forward", frame=0, reach="all")
    job = started["job"]["id"]
    assert inside.wait(20)
    session.do("propagate.pause", job=job)
    go_on.set()
    session.worker.call(lambda: None)
    session.do("propagate.resume", job=job)
    session.wait(20)
    assert [mask.frame for mask in session.project.masks(1, 1)] == list(range(24))
