"""The config of a run: what it refuses, and that every shipped file loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vidseg.config import read_config, to_dict
from vidseg.errors import ConfigError
from vidseg.train.config import SourceConfig, StageConfig, TrainConfig

FILES = sorted((Path(__file__).parents[2] / "configs" / "train").glob("*.yaml"))
CONFIG = TrainConfig(
    sources=(SourceConfig("scenes"),), stages=(StageConfig(3, (64, 96), 2, 1), StageConfig(2, (64, 64), 3, 1))
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_config_loads_and_is_short(path):
    config = read_config(path, TrainConfig)
    assert config.steps > 0
    assert not config.model or config.model_config().d_model > 0
    assert len(path.read_text().splitlines()) <= 40
    assert not config.data_root.startswith("/")


def test_the_examples_named_in_the_docs_exist():
    assert {"nano", "nano-cpu", "overfit", "finetune"} <= {path.stem for path in FILES}


def test_stage_is_found_by_step():
    assert CONFIG.steps == 5
    assert [CONFIG.stage_at(step)[1] for step in range(5)] == [3, 3, 3, 5, 5]
    assert CONFIG.stage_at(3)[0].frames == 3
    with pytest.raises(IndexError):
        CONFIG.stage_at(5)


def test_batches_of_another_kind_stand_between_those_of_a_stage():
    pictures = StageConfig(2, (64, 64), 1, 8)
    stage = replace(CONFIG.stages[0], every=3, beside=pictures)
    parts = [stage.part_at(step) for step in range(10)]
    assert [part.frames for part in parts] == [2, 2, 2, 1, 1, 2, 2, 2, 1, 1]
    for part in stage.parts:
        assert [stage.batches_before(step, part) for step in range(10)] == [
            parts[:step].count(part) for step in range(10)
        ]
    named = replace(CONFIG, stages=(stage, pictures)).parts
    assert named == {"1": stage, "1-beside": pictures, "2": pictures}
    alone = CONFIG.stages[0]
    assert alone.part_at(2) is alone and alone.batches_before(7, alone) == 7


def test_settings_change_the_preset_and_reach_into_the_trunk():
    config = replace(CONFIG, model="sam2.1-tiny", settings={"memory_layers": 3, "trunk": {"embed_dim": 32}})
    config = config.model_config()
    assert (config.memory_layers, config.trunk.embed_dim, config.trunk.stages) == (3, 32, (1, 2, 7, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": ()}, "at least one stage and one source"),
        ({"stages": (StageConfig(0, (64, 64), 1, 1),)}, "holds a number below 1"),
        ({"stages": (StageConfig(1, (64, 100), 1, 1),)}, r"\[64, 100\] must be multiples of 32"),
        (
            {"stages": (StageConfig(1, (64, 64), 1, 1, beside=StageConfig(1, (64, 64), 1, 0)),)},
            "holds a number below 1",
        ),
        ({"stages": (StageConfig(1, (64, 64), 1, 1, every=0),)}, "holds a number below 1"),
        (
            {"stages": (StageConfig(1, (64, 64), 1, 1, beside=replace(CONFIG.stages[0], beside=CONFIG.stages[1])),)},
            "a stage's `beside` has a `beside` of its own",
        ),
        ({"model": "micro"}, "unknown model 'micro'; presets: sam2.1-tiny"),
        ({"model": ""}, "no `model` and no `init_from`"),
    ],
)
def test_impossible_runs_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **change)


def test_unknown_setting_of_a_stage_is_named(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("sources: [{kind: scenes}]\nstages: [{steps: 1, size: [64, 64], frame: 2, batch: 1}]\n")
    with pytest.raises(ConfigError, match=r"stages\[0\]: unknown setting 'frame'; did you mean 'frames'"):
        read_config(path, TrainConfig)


def test_plain_values_hold_everything():
    assert to_dict(CONFIG)["optimiser"]["rate"] == 1e-3
