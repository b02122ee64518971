"""From the `sources` of a config to batches of clips for the loop."""

from __future__ import annotations

import glob
import inspect
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch

from vidseg.config import from_dict
from vidseg.errors import ConfigError, DataError
from vidseg.train.clip import Clip, Skip, Source, stack
from vidseg.train.config import SourceConfig, StageConfig, TrainConfig
from vidseg.train.gpu_clips import GpuClips
from vidseg.train.loader import clips as load_clips
from vidseg.train.sources import Recipe, Scenes, Stills, VideoFolders, mixture

Clips: TypeAlias = Mapping[str, np.ndarray] | Mapping[str, torch.Tensor]
"""A batch as `clip.stack` lays it out, as arrays or already on the device."""

_T = TypeVar("_T")


def build_source(sources: Sequence[SourceConfig], root: str | Path) -> Source:
    """The mixture of `sources`, whose paths begin at `root`.

    Raises:
        ConfigError: a setting that the source does not have.
        DataError: a path that matches nothing, or data that cannot be used.
    """
    return mixture([_source(config, Path(root)) for config in sources], [config.weight for config in sources])


def check_sources(config: TrainConfig) -> tuple[Skip, ...]:
    """Read everything once, held-out data too; returns what cannot be used, each path once.

    Raises:
        DataError: a path that matches nothing, or a source of which nothing can be used.
    """
    found: dict[str, Skip] = {}
    for one in (*config.sources, *config.held_out.sources):
        source = _source(one, Path(config.data_root))
        skips = source.report() if isinstance(source, Scenes) else source.check()
        found |= {skip.path: skip for skip in skips}
    return tuple(found.values())


def stage_batches(
    config: TrainConfig, source: Source | GpuClips, stage: StageConfig, *, start: int, rank: int = 0
) -> Generator[Clips, None, None]:
    """Batches `start`, `start` + 1, ... of `stage` for the process `rank`, without end: what `make_batch` takes.

    The batches of all processes together are those of one process with as many times the clips; clips of a subset and
    clips made on a GPU are drawn by each process for itself.
    """
    seed = config.seed + 1_000_003 * rank
    batch, frames, size, objects = stage.batch, stage.frames, stage.size, stage.objects
    if isinstance(source, GpuClips):
        for made in source.batches(seed=seed, batch=batch, frames=frames, size=size, objects=objects, start=start):
            yield {field.name: getattr(made, field.name) for field in fields(made)}
        return
    lists: Iterator[list[Clip]] = _repeated(config, source, start, seed)
    if not config.subset:
        lists = load_clips(
            source,
            seed=config.seed,
            batch=batch,
            frames=frames,
            size=size,
            objects=objects,
            workers=config.workers,
            start=start,
            first=rank * batch,
        )
    yield from map(stack, lists)


def gpu_source(config: TrainConfig, stage: StageConfig, device: torch.device) -> GpuClips:
    """The stills and videos of `config` in the memory of `device`, where the clips of `stage` are then made.

    Raises:
        ConfigError: a source that cannot be kept there.
        DataError: data that cannot be used.
    """
    made = [_source(source, Path(config.data_root)) for source in config.sources]
    stills = [source for source in made if isinstance(source, Stills)]
    videos = [source for source in made if isinstance(source, VideoFolders)]
    if len(stills) + len(videos) < len(made):
        raise ConfigError("clips_on_gpu takes stills and videos only; leave generated scenes out or turn it off")
    if config.subset:
        raise ConfigError("clips_on_gpu makes new clips all the time; leave subset out or turn it off")
    if len({source.recipe for source in stills}) > 1:
        raise ConfigError("clips_on_gpu takes one recipe for all stills; give them the same or turn it off")
    weights = [[c.weight for c in config.sources if c.kind == kind] for kind in ("stills", "videos")]
    return GpuClips(
        stills,
        videos,
        short_side=round(1.25 * min(stage.size)),
        video_share=sum(weights[1]) / sum(weights[0] + weights[1]),
        weights=weights[0] + weights[1],
        recipe=stills[0].recipe if stills else None,
        device=device,
    )


def subset_clips(config: TrainConfig, source: Source) -> list[Clip]:
    """The `config.subset` clips that a run on a subset sees over and over, of the shape of the first stage."""
    stage = config.stages[0]
    return fixed_clips(
        source, config.subset, seed=config.seed, frames=stage.frames, size=stage.size, objects=stage.objects
    )


def fixed_clips(
    source: Source, count: int, *, seed: int, frames: int, size: tuple[int, int], objects: int
) -> list[Clip]:
    """The same `count` clips for the same arguments."""
    return [
        source.clip(np.random.default_rng([seed, 2**30, i]), frames=frames, size=size, objects=objects)
        for i in range(count)
    ]


def _repeated(config: TrainConfig, source: Source, start: int, seed: int) -> Iterator[list[Clip]]:
    pool = subset_clips(config, source)
    number = start
    while True:
        rng = np.random.default_rng([seed, number])
        size = config.stages[0].batch
        yield [pool[i] for i in rng.choice(len(pool), size, replace=size > len(pool))]
        number += 1


def _source(config: SourceConfig, root: Path) -> Stills | VideoFolders | Scenes:
    paths = [path for pattern in config.paths for path in _matching(root, pattern)]
    if config.kind == "stills":
        return _made(Stills, (paths,), config, recipe=_recipe(config))
    if config.kind == "videos":
        return _made(VideoFolders, (paths,), config)
    return _made(Scenes, (), config)


def _recipe(config: SourceConfig) -> Recipe | None:
    values = config.settings.get("recipe")
    return None if values is None else from_dict(Recipe, values, where="recipe")


def _made(make: Callable[..., _T], first: tuple[Any, ...], config: SourceConfig, **more: Any) -> _T:
    """`make` with the settings of the config, each checked to be one of its arguments."""
    known = [name for name, p in inspect.signature(make).parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    for key in config.settings:
        if key not in known:
            raise ConfigError(f"a source of kind {config.kind!r} has no setting {key!r}; it has {', '.join(known)}")
    return make(*first, **{**config.settings, **{key: value for key, value in more.items() if value is not None}})


def _matching(root: Path, pattern: str) -> list[Path]:
    """Folders and packs below `root` that match `pattern`."""
    found = sorted(Path(path) for path in glob.glob(str(root / pattern)))
    found = [path for path in found if path.is_dir() or path.suffix == ".zip"]
    if not found:
        raise DataError(f"no such data: {root / pattern}; set data_root in the config or with --data-root")
    return found
