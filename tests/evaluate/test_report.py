"""The table, the plot and the sheet of the worst frames."""

import builtins
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from labelled import Make

from vidseg import evaluate
from vidseg.errors import VidsegError
from vidseg.evaluate import report
from vidseg.evaluate.methods import Copy
from vidseg.evaluate.output import Output
from vidseg.evaluate.protocols import find_protocol
from vidseg.evaluate.results import ObjectResult, Results, SequenceResult


def results_of(**scores: list[float]) -> Results:
    found = []
    for name, values in scores.items():
        frames = tuple(range(1, len(values) + 1))
        found.append(SequenceResult(name, (ObjectResult("1", frames, tuple(values), tuple(values)),), len(values), 0.5))
    return Results(tuple(found))


def test_the_table_has_a_row_a_sequence_and_the_mean_in_aligned_columns() -> None:
    lines = report.table(results_of(dog=[0.5, 0.75], a_longer_name=[0.25])).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:4] == ["sequence", "J&F", "J", "F"]
    assert cells[2][:4] == ["dog", "62.5", "62.5", "62.5"]
    assert cells[2][-1] == "4.0"
    assert cells[-1][:2] == ["mean", "43.8"]


def test_the_table_shows_the_objects_of_a_sequence_that_has_several(davis: Make) -> None:
    text = report.table(evaluate.run(Copy(), davis()))
    assert text.count("- object 1") == text.count("- object 2") == 2


def test_the_worst_frames_are_spread_over_sequences_and_time() -> None:
    results = results_of(good=[0.9] * 20, bad=[0.1, 0.05, *[0.1] * 8, *[0.3] * 10])
    chosen = report.worst_frames(results, 4)
    assert chosen[0] == ("bad", 2)
    assert [name for name, _ in chosen] == ["bad", "bad", "good", "good"]
    assert abs(chosen[0][1] - chosen[1][1]) >= 2


def test_the_sheet_shows_picture_truth_and_prediction_of_the_worst_frames(davis: Make, tmp_path: Path) -> None:
    dataset, output = evaluate.open_dataset(davis()), Output(tmp_path / "out")
    results = Results(tuple(evaluate.each(Copy(), dataset, output=output)))
    protocol = find_protocol("auto", dataset)
    sheet = report.sheet(results, dataset, protocol, masks=output.folder / "masks", count=3)
    assert sheet is not None
    panel = 300 + 22 + 2  # 64x48 pictures at a width of 400 pixels, the caption and the gap
    assert sheet.shape == (3 * panel, 3 * 402, 3)
    picture, truth, prediction = (sheet[22:322, 402 * n : 402 * n + 400] for n in range(3))
    assert not np.array_equal(picture, truth)
    assert not np.array_equal(truth, prediction)
    assert sheet[:22, :400].max() > 200, "J and F are written above the picture"


def test_there_is_no_sheet_without_pictures(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "00000.png"), np.eye(9, dtype=np.uint8))
    dataset = evaluate.open_dataset(tmp_path)
    assert report.sheet(Results(()), dataset, find_protocol("auto", dataset), masks=tmp_path) is None


def test_the_plot_is_a_picture_and_wider_with_a_curve(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results = results_of(a=[0.5, 0.75], b=[0.25, 0.1])
    report.plot(results, tmp_path / "plain.png")
    curved = tuple(SequenceResult(s.name, s.objects, s.frames, curve=(40.0, 60.0)) for s in results.sequences)
    report.plot(Results(curved), tmp_path / "curve.png")
    plain, curve = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("plain", "curve"))
    assert curve.shape[1] == plain.shape[1] * 3 // 2
    assert plain.std() > 5


def test_a_missing_matplotlib_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(VidsegError, match=r"matplotlib is not installed; run: pip install 'vidseg\[plot\]'"):
        report.plot(results_of(a=[0.5]), tmp_path / "plot.png")
