"""The memory a step needs, worked out on pretend tensors: exact where it can be, and moving the right way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vidseg.errors import WeightsError
from vidseg.model import PRESETS, Sam2
from vidseg.train.config import OptimiserConfig, SourceConfig, StageConfig, TrainConfig
from vidseg.train.footprint import footprint
from vidseg.train.model_step import StepConfig
from vidseg.weights import save_model

STAGE = StageConfig(1, (64, 64), 1, 1, 1)
CONFIG = TrainConfig(model="tiny-test", sources=(SourceConfig("scenes"),), stages=(STAGE,))


@pytest.fixture(scope="module")
def plain():
    return footprint(CONFIG, STAGE, half=False)


def test_state_is_weights_gradients_moments_and_average(plain):
    assert plain.parameters == 625_994
    assert plain.state == 4 * 5 * 625_994
    assert plain.gib == pytest.approx((plain.state + plain.activations) / 2**30)


def test_clips_keep_their_share_checkpointed_ones_less_and_frozen_parts_nothing(plain):
    frozen = replace(CONFIG, optimiser=OptimiserConfig(ema=0, frozen=("image_encoder",)))
    double = footprint(CONFIG, replace(STAGE, batch=2), half=False)
    frame_by_frame = replace(CONFIG, step=StepConfig(chunk=1, checkpointing=True))
    less = footprint(frame_by_frame, replace(STAGE, batch=2), half=False)
    bare = footprint(frozen, STAGE, half=False)
    assert double.activations == pytest.approx(2 * plain.activations, rel=0.05)
    assert less.activations < 0.8 * double.activations
    assert bare.activations < plain.activations and bare.state < 4 * 4 * 625_994


def test_the_architecture_comes_from_the_weights_to_start_from_where_no_model_is_named(plain, tmp_path):
    save_model(Sam2(PRESETS["tiny-test"]), tmp_path / "start.safetensors")
    tuned = replace(CONFIG, model="", init_from=str(tmp_path / "start.safetensors"))
    assert footprint(tuned, STAGE, half=False) == plain
    assert footprint(replace(tuned, init_from="sam2.1-tiny"), STAGE, half=False).parameters == 38_962_498
    with pytest.raises(WeightsError, match="nowhere"):
        footprint(replace(tuned, init_from="nowhere.safetensors"), STAGE, half=False)


def test_real_tensors_are_not_touched(plain):
    from vidseg.model.positions import sine_grid

    assert type(sine_grid(4, 4, 16)) is torch.Tensor
