"""Two gloo processes are one process with the double batch; alone, nothing is joined."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from torch.testing import assert_close

from vidseg.train import distributed

SCRIPT = Path(__file__).with_name("two_processes.py")


def test_alone_nothing_is_summed(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert distributed.join() == distributed.Place(0, 1, 0)
    values = torch.tensor([1.0, 2.0])
    assert torch.equal(distributed.summed(values), values)
    parameter = torch.nn.Parameter(values)
    distributed.sum_gradients([parameter])
    assert parameter.grad is None
    assert distributed.anyone(True, torch.device("cpu"))
    distributed.leave()


def test_two_processes_equal_one_with_the_double_batch(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(SCRIPT.parents[2])
    command = [sys.executable, str(SCRIPT), str(tmp_path / "two.pt")]
    processes = [
        subprocess.Popen(command, env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"})
        for rank in range(2)
    ]
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        from two_processes import numbers
    finally:
        sys.path.pop(0)
    one = numbers(distributed.Place())
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    assert_close(two["losses"], one["losses"], atol=2e-4, rtol=1e-4)
    assert_close(two["weights"], one["weights"], atol=5e-4, rtol=1e-3)
    assert two["losses"][0, 0] > 1
