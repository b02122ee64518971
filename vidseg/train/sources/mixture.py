"""Several sources as one, each clip from one of them, drawn by weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from vidseg.errors import DataError
from vidseg.train.clip import Clip, Skip, Source
from vidseg.train.sources.stills import Stills
from vidseg.train.sources.video_folders import VideoFolders


class Mixture:
    """A source that asks one of `sources` for each clip; see `mixture`."""

    def __init__(self, sources: Sequence[Source], weights: Sequence[float]) -> None:
        if not sources or len(sources) != len(weights):
            raise DataError(
                f"a mixture needs one weight a source, got {len(sources)} sources and {len(weights)} weights"
            )
        if min(weights) < 0 or sum(weights) <= 0:
            raise DataError(f"the weights of a mixture are {list(weights)}; expected none below 0 and one above")
        self.sources = tuple(sources)
        self.shares = np.asarray(weights, dtype=float) / sum(weights)
        self.name = "+".join(source.name for source in sources)

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def clip(self, rng: np.random.Generator, *, frames: int, size: tuple[int, int], objects: int) -> Clip:
        """A clip of one of the sources."""
        source = self.sources[int(rng.choice(len(self.sources), p=self.shares))]
        return source.clip(rng, frames=frames, size=size, objects=objects)

    def report(self) -> tuple[Skip, ...]:
        """What all of them left out."""
        return tuple(skip for source in self.sources for skip in source.report())

    def note(self, skips: Iterable[Skip]) -> None:
        """Add what another process left out, to the first source (the report is of all)."""
        known = set(self.report())
        self.sources[0].note(skip for skip in skips if skip not in known)


def mixture(sources: Sequence[Source], weights: Sequence[float]) -> Source:
    """`sources` in shares of `weights` (none negative, any sum); a single source is returned as it is.

    Videos without `extras` of their own take their passing cut-outs from the first `Stills` among the sources.

    Raises:
        DataError: the weights do not fit the sources.
    """
    stills = next((source for source in sources if isinstance(source, Stills)), None)
    for source in sources:
        if isinstance(source, VideoFolders) and source.extras is None:
            source.extras = stills
    return sources[0] if len(sources) == 1 and len(weights) == 1 else Mixture(sources, weights)
