"""What a training run is: every setting of `configs/train/*.yaml`, with its default.

Frozen dataclasses and nothing else; `vidseg.config` reads and checks the files. The groups `prompts`, `losses` and
`step` live next to the code they steer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from vidseg.errors import ConfigError
from vidseg.model.config import COARSEST, PRESETS, Sam2Config
from vidseg.train.losses import LossConfig
from vidseg.train.model_step import StepConfig
from vidseg.train.user import PromptConfig


@dataclass(frozen=True)
class SourceConfig:
    """One source of clips.

    Attributes:
        kind: stills with index masks, folders of labelled video, or generated scenes (which need no `paths`).
        paths: folders, relative to `data_root`; `*` is allowed.
        weight: share of the clips, relative to the other sources.
        settings: further arguments of the source's class.
    """

    kind: Literal["stills", "videos", "scenes"]
    paths: tuple[str, ...] = ()
    weight: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StageConfig:
    """A stretch of training on clips of one shape: `steps` batches of `batch` clips (in each process) of `frames`
    frames of `size` (H, W) pixels with up to `objects` objects; `rate` scales the learning rate, and `prompts`, if
    given, are this stage's own.

    With `beside`, every `every` steps are followed by `beside.steps` steps of that other kind of batch (single pictures
    among clips, say); `steps` counts all of them.
    """

    steps: int
    size: tuple[int, int]
    frames: int
    batch: int
    objects: int = 2
    rate: float = 1.0
    prompts: PromptConfig | None = None
    every: int = 1
    beside: StageConfig | None = None

    @property
    def parts(self) -> tuple[StageConfig, ...]:
        """Its kinds of batches: its own and what is beside it."""
        return (self,) if self.beside is None else (self, self.beside)

    def part_at(self, step: int) -> StageConfig:
        """Which of `parts` the step `step` of the run takes."""
        if self.beside is None:
            return self
        return self if step % (self.every + self.beside.steps) < self.every else self.beside

    def batches_before(self, step: int, part: StageConfig) -> int:
        """How many of the steps 0 to `step` - 1 of a run take batches of `part`, were they all of this stage."""
        if self.beside is None:
            return step
        rounds, rest = divmod(step, self.every + self.beside.steps)
        if part is self:
            return rounds * self.every + min(rest, self.every)
        return rounds * self.beside.steps + max(0, rest - self.every)


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW and its schedule.

    Attributes:
        rate: the highest learning rate.
        decay: weight decay; of matrices and kernels only.
        beta1, beta2: of Adam's moments.
        warmup: steps of linear rise.
        hold: share of the steps after the warm-up that keep the highest rate before the cosine falls.
        final: the last rate as a share of the highest.
        clip: largest norm of the gradient; 0 leaves it alone.
        accumulate: batches a step; their gradients are averaged.
        rates: factors on the rate of parameters whose names begin so; the longest match counts.
        trunk_decay: further factor for each trunk block farther from the output (1 for none; SAM 2 uses 0.8-0.9).
        frozen: parameters whose names begin so are not trained.
        ema: decay of the moving average that is evaluated and saved; 0 for none.
    """

    rate: float = 1e-3
    decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.999
    warmup: int = 200
    hold: float = 0.0
    final: float = 0.02
    clip: float = 1.0
    accumulate: int = 1
    rates: dict[str, float] = field(default_factory=dict)
    trunk_decay: float = 1.0
    frozen: tuple[str, ...] = ()
    ema: float = 0.999


@dataclass(frozen=True)
class HeldOutConfig:
    """Clips that are never trained on, tracked every `every` steps (0: never) by the averaged weights.

    Attributes:
        sources: like those of the run; the same folders are allowed, the clips come from another seed.
        prompt: how their first frames are prompted.
        clips, frames, size, objects: how many and of what shape; the size defaults to that of the last stage.
    """

    every: int = 0
    sources: tuple[SourceConfig, ...] = ()
    prompt: Literal["mask", "box", "click"] = "mask"
    clips: int = 16
    frames: int = 6
    size: tuple[int, int] | None = None
    objects: int = 1


