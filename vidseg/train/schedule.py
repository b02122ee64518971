"""The optimiser: which parameters learn and how fast, the learning rate over the run, and the moving average."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vidseg.errors import ConfigError
from vidseg.train.config import OptimiserConfig

_TRUNK_BLOCK = "image_encoder.trunk.blocks."
_TRUNK = "image_encoder.trunk."


def factor_at(step: int, steps: int, config: OptimiserConfig) -> float:
    """The learning rate of `step` (from 0) of `steps`, as a share of the highest.

    Linear rise over the warm-up, a hold, then a cosine down to `config.final`.
    """
    if step < config.warmup:
        return (step + 1) / config.warmup
    after = steps - config.warmup
    held = config.hold * after
    done = (step - config.warmup - held) / max(1.0, after - held)
    done = min(1.0, max(0.0, done))
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * done))


def freeze(model: nn.Module, prefixes: Iterable[str]) -> None:
    """Stop the gradients of parameters whose names begin with one of `prefixes`.

    Raises:
        ConfigError: a prefix that no parameter has.
    """
    names = dict(model.named_parameters())
    for prefix in prefixes:
        found = [parameter for name, parameter in names.items() if name.startswith(prefix)]
        if not found:
            raise ConfigError(f"frozen: no parameter begins with {prefix!r}; the parts are {_parts(model)}")
        for parameter in found:
            parameter.requires_grad_(False)


def parameter_groups(model: nn.Module, config: OptimiserConfig) -> list[dict]:
    """Groups for AdamW with `factor` (the share of the rate) and `weight_decay`; frozen parameters are left out.

    Vectors (norms, biases, tokens of one row) are not decayed.

    Raises:
        ConfigError: a prefix in `config.rates` that no parameter has, or nothing left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in config.rates:
        if not any(name.startswith(prefix) for name in names):
            raise ConfigError(f"rates: no parameter begins with {prefix!r}; the parts are {_parts(model)}")
    blocks = 1 + max(
        (int(name[len(_TRUNK_BLOCK) :].split(".")[0]) for name in names if name.startswith(_TRUNK_BLOCK)), default=-1
    )
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = config.decay if parameter.squeeze().ndim >= 2 else 0.0
            groups[rate_factor(name, blocks, config), decay].append(parameter)
    if not groups:
        raise ConfigError("every parameter is frozen; leave some part out of `frozen`")
    return [
        {"params": parameters, "factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]


def rate_factor(name: str, blocks: int, config: OptimiserConfig) -> float:
    """The share of the learning rate that the parameter `name` gets, in a trunk of `blocks` blocks."""
    matching = [prefix for prefix in config.rates if name.startswith(prefix)]
    factor = config.rates[max(matching, key=len)] if matching else 1.0
    if name.startswith(_TRUNK):
        block = int(name[len(_TRUNK_BLOCK) :].split(".")[0]) if name.startswith(_TRUNK_BLOCK) else -1
        factor *= config.trunk_decay ** (blocks - 1 - block)
    return factor


def make_optimiser(model: nn.Module, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`; on a GPU its rates are tensors-free floats set each step by `set_rate`."""
    groups = parameter_groups(model, config)
    return torch.optim.AdamW(groups, lr=config.rate, betas=(config.beta1, config.beta2), fused=True)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group `rate` times its own factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


class Average:
    """An exponential moving average of a model's parameters; young averages forget faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.names = [name for name, _ in model.named_parameters()]
        self.values = [parameter.detach().clone() for parameter in model.parameters()]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model as it is after `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [parameter.detach() for parameter in model.parameters()], 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """Name -> averaged parameter."""
        return dict(zip(self.names, self.values, strict=True))

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        for name, value in zip(self.names, self.values, strict=True):
            value.copy_(state[name])

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's parameters with the average; a second call puts them back."""
        for parameter, value in zip(model.parameters(), self.values, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


def _parts(model: nn.Module) -> str:
    return ", ".join(name for name, _ in model.named_children())
