"""How a model is adapted to a video: numbers only, for those who ask for it without loading torch (see `adapt`)."""

from __future__ import annotations

from dataclasses import dataclass

from vidseg.errors import ConfigError

PARTS = 8  # of a video, from each of which one mask is learned that the model followed by itself
SURE = 0.6  # how sure it must have been, 0..1


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How a model is adapted.

    Attributes:
        steps: of the optimiser; 120 take about two minutes on two CPU cores.
        rate: the highest learning rate of AdamW; it falls along a cosine.
        batch, frames: clips a step, and frames a clip.
        share: of the way from the given weights to the learned ones that the answer goes, 0..1.
        clicks: share of the clips, 0..1, that begin with a click or a box rather than the mask, and of the batches in
            which a frame is corrected by clicks: for work in which more clicks are to come, which are then about this
            object.
        seed: of the clips.
    """

    steps: int = 120
    rate: float = 3e-4
    batch: int = 2
    frames: int = 3
    share: float = 0.75
    clicks: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.frames < 2:
            raise ConfigError(
                f"cannot adapt in {self.steps} steps of {self.batch} clips of {self.frames} frames; expected at least "
                "1, 1 and 2"
            )
        if not (self.rate > 0 and 0 < self.share <= 1 and 0 <= self.clicks <= 1):
            raise ConfigError(
                f"cannot adapt at the rate {self.rate} with a share of {self.share} and {self.clicks} of clicks; "
                "expected a rate above 0, a share above 0 and at most 1, and clicks from 0 to 1"
            )


DEFAULT = Adaptation()
