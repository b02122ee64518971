"""Prompted objects are looked at twice, followed ones once."""

import numpy as np
import pytest
import torch
from golden import looks

from vidseg import second_look
from vidseg.model import Decoded
from vidseg.second_look import View, _not_meant, answer, boxed, look, look_again, settle, window_at, window_of
from vidseg.tracker import TrackerState, step
from vidseg.types import Box, Click, Frame, Prompt
from vidseg.window import Window

HEIGHT, WIDTH = 320, 640


def logits(left: int, top: int, right: int, bottom: int) -> torch.Tensor:
    values = torch.full((HEIGHT, WIDTH), -5.0)
    values[top:bottom, left:right] = 5.0
    return values


@pytest.fixture
def model(tiny_model):
    return looks(tiny_model, 1.6)


def test_the_window_is_around_the_answer_and_as_much_larger_as_the_model_says(model):
    window = window_of(model, logits(200, 100, 300, 180), Prompt(1, 0, clicks=(Click(250, 140),)))
    assert window is not None
    assert window.left <= 200 - 30 and window.right >= 300 + 30 and window.top <= 100 - 24 and window.bottom >= 180 + 24
    assert window.size[1] <= 160 + 2 * WIDTH / 16 and window.size[0] <= 128 + 2 * HEIGHT / 16


def test_the_window_is_around_the_box_whatever_the_answer(model):
    prompt = Prompt(1, 0, box=Box(200, 100, 300, 180))
    assert window_of(model, logits(0, 0, 640, 320), prompt) == window_of(model, logits(5, 5, 6, 6), prompt) is not None


def test_clicks_outside_the_answer_are_in_the_window(model):
    window = window_of(model, logits(200, 100, 250, 140), Prompt(1, 0, clicks=(Click(210, 110), Click(420, 30, False))))
    assert window is not None and window.left < 200 and window.right > 420 and window.top < 30 and window.bottom > 140


def test_a_thin_object_gets_a_window_of_a_usual_shape(model):
    window = window_of(model, logits(300, 20, 310, 200), Prompt(1, 0, clicks=(Click(305, 100),)))
    assert window is not None and window.size[0] / window.size[1] < 2.2


def test_there_is_no_window_where_it_would_show_nothing_new(model):
    click = Prompt(1, 0, clicks=(Click(320, 160),))
    assert window_of(model, logits(50, 20, 600, 300), click) is None
    assert window_of(model, torch.full((HEIGHT, WIDTH), -5.0), click) is None


def test_a_prompt_is_moved_into_the_window():
    window = Window(100, 50, 200, 150)
    moved = window.moved(Prompt(3, 7, clicks=(Click(120, 60), Click(500, 10, False)), box=Box(90, 60, 150, 400)))
    assert (moved.object, moved.frame) == (3, 7)
    assert moved.clicks[0] == Click(20, 10, True)
    assert moved.clicks[1].x == pytest.approx(100, abs=0.01) and moved.clicks[1].y == 0 and not moved.clicks[1].on
    assert moved.box is not None and moved.box[:3] == (0, 10, 50) and moved.box.y2 == pytest.approx(100, abs=0.01)


def test_the_window_around_a_click_is_within_the_picture_and_holds_it():
    for click in (Click(0, 0), Click(639.9, 319.9), Click(300, 10)):
        window = window_at((HEIGHT, WIDTH), click)
        assert window.holds(click)
        assert window.left >= 0 and window.top >= 0 and window.right <= WIDTH and window.bottom <= HEIGHT
        assert 0.3 * WIDTH <= window.size[1] <= (0.3 + 2 / 16) * WIDTH
    assert not window_at((HEIGHT, WIDTH), Click(0, 0)).holds(Click(300, 10))


