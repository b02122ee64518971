"""The loop: exact resuming, stopping, damaged checkpoints, frozen parts, bad gradients and the run's folder."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from vidseg.errors import ConfigError, WeightsError
from vidseg.train import checkpoint
from vidseg.train.config import HeldOutConfig, OptimiserConfig, SourceConfig, StageConfig, TrainConfig
from vidseg.train.data import build_source, stage_batches
from vidseg.train.distributed import Place
from vidseg.train.loop import train
from vidseg.train.metrics import read_rows
from vidseg.train.run import start, step
from vidseg.train.user import PromptConfig
from vidseg.weights import load_model

SCENES = SourceConfig("scenes")
CONFIG = TrainConfig(
    model="tiny-test",
    sources=(SCENES,),
    stages=(
        StageConfig(3, (64, 64), 3, 2, 2, every=1, beside=StageConfig(1, (64, 64), 1, 3)),
        StageConfig(2, (64, 96), 2, 2, 1, 0.5),
    ),
    optimiser=OptimiserConfig(warmup=2),
    dtype="float32",
    workers=0,
    log_every=1,
)


def run_to(folder, last=None, config=CONFIG):
    """Train until `last` steps are done (default: all); returns the reports."""
    done = 0

    def stop():
        return last is not None and done >= last

    reports = []
    for report in train(config, folder, stop=stop):
        done = report.step
        reports.append(report)
    return reports


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, run_to(folder)


@pytest.mark.parametrize("at", [2, 3])
def test_stopped_and_resumed_run_equals_an_uninterrupted_one(tmp_path, whole, at):
    run_to(tmp_path, at)
    assert checkpoint.load(tmp_path)["step"] == at
    run_to(tmp_path)
    assert equal(checkpoint.load(tmp_path), checkpoint.load(whole[0]))
    curves = [[{**row, "clips_per_second": 0} for row in read_rows(f / "metrics.csv")] for f in (tmp_path, whole[0])]
    assert curves[0] == curves[1] and len(curves[0]) == 5


def test_killed_run_goes_on_from_its_last_checkpoint(tmp_path, whole):
    run_to(tmp_path, 2)
    kept = checkpoint.load(tmp_path)
    run_to(tmp_path, 4)  # what a kill after step 4 would have lost
    torch.save(kept, tmp_path / checkpoint.NAME)
    run_to(tmp_path)
    assert equal(checkpoint.load(tmp_path), checkpoint.load(whole[0]))
    assert [row["step"] for row in read_rows(tmp_path / "metrics.csv")] == [1, 2, 3, 4, 5]


def test_finished_run_is_left_alone(whole):
    before = (whole[0] / "last.safetensors").read_bytes()
    reports = run_to(whole[0])
    assert [report.step for report in reports] == [5]
    assert (whole[0] / "last.safetensors").read_bytes() == before


def test_folder_holds_config_metrics_and_weights_that_load(whole):
    folder, reports = whole
    names = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "metrics.csv", "checkpoint.pt", "last.safetensors"} <= names
    assert not any(name.endswith(".part") for name in names)
    assert load_model(folder / "last.safetensors", device="cpu", dtype="float32").config.name == "tiny-test"
    assert reports[0].news.startswith("tiny-test: 625,994 parameters")
    assert reports[-1].news.startswith("done: 5 steps")


def test_a_stage_may_have_its_own_prompts(tmp_path):
    clicks = PromptConfig(mask=0, sloppy=0, box=0, click=1)
    masks = PromptConfig(mask=1, sloppy=0, box=0, click=0)  # its own answer: on a clip of one frame nothing to learn
    config = replace(CONFIG, stages=(StageConfig(1, (64, 64), 1, 2, 2, prompts=clicks),), prompts=masks)
    run_to(tmp_path, config=config)
    assert read_rows(tmp_path / "metrics.csv")[0]["loss"] > 0


def test_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path):
    checkpoint.save(tmp_path, {"step": 1})
    checkpoint.save(tmp_path, {"step": 2})
    (tmp_path / checkpoint.NAME).write_bytes(b"half of a fi")
    assert checkpoint.load(tmp_path)["step"] == 1
    (tmp_path / checkpoint.PREVIOUS).write_bytes(b"")
    with pytest.raises(WeightsError, match="cannot be read as a training checkpoint"):
        checkpoint.load(tmp_path)


def test_checkpoint_of_another_model_or_version_is_refused(tmp_path, whole):
    checkpoint.save(tmp_path, checkpoint.load(whole[0]))
    other = replace(CONFIG, settings={"memory_feedforward": 32})
    with pytest.raises(ConfigError, match="does not fit this config"):
        next(train(other, tmp_path))
    torch.save({"version": 99}, tmp_path / checkpoint.NAME)
    with pytest.raises(WeightsError, match="not a training checkpoint of version 1"):
        next(train(CONFIG, tmp_path))


def test_fresh_run_refuses_a_folder_that_holds_one(whole):
    with pytest.raises(ConfigError, match=r"holds a run already \(step 5\)"):
        next(train(CONFIG, whole[0], resume=False))


def test_missing_gpu_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch sees no GPU"):
        next(train(replace(CONFIG, device="cuda"), tmp_path))


def test_start_from_weights_takes_them_over(whole, tmp_path):
    weights = whole[0] / "last.safetensors"
    run = start(replace(CONFIG, init_from=str(weights)), torch.device("cpu"))
    trained = load_model(weights, device="cpu", dtype="float32").state_dict()
    assert equal(dict(run.model.state_dict()), dict(trained))
    assert all(parameter.requires_grad for parameter in run.model.parameters())
    anything = start(replace(CONFIG, init_from=str(weights), model=""), torch.device("cpu"))
    assert anything.model.config.name == "tiny-test"
    with pytest.raises(ConfigError, match="is not a 'nano' with the settings of this config"):
        start(replace(CONFIG, init_from=str(weights), model="nano"), torch.device("cpu"))


def one_step(config):
    run = start(config, torch.device("cpu"))
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    source = build_source(config.sources, ".")
    stats = step(run, config, config.stages[0], stage_batches(config, source, config.stages[0], start=0), Place())
    return run, before, stats


def test_frozen_parts_stay_and_the_rest_learns():
    config = replace(CONFIG, optimiser=OptimiserConfig(warmup=0, frozen=("image_encoder.trunk", "sam_prompt_encoder")))
    run, before, _ = one_step(config)
    moved = {name for name, value in run.model.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith(("image_encoder.trunk", "sam_prompt_encoder")) for name in moved)
    assert any(name.startswith("memory_encoder") for name in moved)
    assert any(name.startswith("memory_attention") for name in moved)


def test_gradient_that_is_not_a_number_is_skipped():
    run = start(CONFIG, torch.device("cpu"))
    before = {name: value.clone() for name, value in run.model.named_parameters()}
    run.model.no_obj_ptr.register_hook(lambda gradient: gradient * float("nan"))
    run.model.maskmem_tpos_enc.register_hook(lambda gradient: gradient * float("nan"))
    source = build_source(CONFIG.sources, ".")
    stats = step(run, CONFIG, CONFIG.stages[0], stage_batches(CONFIG, source, CONFIG.stages[0], start=0), Place())
    assert stats[-1] == 1
    assert all(torch.equal(value, before[name]) for name, value in run.model.named_parameters())


def test_accumulated_batches_are_averaged():
    split = replace(CONFIG, optimiser=OptimiserConfig(accumulate=2), stages=(StageConfig(1, (64, 64), 2, 1, 1),))
    run, _, stats = one_step(split)
    source = build_source(split.sources, ".")
    losses = []
    for number in range(2):
        single = replace(split, optimiser=OptimiserConfig())
        alone = start(single, torch.device("cpu"))
        alone.step = number
        losses.append(
            step(alone, single, split.stages[0], stage_batches(single, source, split.stages[0], start=number), Place())[
                0
            ]
        )
    assert stats[0].item() == pytest.approx((losses[0] + losses[1]).item() / 2, rel=1e-5)
    assert run.step == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_data_that_is_left_out_is_told_and_listed(tmp_path, workers):
    (tmp_path / "data").mkdir()
    for name in ("good", "small", "broken"):
        cv2.imwrite(str(tmp_path / "data" / f"{name}.jpg"), np.full((80, 100, 3), 90, np.uint8))
        cv2.imwrite(str(tmp_path / "data" / f"{name}.png"), np.pad(np.ones((40, 40), np.uint8), ((20, 20), (30, 30))))
    (tmp_path / "data" / "broken.jpg").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "data" / "small.png"), np.ones((5, 5), np.uint8))
    stills = SourceConfig("stills", ("data",))
    config = replace(CONFIG, sources=(stills,), data_root=str(tmp_path), stages=CONFIG.stages[:1], workers=workers)
    news = "; ".join(report.news for report in run_to(tmp_path / "run", config=config))
    lines = (tmp_path / "run" / "skipped.txt").read_text().splitlines()
    assert sorted(lines) == [
        f"{tmp_path / 'data' / 'broken.jpg'}: cannot be decoded as an image",
        f"{tmp_path / 'data' / 'small.jpg'}: image is 100x80 and mask 5x5, expected equal sizes",
    ]
    assert "cannot be decoded as an image" in news and "expected equal sizes" in news
    assert news.count("broken.jpg") == 1


def test_subset_of_clips_is_learned_and_j_is_kept(tmp_path):
    config = replace(
        CONFIG,
        subset=2,
        stages=(StageConfig(40, (64, 64), 2, 2, 1),),
        optimiser=OptimiserConfig(rate=3e-3, warmup=5, decay=0, ema=0.8),
        held_out=HeldOutConfig(every=20),
        pictures_every=40,
        log_every=10,
    )
    reports = run_to(tmp_path, config=config)
    losses = [row["loss"] for row in read_rows(tmp_path / "metrics.csv")]
    overlap = [row["j"] for row in read_rows(tmp_path / "held_out.csv")]
    assert losses[-1] < 0.5 * losses[0]
    assert len(overlap) == 2 and max(overlap) > 0.2
    assert (tmp_path / "pictures" / "step-000040.jpg").stat().st_size > 1000
    assert (tmp_path / "best.safetensors").exists()
    assert "on held-out clips" in reports[-2].news
