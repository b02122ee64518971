"""The worked example of docs/train.md in small: a tiny model, a few generated clips; the loss falls, J rises."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import torch

from vidseg.model import PRESETS, Sam2
from vidseg.train.initial import start_local
from vidseg.train.metrics import read_rows
from vidseg.train.model_step import forget_positions
from vidseg.weights import load_model, save_model

DEMO = Path(__file__).parents[2] / "demos" / "finetune.py"


def test_finetuning_on_generated_clips_lowers_the_loss_and_raises_j(tmp_path, monkeypatch, capsys):
    forget_positions()
    torch.manual_seed(0)
    model = Sam2(PRESETS["tiny-test"])
    start_local(model)
    save_model(model, tmp_path / "start.safetensors")
    arguments = ["--model", str(tmp_path / "start.safetensors"), "--steps", "60", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [str(DEMO), *arguments])
    runpy.run_path(str(DEMO), run_name="__main__")
    run = tmp_path / "out" / "run"
    losses = [row["loss"] for row in read_rows(run / "metrics.csv")]
    overlap = [row["j"] for row in read_rows(run / "held_out.csv")]
    assert losses[-1] < 0.5 * losses[0]
    assert max(overlap) > 0.15 and overlap[-1] > overlap[0] + 0.1
    tuned = load_model(run / "best.safetensors", device="cpu", dtype="float32").state_dict()
    frozen = {name for name in tuned if name.startswith("sam_prompt_encoder")}
    same = {name for name, value in model.state_dict().items() if torch.equal(value, tuned[name])}
    assert frozen <= same and len(same) < len(tuned) / 4
    assert "use it: vidseg track" in capsys.readouterr().out
