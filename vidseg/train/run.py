"""One training run in memory: its model, optimiser and average, and the step that moves them.

No file is touched here except the weights a run starts from; `loop` drives it and `keeper` writes it down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vidseg.config import to_dict
from vidseg.errors import ConfigError
from vidseg.model.config import Sam2Config
from vidseg.model.sam2 import Sam2
from vidseg.processor import computes_bfloat16
from vidseg.train import distributed
from vidseg.train.config import StageConfig, TrainConfig
from vidseg.train.data import Clips
from vidseg.train.distributed import Place
from vidseg.train.gpu_layers import quicken
from vidseg.train.graphs import Graphs
from vidseg.train.initial import start_local
from vidseg.train.losses import Sums, means, total
from vidseg.train.model_step import Batch, forget_positions, make_batch, precision, run_batch
from vidseg.train.schedule import Average, factor_at, freeze, make_optimiser, set_rate
from vidseg.train.user import PromptConfig
from vidseg.weights import load_model

PARTS = ("loss", "focal", "dice", "iou", "score", "overlap", "norm", "skipped")
"""The numbers a step tells: losses, mean J of the best candidates, gradient norm, and 1 where it was not finite."""


@dataclass(slots=True, eq=False)
class Run:
    """All that changes while training: the only mutable state, saved and restored as one."""

    model: Sam2
    optimiser: torch.optim.AdamW
    average: Average | None
    graphs: dict[StageConfig, Graphs] = field(default_factory=dict)
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
            "architecture": self.model.config.to_dict(),
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


def choose_device(config: TrainConfig, place: Place) -> torch.device:
    """The device of this process; TF32 is allowed on a GPU.

    Raises:
        ConfigError: a GPU is asked for and there is none, or `graphs` for several processes.
    """
    if config.graphs and place.world > 1:
        raise ConfigError(f"graphs take one process, not {place.world}; set graphs to false")
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ConfigError(f"device is {config.device!r} and torch sees no GPU; use cpu or auto")
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.benchmark_limit = 2  # of ten, trying all takes half a minute for a size, and gains little
        torch.backends.cuda.enable_cudnn_sdp(False)  # it prepares anew for every shape that it meets
        return torch.device("cuda", place.local) if name == "cuda" else torch.device(name)
    return torch.device(name)


def start(config: TrainConfig, device: torch.device, saved: dict[str, Any] | None = None) -> Run:
    """A run at its first step, or where `saved` left it: model, optimiser and average on `device`.

    Raises:
        ConfigError: `saved` or `init_from` is of another model than the config's.
    """
    forget_positions()
    torch.manual_seed(config.seed)
    if config.init_from and saved is None:
        model = load_model(config.init_from, device="cpu", dtype="float32").requires_grad_(True)
        if config.model and model.config.to_dict() != {**config.model_config().to_dict(), "name": model.config.name}:
            raise ConfigError(
                f"init_from: {config.init_from} is not a {config.model!r} with the settings of this config"
            )
    elif saved is not None and not config.model:
        model = Sam2(Sam2Config.from_dict(saved["architecture"]))
    else:
        model = Sam2(config.model_config())
        start_local(model)
    model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    freeze(model, config.optimiser.frozen)
    if config.graphs:
        quicken(model)
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


def step(run: Run, config: TrainConfig, stage: StageConfig, batches: Iterator[Clips], place: Place) -> Tensor:
    """One step of the optimiser on the next batches; returns the numbers of `PARTS`, still on the device."""
    optimiser = config.optimiser
    device = run.model.device
    prompts = stage.prompts or config.prompts
    run.optimiser.zero_grad(set_to_none=True)
    stats = torch.zeros(len(PARTS), device=device)
    for micro in range(optimiser.accumulate):
        number = run.step * optimiser.accumulate + micro
        clips = next(batches)
        first = place.rank * len(clips["exists"])
        batch = make_batch(
            clips,
            prompts,
            seed=config.seed,
            number=number,
            first=first,
            device=device,
            alike=config.graphs,
        )
        if config.graphs:
            graphs = run.graphs.get(stage)
            if graphs is None or not graphs.fits(batch):
                graphs = Graphs(lambda batch: gradients(run.model, config, prompts, batch), run.model.parameters())
                run.graphs[stage] = graphs
            stats[:6] = graphs(batch)
        else:
            stats[:6] += gradients(run.model, config, prompts, batch) / optimiser.accumulate
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


def gradients(model: Sam2, config: TrainConfig, prompts: PromptConfig, batch: Batch) -> Tensor:
    """Add the gradients of `batch` to those of the parameters; returns the first six numbers of `PARTS`."""
    device = batch.images.device
    with precision(device, arithmetic(config, device)):
        sums, _ = run_batch(model, batch, config.losses, prompts, config.step)
    counts = Sums(*distributed.summed(torch.stack(sums)).unbind())
    loss = total(means(sums, counts), config.losses) / config.optimiser.accumulate
    loss.backward()
    parts = means(counts)
    return torch.stack([total(parts, config.losses), *(parts[name] for name in PARTS[1:6])]).detach()


def arithmetic(config: TrainConfig, device: torch.device) -> torch.dtype | None:
    """bfloat16 where autocast is to be used, else None."""
    native = device.type == "cuda" or (device.type == "cpu" and computes_bfloat16())
    wanted = config.dtype == "bfloat16" or (config.dtype == "auto" and native)
    return torch.bfloat16 if wanted else None
