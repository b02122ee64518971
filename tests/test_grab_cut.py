"""Where an answer is unsure, the picture's edges and the clicks decide."""

import cv2
import numpy as np
import pytest
import torch

from vidseg.grab_cut import cut
from vidseg.types import Click, Prompt

SIZE = 120, 200
THING = slice(40, 80), slice(60, 140)


@pytest.fixture
def picture():
    """A red thing on a blue ground, with some noise."""
    values = np.random.default_rng(0).integers(0, 40, (*SIZE, 3), dtype=np.uint8)
    values[..., 2] += 150
    values[THING] = values[THING][..., ::-1]
    return values


@pytest.fixture
def logits():
    """Sure in the thing's middle and far from it; in between a hole on the thing and a stain beside it."""
    values = torch.full(SIZE, -5.0)
    values[30:90, 40:160] = -0.5
    values[THING] = 0.5
    values[50:70, 75:125] = 5.0
    values[44:76, 62:72] = -0.5
    values[84:90, 80:100] = 0.5
    return values


def test_unsure_pixels_go_with_their_colour(picture, logits):
    truth = np.zeros(SIZE, bool)
    truth[THING] = True
    before, after = (logits > 0).numpy(), (cut(picture, logits, Prompt(1, 0, clicks=(Click(100, 60),))) > 0).numpy()
    assert (before != truth).mean() > 0.01
    assert (after == truth).all()


def test_what_is_sure_stays_and_so_does_everything_far_away(picture, logits):
    found = cut(picture, logits, Prompt(1, 0, clicks=(Click(100, 60),)))
    sure = logits.abs() > 2
    assert (found[sure] == logits[sure]).all()
    changed = (found > 0) != (logits > 0)
    assert changed.any() and (found[changed].abs() == 2).all()


def test_a_click_is_what_it_says_even_where_the_network_is_sure(picture, logits):
    clicks = Click(100, 60, False), Click(20, 20), Click(62, 42)
    found = cut(picture, logits, Prompt(1, 0, clicks=clicks)) > 0
    assert not found[60, 100] and found[20, 20] and found[42, 62]


def test_the_same_answer_gives_the_same_cut(picture, logits):
    noise = np.random.default_rng(1).integers(0, 255, picture.shape, dtype=np.uint8)
    prompt, first = Prompt(1, 0, clicks=(Click(100, 60),)), None
    for seed in range(3):
        cv2.setRNGSeed(seed)
        found = cut(noise, logits, prompt)
        assert first is None or (found == first).all()
        first = found


@pytest.mark.parametrize("value", [-5.0, -0.5])
def test_an_empty_answer_is_left_as_it_is(picture, value):
    empty = torch.full(SIZE, value)
    assert cut(picture, empty, Prompt(1, 0, clicks=(Click(100, 60),))) is empty


def test_an_answer_that_fills_the_picture_is_left_as_it_is(picture):
    full = torch.full(SIZE, 0.5)
    assert cut(picture, full, Prompt(1, 0, clicks=(Click(100, 60),))) is full


def test_a_large_picture_is_cut_on_fewer_pixels(picture, logits, monkeypatch):
    sizes = []
    real = cv2.grabCut
    monkeypatch.setattr(cv2, "grabCut", lambda image, *rest: sizes.append(image.shape) or real(image, *rest))
    large = cv2.resize(picture, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
    values = torch.from_numpy(cv2.resize(logits.numpy(), None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST))
    prompt = Prompt(1, 0, clicks=(Click(800, 480), Click(1500, 900, False)))
    found = (cut(large, values, prompt) > 0).numpy()
    truth = np.zeros(found.shape, bool)
    truth[320:640, 480:1120] = True
    assert max(sizes[0]) == 256
    assert (found & truth).sum() / (found | truth).sum() > 0.97
    assert not found[900, 1500]
