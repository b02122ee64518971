"""A run's folder: what is written there, and when.

`config.yaml` (every setting), `checkpoint.pt`, `metrics.csv`, `held_out.csv`, `pictures/`, `last.safetensors` and
`best.safetensors` (averaged weights, for `load_model`), `skipped.txt` (data that was left out).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import torch
from torch import Tensor

from vidseg.train import checkpoint
from vidseg.train.clip import Clip, Skip, summary
from vidseg.train.config import StageConfig, TrainConfig
from vidseg.train.distributed import Place
from vidseg.train.held_out import follow, mean_overlap, picture
from vidseg.train.metrics import append_row
from vidseg.train.run import PARTS, Run, arithmetic
from vidseg.weights import save_model


class Report(NamedTuple):
    """What the loop tells after a step: how many are done, the metrics if a line was written, and news in words."""

    step: int
    metrics: dict[str, float] | None = None
    news: str = ""


class Keeper:
    """Keeps a run's folder: metrics, held-out scores, pictures, checkpoints and weights, each when it is due."""

    def __init__(self, config: TrainConfig, folder: Path, place: Place, watched: list[Clip]) -> None:
        self.config, self.folder, self.place, self.watched = config, folder, place, watched
        self.saved = self.logged = time.monotonic()
        self.stats: list[Tensor] = []
        self.clips = 0
        self.skipped = 0

    def after(self, run: Run, stage: StageConfig, stats: Tensor, skips: Sequence[Skip] = ()) -> Report:
        """Do what is due after a step that gave the numbers `stats`; `skips` is all the data left out so far."""
        if self.place.rank:
            return Report(run.step)
        config = self.config
        self.stats.append(stats)
        self.clips += stage.batch * config.optimiser.accumulate * self.place.world
        last = run.step == config.steps
        metrics, news = None, []
        if run.step % config.log_every == 0 or last:
            metrics = self._log(run)
        if len(skips) > self.skipped and (metrics or not self.skipped):
            news.append(self._name(skips))
        if config.held_out.every and (run.step % config.held_out.every == 0 or last):
            news.append(self._look(run))
        if config.pictures_every and self.watched and (run.step % config.pictures_every == 0 or last):
            self._draw(run)
        if time.monotonic() - self.saved > 60 * config.save_minutes:
            self.save(run)
        return Report(run.step, metrics, "; ".join(news))

    def save(self, run: Run) -> None:
        """Write the checkpoint and the averaged weights."""
        if self.place.rank == 0:
            checkpoint.save(self.folder, run.state(self.config))
            self._averaged(run, lambda: save_model(run.model, self.folder / "last.safetensors"))
            self.saved = time.monotonic()

    def _log(self, run: Run) -> dict[str, float]:
        values = torch.stack(self.stats).mean(dim=0).tolist()
        now = time.monotonic()
        metrics: dict[str, float] = {"step": run.step, **dict(zip(PARTS, values, strict=True))}
        metrics["rate"] = run.optimiser.param_groups[0]["lr"] / run.optimiser.param_groups[0]["factor"]
        metrics["clips_per_second"] = self.clips / (now - self.logged)
        append_row(self.folder / "metrics.csv", metrics)
        self.stats, self.clips, self.logged = [], 0, now
        return metrics

    def _name(self, skips: Sequence[Skip]) -> str:
        """List all `skips` in a file; returns those not told yet in words."""
        told, self.skipped = self.skipped, len(skips)
        write_skipped(skips, self.folder)
        return summary(skips[told:])

    def _look(self, run: Run) -> str:
        held_out, dtype = self.config.held_out, arithmetic(self.config, run.model.device)
        found = self._averaged(run, lambda: list(follow(run.model, self.watched, prompt=held_out.prompt, dtype=dtype)))
        overlap = mean_overlap(found)
        append_row(self.folder / "held_out.csv", {"step": run.step, "j": overlap})
        if overlap > run.best:
            run.best = overlap
            self._averaged(run, lambda: save_model(run.model, self.folder / "best.safetensors"))
        return f"step {run.step}: J {100 * overlap:.1f} on held-out clips (best {100 * run.best:.1f})"

    def _draw(self, run: Run) -> None:
        held_out, dtype = self.config.held_out, arithmetic(self.config, run.model.device)
        found = self._averaged(
            run, lambda: list(follow(run.model, self.watched[:8], prompt=held_out.prompt, dtype=dtype))
        )
        path = self.folder / "pictures" / f"step-{run.step:06d}.jpg"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), picture(found)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])

    def _averaged(self, run: Run, act: Callable[[], Any]) -> Any:
        """Do `act` while the model carries the averaged weights."""
        if not run.average:
            return act()
        run.average.swap(run.model)
        try:
            return act()
        finally:
            run.average.swap(run.model)


def write_skipped(skips: Sequence[Skip], folder: Path) -> Path:
    """Write `folder`/skipped.txt, a path and a reason a line."""
    path = folder / "skipped.txt"
    path.write_text("".join(f"{skip.path}: {skip.reason}\n" for skip in skips), encoding="utf-8")
    return path
