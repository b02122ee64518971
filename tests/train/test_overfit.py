"""That the code can learn, and learns to use memory: sixteen clips known by heart. A quarter of an hour on a core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vidseg.config import read_config
from vidseg.train.config import TrainConfig
from vidseg.train.data import build_source, subset_clips
from vidseg.train.held_out import follow, mean_overlap
from vidseg.train.loop import train
from vidseg.weights import load_model

CONFIG = Path(__file__).parents[2] / "configs" / "train" / "overfit.yaml"


@pytest.mark.slow
def test_sixteen_clips_are_learned_and_memory_is_what_follows_them(shared, tmp_path):
    config = replace(read_config(CONFIG, TrainConfig), data_root=str(shared / "data"))
    for _ in train(config, tmp_path):
        pass
    model = load_model(tmp_path / "best.safetensors", device="cpu", dtype="float32")
    clips = subset_clips(config, build_source(config.sources, config.data_root))
    with_memory = mean_overlap(list(follow(model, clips)))
    without = mean_overlap(list(follow(model, clips, memory=False)))
    print(f"J {100 * with_memory:.1f} with memory, {100 * without:.1f} without")
    assert with_memory >= 0.9
    assert without < with_memory - 0.3
