"""The loop's quick look: J by hand, prompts that leave the first frame right, the model left as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vidseg.train.data import fixed_clips
from vidseg.train.held_out import Followed, follow, mean_overlap, picture
from vidseg.train.sources import Scenes


@pytest.fixture(scope="module")
def clips():
    return fixed_clips(Scenes(), 5, seed=0, frames=3, size=(64, 96), objects=2)


def test_overlap_is_measured_on_annotated_frames(clips, tiny_model):
    valid = clips[0].valid.copy()
    valid[1] = False
    followed = list(follow(tiny_model, [replace(clips[0], valid=valid), *clips[1:]]))
    assert len(followed) == 5
    assert np.isnan(followed[0].overlap[1]).all()
    for one in followed:
        assert one.masks.shape == one.clip.masks.shape
        assert (one.overlap[0] > 0.2).all()  # the mask that was given, on the grid of the decoder
        both, either = (one.masks & one.clip.masks).sum((2, 3)), (one.masks | one.clip.masks).sum((2, 3))
        expected = np.where(either > 0, both / np.maximum(either, 1), 1)
        assert np.allclose(one.overlap[2], expected[2])


def test_mean_leaves_the_prompted_frame_out(clips):
    masks = np.zeros((2, 1, 4, 4), bool)
    values = [np.array([[1.0], [0.5]]), np.array([[1.0], [0.1]]), np.array([[1.0], [np.nan]])]
    assert mean_overlap([Followed(clips[0], masks, value) for value in values]) == pytest.approx(0.3)
    assert np.isnan(mean_overlap([]))


@pytest.mark.parametrize("prompt", ["mask", "box", "click"])
def test_model_keeps_its_mode_and_memory_can_be_cut_off(clips, tiny_model, prompt):
    tiny_model.train()
    with_memory, without = (list(follow(tiny_model, clips[:2], prompt=prompt, memory=m)) for m in (True, False))
    assert tiny_model.training
    tiny_model.eval()
    list(follow(tiny_model, clips[:1], prompt=prompt))
    assert not tiny_model.training
    assert np.array_equal(with_memory[0].masks[0], without[0].masks[0])
    assert not np.array_equal(with_memory[0].masks[1:], without[0].masks[1:])


def test_picture_shows_truth_and_result_of_every_clip(clips, tiny_model):
    sheet = picture(list(follow(tiny_model, clips[:2])))
    assert sheet.shape == (4 * (64 + 14), 3 * 96, 3)
