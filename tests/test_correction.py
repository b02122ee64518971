"""Clicks are answered one after the other, whether they come so or all at once."""

import numpy as np
import pytest
import torch
from golden import looks

from vidseg.annotate.model import ModelSegmenter
from vidseg.correction import held, one_by_one
from vidseg.second_look import Closer, View, window_at
from vidseg.tracker import TrackerState, step
from vidseg.types import Box, Click, Frame, Prompt
from vidseg.window import whole

ON, MORE, OFF = Click(250, 140), Click(400, 100), Click(120, 60, False)
BOX = Box(200, 100, 300, 180)


@pytest.fixture(scope="module")
def frame():
    noise = np.random.default_rng(3).integers(0, 40, (320, 640, 3), dtype=np.uint8)
    noise[90:190, 180:420] += 150
    return Frame(0, 0.0, noise)


@pytest.mark.parametrize(
    ("clicks", "box", "answered"),
    [
        ((ON,), None, [(ON,)]),
        ((ON, OFF, MORE), None, [(ON,), (ON, OFF), (ON, OFF, MORE)]),
        ((OFF, ON), None, [(ON,), (ON, OFF)]),  # nothing can be taken away before there is something
        ((OFF,), None, [(OFF,)]),
        ((), BOX, [()]),
        ((OFF, ON), BOX, [(), (OFF,), (OFF, ON)]),
    ],
)
def test_a_box_or_a_click_on_the_object_is_answered_first_and_then_one_click_more_each_time(clicks, box, answered):
    found = list(one_by_one(Prompt(4, 9, clicks=clicks, box=box)))
    assert [one.clicks for one in found] == answered
    assert {(one.object, one.frame, one.box) for one in found} == {(4, 9, box)}


@pytest.mark.parametrize("box", [None, BOX])
def test_a_new_object_begins_with_what_its_clicks_lead_to_one_by_one(tiny_model, frame, box):
    model = looks(tiny_model, 1.6)
    clicks = (ON, OFF, MORE)
    segmenter = ModelSegmenter(model)
    encoded = segmenter.encode(frame)
    told = [segmenter.segment(encoded, clicks=clicks[:count], box=box).masks[0] for count in (1, 2, 3)]
    assert (told[0] != told[2]).any() and (told[1] != told[2]).any()
    _, result = step(model, TrackerState(), frame, [Prompt(1, 0, mask=told[2])])
    _, at_once = step(model, TrackerState(), frame, [Prompt(1, 0, clicks=clicks, box=box)])
    assert (at_once.masks() == result.masks()).all()


@pytest.mark.parametrize("box", [None, BOX])
def test_clicks_that_come_again_with_one_more_are_answered_anew_where_the_object_began(tiny_model, frame, box):
    model = looks(tiny_model, 1.6)
    state, result = TrackerState(), None
    for count in (1, 2, 3):
        prompt = Prompt(1, 0, clicks=(ON, OFF, MORE)[:count], box=box)
        state, result = step(model, state, frame, [prompt])
        _, alone = step(model, TrackerState(), frame, [prompt])
        assert (result.masks() == alone.masks()).all()
    assert len(state.tracks[0].bank.prompted) == 1
    _, refined = step(model, state, frame, [Prompt(1, 0, clicks=(OFF,))])  # this alone says nothing of the object
    _, alone = step(model, TrackerState(), frame, [Prompt(1, 0, clicks=(OFF,))])
    assert (refined.masks() != alone.masks()).any()


def test_late_clicks_at_a_boxs_edge_find_nothing_beyond_it(tiny_model, frame, monkeypatch):
    segmenter = ModelSegmenter(looks(tiny_model, 1.6))
    monkeypatch.setattr("vidseg.correction.cut", lambda picture, logits, prompt: torch.ones_like(logits))
    edge = Click(BOX.x2 - 2, 140)
    mask = segmenter.segment(segmenter.encode(frame), clicks=[ON, ON, ON, edge], box=BOX).masks[0]
    assert mask[140, int(BOX.x2) - 3] and mask.sum() > 100
    assert not mask[:, int(BOX.x2) + 4 :].any()


def test_a_model_that_does_not_look_twice_is_told_all_at_once(tiny_model, frame, monkeypatch):
    asked, decode = [], type(tiny_model).decode

    def noted(self, *args, **kwargs):
        asked.append(kwargs["points"].shape[1])
        return decode(self, *args, **kwargs)

    monkeypatch.setattr(type(tiny_model), "decode", noted)
    step(tiny_model, TrackerState(), frame, [Prompt(1, 0, clicks=(ON, OFF, MORE))])
    assert asked == [3]


def test_what_is_held_changes_in_a_window_around_the_last_click_and_least_where_that_is_far(
    tiny_model, frame, monkeypatch
):
    model, size = looks(tiny_model, 1.6), frame.image.shape[:2]
    seen = []

    def answer(model, view, prompt, size, *, before):
        seen.append((view.window, prompt.clicks, before))
        return Closer(torch.full(size, 3.0), torch.ones(1, 1))  # surer than half of what holds a mask

    monkeypatch.setattr("vidseg.correction.answer", answer)
    monkeypatch.setattr("vidseg.correction.cut", lambda picture, logits, prompt: logits)
    logits = torch.full(size, -5.0)
    logits[:, 300:] = 5.0
    prompt = Prompt(1, 0, clicks=(Click(5, 5, False), Click(280, 160)))
    found = held(model, logits, prompt, frame.image, view=lambda window: View(window, None), led_by=(logits, -logits))
    window = window_at(size, prompt.clicks[-1])
    assert window != whole(size) and not window.holds(prompt.clicks[0])
    assert [(one, clicks) for one, clicks, _ in seen] == [(window, prompt.clicks[1:])] * 2
    assert (seen[0][2] == logits).all() and (seen[1][2] == -logits).all()
    changed = (found.logits > 0) != (logits > 0)
    assert changed[160, 262:300].all() and not changed[160, :225].any() and window.left < 225
    beyond = torch.ones(size, dtype=torch.bool)
    beyond[window.top : window.bottom, window.left : window.right] = False
    assert (found.logits == logits)[beyond].all()