@dataclass(frozen=True)
class TrainConfig:
    """A whole run.

    Attributes:
        model: name of a preset; settings: changes to it (`trunk: {...}` reaches into the trunk).
        init_from: weights to start from: a name or file that `load_model` takes; its model must be the one above,
            unless `model` is left empty: then the file decides. Resuming a run does not look at it.
        data_root: where the sources' paths begin, relative to the current folder.
        sources, stages: what is trained on, and how; stages follow one another.
        subset: train on the first so many clips of the first stage over and over (0: never the same clip twice).
        seed: decides the weights at the start, the clips and the prompts.
        device: cpu, cuda, or auto for the first GPU where there is one.
        dtype: number format of the network's arithmetic; auto is bfloat16 on a GPU and float32 on a CPU.
        compile: `torch.compile` for the blocks of the trunk and the memory attention.
        workers: processes that make clips; 0 makes them in between.
        clips_on_gpu: keep all stills and videos in the GPU's memory and make the clips there, without workers.
        graphs: record the work of a step once and let the GPU repeat it (CUDA graphs): for networks that are so small
            that the host cannot keep the GPU busy. One process and one batch a step.
        save_minutes, log_every, pictures_every: how often a checkpoint (minutes), a line of metrics and a sheet of
            predictions (steps; 0: never) are written.
    """

    stages: tuple[StageConfig, ...]
    sources: tuple[SourceConfig, ...]
    model: str = "nano"
    settings: dict[str, Any] = field(default_factory=dict)
    init_from: str | None = None
    data_root: str = "."
    subset: int = 0
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    step: StepConfig = field(default_factory=StepConfig)
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    seed: int = 0
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    workers: int = 1
    clips_on_gpu: bool = False
    graphs: bool = False
    save_minutes: float = 10.0
    log_every: int = 20
    pictures_every: int = 0

    def __post_init__(self) -> None:
        if not self.stages or not self.sources:
            raise ConfigError("a run needs at least one stage and one source; add them under `stages` and `sources`")
        if any(part.beside for stage in self.stages for part in stage.parts[1:]):
            raise ConfigError("a stage's `beside` has a `beside` of its own; give it none")
        for stage in self.parts.values():
            if min(stage.steps, stage.frames, stage.batch, stage.objects, stage.every) < 1:
                raise ConfigError(
                    f"stage {stage} holds a number below 1; steps, frames, batch, objects and every count from 1"
                )
            if any(side < COARSEST or side % COARSEST for side in stage.size):
                raise ConfigError(f"stage size {list(stage.size)} must be multiples of {COARSEST}, such as [160, 256]")
        if self.model and self.model not in PRESETS:
            raise ConfigError(f"unknown model {self.model!r}; presets: {', '.join(PRESETS)}")
        if self.graphs and self.optimiser.accumulate > 1:
            raise ConfigError("graphs take one batch a step; set optimiser.accumulate to 1, or graphs to false")
        if not self.model and not self.init_from:
            raise ConfigError("no `model` and no `init_from`: give a preset's name or weights to start from")

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    @property
    def parts(self) -> dict[str, StageConfig]:
        """All kinds of batches by name: "1", "1-beside", "2" ..."""
        return {
            f"{number}-beside" if part is stage.beside else f"{number}": part
            for number, stage in enumerate(self.stages, start=1)
            for part in stage.parts
        }

    def stage_at(self, step: int) -> tuple[StageConfig, int]:
        """The stage that `step` (from 0) belongs to, and the step at which that stage ends."""
        end = 0
        for stage in self.stages:
            end += stage.steps
            if step < end:
                return stage, end
        raise IndexError(f"step {step} of {end}")

    def model_config(self) -> Sam2Config:
        """The preset with the changes of `settings`."""
        values = PRESETS[self.model].to_dict()
        trunk = {**values["trunk"], **self.settings.get("trunk", {})}
        return Sam2Config.from_dict({**values, **self.settings, "trunk": trunk})
