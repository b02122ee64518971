"""Where the time and the memory of a run go."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vidseg.types import Frame

__all__ = ["Stopwatch", "peak_memory_mb"]


@dataclass(slots=True)
class Stopwatch:
    """Seconds and number of times spent in each stage; every stage belongs to one thread."""

    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to a stage."""
        begin = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin
        self.counts[stage] = self.counts.get(stage, 0) + 1

    def each(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Pass frames on, timing how long each takes to decode."""
        while True:
            with self.time("decode"):
                frame = next(frames, None)
            if frame is None:
                self.counts["decode"] -= 1
                return
            yield frame

    def rates(self) -> dict[str, float]:
        """Times a second of each stage, as if it ran alone."""
        return {
            stage: round(self.counts[stage] / max(seconds, 1e-9), 2)
            for stage, seconds in self.seconds.items()
            if self.counts[stage]
        }


def peak_memory_mb() -> float | None:
    """The largest resident memory of this process in MB (10^6 bytes)."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)
