"""A copy of a model learns from a few masks, and is better on what they show; the model stays as it was."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from vidseg import learner
from vidseg.adaptation import Adaptation
from vidseg.errors import ConfigError, DataError, PromptError, VideoError
from vidseg.learner import Example, adapt, adapting, as_masks, examples_of, followed
from vidseg.model import Sam2
from vidseg.tracker import track
from vidseg.train.model_step import fit_input, run_batch
from vidseg.train.sources import Examples
from vidseg.types import Click, Frame, Prompt
from vidseg.weights import load_model

QUICK, LONGER = (Adaptation(steps=steps, batch=1, frames=2) for steps in (3, 48))


def scene(frame: int = 0, *, size=(96, 160)) -> tuple[np.ndarray, np.ndarray]:
    """A moving disc, half of the stripes that are around it and half of others: picture and mask."""
    rows, columns = np.indices(size)
    upright, turned = (
        np.stack([x * 9 % 200, y * 5 % 180, np.full(size, 90)], axis=2) for x, y in ((columns, rows), (rows, columns))
    )
    mask = cv2.circle(np.zeros(size, np.uint8), (50 + 6 * frame, 48), 20, 1, -1) > 0
    disc = np.where((columns > 50 + 6 * frame)[..., None], turned, upright[::-1])
    return np.where(mask[..., None], disc, upright).astype(np.uint8), mask


def example(frame: int = 0, **fields) -> Example:
    return Example(*scene(frame), frame=frame, **fields)


def weights(model) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def test_the_given_model_stays_as_it_was_and_the_answer_is_one_like_it(tiny_model):
    before = weights(tiny_model)
    told = []
    adapted = adapt(tiny_model, [example()], QUICK, progress=told.append)
    assert all(map(torch.equal, before, weights(tiny_model)))
    assert not any(parameter.requires_grad for parameter in (*tiny_model.parameters(), *adapted.parameters()))
    assert adapted.config == tiny_model.config and adapted.dtype == tiny_model.dtype and not adapted.training
    assert any(not torch.equal(a, b) for a, b in zip(before, weights(adapted), strict=True))
    assert [(step.number, step.steps) for step in told] == [(1, 3), (2, 3), (3, 3)]
    assert all(0 <= step.overlap <= 1 for step in told)


def test_half_the_way_is_half_the_way(tiny_model):
    whole, half = (adapt(tiny_model, [example()], replace(QUICK, share=share)) for share in (1.0, 0.5))
    for a, b, c in zip(tiny_model.parameters(), half.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(b, (a + c) / 2)


def test_a_square_model_learns_from_pictures_squashed_as_it_sees_them(tiny_model, monkeypatch):
    square = Sam2(replace(tiny_model.config, square=True)).eval().requires_grad_(False)
    square.load_state_dict(tiny_model.state_dict())
    sizes = []

    def watched(model, batch, losses, prompts, config):
        sizes.append((batch.images.shape[-2:], fit_input(model, batch).images.shape[-2:]))
        return run_batch(model, batch, losses, prompts, config)

    monkeypatch.setattr("vidseg.learner.run_batch", watched)
    adapt(square, [example()], QUICK)
    assert sizes == [((64, 128), (128, 128))] * 3  # of a picture of 96 x 160


def test_two_clips_a_step_are_two_halves_of_it(tiny_model):
    told = []
    adapt(tiny_model, [example()], replace(QUICK, batch=2), progress=told.append)
    assert [step.number for step in told] == [0, 1, 1, 2, 2, 3]


def test_clicks_and_corrections_take_part_where_they_are_asked_for(tiny_model, monkeypatch):
    seen = []

    def watched(model, batch, losses, prompts, config):
        seen.append((tuple(len(rows) for rows in batch.kinds), batch.correction is not None))
        return run_batch(model, batch, losses, prompts, config)

    monkeypatch.setattr("vidseg.learner.run_batch", watched)
    adapt(tiny_model, [example()], replace(QUICK, batch=2, steps=12, clicks=0.5))
    kinds = np.sum([kinds for kinds, _ in seen], axis=0)
    assert len(seen) == 24 and kinds.sum() == 24 and 10 <= kinds[0] <= 14 and kinds[1] == 0 and kinds[3] > kinds[2] > 0
    assert 4 <= sum(corrected for _, corrected in seen) <= 20
    seen.clear()
    adapt(tiny_model, [example()], QUICK)
    assert seen == [((1, 0, 0, 0), False)] * 3


def test_the_same_seed_gives_the_same_model_and_another_another(tiny_model, use_threads):
    use_threads(1)
    first, again, other = (adapt(tiny_model, [example()], replace(QUICK, seed=seed)) for seed in (0, 0, 1))
    assert all(map(torch.equal, weights(first), weights(again)))
    assert any(not torch.equal(a, b) for a, b in zip(weights(first), weights(other), strict=True))


def test_the_shipped_model_learns_what_it_did_not_know():
    """On frames that it has not seen, the adapted model finds more of the object."""
    nano = load_model("nano", device="cpu", dtype="float32", image_size=160)
    source = Examples([example(frame) for frame in (2, 3)], short_side=96)
    unseen = [source.clip(np.random.default_rng([9, n]), frames=2, size=(96, 160), objects=1) for n in range(4)]
    before, after = (overlap(model, unseen) for model in (nano, adapt(nano, [example()], LONGER)))
    assert after > before + 0.05


def overlap(model, clips) -> float:
    """Mean J of the second frame of clips whose first is given as a mask."""
    found = []
    for clip in clips:
        frames = [Frame(n, n / 10, image) for n, image in enumerate(clip.images)]
        mask = list(track(model, frames, [Prompt(1, 0, mask=clip.masks[0, 0])]))[1].masks()[0]
        found.append((mask & clip.masks[1, 0]).sum() / (mask | clip.masks[1, 0]).sum())
    return float(np.mean(found))


def test_steps_can_be_taken_between_other_things_in_inference_mode_too(tiny_model):
    with torch.inference_mode():
        expected = weights(adapt(tiny_model, [example()], QUICK))
        steps = adapting(tiny_model, [example()], QUICK)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                adapted = end.value
                break
            frame = Frame(0, 0.0, scene()[0])
            examples_of(tiny_model, [frame], [Prompt(1, 0, clicks=(Click(50, 40),))])
    for a, b in zip(expected, weights(adapted), strict=True):
        torch.testing.assert_close(a, b)


def test_examples_are_the_masks_that_were_given_and_the_answers_to_clicks(tiny_model):
    video = [Frame(n, n / 10, scene(n)[0]) for n in range(4)]
    prompts = [
        Prompt(2, 3, mask=scene(3)[1]),
        Prompt(1, 1, clicks=(Click(56, 40),)),
        Prompt(1, 3, clicks=(Click(68, 40),)),
    ]
    found = examples_of(tiny_model, video, prompts)
    assert sorted((one.frame, one.object) for one in found) == [(1, 1), (3, 1), (3, 2)]
    by_place = {(one.frame, one.object): one for one in found}
    assert (by_place[3, 2].mask == scene(3)[1]).all()
    assert by_place[1, 1].mask.shape == (96, 160) and by_place[1, 1].image is video[1].image


class Broken(list):
    """Frames of which one cannot be read."""

    def __getitem__(self, index):
        if index == 5:
            raise VideoError("frame 5 is broken")
        return super().__getitem__(index)


@pytest.fixture
def sure(monkeypatch):
    """Says how sure the model is, `sure[frame, object]` or else 0.7, and tells which frames are followed, in order."""
    values, sweep = {}, learner.sweep

    def watched(model, state, frames, prompts, *, setting):
        for state_after, result in sweep(model, state, frames, prompts, setting=setting):
            values.setdefault("order", []).append(result.frame)
            logits = torch.full_like(result.logits, -5.0)
            logits[:, 10:20, 10:30] = 5.0
            iou = torch.tensor([values.get((result.frame, id), 0.7) for id in result.ids])
            yield state_after, replace(result, logits=logits, iou=iou, score=torch.ones(len(result.ids)))

    monkeypatch.setattr(learner, "sweep", watched)
    return values


def test_what_is_followed_is_learned_where_it_is_surest(tiny_model, sure):
    video = Broken(Frame(n, n / 10, scene(n % 4)[0]) for n in range(18))
    prompts = [Prompt(1, 2, mask=scene(2)[1]), Prompt(2, 9, clicks=(Click(50, 40),))]
    sure |= {(2, 1): 0.99, (3, 1): 0.8, (7, 1): 0.9, (12, 1): 0.5, (13, 1): 0.4}
    found = followed(tiny_model, video, prompts)
    assert sure["order"] == [2, 3, 4, *range(6, 18)]
    # Of sixteen frames two each; what a person told, and what is less sure than 0.6, is not learned.
    assert [one.frame for one in found if one.object == 1] == [3, 4, 7, 8, 10, 14, 16]
    assert [one.frame for one in found if one.object == 2] == [10, 12, 14, 16]
    assert not any(one.told for one in found)
    assert found[0].image.shape[:2] == found[0].mask.shape and found[0].mask.any()


def test_frames_are_followed_backwards_and_up_to_a_stop(tiny_model, sure):
    video = [Frame(n, n / 10, scene(n % 4)[0]) for n in range(12)]
    followed(tiny_model, video, [Prompt(1, 6, mask=scene(2)[1])], stop=3, reverse=True)
    assert sure.pop("order") == [6, 5, 4]
    followed(tiny_model, video, [Prompt(1, 6, mask=scene(2)[1])], stop=8)
    assert sure.pop("order") == [6, 7]


def test_a_clip_begins_with_what_was_told():
    told, other = (np.full((96, 160, 3), grey, np.uint8) for grey in (190, 40))
    mask = scene()[1]
    examples = [Example(other, mask, frame=frame, told=False) for frame in (3, 6)] + [Example(told, mask)]
    source = Examples(examples, short_side=96)
    assert len(source) == 3
    seen = set()
    for n in range(30):
        images = source.clip(np.random.default_rng([4, n]), frames=3, size=(96, 160), objects=1).images
        brighter = [float(image.mean() - images[0].mean()) > 30 for image in images[1:]]
        assert not any(brighter)
        seen.add(any(float(images[0].mean() - image.mean()) > 60 for image in images[1:]))
    assert seen == {True, False}  # real clips, and pseudo-videos of what was told


def test_what_was_only_followed_is_nothing_to_learn_from():
    with pytest.raises(DataError, match="nothing to adapt to"):
        Examples([example(told=False)], short_side=96)


def test_a_prompt_that_does_not_fit_its_frame_is_refused(tiny_model):
    frame = Frame(0, 0.0, scene()[0])
    for prompt in (Prompt(1, 0, clicks=(Click(999, 40),)), Prompt(1, 0, mask=np.ones((8, 8), bool))):
        with pytest.raises(PromptError):
            examples_of(tiny_model, [frame], [prompt])


def test_an_adapted_model_is_prompted_with_what_it_learned():
    image, mask = scene()
    prompts = (Prompt(1, 0, clicks=(Click(50, 40),)), Prompt(2, 0, clicks=(Click(5, 5),)), Prompt(1, 3, mask=mask))
    examples = [Example(image, mask), Example(image, mask & False, 2), Example(image, mask, 1, 3)]
    first, second, third = as_masks(prompts, examples)
    assert first.mask is mask and not first.clicks and third.mask is mask
    assert second is prompts[1]  # nothing was found there


def test_what_cannot_be_learned_from_is_refused_in_one_line(tiny_model):
    image, mask = scene()
    empty, speck = np.zeros_like(mask), np.zeros_like(mask)
    speck[5, 5] = True
    for examples in ([Example(image, empty)], [Example(image, speck)]):
        with pytest.raises(DataError, match="nothing to adapt to: no mask has 16 pixels"):
            adapt(tiny_model, examples, QUICK)
    with pytest.raises(ConfigError, match="nothing to adapt to: no mask was given"):
        adapt(tiny_model, [], QUICK)
    for wrong in ({"steps": 0}, {"batch": 0}, {"frames": 1}, {"share": 1.5}, {"rate": 0.0}, {"clicks": 2.0}):
        with pytest.raises(ConfigError, match="cannot adapt"):
            Adaptation(**wrong)
