"""One picture, many prompts."""

import numpy as np
import pytest
import torch
from golden import looks, seeded_model

from vidseg import Box, Click, EncodedImage, Frame, Prompt, TrackerState, encode, step
from vidseg.annotate.model import ModelSegmenter
from vidseg.errors import PromptError

PICTURE = np.random.default_rng(0).integers(0, 255, (60, 100, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def encoded():
    return encode(seeded_model("tiny-test"), PICTURE)


def test_a_click_gives_three_candidates_the_likeliest_first(encoded):
    result = encoded.prompt([Click(20, 30)])
    assert result.masks().shape == (3, 60, 100)
    assert result.masks().dtype == bool
    assert result.iou.tolist() == sorted(result.iou.tolist(), reverse=True)


@pytest.mark.parametrize("odd", [False, True])
def test_the_best_candidate_is_what_tracking_answers(encoded, odd, monkeypatch):
    if odd:  # a model may choose another one than that of the highest predicted IoU, see `candidate_margin`
        monkeypatch.setattr("vidseg.model.sam2.best_candidate", lambda logits, iou, margin: iou.argmin(dim=1))
    result = encoded.prompt([Click(20, 30)])
    assert (result.iou[0] == result.iou.min()) == odd and len(set(result.iou.tolist())) == 3
    prompt = Prompt(1, 0, clicks=(Click(20, 30),))
    _, tracked = step(encoded.model, TrackerState(), Frame(0, 0.0, PICTURE), [prompt])
    torch.testing.assert_close(result.logits[0], tracked.logits[0])


def test_clicks_and_a_box_combine(encoded):
    box = Box(10, 10, 60, 50)
    plain = encoded.prompt(box=box)
    both = encoded.prompt([Click(20, 30), Click(90, 5, False)], box=box)
    assert not torch.equal(plain.logits, both.logits)


def test_refining_starts_from_the_earlier_mask(encoded):
    first = encoded.prompt([Click(20, 30)])
    more = [Click(20, 30), Click(80, 50, False)]
    assert not torch.equal(encoded.prompt(more, refine=first).logits, encoded.prompt(more).logits)


def test_a_model_that_looks_twice_answers_one_click_after_the_other_from_close_by():
    model, size = looks(seeded_model("tiny-test"), 1.6), (60, 100)
    encoded, clicks = encode(model, PICTURE), (Click(20, 30), Click(80, 50, False), Click(30, 20))
    plain = EncodedImage(model, encoded.size, encoded.features).prompt(clicks[:1])
    first = encoded.prompt(clicks[:1])
    assert first.masks().shape == (3, *size) and (first.masks()[0] != plain.masks()[0]).any()
    assert (first.masks()[1:] == plain.masks()[1:]).all() and first.iou.tolist() == plain.iou.tolist()
    segmenter = ModelSegmenter(model)
    frame = segmenter.encode(Frame(0, 0.0, PICTURE))
    at_once, refined = encoded.prompt(clicks), first
    for count in (2, 3):
        refined = encoded.prompt(clicks[count - 1 : count], refine=refined)  # only what is new
    answered = segmenter.segment(frame, clicks=clicks).masks[0]
    for result in (at_once, refined, encoded.prompt(clicks, refine=first)):
        assert (result.masks()[0] == answered).all()
        assert torch.equal(result.logits[0], at_once.logits[0]) and result.prompt.clicks == clicks
    rough = torch.nn.functional.interpolate(at_once.logits[None, :1], size=size, mode="bilinear")[0, 0] > 0
    assert (rough.numpy() == answered).mean() > 0.9


def test_a_box_is_remembered_when_clicks_correct_its_mask():
    encoded = encode(looks(seeded_model("tiny-test"), 1.6), PICTURE)
    box, click = Box(10, 10, 60, 50), Click(30, 30, False)
    refined = encoded.prompt([click], refine=encoded.prompt(box=box))
    assert (refined.masks()[0] == encoded.prompt([click], box=box).masks()[0]).all()


def test_many_clicks_in_a_batch_equal_each_alone(encoded):
    clicks = [Click(20, 30), Click(70, 10), Click(5, 55)]
    candidates, iou = encoded.prompt_many(clicks)
    for row, click in enumerate(clicks):
        alone = encoded.prompt([click])
        order = iou[row].argsort(descending=True)
        torch.testing.assert_close(candidates[row, order], alone.logits, atol=1e-4, rtol=0)


def test_a_click_outside_is_refused(encoded):
    with pytest.raises(PromptError, match="outside the picture of 100x60"):
        encoded.prompt([Click(100, 3)])
    with pytest.raises(PromptError, match="says nothing"):
        encoded.prompt()
