"""The curves of a run as a picture, from its tables. Needs matplotlib (the extra `plot`)."""

from __future__ import annotations

from pathlib import Path

from vidseg.errors import DataError, needs_extra
from vidseg.train.metrics import read_rows


def draw_curves(folder: str | Path) -> Path:
    """Draw loss parts, J and learning rate of the run in `folder` to `curves.png` there.

    Raises:
        VidsegError: matplotlib is missing.
        DataError: the folder has no metrics yet.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise needs_extra("matplotlib", "plot") from None
    folder = Path(folder)
    rows, held_out = read_rows(folder / "metrics.csv"), read_rows(folder / "held_out.csv")
    if not rows:
        raise DataError(f"{folder} has no lines of metrics yet; nothing to draw")
    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, overlap, rate = figure.subplots(1, 3)
    for name, factor in (("loss", 1), ("focal", 20), ("dice", 1), ("iou", 1), ("score", 1)):
        losses.plot(steps, [factor * row[name] for row in rows], label=name if factor == 1 else f"{factor} x {name}")
    losses.set(yscale="log", title="losses", xlabel="step")
    overlap.plot(steps, [100 * row["overlap"] for row in rows], label="training, best candidate", alpha=0.6)
    if held_out:
        overlap.plot([row["step"] for row in held_out], [100 * row["j"] for row in held_out], "o-", label="held out")
    overlap.set(title="J", xlabel="step", ylim=(0, 100))
    rate.plot(steps, [row["rate"] for row in rows], label="learning rate")
    rate.set(title="learning rate", xlabel="step")
    speed = rate.twinx()
    speed.plot(steps, [row["clips_per_second"] for row in rows], color="tab:grey", alpha=0.5)
    speed.set_ylabel("clips / s")
    losses.legend(fontsize="small")
    overlap.legend(fontsize="small")
    part, path = folder / "curves.part.png", folder / "curves.png"
    figure.savefig(part, dpi=100)
    part.replace(path)
    return path
