"""Results for people: a table, a plot, and a sheet with the worst frames. Values in, text and pictures out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vidseg.errors import needs_extra
from vidseg.evaluate.data import Dataset
from vidseg.evaluate.methods import SavedMasks, video_of
from vidseg.evaluate.protocols import Protocol, Task
from vidseg.evaluate.results import ObjectResult, Results, SequenceResult, summarise
from vidseg.video import draw

_COLUMNS = ("sequence", "J&F", "J", "F", "J recall", "J decay", "F recall", "F decay", "frames/s")
_PANEL_WIDTH = 400  # pixels of one picture on the sheet
_CAPTION = 22  # pixels of the line of text above it


def table(results: Results) -> str:
    """Return the scores as an aligned Markdown table: a row for each sequence, for each of several objects, the set."""
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for sequence in results.sequences:
        rows.append(_row(sequence.name, sequence.objects, [sequence]))
        if len(sequence.objects) > 1:
            rows += [_row(f"- object {one.name}", [one], []) for one in sequence.objects]
    everything = [one for sequence in results.sequences for one in sequence.objects]
    rows.append(_row("mean", everything, results.sequences))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = [_line(row, widths) for row in rows]
    rule = "|" + "|".join("-" * (width + 1) + (":" if place else "-") for place, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _row(name: str, objects: Sequence[ObjectResult], timed: Sequence[SequenceResult]) -> tuple[str, ...]:
    s = summarise(objects)
    seconds = sum(one.seconds or 0 for one in timed)
    speed = f"{sum(one.frames for one in timed if one.seconds) / seconds:.1f}" if seconds else ""
    scores = (s.j_and_f, s.j, s.f, s.j_recall, s.j_decay, s.f_recall, s.f_decay)
    return (name, *("" if math.isnan(value) else f"{value:.1f}" for value in scores), speed)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "| " + " | ".join(cells) + " |"


def plot(results: Results, path: str | Path) -> None:
    """Draw a picture file: J and F of every sequence, how J&F changes over a video, and the curve over corrections.

    Raises VidsegError if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise needs_extra("matplotlib", "plot") from error
    count = 3 if results.curve else 2
    figure = Figure(figsize=(5 * count, max(3.0, 0.28 * len(results.sequences) + 1.5)), layout="constrained")
    axes = figure.subplots(1, count)
    names = [sequence.name for sequence in results.sequences]
    found = [summarise(sequence.objects) for sequence in results.sequences]
    places = np.arange(len(names))
    axes[0].barh(places - 0.2, [one.j for one in found], height=0.4, label=f"J, mean {results.j:.1f}")
    axes[0].barh(places + 0.2, [one.f for one in found], height=0.4, label=f"F, mean {results.f:.1f}")
    axes[0].set(yticks=places, yticklabels=names, xlim=(0, 100), xlabel="per cent", title=f"J&F {results.j_and_f:.1f}")
    axes[0].invert_yaxis()
    axes[0].legend()
    for sequence in results.sequences:
        axes[1].plot(*_over_time(sequence), linewidth=1, label=sequence.name)
    axes[1].set(xlim=(0, 100), ylim=(0, 100), xlabel="part of the video, per cent", ylabel="J&F", title="over time")
    if len(names) <= 8:
        axes[1].legend(fontsize="small")
    if results.curve:
        axes[2].plot(range(len(results.curve)), results.curve, marker="o")
        axes[2].set(ylim=(0, 100), xlabel="corrections", ylabel="J&F", title="interactive")
    figure.savefig(path, dpi=110)


def _over_time(sequence: SequenceResult) -> tuple[np.ndarray, np.ndarray]:
    """Where in the video (per cent) each scored frame lies, and the mean J&F (per cent) of the objects there."""
    scores = _by_frame(sequence)
    frames = np.array(sorted(scores))
    return 100 * frames / max(1, sequence.frames, *frames), 100 * np.array([np.mean(scores[frame]) for frame in frames])


def _by_frame(sequence: SequenceResult) -> dict[int, tuple[float, float]]:
    """{frame: (J, F)}, 0..1, the means over the objects scored there."""
    gathered: dict[int, list[tuple[float, float]]] = {}
    for one in sequence.objects:
        for frame, j, f in zip(one.frames, one.j, one.f, strict=True):
            gathered.setdefault(frame, []).append((j, f))
    return {frame: tuple(np.mean(scores, axis=0).tolist()) for frame, scores in gathered.items()}


def worst_frames(results: Results, count: int) -> list[tuple[str, int]]:
    """Return (sequence, frame) of the frames with the lowest J&F, worst first, spread over sequences and time.

    A sequence gives at most its share (rounded up), and its frames lie at least a tenth of its length apart.
    """
    if not results.sequences:
        return []
    share = -(-count // len(results.sequences))
    chosen: list[tuple[float, str, int]] = []
    for sequence in results.sequences:
        scores = _by_frame(sequence)
        taken: list[int] = []
        for frame in sorted(scores, key=lambda frame: sum(scores[frame])):
            if len(taken) < share and all(abs(frame - other) >= len(scores) / 10 for other in taken):
                taken.append(frame)
                chosen.append((sum(scores[frame]), sequence.name, frame))
    return [(name, frame) for _, name, frame in sorted(chosen)[:count]]


def sheet(results: Results, dataset: Dataset, protocol: Protocol, *, masks: Path, count: int = 8) -> np.ndarray | None:
    """Return an (H, W, 3) uint8 RGB picture of the worst frames: picture, truth and prediction side by side.

    `masks` is the folder that the predictions were written to. None if there is nothing to show: no frame was scored,
    or the data set has no pictures.
    """
    tasks = {video.name: Task(video, protocol) for video in dataset.videos if video.pictures}
    scores = {sequence.name: _by_frame(sequence) for sequence in results.sequences}
    rows = []
    for name, frame in worst_frames(results, count):
        if name in tasks:
            j, f = scores[name][frame]
            title = f"{name} {tasks[name].video.stem(frame)}   J {100 * j:.1f}   F {100 * f:.1f}"
            rows.append(_panels(tasks[name], frame, SavedMasks(masks), title))
    if not rows:
        return None
    return np.concatenate(rows)


def _panels(task: Task, frame: int, saved: SavedMasks, title: str) -> np.ndarray:
    image = video_of(task)[frame].image
    truth, _ = task.truth(frame)
    pictures = (image, draw(image, truth, task.objects), draw(image, saved.read(task, frame), task.objects))
    texts = (title, "truth", "prediction")
    return np.concatenate([_panel(picture, text) for picture, text in zip(pictures, texts, strict=True)], axis=1)


def _panel(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture at the sheet's width under a line of white text on black."""
    height = round(picture.shape[0] * _PANEL_WIDTH / picture.shape[1])
    small = cv2.resize(picture, (_PANEL_WIDTH, height), interpolation=cv2.INTER_AREA)
    panel = np.pad(small, ((_CAPTION, 2), (0, 2), (0, 0)))
    cv2.putText(panel, text, (4, _CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return panel
