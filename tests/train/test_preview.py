"""Sheets show every frame, mask, prompt and ignored pixel."""

import numpy as np

from vidseg.train.clip import Clip
from vidseg.train.preview import draw_frame, sheet
from vidseg.types import Box, Click, Prompt


def _clip(frames: int = 3) -> Clip:
    masks = np.zeros((frames, 2, 20, 30), bool)
    masks[:, 0, 12:18, 5:11] = True
    ignore = np.zeros((frames, 20, 30), bool)
    ignore[:, :, 25:] = True
    valid = np.ones((frames, 2), bool)
    valid[1:, 1] = False
    return Clip(np.full((frames, 20, 30, 3), 100, np.uint8), masks, valid, ignore, "made up")


def test_a_sheet_has_a_row_a_clip_and_a_column_a_frame():
    assert sheet([_clip(), _clip()]).shape == (2 * (20 + 14), 90, 3)
    assert sheet([_clip()], plain=True).shape == (14 + 40, 90, 3)
    assert sheet([_clip(30)], max_frames=5).shape[1] == 150


def test_masks_are_coloured_and_ignored_pixels_hatched():
    image = draw_frame(_clip(), 0)
    assert (image[12:18, 5:11] != 100).any(axis=-1).all()
    assert (image[:, 25:] == 255).any() and (image[:, 25:] == 100).any()
    assert (image[12:, 13:24] == 100).all()


def test_drawing_leaves_the_clip_alone():
    clip = _clip()
    draw_frame(clip, 0)
    assert (clip.images == 100).all()


def test_prompts_are_drawn_on_their_frame_only():
    prompts = [
        Prompt(1, 0, clicks=(Click(15, 8), Click(20, 10, on=False)), box=Box(3, 10, 14, 19)),
        Prompt(2, 0, mask=np.pad(np.ones((4, 4), bool), ((13, 3), (16, 10)))),
    ]
    clip = _clip()
    assert (draw_frame(clip, 0, prompts) != draw_frame(clip, 0)).any()
    np.testing.assert_array_equal(draw_frame(clip, 1, prompts), draw_frame(clip, 1))
    assert (sheet([clip], prompts=[prompts]) != sheet([clip])).any()