def test_the_answer_is_of_the_window_alone(model):
    picture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    window = Window(160, 80, 400, 200)
    before, prompt = logits(200, 100, 300, 180), Prompt(1, 0, clicks=(Click(250, 140),))
    view = look(model, picture, window)
    with torch.inference_mode():
        found = answer(model, view, prompt, (HEIGHT, WIDTH), before=before).logits
    outside = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    outside[80:200, 160:400] = False
    assert (found[outside] < 0).all()
    assert len(found[~outside].unique()) > 100
    other = picture.copy()
    other[0, 0] = 255 - other[0, 0]  # what lies outside is not looked at
    assert torch.equal(look(model, other, window).features.vision, view.features.vision)


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        (Prompt(1, 0, clicks=(Click(50, 50),)), {"large"}),
        (Prompt(1, 0, clicks=(Click(203, 103),)), {"speck"}),
        (Prompt(1, 0, clicks=(Click(50, 50), Click(420, 120))), {"large", "small"}),
        (Prompt(1, 0, clicks=(Click(50, 50), Click(420, 120, on=False))), {"large"}),
        (Prompt(1, 0, clicks=(Click(300, 300),)), {"large", "small"}),  # beside everything
        (Prompt(1, 0, box=Box(20, 20, 460, 160)), {"large", "small"}),
        (Prompt(1, 0, box=Box(20, 20, 460, 160), clicks=(Click(203, 103),)), {"large", "small", "speck"}),
    ],
)
def test_pieces_that_nobody_pointed_at_are_left_out(prompt, kept):
    pieces = {"large": (20, 20, 120, 120), "small": (400, 100, 440, 140), "speck": (200, 100, 210, 110)}
    everything = torch.stack([logits(*piece) for piece in pieces.values()]).amax(dim=0)
    meant = (everything > 0) & ~_not_meant(everything, prompt)
    assert {name for name, piece in pieces.items() if (meant & (logits(*piece) > 0)).any()} == kept


@pytest.mark.parametrize(
    ("clicks", "limited"),
    [((), True), ((Click(250, 140), Click(400, 20, on=False)), True), ((Click(250, 140), Click(320, 140)), False)],
)
def test_what_lies_beyond_a_box_is_left_out_unless_it_is_clicked(clicks, limited):
    everything = logits(0, 0, WIDTH, HEIGHT)
    found = boxed(everything, Prompt(1, 0, clicks=clicks, box=Box(200, 100, 300, 180)))
    assert (found[100:180, 200:300] > 0).all()
    assert (found > 0).all() != limited
    assert not limited or (found > 0).sum() <= 106 * 86
    alone = Prompt(1, 0, clicks=(Click(250, 140),))
    assert torch.equal(boxed(everything, alone), everything)


def test_a_box_at_the_border_of_the_picture_limits_what_is_within():
    found = boxed(logits(0, 0, WIDTH, HEIGHT), Prompt(1, 0, box=Box(0, 0, 100, 320)))
    assert (found[:, :100] > 0).all() and not (found[:, 103:] > 0).any()


def test_an_answer_to_a_box_stays_within_it(model):
    truth, one = logits(60, 30, 600, 290), torch.ones(1)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[(truth > 0).numpy()] = 200
    decoded = Decoded(truth[None], truth[None, None], one[None], torch.zeros(1, dtype=torch.long), one[None], one)
    found = settle(model, decoded, Prompt(1, 0, box=Box(60, 30, 400, 290)), picture)
    assert found is not None and (found.logits[40:280, 70:390] > 0).all() and not (found.logits[:, 410:] > 0).any()


def test_what_a_closer_look_leads_to_is_the_mean_of_three_answers(model, monkeypatch):
    prompt, one = Prompt(1, 0, clicks=(Click(250, 140),)), torch.ones(1)
    first = torch.full((HEIGHT, WIDTH), -6.0)
    first[100:180, 200:300] = 6
    decoded = Decoded(first[None], first[None, None], one[None] / 2, torch.zeros(1, dtype=torch.long), one[None], one)
    picture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    seen: list[View] = []

    def view(window: Window) -> View:
        seen.append(look(model, picture, window))
        return seen[-1]

    monkeypatch.setattr(second_look, "cut", lambda picture, logits, prompt: logits)
    monkeypatch.setattr(second_look, "_not_meant", lambda logits, prompt: torch.zeros_like(logits, dtype=torch.bool))
    with torch.inference_mode():
        found = look_again(model, decoded, prompt, picture, view)
        corrected = look_again(model, decoded, prompt, picture, view, before=first)
        led, alone = (answer(model, seen[0], prompt, (HEIGHT, WIDTH), before=led).logits for led in (first, None))
    assert found is not None and corrected is not None
    assert not torch.equal(led, alone)
    torch.testing.assert_close(found.logits, (first + led + alone) / 3)
    assert torch.equal(corrected.logits, led)


