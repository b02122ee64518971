"""How much memory a training step needs, worked out without taking one.

The step runs on pretend tensors that have shapes and no content; what the backward pass keeps is added up. Weights,
gradients, Adam's two moments and the average are counted exactly. Not counted: passing workspace of single operations,
the allocator's gaps, clips that wait, and torch itself, so leave a fifth of room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from vidseg.errors import WeightsError
from vidseg.model.config import PRESETS, Sam2Config
from vidseg.model.sam2 import Sam2
from vidseg.train.config import StageConfig, TrainConfig
from vidseg.train.losses import means, total
from vidseg.train.model_step import Batch, fit_input, forget_positions, normalise, run_batch
from vidseg.train.schedule import freeze
from vidseg.train.user import DRAWS, KINDS
from vidseg.weights import load_model


class Footprint(NamedTuple):
    """Bytes: `state` for weights, gradients, moments and average; `activations` for what the backward pass needs."""

    parameters: int
    state: int
    activations: int

    @property
    def gib(self) -> float:
        """Everything together in GiB."""
        return (self.state + self.activations) / 2**30


def footprint(config: TrainConfig, stage: StageConfig, *, half: bool) -> Footprint:
    """What one batch of `stage` needs, every clip with all its objects, prompted by masks and never corrected.

    `half` computes as autocast to bfloat16 does, with the fused attention of GPUs.
    """
    architecture = config.model_config() if config.model else _of_weights(str(config.init_from))
    forget_positions()
    try:
        with FakeTensorMode():
            model = Sam2(architecture).train()
            freeze(model, config.optimiser.frozen)
            batch = _pretend(model, stage)
            kept = _kept_bytes(model, lambda: _loss(model, batch, config), half=half)
            if config.step.checkpointing:  # the backward pass makes one chunk's again
                again = batch.images.flatten(0, 1)[: config.step.chunk or None]
                kept += _kept_bytes(model, lambda: model.encode_image(normalise(again)), half=half)
            count = sum(parameter.numel() for parameter in model.parameters())
            trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    finally:
        forget_positions()
    average = count if config.optimiser.ema else 0
    return Footprint(count, 4 * (count + 3 * trained + average), kept)


def _of_weights(name: str) -> Sam2Config:
    """The architecture of weights to start from; that of a preset does not need them."""
    try:
        return load_model(name, device="cpu", dtype="float32").config
    except WeightsError:
        if name not in PRESETS:
            raise
        return PRESETS[name]


def _loss(model: Sam2, batch: Batch, config: TrainConfig) -> Tensor:
    sums, _ = run_batch(model, batch, config.losses, config.prompts, config.step)
    return total(means(sums), config.losses)


def _kept_bytes(model: Sam2, forward: Callable[[], object], *, half: bool) -> int:
    """Bytes of everything that the backward pass of `forward` waits for, parameters left out."""
    own = {id(parameter) for parameter in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[object] = []  # holds on to the storages, so that no two have one number

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in own and id(tensor._base) not in own:
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        alive.append(forward())
    return sum(kept.values())


def _pretend(model: Sam2, stage: StageConfig) -> Batch:
    """A batch of the right shapes, all of its rows prompted by masks."""
    (height, width), rows = stage.size, stage.batch * stage.objects
    everyone, nobody = torch.arange(rows), torch.arange(0)
    batch = Batch(
        images=torch.zeros(stage.batch, stage.frames, 3, height, width, dtype=torch.uint8),
        masks=torch.zeros(rows, stage.frames, height, width, dtype=torch.bool),
        known=torch.ones(rows, stage.frames, dtype=torch.bool),
        ignore=torch.zeros(stage.batch, stage.frames, height, width, dtype=torch.bool),
        clip=torch.arange(stage.batch).repeat_interleave(stage.objects),
        kinds=(everyone, *[nobody] * (len(KINDS) - 1)),
        correction=None,
        uniform=torch.zeros(rows, stage.frames, DRAWS),
    )
    return fit_input(model, batch)
