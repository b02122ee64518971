"""Contact sheets of a config: one a source and stage, with the prompts the training would give."""

from __future__ import annotations

import cv2
import pytest

from vidseg.train.clip import stack
from vidseg.train.config import SourceConfig, StageConfig, TrainConfig
from vidseg.train.data import fixed_clips
from vidseg.train.model_step import make_batch
from vidseg.train.sheets import draw_sheet, draw_sheets, first_prompts
from vidseg.train.sources import Scenes
from vidseg.train.user import KINDS, PromptConfig

STAGE = StageConfig(1, (64, 96), 3, 1, 2)


def test_every_source_and_stage_gets_a_sheet(tmp_path):
    config = TrainConfig(sources=(SourceConfig("scenes"),) * 2, stages=(STAGE, StageConfig(1, (64, 64), 2, 1)))
    paths = list(draw_sheets(config, tmp_path, clips=2))
    assert [path.name for path in paths] == [
        "source-1-scenes-stage-1.jpg",
        "source-1-scenes-stage-2.jpg",
        "source-2-scenes-stage-1.jpg",
        "source-2-scenes-stage-2.jpg",
        "skipped.txt",
    ]
    assert cv2.imread(str(paths[0])).shape[1] == 3 * 96


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_shown_are_those_of_the_training(kind):
    prompts = PromptConfig(**{**dict.fromkeys(KINDS, 0.0), kind: 1.0})
    made = fixed_clips(Scenes(), 3, seed=0, frames=3, size=(64, 96), objects=2)
    shown = first_prompts(made, make_batch(stack(made), prompts, seed=0, number=0), prompts)
    for clip, given in zip(made, shown, strict=True):
        assert [prompt.object for prompt in given] == list(range(1, clip.masks.shape[1] + 1))
        for prompt in given:
            mask = clip.masks[0, prompt.object - 1]
            if kind == "click":
                (click,) = prompt.clicks
                assert click.on and mask[int(click.y), int(click.x)]
            elif kind == "box":
                assert prompt.box is not None and prompt.box.x2 > prompt.box.x1
            else:
                assert prompt.mask.shape == (64, 96)
                assert (prompt.mask == mask).all() if kind == "mask" else (prompt.mask & mask).any()
    sheet = draw_sheet(Scenes(), STAGE, prompts, clips=3, seed=0)
    assert sheet.shape == (3 * (64 + 14), 3 * 96, 3)