@pytest.fixture
def encoded(model, monkeypatch):
    """The sizes of all pictures that the model encodes."""
    sizes = []
    encode = model.encode_image
    monkeypatch.setattr(model, "encode_image", lambda images: sizes.append(tuple(images.shape[-2:])) or encode(images))
    return sizes


def frame(index: int) -> Frame:
    picture = np.random.default_rng(index).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Frame(index, index / 24, picture)


def test_other_models_look_once(tiny_model, monkeypatch):
    encoded = []
    encode = tiny_model.encode_image
    monkeypatch.setattr(tiny_model, "encode_image", lambda images: encoded.append(images) or encode(images))
    step(tiny_model, TrackerState(), frame(0), [Prompt(1, 0, box=Box(200, 100, 300, 180))])
    assert len(encoded) == 1


def test_only_a_new_object_is_looked_at_twice(model, encoded):
    closer = (96, 128)  # its window has another shape than the frame
    box = Prompt(1, 0, box=Box(200, 100, 300, 180))
    state, _ = step(model, TrackerState(), frame(0), [box])
    assert encoded.count(closer) == 1
    state, _ = step(model, state, frame(1))
    state, _ = step(model, state, frame(2), [Prompt(1, 2, clicks=(Click(250, 140),))])  # a correction
    state, _ = step(model, state, frame(3), [Prompt(2, 3, mask=logits(200, 100, 300, 180).numpy() > 0)])
    assert encoded.count(closer) == 1 and len(encoded) > 4


def test_it_is_remembered_as_it_looks_in_the_window_that_follows(model, encoded):
    box = Prompt(1, 0, box=Box(200, 100, 300, 180))
    state, result = step(model, TrackerState(), frame(0), [box])
    assert len(encoded) == 3 and encoded[0] == encoded[2]
    assert state.gaze == (state.window, state.window) and result.window == state.window
    step(model, state, frame(1))
    assert len(encoded) == 4


def test_what_is_seen_on_the_second_look_is_followed(model, tiny_model):
    box = Prompt(1, 0, box=Box(200, 100, 300, 180))
    _, closer = step(model, TrackerState(), frame(0), [box])
    _, first = step(tiny_model, TrackerState(), frame(0), [box])
    mask = closer.masks()[0]
    assert mask.any() and (mask != first.masks()[0]).any()
    window = window_of(model, logits(0, 0, 1, 1), box)
    assert window is not None
    mask[window.top - 8 : window.bottom + 8, window.left - 8 : window.right + 8] = False
    assert not mask.any()
    assert float(closer.iou[0]) != float(first.iou[0])


def test_where_a_closer_look_shows_nothing_new_the_answer_itself_is_cut(model, tiny_model):
    truth = logits(60, 30, 600, 290)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[(truth > 0).numpy()] = 200
    unsure = logits(80, 45, 580, 275).clamp(-1, 1)
    unsure[140:180, 280:360] = 5
    unsure[:8] = unsure[-8:] = -5
    prompt, one = Prompt(1, 0, clicks=(Click(320, 160),)), torch.ones(1)
    decoded = Decoded(unsure[None], unsure[None, None], one[None] / 2, torch.zeros(1, dtype=torch.long), one[None], one)
    assert window_of(model, unsure, prompt) is None
    found = settle(model, decoded, prompt, picture)
    assert found is not None and float(found.iou) == 0.5
    assert ((unsure > 0) != (truth > 0)).any() and ((found.logits > 0) == (truth > 0)).all()
    assert settle(model, decoded._replace(score=-one), prompt, picture) is None
    assert settle(tiny_model, decoded, prompt, picture) is None
