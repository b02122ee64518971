"""`vidseg train`: a run from the command line, its continuation, sheets, curves and packed states."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidseg.cli import main
from vidseg.train.metrics import read_rows

CONFIG = """
model: tiny-test
sources: [{kind: scenes}]
stages: [{steps: 2, size: [64, 64], frames: 2, batch: 1, objects: 1}]
optimiser: {warmup: 1}
dtype: float32
workers: 0
log_every: 1
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    return str(path)


def test_run_trains_and_a_second_call_has_nothing_to_do(config, tmp_path, capsys):
    out = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert (
        main(["train", config, "--out", str(out), "--set", "stages=[{steps: 1, size: [64, 64], frames: 2, batch: 1}]"])
        == 0
    )
    assert "done: 1 steps" in capsys.readouterr().err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert main(["train", config, "--out", str(out)]) == 0
    assert "step 2/2" in capsys.readouterr().err
    assert len(read_rows(out / "metrics.csv")) == 2
    assert main(["train", config, "--out", str(out), "--fresh"]) == 1
    assert "holds a run already" in capsys.readouterr().err
    assert main(["train", config, "--out", str(out), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["train", config, "--out", str(out), "--plot"]) == 0
    assert capsys.readouterr().out == f"{out / 'curves.png'}\n"


def test_minutes_over_stops_with_a_checkpoint(config, tmp_path, capsys):
    assert main(["train", config, "--out", str(tmp_path / "run"), "--minutes", "0"]) == 0
    assert "stopped at step 1 of 2; run again to continue" in capsys.readouterr().err
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_packed_state_starts_a_run_elsewhere(config, tmp_path, capsys):
    run, pieces, other = tmp_path / "run", tmp_path / "pieces", tmp_path / "other"
    main(["train", config, "--out", str(run), "--minutes", "0"])
    capsys.readouterr()
    assert main(["train", config, "--out", str(run), "--pack-state", str(pieces)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(pieces / "state-000.bin"), str(pieces / "state.json")]
    assert main(["train", config, "--out", str(other), "--unpack-state", str(pieces)]) == 0
    assert "step 1 of 2 on cpu" in capsys.readouterr().err
    assert main(["train", config, "--out", str(other), "--unpack-state", str(pieces)]) == 1
    assert "holds a checkpoint already" in capsys.readouterr().err
    assert main(["train", config, "--out", str(tmp_path / "none"), "--pack-state", str(pieces)]) == 1
    assert "holds no checkpoint to pack" in capsys.readouterr().err


def test_preview_draws_sheets_and_does_not_train(config, tmp_path, capsys):
    assert main(["train", config, "--out", str(tmp_path / "run"), "--preview"]) == 0
    assert "source-1-scenes-stage-1.jpg" in capsys.readouterr().out
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_check_lists_what_cannot_be_used(config, tmp_path, capsys):
    (tmp_path / "data" / "nothing").mkdir(parents=True)
    for name in ("good", "bad"):
        cv2.imwrite(str(tmp_path / "data" / f"{name}.jpg"), np.zeros((60, 80, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "data" / f"{name}.png"), np.ones((60, 80), np.uint8))
    (tmp_path / "data" / "bad.png").write_bytes(b"no mask")
    stills = ["--data-root", str(tmp_path), "--set", "sources=[{kind: stills, paths: [data]}]"]
    assert main(["train", config, "--check", *stills]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        f"{tmp_path / 'data' / 'nothing'}: an empty folder",
        f"{tmp_path / 'data' / 'bad.jpg'}: cannot be decoded as a mask",
    ]
    assert told.err == "2 items cannot be used and are skipped\n"
    assert main(["train", config, "--check"]) == 0
    assert capsys.readouterr().err == "all data can be used\n"


def test_footprint_names_every_stage(config, tmp_path, capsys):
    one_frame = "stages=[{steps: 2, size: [64, 64], frames: 1, batch: 1}]"
    assert main(["train", config, "--out", str(tmp_path / "run"), "--footprint", "--set", one_frame]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"stage 1 (1 clips of 1 frames, 64x64, 2 objects), {kind}" for kind in ("float32", "bfloat16")
    ]
    assert all("GiB = 0.01 weights and optimiser" in line for line in lines)
    assert not (tmp_path / "run").exists()


def test_unknown_setting_is_one_line(config, capsys):
    assert main(["train", config, "--set", "batches=3"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("vidseg: ") and error.count("\n") == 1 and "unknown setting 'batches'" in error


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupt_leaves_a_checkpoint_that_continues(config, tmp_path):
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "vidseg",
        "train",
        config,
        "--out",
        str(out),
        "--set",
        "stages=[{steps: 100000, size: [64, 64], frames: 2, batch: 1}]",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 300
        while len(read_rows(out / "metrics.csv")) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=300)[1]
    finally:
        process.kill()
    assert process.returncode == 0
    assert "run again to continue" in errors
    assert (out / "checkpoint.pt").exists() and (out / "last.safetensors").exists()
