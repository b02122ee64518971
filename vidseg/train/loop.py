"""The training loop: a generator that trains, keeps the run's folder in order and tells what happened.

A run is a folder: `config.yaml` (every setting), `checkpoint.pt`, `metrics.csv`, `held_out.csv`, `pictures/`,
`last.safetensors` and `best.safetensors` (averaged weights, for `load_model`). All chance is drawn from the seed and
the number of a batch, so a run that was stopped anywhere goes on exactly as if it had not been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import torch
from torch import Tensor

from vidseg.config import to_dict, write_config
from vidseg.errors import ConfigError
from vidseg.model.sam2 import Sam2
from vidseg.processor import computes_bfloat16
from vidseg.train import checkpoint, distributed
from vidseg.train.clip import Clip, Source, stack
from vidseg.train.config import StageConfig, TrainConfig
from vidseg.train.data import build_source, fixed_clips, stage_batches, subset_clips
from vidseg.train.distributed import Place
from vidseg.train.held_out import follow, mean_overlap, picture
from vidseg.train.losses import Sums, means, total
from vidseg.train.metrics import append_row, cut_after
from vidseg.train.model_step import make_batch, precision, run_batch
from vidseg.train.schedule import Average, factor_at, freeze, make_optimiser, set_rate
from vidseg.weights import load_model, save_model

_PARTS = ("loss", "focal", "dice", "iou", "score", "overlap", "norm", "skipped")


class Report(NamedTuple):
    """What the loop tells after a step: how many are done, the metrics if a line was written, and news in words."""

    step: int
    metrics: dict[str, float] | None = None
    news: str = ""


@dataclass(slots=True, eq=False)
class Run:
    """All that changes while training: the only mutable state, saved and restored as one."""

    model: Sam2
    optimiser: torch.optim.AdamW
    average: Average | None
    step: int = 0
    best: float = -math.inf

    def state(self, config: TrainConfig) -> dict[str, Any]:
        """Everything a checkpoint holds."""
        return {
            "step": self.step,
            "best": self.best,
            "model": self.model.state_dict(),
            "average": self.average.state() if self.average else {},
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "config": to_dict(config),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.load(state["average"] or dict(self.model.named_parameters()))
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        self.step, self.best = state["step"], state["best"]


def train(
    config: TrainConfig,
    folder: str | Path,
    *,
    stop: Callable[[], bool] = lambda: False,
    resume: bool = True,
    source: Source | None = None,
) -> Iterator[Report]:
    """Train as `config` says in the run folder `folder`, yielding a `Report` after every step.

    Args:
        config: the run.
        folder: made if missing. If it holds a checkpoint, the run continues from it.
        stop: asked after every step; true ends the run with a checkpoint. (With several processes, one is enough.)
        resume: off refuses a folder that holds a checkpoint.
        source: clips to train on, instead of those of the config.

    Raises:
        ConfigError: the folder holds a run of another model, or a setting that cannot be used.
        DataError: the training data cannot be used.
    """
    place = distributed.join()
    try:
        yield from _train(config, Path(folder), stop, resume, source, place)
    finally:
        distributed.leave()


def _train(
    config: TrainConfig, folder: Path, stop: Callable[[], bool], resume: bool, source: Source | None, place: Place
) -> Iterator[Report]:
    folder.mkdir(parents=True, exist_ok=True)
    device = choose_device(config, place)
    saved = checkpoint.load(folder)
    if saved and not resume:
        raise ConfigError(f"{folder} holds a run already (step {saved['step']}); continue it, or choose another folder")
    run = start(config, device, saved)
    source = source or build_source(config.sources, config.data_root)
    if place.rank == 0:
        write_config(config, folder / "config.yaml")
        for table in ("metrics.csv", "held_out.csv"):
            cut_after(folder / table, run.step)
    yield Report(run.step, news=_greeting(run, config, device, place))
    keeper = _Keeper(config, folder, place, _watched(config, source, place))
    while run.step < config.steps:
        stage, end = config.stage_at(run.step)
        with closing(
            stage_batches(config, source, stage, start=run.step * config.optimiser.accumulate, rank=place.rank)
        ) as batches:
            while run.step < end:
                stats = step(run, config, stage, batches, place)
                yield keeper.after(run, stage, stats)
                if distributed.anyone(stop(), device) if run.step % 5 == 0 or place.world == 1 else False:
                    keeper.save(run)
                    yield Report(run.step, news=f"stopped at step {run.step} of {config.steps}; run again to continue")
                    return
    keeper.save(run)
    yield Report(run.step, news=f"done: {run.step} steps; weights in {folder / 'last.safetensors'}")


def choose_device(config: TrainConfig, place: Place) -> torch.device:
    """The device of this process; TF32 is allowed on a GPU.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ConfigError(f"device is {config.device!r} and torch sees no GPU; use cpu or auto")
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        return torch.device("cuda", place.local) if name == "cuda" else torch.device(name)
    return torch.device(name)


