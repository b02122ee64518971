"""Contact sheets of a config: one a source and stage, with the prompts the training would give."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

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


def test_clips_that_would_be_made_on_a_gpu_are_the_ones_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "broken"):
        cv2.imwrite(str(tmp_path / "data" / f"{name}.jpg"), rng.integers(0, 255, (80, 100, 3), dtype=np.uint8))
        cv2.imwrite(str(tmp_path / "data" / f"{name}.png"), np.pad(np.ones((40, 40), np.uint8), ((20, 20), (30, 30))))
    (tmp_path / "data" / "broken.jpg").write_bytes(b"no picture")
    config = TrainConfig(sources=(SourceConfig("stills", ("data",)),), stages=(STAGE,), data_root=str(tmp_path))
    sheets = []
    for on_gpu in (False, True):
        *paths, skipped = draw_sheets(replace(config, clips_on_gpu=on_gpu), tmp_path / str(on_gpu), clips=3)
        sheets.append(cv2.imread(str(paths[0])))
    assert sheets[0].shape == sheets[1].shape == (3 * (64 + 14), 3 * 96, 3)
    assert (sheets[0] != sheets[1]).any()
    assert skipped.read_text() == f"{tmp_path / 'data' / 'broken.jpg'}: cannot be decoded as an image\n"


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
    sheet = draw_sheet(made, prompts, seed=0)
    assert sheet.shape == (3 * (64 + 14), 3 * 96, 3)
