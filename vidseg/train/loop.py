"""The training loop: a generator that trains, keeps the run's folder in order and tells what happened.

All chance is drawn from the seed and the number of a batch, so a run that was stopped anywhere goes on exactly as if it
had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import torch

from vidseg.config import write_config
from vidseg.errors import ConfigError
from vidseg.train import checkpoint, distributed
from vidseg.train.clip import Clip, Source
from vidseg.train.config import StageConfig, TrainConfig
from vidseg.train.data import Clips, build_source, fixed_clips, gpu_source, stage_batches, subset_clips
from vidseg.train.distributed import Place
from vidseg.train.gpu_clips import GpuClips
from vidseg.train.keeper import Keeper, Report
from vidseg.train.metrics import cut_after
from vidseg.train.run import Run, choose_device, start, step

_ASK_EVERY = 5  # steps between questions whether any of several processes should stop


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
        for report in _train(config, Path(folder), stop, resume, source, place):
            yield report if place.rank == 0 else Report(report.step)
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
    if source is None and not config.clips_on_gpu:
        source = build_source(config.sources, config.data_root)
    if place.rank == 0:
        write_config(config, folder / "config.yaml")
        for table in ("metrics.csv", "held_out.csv"):
            cut_after(folder / table, run.step)
    yield Report(run.step, news=_greeting(run, config, device, place))
    if run.step >= config.steps:
        return
    keeper = Keeper(config, folder, place, _watched(config, source, place))
    while run.step < config.steps:
        stage, end = config.stage_at(run.step)
        clips = gpu_source(config, stage, device) if source is None else source
        run.graphs.clear()  # of a stage that is over: they hold on to memory
        with ExitStack() as closed:
            batches = {
                part: closed.enter_context(closing(_batches(config, clips, stage, part, run.step, place)))
                for part in stage.parts
            }
            while run.step < end:
                part = stage.part_at(run.step)
                stats = step(run, config, part, batches[part], place)
                yield keeper.after(run, part, stats, clips.report())
                asked = run.step % _ASK_EVERY == 0 or place.world == 1
                if asked and run.step < config.steps and distributed.anyone(stop(), device):
                    keeper.save(run)
                    yield Report(run.step, news=f"stopped at step {run.step} of {config.steps}; run again to continue")
                    return
    keeper.save(run)
    yield Report(run.step, news=f"done: {run.step} steps; weights in {folder / 'last.safetensors'}")


def _batches(
    config: TrainConfig, source: Source | GpuClips, stage: StageConfig, part: StageConfig, step: int, place: Place
) -> Generator[Clips, None, None]:
    """The batches of `part` of `stage` from `step` on."""
    begin = stage.batches_before(step, part) * config.optimiser.accumulate
    return stage_batches(config, source, part, start=begin, rank=place.rank)


def _watched(config: TrainConfig, source: Source | None, place: Place) -> list[Clip]:
    """The clips that are tracked now and then: held out, or the subset a run is fitted to."""
    held_out, last = config.held_out, config.stages[-1]
    if place.rank or not (held_out.every or config.pictures_every):
        return []
    if config.subset and not held_out.sources and source is not None:
        return subset_clips(config, source)
    watched = source
    if held_out.sources or watched is None:
        watched = build_source(held_out.sources or config.sources, config.data_root)
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