def start(config: TrainConfig, device: torch.device, saved: dict[str, Any] | None = None) -> Run:
    """A run at its first step, or where `saved` left it: model, optimiser and average on `device`.

    Raises:
        ConfigError: `saved` or `init_from` is of another model than the config's.
    """
    torch.manual_seed(config.seed)
    if config.init_from and saved is None:
        model = load_model(config.init_from, device="cpu", dtype="float32")
        if config.model and model.config.to_dict() != {**config.model_config().to_dict(), "name": model.config.name}:
            raise ConfigError(
                f"init_from: {config.init_from} is not a {config.model!r} with the settings of this config"
            )
        model.requires_grad_(True)
    elif saved is not None and not config.model:
        model = load_model(str(config.init_from), device="cpu", dtype="float32").requires_grad_(True)
    else:
        model = Sam2(config.model_config())
    model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    freeze(model, config.optimiser.frozen)
    run = Run(model, make_optimiser(model, config.optimiser), None)
    run.average = Average(model, config.optimiser.ema) if config.optimiser.ema else None
    if saved is not None:
        try:
            run.load(saved)
        except (RuntimeError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"the checkpoint does not fit this config ({reason}); use another folder") from None
    if config.compile:
        for block in (*model.image_encoder.trunk.blocks, *model.memory_attention.layers):
            block.compile()
    return run


def step(run: Run, config: TrainConfig, stage: StageConfig, batches: Iterator[list[Clip]], place: Place) -> Tensor:
    """One step of the optimiser on the next batches; returns the numbers of `_PARTS`, still on the device."""
    optimiser = config.optimiser
    device = run.model.device
    run.optimiser.zero_grad(set_to_none=True)
    stats = torch.zeros(len(_PARTS), device=device)
    for micro in range(optimiser.accumulate):
        number = run.step * optimiser.accumulate + micro
        clips = next(batches)
        batch = make_batch(
            stack(clips), config.prompts, seed=config.seed, number=number, first=place.rank * len(clips), device=device
        )
        with precision(device, arithmetic(config, device)):
            sums, _ = run_batch(run.model, batch, config.losses, config.prompts, config.step)
        counts = Sums(*distributed.summed(torch.stack(sums)).unbind())
        loss = total(means(sums, counts), config.losses) / optimiser.accumulate
        loss.backward()
        parts = means(counts)
        stats[0] += total(parts, config.losses) / optimiser.accumulate
        for i, name in enumerate(("focal", "dice", "iou", "score", "overlap")):
            stats[1 + i] += parts[name] / optimiser.accumulate
    distributed.sum_gradients(run.model.parameters())
    norm = torch.nn.utils.clip_grad_norm_(
        [p for p in run.model.parameters() if p.grad is not None], optimiser.clip or math.inf
    )
    bad = (~torch.isfinite(norm)).float()
    set_rate(run.optimiser, optimiser.rate * stage.rate * factor_at(run.step, config.steps, optimiser))
    run.optimiser.found_inf = bad  # type: ignore[attr-defined]  # the fused kernel leaves everything alone if it is 1
    run.optimiser.step()
    if run.average:
        run.average.update(run.model, run.step)
    run.step += 1
    stats[6], stats[7] = torch.nan_to_num(norm, posinf=0.0), bad
    return torch.nan_to_num(stats)


def arithmetic(config: TrainConfig, device: torch.device) -> torch.dtype | None:
    """bfloat16 where autocast is to be used, else None."""
    native = device.type == "cuda" or (device.type == "cpu" and computes_bfloat16())
    wanted = config.dtype == "bfloat16" or (config.dtype == "auto" and native)
    return torch.bfloat16 if wanted else None


class _Keeper:
    """Keeps a run's folder: metrics, held-out scores, pictures, checkpoints and weights, each when it is due."""

    def __init__(self, config: TrainConfig, folder: Path, place: Place, watched: list[Clip]) -> None:
        self.config, self.folder, self.place, self.watched = config, folder, place, watched
        self.saved = self.logged = time.monotonic()
        self.stats: list[Tensor] = []
        self.clips = 0

    def after(self, run: Run, stage: StageConfig, stats: Tensor) -> Report:
        """Do what is due after a step."""
        if self.place.rank:
            return Report(run.step)
        config = self.config
        self.stats.append(stats)
        self.clips += stage.batch * config.optimiser.accumulate * self.place.world
        last = run.step == config.steps
        metrics, news = None, []
        if run.step % config.log_every == 0 or last:
            metrics = self._log(run)
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
        metrics: dict[str, float] = {"step": run.step, **dict(zip(_PARTS, values, strict=True))}
        metrics["rate"] = run.optimiser.param_groups[0]["lr"] / run.optimiser.param_groups[0]["factor"]
        metrics["clips_per_second"] = self.clips / (now - self.logged)
        append_row(self.folder / "metrics.csv", metrics)
        self.stats, self.clips, self.logged = [], 0, now
        return metrics

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


def _watched(config: TrainConfig, source: Source, place: Place) -> list[Clip]:
    """The clips that are tracked now and then: held out, or the subset a run is fitted to."""
    held_out, last = config.held_out, config.stages[-1]
    if place.rank or not (held_out.every or config.pictures_every):
        return []
    if config.subset and not held_out.sources:
        return subset_clips(config, source)
    watched = build_source(held_out.sources, config.data_root) if held_out.sources else source
    size = held_out.size or last.size
    return fixed_clips(
        watched, held_out.clips, seed=config.seed + 1, frames=held_out.frames, size=size, objects=held_out.objects
    )


def _greeting(run: Run, config: TrainConfig, device: torch.device, place: Place) -> str:
    parameters = sum(p.numel() for p in run.model.parameters())
    trained = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
    processes = f", {place.world} processes" if place.world > 1 else ""
    where = f"step {run.step} of {config.steps}" if run.step else f"{config.steps} steps"
    return f"{run.model.config.name}: {parameters:,} parameters, {trained:,} trained; {where} on {device}{processes}"
