"""Tables that grow line by line, survive a cut-off last line and can be cut back; the plot of them."""

from __future__ import annotations

import builtins

import pytest

from vidseg.errors import DataError, VidsegError
from vidseg.train.metrics import append_row, cut_after, read_rows
from vidseg.train.plot import draw_curves

ROW = {"loss": 1.5, "focal": 0.1, "dice": 0.5, "iou": 0.2, "score": 0.1, "overlap": 0.3, "rate": 1e-3}


def fill(path, steps):
    for step in steps:
        append_row(path, {"step": step, **ROW, "clips_per_second": 2.0})


def test_rows_come_back_and_a_cut_off_line_is_left_out(tmp_path):
    path = tmp_path / "metrics.csv"
    assert read_rows(path) == []
    fill(path, [1, 2])
    path.write_text(path.read_text() + "3,1.")
    assert [row["step"] for row in read_rows(path)] == [1, 2]
    assert read_rows(path)[0]["rate"] == 1e-3


def test_table_is_cut_back_to_a_step(tmp_path):
    path = tmp_path / "metrics.csv"
    cut_after(path, 3)
    fill(path, [1, 2, 3, 4, 5])
    path.write_text(path.read_text() + "6,1.")
    cut_after(path, 3)
    fill(path, [4])
    assert [row["step"] for row in read_rows(path)] == [1, 2, 3, 4]


def test_curves_are_drawn(tmp_path):
    fill(tmp_path / "metrics.csv", [1, 2, 3])
    append_row(tmp_path / "held_out.csv", {"step": 2, "j": 0.4})
    path = draw_curves(tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000
    assert not list(tmp_path.glob("*.part*"))


def test_curves_of_nothing_are_refused(tmp_path):
    with pytest.raises(DataError, match="has no lines of metrics yet"):
        draw_curves(tmp_path)


def test_missing_matplotlib_names_the_install_line(tmp_path, monkeypatch):
    found = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(VidsegError, match=r"pip install 'vidseg\[plot\]'"):
        draw_curves(tmp_path)
