"""Packing a run's state for another machine: small pieces, half precision, nothing missing goes unnoticed."""

from __future__ import annotations

import json

import pytest
import torch

from vidseg.errors import WeightsError
from vidseg.train import checkpoint


@pytest.fixture
def state():
    torch.manual_seed(0)
    return {
        "step": 7,
        "model": {"weight": torch.randn(300, 100), "count": torch.tensor(3)},
        "optimiser": {"state": {0: {"exp_avg_sq": torch.rand(300, 100) * 1e-12, "step": torch.tensor(7.0)}}},
        "random": torch.get_rng_state(),
        "list": [1, torch.ones(2)],
    }


def test_packed_state_comes_back_close_and_in_small_pieces(tmp_path, state, monkeypatch):
    monkeypatch.setattr(checkpoint, "PIECE_BYTES", 20_000)
    paths = checkpoint.pack(state, tmp_path)
    assert len(paths) > 5 and all(path.stat().st_size <= 20_000 for path in paths[:-1])
    assert sum(path.stat().st_size for path in paths) < 0.55 * 4 * 2 * 30_000
    found = checkpoint.unpack(tmp_path)
    assert found["step"] == 7 and found["model"]["count"] == 3
    weight, moment = found["model"]["weight"], found["optimiser"]["state"][0]["exp_avg_sq"]
    assert weight.dtype == moment.dtype == torch.float32
    assert torch.allclose(weight, state["model"]["weight"], rtol=1e-3)
    assert torch.allclose(moment, state["optimiser"]["state"][0]["exp_avg_sq"], rtol=1e-2, atol=0)
    assert torch.equal(found["random"], state["random"])


def test_missing_or_damaged_piece_is_named(tmp_path, state, monkeypatch):
    monkeypatch.setattr(checkpoint, "PIECE_BYTES", 20_000)
    checkpoint.pack(state, tmp_path)
    kept = (tmp_path / "state-001.bin").read_bytes()
    (tmp_path / "state-001.bin").write_bytes(kept[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"state-001.bin is damaged"):
        checkpoint.unpack(tmp_path)
    (tmp_path / "state-001.bin").unlink()
    with pytest.raises(WeightsError, match=r"state-001.bin is missing: the packed state has \d+ pieces"):
        checkpoint.unpack(tmp_path)


@pytest.mark.parametrize("content", [None, "{", json.dumps([1])])
def test_folder_without_a_good_list_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "state.json").write_text(content)
    with pytest.raises(WeightsError, match="holds no packed training state"):
        checkpoint.unpack(tmp_path)


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.load(tmp_path) is None


def test_pickled_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"version": 1, "model": Evil()}, tmp_path / checkpoint.NAME)
    with pytest.raises(WeightsError, match="cannot be read as a training checkpoint"):
        checkpoint.load(tmp_path)
