"""From the `sources` of a config to batches of clips for the loop."""

from __future__ import annotations

import glob
import inspect
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidseg.config import from_dict
from vidseg.errors import ConfigError, DataError
from vidseg.train.clip import Clip, Source
from vidseg.train.config import SourceConfig, StageConfig, TrainConfig
from vidseg.train.loader import clips as load_clips
from vidseg.train.sources import Recipe, Scenes, Stills, VideoFolders, mixture


def build_source(sources: Sequence[SourceConfig], root: str | Path) -> Source:
    """The mixture of `sources`, whose paths begin at `root`.

    Raises:
        ConfigError: a setting that the source does not have.
        DataError: a path that matches nothing, or data that cannot be used.
    """
    return mixture([_source(config, Path(root)) for config in sources], [config.weight for config in sources])


def stage_batches(
    config: TrainConfig, source: Source, stage: StageConfig, *, start: int, rank: int = 0
) -> Generator[list[Clip], None, None]:
    """Batches `start`, `start` + 1, ... of `stage` for the process `rank`, without end."""
    seed = config.seed + 1_000_003 * rank
    if config.subset:
        yield from _repeated(config, source, start, seed)
    yield from load_clips(
        source,
        seed=seed,
        batch=stage.batch,
        frames=stage.frames,
        size=stage.size,
        objects=stage.objects,
        workers=config.workers,
        start=start,
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


def _source(config: SourceConfig, root: Path) -> Source:
    paths = [path for pattern in config.paths for path in _matching(root, pattern)]
    if config.kind == "stills":
        return _made(Stills, (paths,), config, recipe=_recipe(config))
    if config.kind == "videos":
        return _made(VideoFolders, (paths,), config)
    return _made(Scenes, (), config)


def _recipe(config: SourceConfig) -> Recipe | None:
    values = config.settings.get("recipe")
    return None if values is None else from_dict(Recipe, values, where="recipe")


def _made(make: Callable[..., Source], first: tuple[Any, ...], config: SourceConfig, **more: Any) -> Source:
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
